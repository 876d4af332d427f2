"""valija-transform: programs for mail on a pipe, a message in on stdin and one out on stdout.

What is not changed keeps its octets: parts are found in the message and changed ones spliced in,
nothing is written anew. It knows nothing of the POP3 service.
"""

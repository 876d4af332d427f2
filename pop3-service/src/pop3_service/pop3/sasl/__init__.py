"""SASL over AUTH (RFC 5034, RFC 4422): the mechanisms and their exchanges, without I/O.

A further mechanism is one line in ``mechanisms.MECHANISMS``.
"""

"""A scorecard of any POP3 server: one rule, one check, one line.

``python -m conformance.scorecard HOST PORT --user NAME --password-file FILE``. It needs the
standard library alone and knows nothing of the service beside it.
"""

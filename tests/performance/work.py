"""What several modes have in common: the polled mailbox, the polling script."""

from performance.mailboxes import message

ELEVEN_KB = [message(11_000 + 100 * n, n) for n in range(10)]
POLL = ("USER", "PASS", "STAT", "UIDL", *(f"RETR {n}" for n in range(1, 6)), "QUIT")

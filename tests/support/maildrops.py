"""Maildrops in tests: what a worker does at a session's end."""

from pop3_service.maildir.maildrop import Maildrop


def end_session(drop: Maildrop) -> None:
    """Unlock, and save the index if there is something to save."""
    drop.close()
    if drop.index_is_old:
        drop.save_index()

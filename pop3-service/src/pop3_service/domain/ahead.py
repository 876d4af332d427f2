"""Mail transformed ahead: whose mail it is, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose mail may be transformed ahead.

    ``transform`` is the account's own wish (``domain.preferences``); ``login_time_s`` is when it
    last logged in, if that was since the service started (Unix), else 0.
    """

    account: str
    role: str
    transform: bool = True
    login_time_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AheadProgress:
    """How far it has come: messages that wait, and since the start those done and failed."""

    waiting: int = 0
    done: int = 0
    failed: int = 0


NOTHING_AHEAD = AheadProgress()


@dataclass(frozen=True, slots=True)
class TransformedMail:
    """What is kept of transformed mail, and what is done ahead: ``ahead`` if anything is now.

    ``used`` of ``limit`` octets of the disk are taken.
    """

    ahead: bool
    progress: AheadProgress
    used: int
    limit: int

"""POP3 sessions as the management sees them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One POP3 connection; ``account`` is empty before login, times are seconds (Unix)."""

    id: str
    peer: str
    account: str
    connect_time_s: float
    sent_bytes: int
    sent_messages: int
    idle_s: float


NO_SESSION = SessionInfo("", "", "", 0.0, 0, 0, 0.0)
"""Where an event is about no session."""


class SessionEventKind(StrEnum):
    """What happened to a session."""

    CONNECTED = "connected"
    LOGGED_IN = "logged_in"
    ENDED = "ended"
    TRANSFORM_ROLLED_BACK = "transform_rolled_back"
    """No session's own: the service gave a canary up, as the event's ``text`` says."""


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """Something that happened to a session, and the session as it was then.

    ``text`` says what happened where the kind alone does not; then ``session`` is ``NO_SESSION``.
    """

    kind: SessionEventKind
    session: SessionInfo
    time_s: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all workers since the service started. Never negative."""

    opened_connections: int = 0
    current_connections: int = 0
    logged_in_sessions: int = 0
    sent_bytes: int = 0
    sent_messages: int = 0
    deleted_messages: int = 0
    refused_logins: int = 0

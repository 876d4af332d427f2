"""The audit: who did what, from where, with what outcome. Never secrets.

A use case says what it did with ``describe``; who calls it, when and how it ended is known to the
edge that let the call in, which writes the one entry.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

OK = "ok"
"""The outcome of what succeeded; any other is the value of a ``Reason``."""
MAX_TEXT = 300
"""Characters of a text in an entry; the rest is cut."""


class ActorKind(StrEnum):
    """What kind of actor a name belongs to."""

    NOBODY = "nobody"
    """Nobody who has proved it; the name is the one that was given."""
    ACCOUNT = "account"
    TOKEN = "token"  # noqa: S105
    """An automation token."""
    SERVICE = "service"
    """The service itself: at its start, or because a time is over."""


class Via(StrEnum):
    """The way on which an act came."""

    GRPC = "grpc"
    SCMP = "scmp"
    POP3 = "pop3"
    COMMAND_LINE = "command-line"
    START = "start"
    SIGNAL = "signal"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act. ``time_s`` is Unix time; ``address`` is the client's, without its port.

    ``action`` is a noun and a verb such as ``accounts.create`` or ``login.pop3``. ``before`` and
    ``after`` are small and hold what JSON does. ``count`` says how many alike were put together,
    ``sequence`` is the entry's number once it is stored.
    """

    time_s: float
    action: str
    actor: str = ""
    actor_kind: ActorKind = ActorKind.NOBODY
    token: str = ""
    address: str = ""
    via: Via = Via.SERVICE
    target: str = ""
    outcome: str = OK
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    count: int = 1
    sequence: int = 0


class LoginEvent(NamedTuple):
    """A POP3 login that succeeded, or was refused for a ``reason`` (a ``Reason``'s value).

    ``time_s`` is Unix time, ``peer`` an address with its port, ``tls`` the version or empty;
    ``app_password`` is the name of the one that was used, if any.
    """

    time_s: float
    account: str
    peer: str
    mechanism: str
    tls: str = ""
    reason: str = ""
    app_password: str = ""


@dataclass(slots=True)
class Described:
    """What a call said of itself so far."""

    target: str = ""
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    actor: str = ""
    actor_kind: ActorKind | None = None


_described: ContextVar[Described | None] = ContextVar("described", default=None)


def describe(
    *,
    target: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    asked: Mapping[str, Any] | None = None,
) -> None:
    """Say what the present call acts on, and how that was before and is after. Never secrets.

    ``asked`` is what it is to become, which is told only if that is refused. What is said later
    is added to what was said before. Outside a call it does nothing.
    """
    described = _described.get()
    if described is None:
        return
    if target is not None:
        described.target = str(target)
    described.before.update(before or {})
    described.after.update(after or {})
    described.asked.update(asked or {})


def describe_actor(name: str, kind: ActorKind = ActorKind.ACCOUNT) -> None:
    """Say who acts, where the call itself is what proves it."""
    described = _described.get()
    if described is not None:
        described.actor, described.actor_kind = str(name), kind


@contextlib.contextmanager
def describing() -> Iterator[Described]:
    """Collect what is said within."""
    described = Described()
    token = _described.set(described)
    try:
        yield described
    finally:
        with contextlib.suppress(ValueError):  # a stream that is let go of elsewhere
            _described.reset(token)


def host_of(peer: str) -> str:
    """Give an address without its port and brackets; IPv4 in IPv6 as IPv4."""
    host = peer.rpartition(":")[0].strip("[]") or peer
    if host.startswith("::ffff:") and "." in host:
        return host[7:]
    return host


def printable(text: str) -> str:
    """Give text that is safe to store and to show: bounded, and escaped where it does not print."""
    cut = text[:MAX_TEXT]
    if cut.isprintable():
        return cut
    return "".join(it if it.isprintable() else ascii(it)[1:-1] for it in cut)[:MAX_TEXT]

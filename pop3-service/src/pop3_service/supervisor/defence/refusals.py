"""Refusals: so many are written as they are, more are counted.

Neither a caller in a loop nor a crowd that guesses may fill the disk, or keep it busy. What is
counted is written together, with how many there were, since when and until when; a crash loses what
was counted meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pop3_service.domain.audit import OK, ActorKind, AuditEntry, LoginEvent, Via, host_of

WRITTEN = 50
"""Refusals of a caller that are written at once, each as it is."""
ONE_MORE_S = 60.0
"""After how long it is one more."""
TOGETHER_S = 600.0
"""How long the others are counted until they are written."""
MOST_GROUPS = 10
"""Groups of like refusals of a caller; what is like none of them is told by its outcome alone."""
MOST_CALLERS = 1000
"""Callers that are kept apart."""
OTHERS = "audit.refuse"
"""The action of refusals that were too many to be told by theirs."""

NAMED = 1000
"""Kinds of refusals of strangers that are written with names and addresses, in a row."""
ONE_MORE_NAMED_S = 0.2
"""After how long it is one more."""

Key = tuple[str, ...]


class _Budget:
    """So many at first, and one more after each time; times are those of a monotonic clock."""

    __slots__ = ("_at_s", "_left", "_most", "_one_more_s")

    def __init__(self, most: int, one_more_s: float) -> None:
        self._most = most
        self._one_more_s = one_more_s
        self._left: float = most
        self._at_s = 0.0

    def takes(self, now_s: float) -> bool:
        """Whether there is one left; then it is taken."""
        self._left = min(self._left + (now_s - self._at_s) / self._one_more_s, self._most)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(slots=True)
class _Caller:
    """What came of a caller lately; ``since_s`` is a monotonic clock's."""

    written: _Budget = field(default_factory=lambda: _Budget(WRITTEN, ONE_MORE_S))
    since_s: float = 0.0
    groups: dict[Key, AuditEntry] = field(default_factory=dict)


class Refusals:
    """Refusals of each caller who has proved who he is, and those counted of them."""

    def __init__(self) -> None:
        self._callers: OrderedDict[Key, _Caller] = OrderedDict()

    def counts(self, entry: AuditEntry, now_s: float) -> bool:
        """Whether a refusal is one too many of its caller's, and only counted."""
        caller = self._caller((entry.actor, entry.token))
        if caller.written.takes(now_s):
            return False
        if not caller.groups:
            caller.since_s = now_s
        _add(caller.groups, entry)
        return True

    def due(self, now_s: float = float("inf")) -> list[AuditEntry]:
        """Take what has been counted for long enough; without a time, all."""
        found: list[AuditEntry] = []
        for caller in self._callers.values():
            if caller.groups and now_s - caller.since_s >= TOGETHER_S:
                found += caller.groups.values()
                caller.groups = {}
        return found

    def _caller(self, key: Key) -> _Caller:
        if key not in self._callers and len(self._callers) >= MOST_CALLERS:
            # The longest unused first, and nobody of whom something is to be written.
            unused = (it for it, caller in self._callers.items() if it and not caller.groups)
            if (oldest := next(unused, None)) is None:
                key = ()  # who is one more shares it with all others that are
            else:
                del self._callers[oldest]
        found = self._callers.setdefault(key, _Caller())
        self._callers.move_to_end(key)
        return found


class Strangers:
    """Refusals of those who have not proved who they are."""

    def __init__(self) -> None:
        self._named = _Budget(NAMED, ONE_MORE_NAMED_S)
        self._groups: dict[Key, AuditEntry] = {}

    def notes(self, notes: list[AuditEntry], now_s: float) -> list[AuditEntry]:
        """Give those that are written now; refusals that are too many are counted."""
        found, known = [], set()
        for note in notes:
            key = (note.action, note.outcome, note.actor, note.address, note.target)
            told = note.outcome == OK or "first_time" in note.after
            if told or note.actor_kind is not ActorKind.NOBODY:
                found.append(note)
            elif key in known or self._named.takes(now_s):
                known.add(key)
                found.append(note)
            else:
                self._count(note)
        return found

    def logins(self, logins: list[LoginEvent], now_s: float) -> list[LoginEvent]:
        """Give those that are written now; refusals that are too many are counted."""
        found, known = [], set()
        for event in logins:
            key = (event.account, host_of(event.peer), event.mechanism, event.tls, event.reason)
            if not event.reason:
                found.append(event)
            elif key in known or self._named.takes(now_s):
                known.add(key)
                found.append(event)
            else:
                action, outcome = "login.pop3", event.reason
                self._count(AuditEntry(event.time_s, action, outcome=outcome, via=Via.POP3))
        return found

    def due(self) -> list[AuditEntry]:
        """Take what has been counted."""
        found, self._groups = list(self._groups.values()), {}
        return found

    def _count(self, entry: AuditEntry) -> None:
        _add(self._groups, replace(entry, actor="", token="", address="", target=""))


def _add(groups: dict[Key, AuditEntry], entry: AuditEntry) -> None:
    key: Key = (entry.action, entry.outcome, entry.address, entry.actor, entry.token)
    if key not in groups and len(groups) >= MOST_GROUPS:
        entry = replace(entry, action=OTHERS, address="", target="")
        key = (OTHERS, entry.outcome)
    known = groups.get(key)
    if known is None:
        groups[key] = replace(entry, before={}, after=_times(entry.time_s, entry.time_s))
        return
    target = known.target if known.target == entry.target else ""
    after = {**known.after, "last_time": _time(entry.time_s)}
    groups[key] = replace(known, count=known.count + entry.count, target=target, after=after)


def _times(first_s: float, last_s: float) -> Mapping[str, str]:
    return {"first_time": _time(first_s), "last_time": _time(last_s)}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

"""Figures: what was measured, round by round, and the ratios of one round's servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

OURS = "valija"


@dataclass(frozen=True)
class Spread:
    """The median of some values, with the least and the largest."""

    median: float
    least: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Metric:
    """What is measured. ``less`` is for what is better when it is less."""

    name: str
    unit: str
    less: bool = False


SESSIONS = Metric("sessions", "1/s")
COMMANDS = Metric("commands", "1/s")
THROUGHPUT = Metric("octets", "MB/s")
FIRST_READING = Metric("first reading", "MB/s")
READ_AGAIN = Metric("read again", "MB/s")
FIRST_RETR = Metric("first reading", "RETR/s")
SECOND_RETR = Metric("second reading", "RETR/s")
P99 = Metric("p99 of a session", "ms", less=True)
COLD = Metric("session, cold", "ms", less=True)
WARM = Metric("session, warm", "ms", less=True)
SLOPE = Metric("an idle session", "KB", less=True)
FIXED = Metric("all processes, no session", "MB", less=True)
LOSS = Metric("sessions/s lost to idle ones", "%", less=True)


@dataclass
class Case:
    """One comparison: values by metric and server, one a round; None where a round was wrong."""

    name: str
    about: str
    values: dict[Metric, dict[str, list[float | None]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, metric: Metric, server: str, value: float | None) -> None:
        """Add a round's value."""
        self.values.setdefault(metric, {}).setdefault(server, []).append(value)

    def wrong(self, server: str, errors: Sequence[str]) -> None:
        """Replies were not right: this server's figures here count for nothing."""
        self.errors.setdefault(server, []).extend(errors)

    def note(self, text: str) -> None:
        """Say something below the figures, once."""
        if text not in self.notes:
            self.notes.append(text)

    def absent(self, server: str, why: str) -> None:
        """A peer is not there; that ours does not start is an error."""
        if server == OURS:
            self.wrong(server, [why])
        else:
            self.missing[server] = why

    def without_tls(self, server: str, *, certificate: bool) -> None:
        """A server has no TLS port: no certificate, or a version of ours from before TLS."""
        if certificate:
            self.absent(server, "there is no TLS in it")
        else:
            self.missing[server] = "no certificate, as openssl is missing"

    def spread(self, metric: Metric, server: str) -> Spread | None:
        """A server's values."""
        if server in self.errors:
            return None
        values = [v for v in self.values.get(metric, {}).get(server, ()) if v is not None]
        return Spread.of(values) if values else None

    def times_better(self, metric: Metric, server: str) -> Spread | None:
        """How many times better ours is than a server, by the ratios of each round."""
        if {OURS, server} & self.errors.keys():
            return None
        found = self.values.get(metric, {})
        ratios = [
            theirs / ours if metric.less else ours / theirs
            for ours, theirs in zip(found.get(OURS, ()), found.get(server, ()), strict=False)
            if ours and theirs
        ]
        return Spread.of(ratios) if ratios else None

    def as_dict(self) -> dict[str, object]:
        """All of it, for JSON."""
        metrics = [
            {
                "metric": metric.name,
                "unit": metric.unit,
                "rounds": by_server,
                "times_better": {
                    server: ratio.__dict__
                    for server in by_server
                    if server != OURS and (ratio := self.times_better(metric, server))
                },
            }
            for metric, by_server in self.values.items()
        ]
        return {
            "case": self.name,
            "about": self.about,
            "metrics": metrics,
            "missing": self.missing,
            "errors": self.errors,
            "notes": self.notes,
        }

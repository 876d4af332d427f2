"""What is told of a certificate: for whom it stands, by whom, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

SOON = timedelta(days=30)
"""From then on the log tells each day that a certificate ends."""
URGENT = timedelta(days=14)
"""From then on STATUS warns of it."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in force. ``source`` is its file, ``fingerprint`` the SHA-256 of the leaf."""

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    issuer: str
    self_signed: bool
    fingerprint: str
    source: str
    is_default: bool = False

    @property
    def title(self) -> str:
        """What to call it."""
        return self.names[0] if self.names else self.source

    def out_of_time(self, now: datetime) -> str:
        """Say that it has expired or is not valid yet; empty if neither."""
        if now >= self.not_after:
            return f"has expired on {_day(self.not_after)}"
        if now < self.not_before:
            return f"is not valid before {_day(self.not_before)}"
        return ""

    def ends_within(self, time: timedelta, now: datetime) -> bool:
        """Whether it expires in that time, or has."""
        return self.not_after - now < time

    def warning(self, now: datetime) -> str:
        """Say what an admin should mend; empty if nothing."""
        told = self.out_of_time(now)
        if not told and self.ends_within(URGENT, now):
            told = f"expires in {(self.not_after - now).days} days"
        return f"the certificate of {self.title} {told}" if told else ""


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"

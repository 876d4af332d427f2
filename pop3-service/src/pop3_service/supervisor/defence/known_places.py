"""Places that accounts log in from: an account's networks, each with the day it last did so.

A right password from a known place is neither delayed nor refused, whoever guesses meanwhile.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from typing import NamedTuple

from lineproto.clock import Clock

MAX_ACCOUNTS = 100_000
"""Accounts whose places are known; of more, those that were known first go."""
EACH = 8
"""Places of an account; a further one takes the place of that whose login is longest ago."""
_OCTETS = 8
_RECORD = _OCTETS + 2
DAY_S = 86_400


class Place(NamedTuple):
    """A network that an account logged in from, on a day (since 1970) for the last time."""

    account: str
    network: str
    day: int


class KnownPlaces:
    """Places by account. ``days`` gives for how many days a place is known, by the setting of now.

    In memory a place is 10 octets: a keyed hash of its network, and the day.
    """

    def __init__(self, clock: Clock, days: Callable[[], int], *, limit: int = MAX_ACCOUNTS) -> None:
        self._clock = clock
        self._days = days
        self._limit = limit
        self._key = secrets.token_bytes(32)
        self._places: dict[str, bytes] = {}
        self._changed: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        """Accounts with a known place."""
        return len(self._places)

    def today(self) -> int:
        """Give the day by which places are kept."""
        return int(self._clock.now().timestamp()) // DAY_S

    def knows(self, account: str, network: str) -> bool:
        """Whether an account has logged in from a network lately."""
        records = self._places.get(account)
        if records is None:
            return False
        day = self._records(records).get(self._hash(network))
        return day is not None and self.today() - day < self._days()

    def note(self, account: str, network: str) -> None:
        """Note that an account has logged in from a network."""
        today, place = self.today(), self._hash(network)
        records = self._records(self._places.get(account, b""))
        if records.get(place) == today:
            return
        self._put(account, records, place, today)
        self._changed[account, network] = today

    def load(self, places: Iterable[Place]) -> None:
        """Take over what was stored."""
        for place in sorted(places, key=lambda it: it.day):
            records = self._records(self._places.get(place.account, b""))
            self._put(place.account, records, self._hash(place.network), place.day)

    def forget(self, account: str) -> None:
        """Drop an account's places: it is gone."""
        self._places.pop(account, None)
        for key in [key for key in self._changed if key[0] == account]:
            del self._changed[key]

    def take_changed(self, most: int) -> list[Place]:
        """Give the places to store, so many at most."""
        taken = [Place(*key, day) for key, day in list(self._changed.items())[:most]]
        for place in taken:
            del self._changed[place.account, place.network]
        return taken

    def _put(self, account: str, records: dict[bytes, int], place: bytes, day: int) -> None:
        records[place] = day
        if len(records) > EACH:
            del records[min(records, key=records.__getitem__)]
        self._places[account] = b"".join(
            name + min(max(day, 0), 0xFFFF).to_bytes(2) for name, day in records.items()
        )
        if len(self._places) > self._limit:
            del self._places[next(iter(self._places))]

    def _records(self, octets: bytes) -> dict[bytes, int]:
        return {
            octets[at : at + _OCTETS]: int.from_bytes(octets[at + _OCTETS : at + _RECORD])
            for at in range(0, len(octets), _RECORD)
        }

    def _hash(self, network: str) -> bytes:
        return hashlib.blake2b(network.encode(), key=self._key, digest_size=_OCTETS).digest()

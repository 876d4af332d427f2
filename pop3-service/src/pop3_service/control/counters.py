"""Counters in shared memory: one slot a worker, written by that worker alone.

Totals are sums over the slots. A slot outlives its worker, so a dead worker's last values are
kept and its successor counts on; no message carries a count, so none can be lost.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable

from pop3_service.domain.session import Totals

FIELDS = (
    "opened",
    "closed",
    "logins",
    "logouts",
    "sent_bytes",
    "sent_messages",
    "deleted_messages",
    "refused_logins",
)
_SLOT_FIELDS = 16  # room to grow; a slot is two cache lines


class CounterBoard:
    """All slots. Shared with worker processes by descriptor."""

    def __init__(self, fd: int, slots: int) -> None:
        self.fd = fd
        self.slots = slots
        self._map = mmap.mmap(fd, slots * _SLOT_FIELDS * 8)
        self._values = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, slots: int) -> CounterBoard:
        """Make a board of zeros."""
        fd = os.memfd_create("valija-counters", os.MFD_CLOEXEC)
        os.ftruncate(fd, slots * _SLOT_FIELDS * 8)
        return cls(fd, slots)

    def slot(self, index: int) -> CounterSlot:
        """Give a worker's slot; connections of a worker that died count as closed."""
        slot = CounterSlot(self._values[index * _SLOT_FIELDS : (index + 1) * _SLOT_FIELDS])
        slot.settle()
        return slot

    def totals(self) -> Totals:
        """Sum all slots."""
        sums = [0] * len(FIELDS)
        for index in range(self.slots):
            base = index * _SLOT_FIELDS
            # What closes is read before what opens: a sum taken meanwhile is never negative.
            for at in reversed(range(len(FIELDS))):
                sums[at] += self._values[base + at]
        value = dict(zip(FIELDS, sums, strict=True))
        return Totals(
            opened_connections=value["opened"],
            current_connections=max(value["opened"] - value["closed"], 0),
            logged_in_sessions=max(value["logins"] - value["logouts"], 0),
            sent_bytes=value["sent_bytes"],
            sent_messages=value["sent_messages"],
            deleted_messages=value["deleted_messages"],
            refused_logins=value["refused_logins"],
        )

    def current_connections(self) -> int:
        """Connections now, over all slots."""
        values = self._values
        starts = range(0, self.slots * _SLOT_FIELDS, _SLOT_FIELDS)
        # A worker counts meanwhile; what it closes just now may be read before what it opened.
        return max(sum(values[at] - values[at + 1] for at in starts), 0)

    def close(self) -> None:
        """Let go of the memory."""
        os.close(self.fd)


class CounterSlot:
    """One worker's counters; each only grows."""

    __slots__ = ("_values",)

    def __init__(self, values: memoryview) -> None:
        self._values = values

    def add(self, name: str, count: int = 1) -> None:
        """Count."""
        self._values[_INDEX[name]] += count

    def adder(self, name: str) -> Callable[[int], None]:
        """Give a function that counts one thing: for what is counted with every reply."""
        values, at = self._values, _INDEX[name]

        def add(count: int) -> None:
            values[at] += count

        return add

    def settle(self) -> None:
        """Count what was open as closed: its process is gone."""
        self._values[_INDEX["closed"]] = self._values[_INDEX["opened"]]
        self._values[_INDEX["logouts"]] = self._values[_INDEX["logins"]]


_INDEX = {name: at for at, name in enumerate(FIELDS)}

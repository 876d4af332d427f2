"""What came of transforms, summed up for each activation over all workers and their lives."""

from __future__ import annotations

from collections.abc import Iterable

from pop3_service.domain.transforms import Activation, ActivationRecord, Mode, TransformCount

MOST_ENDED = 1000
"""Activations that ended lately and are counted on: sessions keep what they began with."""


class TransformCounts:
    """Counts of what is in force, and of what ended lately.

    Those in force are stored when they end and when the service stops; a crash loses what came
    since its start.
    """

    def __init__(self) -> None:
        self._in_force: dict[int, Activation] = {}
        self._counts: dict[int, TransformCount] = {}

    def begin(self, records: Iterable[ActivationRecord]) -> None:
        """Forget all, and count on from what is stored."""
        found = list(records)
        self._counts = {it.activation.id: it.count for it in found}
        self._in_force = {it.activation.id: it.activation for it in found}

    def put(self, activations: Iterable[Activation]) -> None:
        """Say what is in force from now on."""
        self._in_force = {it.id: it for it in activations}
        for number in self._in_force:
            self._counts.setdefault(number, TransformCount(number))
        ended = [number for number in self._counts if number not in self._in_force]
        for number in ended[: max(len(ended) - MOST_ENDED, 0)]:
            del self._counts[number]

    def add(self, counts: Iterable[TransformCount]) -> None:
        """Add what workers tell; what is of an activation that nobody knows is left out."""
        for it in counts:
            if it.activation in self._counts:
                self._counts[it.activation] += it

    def get(self, number: int) -> TransformCount | None:
        """Give what came of an activation; None if it ended long ago."""
        return self._counts.get(number)

    def failed(self) -> list[Activation]:
        """Give the canaries in force of which too many runs have failed."""
        return [
            it
            for it in self._in_force.values()
            if it.mode is Mode.CANARY and self._counts[it.id].passes(it.failure_limit)
        ]

    def in_force(self) -> dict[int, TransformCount]:
        """Give what came of what is in force, by the activations' ids."""
        return {number: self._counts[number] for number in self._in_force}

"""The look at the whole chain, row by row; it holds one batch in memory."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence

from pop3_service.domain.audit_log import AuditHead, Checkpoint, Damage, Verification
from pop3_service.storage.audit_chain import GENESIS, Batch, Chain, Row
from pop3_service.storage.audit_rows import COLUMNS

BATCHES_AT_A_TIME = 500
"""Batches read in one transaction, so that a long look does not keep the log from being emptied."""
MOST_ROWS = 10_000
"""A batch that claims more rows was never ours."""
MOST_DAMAGE = 100
"""Places that are told; a look that found so many ends."""

_ROWS = (
    f"SELECT {', '.join(COLUMNS)} FROM entries"  # noqa: S608 - our own names
    " WHERE sequence BETWEEN ? AND ? ORDER BY sequence"
)


def read_checkpoint(connection: sqlite3.Connection, chain: Chain) -> tuple[Checkpoint | None, bool]:
    """Give the checkpoint, if there is one, and whether it is as we signed it."""
    row = connection.execute(
        "SELECT batch, hash, next_sequence, removed, time_us, mac FROM checkpoint"
    ).fetchone()
    if row is None:
        return None, True
    batch, hash_, next_sequence, removed, time_us, mac = row
    made = Checkpoint(batch, hash_, next_sequence, removed, time_us / 1_000_000)
    return made, chain.of_checkpoint(made) == mac


def verify(
    connection: sqlite3.Connection, chain: Chain, heads: Sequence[AuditHead]
) -> Verification:
    """Look at the whole chain, which must have come past each of the ``heads``."""
    return _Look(connection, chain, heads).run()


class _Look:
    def __init__(
        self, connection: sqlite3.Connection, chain: Chain, heads: Sequence[AuditHead]
    ) -> None:
        self._connection = connection
        self._chain = chain
        self._heads = set(heads)
        self._damage: list[Damage] = []
        self._batches = self._entries = 0
        self._number, self._hash, self._next = 0, GENESIS, 1
        self._checkpoint: Checkpoint | None = None
        self._most = MOST_DAMAGE

    def run(self) -> Verification:
        with self._transaction():
            self._check_key()
            self._begin()
            self._foreign("sequence < ?", self._next)
        while len(self._damage) < self._most and self._some():
            pass
        for head in sorted(self._heads):
            if head.batch > self._number and len(self._damage) < self._most:
                self._found(head.batch, "the end is cut: the chain had come to this batch")
        end = AuditHead(self._number, self._hash)
        return Verification(
            self._batches, self._entries, end, self._checkpoint, tuple(self._damage[: self._most])
        )

    def _check_key(self) -> None:
        row = self._connection.execute("SELECT mac FROM key_check").fetchone()
        if row is None or row[0] != self._chain.key_check():
            self._found(0, "the key is not the one that this chain was begun with")
            self._most = 2  # nothing will fit

    def _begin(self) -> None:
        self._checkpoint, sound = read_checkpoint(self._connection, self._chain)
        if self._checkpoint is not None:
            self._go_on_from(self._checkpoint)
            self._check_heads(self._number, self._hash)
            if not sound:
                self._found(self._number, "the checkpoint was changed")

    def _go_on_from(self, checkpoint: Checkpoint) -> None:
        self._number, self._hash = checkpoint.batch, checkpoint.hash
        self._next = checkpoint.next_sequence

    def _some(self) -> bool:
        """Look at some batches; tell whether there were any."""
        with self._transaction() as connection:
            found = connection.execute(
                "SELECT number, first, count, time_us, hash FROM batches WHERE number > ?"
                " ORDER BY number LIMIT ?",
                (self._number, BATCHES_AT_A_TIME),
            ).fetchall()
            for row in found:
                self._look_at(Batch(*row))
                if len(self._damage) >= self._most:
                    break
            if not found:
                self._foreign("sequence >= ?", self._next)
        return bool(found)

    def _look_at(self, batch: Batch) -> None:
        follows = batch.number == self._number + 1 or self._was_removed_meanwhile(batch)
        if not follows:
            what = f"batches {self._number + 1} to {batch.number - 1} are gone"
            self._found(self._number + 1, what, self._next, max(batch.first - 1, self._next))
        last = batch.first + batch.size - 1
        if not 0 < batch.size <= MOST_ROWS or (follows and batch.first != self._next):
            self._found(batch.number, "it does not go on where the one before ends", batch.first)
            last = batch.first + min(max(batch.size, 1), MOST_ROWS) - 1
        rows = self._connection.execute(_ROWS, (batch.first, last)).fetchall()
        there = {row[0] for row in rows}
        lost = [it for it in range(batch.first, last + 1) if it not in there]
        for sequence in lost[: self._most]:
            self._found(batch.number, "the entry was removed", sequence)
        if follows and not lost and not self._is_whole(batch, rows):
            self._found(batch.number, "an entry was changed", batch.first, last)
        self._check_heads(batch.number, batch.hash)
        self._batches += 1
        self._entries += len(rows)
        self._number, self._hash, self._next = batch.number, batch.hash, last + 1

    def _was_removed_meanwhile(self, batch: Batch) -> bool:
        """Whether retention has removed all up to a batch since the look began."""
        checkpoint, sound = read_checkpoint(self._connection, self._chain)
        if checkpoint is None or not sound or checkpoint.batch != batch.number - 1:
            return False
        if self._checkpoint is not None and checkpoint.batch <= self._checkpoint.batch:
            return False
        self._go_on_from(checkpoint)
        return True

    def _is_whole(self, batch: Batch, rows: Sequence[Row]) -> bool:
        if any(type(value) not in (int, str) for row in rows for value in row):
            return False  # octets that would be written like text
        if any(type(it) is not int or it < 0 for it in batch[:4]):
            return False
        return self._chain.link(self._hash, batch, rows) == batch.hash

    def _check_heads(self, number: int, hash_: bytes) -> None:
        for head in [it for it in self._heads if it.batch == number]:
            self._heads.discard(head)
            if head.hash != hash_:
                self._found(number, "it is not the batch that the expected head names", self._next)

    def _foreign(self, term: str, at: int) -> None:
        query = f"SELECT min(sequence), max(sequence) FROM entries WHERE {term}"  # noqa: S608
        first, last = self._connection.execute(query, (at,)).fetchone()
        if first is not None:
            self._found(0, "entries that the service did not write", first, last)

    def _found(self, batch: int, what: str, first: int = 0, last: int = 0) -> None:
        self._damage.append(Damage(batch, first, max(first, last), what))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN")
        try:
            yield self._connection
        finally:
            self._connection.execute("COMMIT")

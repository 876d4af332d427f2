"""The audit's own database: entries in batches, each linked to the one before by a keyed hash.

It is a file of its own, so that no login waits for the audit's transactions and none of these for
an account; one thread writes, in the chain's order, and readers have connections of their own. A
batch is one statement: the driver lets other threads run at each statement, and each time the
loop's thread may keep it waiting for milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from pop3_service.domain.audit import AuditEntry, LoginEvent
from pop3_service.domain.audit_log import AuditFilter, AuditHead, Checkpoint, Verification
from pop3_service.domain.errors import StoreUnavailable
from pop3_service.storage.audit_chain import GENESIS, Batch, Chain, Row
from pop3_service.storage.audit_query import newest
from pop3_service.storage.audit_rows import (
    COLUMNS,
    MIGRATIONS,
    entry_of,
    login_row,
    row_of,
    together,
)
from pop3_service.storage.audit_verify import read_checkpoint, verify

FILE = "audit.db"
LARGEST_BATCH = 2000
"""Rows of one statement: SQLite takes 32,766 values in it."""
REFUSALS_A_BATCH = 50
"""Groups of like refusals in a batch that keep their names; see ``audit_rows.together``."""
BATCHES_A_REMOVAL = 200
"""Batches that retention removes in one transaction."""
BUSY_S = 10.0
_PLACES = f"({', '.join('?' * len(COLUMNS))})"
_INSERT = f"INSERT INTO entries ({', '.join(COLUMNS)}) VALUES "  # noqa: S608 - our own names

T = TypeVar("T")


class AuditStore:
    """An open audit. Make it with ``open``; ``head`` is the end of what is durable."""

    def __init__(self, path: Path, chain: Chain) -> None:
        self.head = AuditHead(0, GENESIS)
        self._path = path
        self._chain = chain
        self._next = 1
        self._closed = False
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._reading = ThreadPoolExecutor(2, thread_name_prefix="audit-read")
        self._connection: sqlite3.Connection

    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        """Open the database in a folder, made and migrated.

        Raises:
            StoreUnavailable: it cannot be used, is of a newer version, or was written with another
                key.
        """
        store = cls(folder / FILE, Chain(key))
        try:
            await store._in_writer(store._set_up)
        except BaseException:
            store._writing.shutdown()
            store._reading.shutdown()
            raise
        return store

    async def close(self) -> None:
        """Close the database; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        await self._in_writer(self._connection.close)
        self._writing.shutdown()
        self._reading.shutdown(wait=False, cancel_futures=True)

    async def append(
        self, acts: Sequence[AuditEntry], logins: Sequence[LoginEvent], time_s: float
    ) -> list[Row]:
        """Write each act as a batch of its own and the logins as others; give all rows.

        They are durable when this comes back.

        Raises:
            StoreUnavailable: none of them is stored.
        """
        return await self._in_writer(lambda: self._append(acts, logins, round(time_s * 1_000_000)))

    async def newest(self, meant: AuditFilter, before: int, limit: int) -> list[AuditEntry]:
        """Give entries, the newest first: those below a sequence number (0 for all)."""
        return await self._in_reader(
            lambda connection: [entry_of(row) for row in newest(connection, meant, before, limit)]
        )

    async def count(self) -> int:
        """Count the entries; there are no gaps in their numbers."""
        query = (
            "SELECT coalesce((SELECT max(sequence) FROM entries)"
            " - (SELECT min(sequence) FROM entries) + 1, 0)"
        )
        return await self._in_reader(
            lambda connection: int(connection.execute(query).fetchone()[0])
        )

    async def verify(self, *expected: AuditHead | None) -> Verification:
        """Look at the whole chain, which must have come past the ``expected`` heads.

        Raises:
            StoreUnavailable: the file cannot be read.
        """
        heads = [it for it in (*expected, self.head) if it is not None and it.batch]
        return await self._in_reader(lambda connection: verify(connection, self._chain, heads))

    async def expire(self, before_s: float, now_s: float) -> int:
        """Remove some of the oldest batches, all written before a time; give how many entries.

        A signed checkpoint stays in their place. The last batch stays.
        """
        return await self._in_writer(
            lambda: self._expire(round(before_s * 1_000_000), round(now_s * 1_000_000))
        )

    def sign_head(self, head: AuditHead) -> bytes:
        """Give what shows that a head was ours."""
        return self._chain.of_head(head)

    async def has(self, head: AuditHead) -> bool:
        """Whether the chain has come past a head: its batch is there, or was removed by age."""
        return await self._in_reader(lambda connection: _has(connection, self._chain, head))

    # --- in the writer's thread --------------------

    def _set_up(self) -> None:
        # Private before anything is in it; its log takes over the mode.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._connection = connection = sqlite3.connect(
            self._path, isolation_level=None, timeout=BUSY_S, check_same_thread=False,
            cached_statements=8,
        )  # fmt: skip
        try:
            self._migrate()
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._check_key()
            self._find_end()
        except BaseException:
            connection.close()
            raise

    def _migrate(self) -> None:
        connection = self._connection
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if version > len(MIGRATIONS):
            raise StoreUnavailable(f"{self._path} was written by a newer version")
        if not version and tables:
            raise StoreUnavailable(f"{self._path} holds tables of another program")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT"
            )

    def _check_key(self) -> None:
        connection, check = self._connection, self._chain.key_check()
        found = connection.execute("SELECT mac FROM key_check").fetchone()
        if found is None:
            connection.execute("INSERT INTO key_check VALUES (1, ?)", (check,))
        elif found[0] != check:
            raise StoreUnavailable(
                f"{self._path} was written with another key: put that key's file back, or move the"
                " database away to begin a new chain"
            )

    def _find_end(self) -> None:
        connection = self._connection
        row = connection.execute(
            "SELECT number, hash, first + count FROM batches ORDER BY number DESC LIMIT 1"
        ).fetchone()
        checkpoint, _ = read_checkpoint(connection, self._chain)
        if row is not None:
            self.head, self._next = AuditHead(row[0], row[1]), row[2]
        elif checkpoint is not None:
            self.head = AuditHead(checkpoint.batch, checkpoint.hash)
            self._next = checkpoint.next_sequence

    def _append(
        self, acts: Sequence[AuditEntry], logins: Sequence[LoginEvent], time_us: int
    ) -> list[Row]:
        batches: list[list[Row]] = []
        sequence, number = self._next, self.head.batch + 1
        for act in acts:
            batches.append([row_of(act, sequence, number)])
            sequence, number = sequence + 1, number + 1
        grouped = together(logins, REFUSALS_A_BATCH)
        for at in range(0, len(grouped), LARGEST_BATCH):
            some = grouped[at : at + LARGEST_BATCH]
            batches.append(
                [login_row(it, count, sequence + i, number) for i, (it, count) in enumerate(some)]
            )
            sequence, number = sequence + len(some), number + 1
        head = self.head
        with self._transaction() as connection:
            for rows in batches:
                head = self._write(connection, head, rows, time_us)
        self.head, self._next = head, sequence
        return [row for rows in batches for row in rows]

    def _write(
        self, connection: sqlite3.Connection, head: AuditHead, rows: list[Row], time_us: int
    ) -> AuditHead:
        batch = Batch(head.batch + 1, int(rows[0][0]), len(rows), time_us)
        made = self._chain.link(head.hash, batch, rows)
        values = [value for row in rows for value in row]
        connection.execute(_INSERT + ", ".join([_PLACES] * len(rows)), values)
        connection.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?)", (*batch[:4], made))
        return AuditHead(batch.number, made)

    def _expire(self, before_us: int, now_us: int) -> int:
        with self._transaction() as connection:
            checkpoint, sound = read_checkpoint(connection, self._chain)
            if not sound:
                raise StoreUnavailable("the audit's checkpoint was changed; nothing is removed")
            oldest = connection.execute(
                "SELECT number, hash, first + count, time_us FROM batches WHERE number < ?"
                " ORDER BY number LIMIT ?",
                (self.head.batch, BATCHES_A_REMOVAL),
            ).fetchall()
            last = None
            for row in oldest:
                if row[3] >= before_us:
                    break
                last = row
            if last is None:
                return 0
            number, hash_, next_sequence, _ = last
            removed = connection.execute(
                "DELETE FROM entries WHERE sequence < ?", (next_sequence,)
            ).rowcount
            connection.execute("DELETE FROM batches WHERE number <= ?", (number,))
            total = removed + (checkpoint.removed if checkpoint else 0)
            made = Checkpoint(number, hash_, next_sequence, total, now_us / 1_000_000)
            connection.execute(
                "INSERT OR REPLACE INTO checkpoint VALUES (1, ?, ?, ?, ?, ?, ?)",
                (number, hash_, next_sequence, total, now_us, self._chain.of_checkpoint(made)),
            )
        return removed

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            # A full disk may have rolled it back already.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    # --- threads --------------------

    async def _in_writer(self, work: Callable[[], T]) -> T:
        with _translated(self._path):
            return await asyncio.get_running_loop().run_in_executor(self._writing, work)

    async def _in_reader(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def read() -> T:
            with contextlib.closing(self._open_to_read()) as connection:
                return work(connection)

        with _translated(self._path):
            return await asyncio.get_running_loop().run_in_executor(self._reading, read)

    def _open_to_read(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None,
            timeout=BUSY_S,
        )  # fmt: skip


def _has(connection: sqlite3.Connection, chain: Chain, head: AuditHead) -> bool:
    checkpoint, _ = read_checkpoint(connection, chain)
    if checkpoint is not None and head.batch < checkpoint.batch:
        return True
    if checkpoint is not None and head.batch == checkpoint.batch:
        return checkpoint.hash == head.hash
    found = connection.execute(
        "SELECT hash FROM batches WHERE number = ?", (head.batch,)
    ).fetchone()
    return found is not None and found[0] == head.hash


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"the audit {path} failed: {error}") from error

"""The audit as the service keeps it: acts durable before their reply, logins in batches.

One task writes. It takes all that waits at once, so that many acts at the same time cost one
write to the disk. What is told without waiting is bounded: a flood is counted, not stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import structlog

from lineproto.clock import Clock
from pop3_service.domain.address_rules import Ban, Suspension
from pop3_service.domain.audit import OK, ActorKind, AuditEntry, LoginEvent, Via, describing
from pop3_service.domain.audit_log import AuditFilter, AuditHead, Verification
from pop3_service.domain.errors import InvalidArgument, ServiceError, StoreUnavailable
from pop3_service.storage.audit import FILE, AuditStore
from pop3_service.storage.audit_chain import Row
from pop3_service.storage.audit_rows import entry_of
from pop3_service.supervisor.defence.refusals import Refusals, Strangers
from pop3_service.supervisor.key_file import BadKey, load_key
from pop3mgmt.reasons import Reason

WAIT_S = 0.1
"""Seconds that a login waits here for others; as long again it may have waited in its worker."""
MOST_WAITING = 20_000
"""Events that wait to be written; more are counted and left out."""
MOST_GROUPS = 50
"""Groups of like refusals that are written at a time with names and addresses."""
WATCHER_ENTRIES = 1024
"""Entries that wait for a slow watcher; then the oldest are left out and counted."""
HEAD_S = 60.0
"""How often the chain's head goes to the log and into its file, when it has changed."""
EXPIRY_S = 3600.0
JUMP_S = 3600.0
DAY_S = 86_400
HEAD_FILE = "audit.head"

log = structlog.get_logger()


class AuditWatcher:
    """One stream of entries; it never holds more than ``WATCHER_ENTRIES``."""

    def __init__(self, meant: AuditFilter) -> None:
        self._meant = meant
        self._entries: deque[AuditEntry] = deque(maxlen=WATCHER_ENTRIES)
        self._skipped = 0
        self._there = asyncio.Event()

    def put(self, entry: AuditEntry) -> None:
        """Take an entry, if it is meant."""
        if not self._meant.meets(entry):
            return
        if len(self._entries) == WATCHER_ENTRIES:
            self._skipped += 1
        self._entries.append(entry)
        self._there.set()

    async def next(self) -> tuple[AuditEntry, int]:
        """Wait for the next entry; give it and how many were left out before it."""
        while not self._entries:
            self._there.clear()
            await self._there.wait()
        skipped, self._skipped = self._skipped, 0
        return self._entries.popleft(), skipped


def _together(notes: list[AuditEntry]) -> list[AuditEntry]:
    """Put refusals that are alike together, and of a flood those too that are not."""
    found: list[AuditEntry] = []
    groups: dict[tuple[str, ...], int] = {}
    for note in notes:
        if note.outcome == OK or (note.after and "asked" not in note.after):
            found.append(note)
            continue
        key = (note.action, note.outcome, note.actor, note.address, note.target, str(note.after))
        if key not in groups and len(groups) >= MOST_GROUPS:
            note = replace(note, actor="", address="", target="", before={}, after={})
            key = (note.action, note.outcome, "", "", "", "")
        at = groups.get(key)
        if at is None:
            groups[key] = len(found)
            found.append(note)
        else:
            found[at] = replace(found[at], count=found[at].count + note.count)
    return found


class AuditDesk:
    """Writes, shows and verifies the audit. ``retention_days`` gives the setting of now."""

    def __init__(self, folder: Path, key_file: Path, retention_days: Callable[[], int],
                 clock: Clock) -> None:  # fmt: skip
        self._folder = folder
        self._key_file = key_file
        self._retention_days = retention_days
        self._clock = clock
        self._store: AuditStore
        self._acts: list[tuple[AuditEntry, asyncio.Future[int]]] = []
        self._notes: list[AuditEntry] = []
        self._logins: list[LoginEvent] = []
        self._refusals = Refusals()
        self._strangers = Strangers()
        self._dropped = 0
        self._failing = False
        self._told: AuditHead | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._watchers: set[AuditWatcher] = set()

    # --- what is told --------------------

    async def record(self, entry: AuditEntry) -> int:
        """Write an act; it is durable when this comes back. Give its sequence number.

        Raises:
            StoreUnavailable: it cannot be stored now.
        """
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._acts.append((entry, stored))
        self._write_soon()
        return await stored

    async def record_own(
        self, action: str, via: Via = Via.SERVICE, actor: str = "", **more: object
    ) -> None:
        """Write an act of the service itself; where that fails, the log says so."""
        entry = AuditEntry(self._now_s(), action, actor, ActorKind.SERVICE, via=via, after=more)
        with contextlib.suppress(StoreUnavailable):  # the log has it
            await self.record(entry)

    @contextlib.asynccontextmanager
    async def acting(self, action: str, via: Via, actor: str = "") -> AsyncIterator[None]:
        """Write what the block does as one act of the service itself, if it says what that is.

        Raises:
            StoreUnavailable: it cannot be stored.
        """
        outcome = Reason.INTERNAL.value
        with describing() as said:
            try:
                yield
                outcome = OK
            except ServiceError as error:
                outcome = error.reason.value
                raise
            finally:
                if said.target or said.after:
                    await self.record(
                        AuditEntry(
                            self._now_s(),
                            action,
                            actor,
                            ActorKind.SERVICE,
                            via=via,
                            target=said.target,
                            outcome=outcome,
                            before=said.before,
                            after=said.after,
                        )
                    )

    def note_end(self, ended: Ban | Suspension) -> None:
        """Take that a ban or a suspension is over by itself."""
        action, target = (
            ("access.end_ban", ended.network)
            if isinstance(ended, Ban)
            else ("access.end_suspension", ended.account)
        )
        before = {"reason": ended.reason, "set_by": ended.set_by}
        kind = ActorKind.SERVICE
        self.note(AuditEntry(self._now_s(), action, "", kind, target=target, before=before))

    def note_expiry(self, account: str, days: int, count: int, octets: int) -> None:
        """Take that old mail of an account was removed."""
        removed = {"removed_messages": count, "removed_bytes": octets, "days": days}
        self.note(
            AuditEntry(
                self._now_s(),
                "maildrop.expire",
                "",
                ActorKind.SERVICE,
                target=account,
                after=removed,
            )
        )

    def note(self, entry: AuditEntry) -> None:
        """Take an act that nobody waits for; it is written soon, or counted as left out."""
        if self._full():
            self._dropped += 1
            return
        self._notes.append(entry)
        self._write_later()

    def counts(self, refused: AuditEntry) -> bool:
        """Whether a refusal is one too many of its caller's; then it is counted, and told later.

        Of nobody who has proved who he is none is: they are noted, and put together there.
        """
        proven = refused.actor_kind is not ActorKind.NOBODY
        return proven and self._refusals.counts(refused, self._clock.monotonic())

    def note_logins(self, events: list[LoginEvent]) -> None:
        """Take logins; they are written soon, or counted as left out."""
        if self._full():
            self._dropped += len(events)
            return
        self._logins += events
        self._write_later()

    async def ready(self) -> None:
        """Make sure that an act can be written, before it is done.

        Raises:
            StoreUnavailable: the last writing failed, and it fails still.
        """
        if self._failing:
            entry = AuditEntry(self._now_s(), "audit.resume", actor_kind=ActorKind.SERVICE)
            await self.record(entry)

    # --- what is asked --------------------

    async def newest(
        self, meant: AuditFilter, *, before: int = 0, limit: int = 100
    ) -> list[AuditEntry]:
        """Give entries, the newest first: those below a sequence number (0 for all)."""
        return await self._store.newest(meant, before, limit)

    async def count(self) -> int:
        """Count the entries that there are."""
        return await self._store.count()

    async def logins_of(self, account: str, limit: int) -> list[AuditEntry]:
        """Give an account's newest logins and refusals under its name, over every way in."""
        return await self.newest(AuditFilter(actor=account, action="login."), limit=limit)

    async def verify(self, expected: AuditHead | None = None) -> Verification:
        """Look at the whole chain. It must have come past ``expected``, and past our own head."""
        await self.flush()
        verification = await self._store.verify(expected, self._read_head())
        if verification.damage:
            log.error("audit is damaged", places=len(verification.damage),
                      first=verification.damage[0].what)  # fmt: skip
        return verification

    async def watch(self, meant: AuditFilter) -> AsyncIterator[tuple[AuditEntry, int] | None]:
        """Give entries as they become durable, with what was left out before each; first None."""
        watcher = AuditWatcher(meant)
        self._watchers.add(watcher)
        try:
            yield None
            while True:
                yield await watcher.next()
        finally:
            self._watchers.discard(watcher)

    # --- its life --------------------

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the audit; at the end of the block all that waits is written.

        Raises:
            StoreUnavailable: the database or its key cannot be used.
        """
        self._store = await AuditStore.open(self._folder, await asyncio.to_thread(self._key))
        try:
            await self._check_head()
            yield
        finally:
            await self.flush()
            self._notes += self._refusals.due() + self._strangers.due()
            await self.flush()
            await self._tell_head()
            await self._store.close()

    @contextlib.asynccontextmanager
    async def looked_after(self) -> AsyncIterator[None]:
        """Tell the head and remove what is old, until the end of the block."""
        task = asyncio.create_task(self._look_after())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def flush(self) -> None:
        """Write all that waits now."""
        self._write_soon()
        while self._writing is not None:
            await asyncio.wait({self._writing})

    def _key(self) -> bytes:
        if not os.path.lexists(self._key_file) and (self._folder / FILE).exists():
            raise StoreUnavailable(
                f"the audit's key {self._key_file} is gone: put it back, or move"
                f" {self._folder / FILE} away to begin a new chain"
            )
        try:
            return load_key(self._key_file)
        except BadKey as error:
            raise StoreUnavailable(f"the audit's key cannot be used: {error}") from None

    async def _look_after(self) -> None:
        next_expiry_s, offset_s = 0.0, self._clock_offset_s()
        while True:
            if self._clock.monotonic() >= next_expiry_s:
                next_expiry_s = self._clock.monotonic() + EXPIRY_S
                # With a wrong date all would be old: a clock that was put ahead has an hour to
                # be put right.
                was_s, offset_s = offset_s, self._clock_offset_s()
                if offset_s <= was_s + JUMP_S:
                    await self.expire()
            due = self._refusals.due(self._clock.monotonic()) + self._strangers.due()
            for entry in due:
                self.note(entry)
            await self._tell_head()
            await self._clock.sleep(HEAD_S)

    # --- writing --------------------

    def _now_s(self) -> float:
        return self._clock.now().timestamp()

    def _full(self) -> bool:
        return len(self._logins) + len(self._notes) >= MOST_WAITING

    def _write_later(self) -> None:
        if self._timer is None and self._writing is None:
            self._timer = asyncio.get_running_loop().call_later(WAIT_S, self._write_soon)

    def _write_soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        try:
            while self._acts or self._notes or self._logins or self._dropped:
                if not await self._write():
                    break  # what comes later tries again
        finally:
            self._writing = None
            if self._acts:
                self._write_soon()

    async def _write(self) -> bool:
        now_s = self._clock.monotonic()
        acts, self._acts = self._acts, []
        notes, self._notes = self._strangers.notes(self._notes, now_s), []
        logins, self._logins = self._strangers.logins(self._logins, now_s), []
        dropped, self._dropped = self._dropped, 0
        entries = [entry for entry, _ in acts] + _together(notes)
        if dropped:
            entries.append(
                AuditEntry(self._now_s(), "audit.drop", actor_kind=ActorKind.SERVICE, count=dropped)
            )
        try:
            rows = await self._store.append(entries, logins, self._now_s())
        except Exception as error:  # the funnel of this task: nobody must wait for ever
            self._dropped += dropped + len(notes) + len(logins)
            if not self._failing:
                known = isinstance(error, ServiceError)
                log.error(
                    "audit cannot be written", error=str(error), exc_info=None if known else error
                )
            self._failing = True
            for _, stored in acts:
                if not stored.done():
                    stored.set_exception(StoreUnavailable("the audit cannot be written"))
            return False
        if self._failing or dropped:
            log.warning("audit is written again", left_out=dropped)
        self._failing = False
        for (_, stored), row in zip(acts, rows, strict=False):
            if not stored.done():
                stored.set_result(int(row[0]))
        self._publish(rows)
        return True

    def _publish(self, rows: list[Row]) -> None:
        """Give rows to all watchers; a slow one holds up nobody."""
        if not self._watchers:
            return
        for entry in map(entry_of, rows):
            for watcher in self._watchers:
                watcher.put(entry)

    # --- head and retention --------------------

    async def _tell_head(self) -> None:
        """Put the head into the log and into its file, if it has changed."""
        head = self._store.head
        if head == self._told or not head.batch:
            return
        log.info("audit head", head=str(head))
        try:
            await asyncio.to_thread(self._write_head, head)
        except OSError as error:
            log.error("audit head not kept", error=error.strerror)
        self._told = head

    def _write_head(self, head: AuditHead) -> None:
        path = self._folder / HEAD_FILE
        new = path.with_name(f"{HEAD_FILE}.new")
        with open(new, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(f"{head} {self._store.sign_head(head).hex()}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)

    def _read_head(self) -> AuditHead | None:
        """Give the head that was kept, if it is there and ours."""
        try:
            text, _, signed = (self._folder / HEAD_FILE).read_text()[:1024].strip().partition(" ")
            head = AuditHead.parse(text)
        except (OSError, UnicodeDecodeError, InvalidArgument):
            return None
        return head if self._store.sign_head(head).hex() == signed else None

    async def _check_head(self) -> None:
        """Look at the start whether the end is where it was."""
        head = await asyncio.to_thread(self._read_head)
        if head is not None and not await self._store.has(head):
            log.error("audit is cut: its chain had come further", head=str(head),
                      now=str(self._store.head))  # fmt: skip
            entry = AuditEntry(
                self._now_s(), "audit.check", actor_kind=ActorKind.SERVICE, via=Via.START,
                outcome=Reason.STORE_UNAVAILABLE.value, before={"head": str(head)},
                after={"head": str(self._store.head)},
            )  # fmt: skip
            await self.record(entry)

    def _clock_offset_s(self) -> float:
        return self._now_s() - self._clock.monotonic()

    async def expire(self) -> None:
        """Remove what is older than the settings say."""
        days = self._retention_days()
        if not days:
            return
        removed = 0
        before_s = self._now_s() - days * DAY_S
        try:
            while some := await self._store.expire(before_s, self._now_s()):
                removed += some
        except ServiceError as error:
            log.error("old audit entries not removed", error=str(error))
        if removed:
            log.info("old audit entries removed", count=removed)
            await self.record_own("audit.expire", removed_count=removed, days=days)

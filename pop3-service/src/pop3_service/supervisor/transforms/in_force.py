"""For whom which transform is active: here, and on every worker.

A change is stored, then confirmed by every worker, then answered. A canary of which too many runs
fail is given up without anybody's doing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import structlog

from lineproto.clock import Clock
from pop3_service.domain.account import AccountName
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import NothingActive, ServiceError
from pop3_service.domain.session import NO_SESSION, SessionEvent, SessionEventKind
from pop3_service.domain.subject import EVERYONE, Scope, Subject
from pop3_service.domain.transforms import (
    NONE,
    NOTHING_ACTIVE,
    Activation,
    ActivationEnd,
    ActivationRecord,
    EndReason,
    Mode,
    Transform,
    TransformCount,
    TransformTable,
)
from pop3_service.storage.transforms import TransformStore
from pop3_service.supervisor.transforms.canaries import Canaries
from pop3_service.supervisor.transforms.checks import brief, own, told, was
from pop3_service.supervisor.transforms.counts import TransformCounts

log = structlog.get_logger()


class TransformsInForce:
    """What is active; ``changing`` is held from looking at it until something else is in force.

    ``apply`` tells every worker.
    """

    def __init__(
        self,
        store: TransformStore,
        apply: Callable[[TransformTable], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self.current = NOTHING_ACTIVE
        self.changing = asyncio.Lock()
        self.given_up_count = 0
        """Canaries that were given up since the start."""
        self.telling: Callable[[], AbstractAsyncContextManager[None]] = contextlib.nullcontext
        """In what a canary is given up, for the audit."""
        self.publish: Callable[[SessionEvent], None] = lambda _: None
        """Told of each canary that was given up."""
        self._store = store
        self._apply = apply
        self._clock = clock
        self._counts = TransformCounts()
        self._canaries = Canaries(self._counts, self._give_up, clock)

    async def load(self) -> None:
        """Read what is stored; workers are told when they start."""
        records = await self._store.in_force()
        self._counts.begin(records)
        self.current = TransformTable(tuple(it.activation for it in records))
        self._canaries.look()

    async def reload(self) -> None:
        """Read what is stored anew, and put it in force."""
        async with self.changing:
            await self.load()
            await self._apply(self.current)

    # --- what is active --------------------

    def is_active(self, transform: Transform) -> bool:
        """Whether an activation in force names a version."""
        ids = {it.transform.id for it in self.current.activations if it.transform}
        return transform.id in ids

    def activations(self) -> list[ActivationRecord]:
        """Give what is active, in order of subject, and what came of it so far."""
        found = sorted(self.current.activations, key=lambda it: str(it.subject))
        return [self._record(it) for it in found]

    async def past(
        self, subject: Subject | None = None, skip: int = 0, size: int = 1000
    ) -> tuple[Sequence[ActivationRecord], int]:
        """Give what was active, the newest first, and how many there are; None for all subjects."""
        found, count = await self._store.past(subject and own(subject), skip, size)
        known = [replace(it, count=self._counts.get(it.activation.id) or it.count) for it in found]
        return known, count

    async def removed_activations(self) -> int:
        """Count those that ended so long ago that they are not kept any more, of all subjects."""
        return await self._store.removed_activations()

    @property
    def command_line(self) -> str:
        """What everybody's mail is passed through; empty for nothing."""
        found = self._find(EVERYONE)
        if found is None:
            return ""
        transform = found.transform if found.mode is Mode.ON else found.former
        return transform.command_line if transform else ""

    async def account_deleted(self, name: AccountName) -> None:
        """Forget what was active for an account alone, which the store has ended with it."""
        await self._forget(Subject(Scope.ACCOUNT, name))

    async def role_deleted(self, name: str) -> None:
        """Forget what was active for a role, which the store has ended with it."""
        await self._forget(Subject(Scope.ROLE, name))

    async def _forget(self, subject: Subject) -> None:
        async with self.changing:
            if self._find(subject) is not None:
                await self._put(TransformTable(self._others(subject)))

    # --- canaries --------------------

    def note(self, counts: list[TransformCount]) -> None:
        """Take what workers tell."""
        self._counts.add(counts)
        self._canaries.look()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Give canaries up that fail, until the end of the block; then store what came of all."""
        try:
            async with self._canaries.running():
                yield
        finally:
            with contextlib.suppress(ServiceError):
                await self._store.save_counts(self._counts.in_force())

    async def _give_up(self, canary: Activation) -> None:
        async with self.telling(), self.changing:
            old = self._find(canary.subject)
            if old is None or old.id != canary.id:
                return  # somebody was quicker
            describe(target=str(old.subject))
            ended, _ = await self._back(old, EndReason.GIVEN_UP, "")
            self.given_up_count += 1
            count = ended.count
            back = "what held before" if old.inherits else brief(old.former or NONE)
            text = (
                f"{brief(old.transform or NONE)} for {old.subject} was given up, back to {back}:"
                f" {count.failures} of {count.runs} runs failed, the last one: {count.failure}"
            )
            why = {"runs": count.runs, "failures": count.failures, "last_failure": count.failure}
            describe(after=why)
            log.warning("canary given up", text=text)
            kind = SessionEventKind.TRANSFORM_ROLLED_BACK
            self.publish(SessionEvent(kind, NO_SESSION, self._now_s(), text))

    # --- changes --------------------

    async def _back(
        self, old: Activation, reason: EndReason, by: str
    ) -> tuple[ActivationRecord, ActivationRecord | None]:
        """Bring back what was before an activation, with what was before that."""
        ended = self._end_of(old, reason, by)
        if old.inherits:
            await self._end(ended)
            return ended, None
        before = await self._store.activation(old.before)
        new = before or Activation(0, old.subject, old.former, inherits=True)
        new = replace(new, transform=old.former, set_by=by)
        return ended, await self._begin(ended, new)

    async def _begin(self, ended: ActivationRecord | None, new: Activation) -> ActivationRecord:
        """Store that something is active in place of what has ended, and put it in force."""
        new = await self._store.begin(ended, replace(new, set_time_s=self._now_s()))
        await self._put(TransformTable((*self._others(new.subject), new)))
        describe(before={"transform": was(ended)} if ended else {}, after=told(new))
        log.info("transform activated", transform=brief(new), by=new.set_by, was=was(ended))
        return self._record(new)

    async def _end(self, ended: ActivationRecord) -> None:
        """Store that what was active has ended, with nothing in its place."""
        await self._store.end(ended)
        await self._put(TransformTable(self._others(ended.activation.subject)))
        describe(before={"transform": was(ended)}, after={"transform": None})
        log.info("transform deactivated", by=ended.end and ended.end.by, was=was(ended))

    async def _put(self, table: TransformTable) -> None:
        self.current = table
        self._counts.put(table.activations)
        await self._apply(table)

    def _find(self, subject: Subject) -> Activation | None:
        return next((it for it in self.current.activations if it.subject == subject), None)

    def _active(self, subject: Subject) -> Activation:
        found = self._find(subject)
        if found is None:
            raise NothingActive(subject)
        return found

    def _others(self, subject: Subject) -> tuple[Activation, ...]:
        return tuple(it for it in self.current.activations if it.subject != subject)

    def _count(self, activation: Activation) -> TransformCount:
        return self._counts.get(activation.id) or TransformCount(activation.id)

    def _record(self, activation: Activation) -> ActivationRecord:
        return ActivationRecord(activation, self._count(activation))

    def _end_of(self, old: Activation, reason: EndReason, by: str) -> ActivationRecord:
        return ActivationRecord(old, self._count(old), ActivationEnd(reason, by, self._now_s()))

    def _now_s(self) -> float:
        return self._clock.now().timestamp()

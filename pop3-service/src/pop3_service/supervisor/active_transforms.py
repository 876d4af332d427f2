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
from pop3_service.domain.errors import (
    AccountNotFound,
    InvalidArgument,
    NothingActive,
    ServiceError,
    TransformInvalid,
    TransformNotFound,
)
from pop3_service.domain.session import NO_SESSION, SessionEvent, SessionEventKind
from pop3_service.domain.settings import Settings
from pop3_service.domain.subject import EVERYONE, Scope, Subject
from pop3_service.domain.transforms import (
    DEFAULT_FAILURE_LIMIT,
    MAX_ACTIVATIONS,
    MAX_CANARY_ACCOUNTS,
    NONE,
    NOTHING_ACTIVE,
    Activation,
    ActivationEnd,
    ActivationRecord,
    EndReason,
    Mode,
    OnFailure,
    Transform,
    TransformCount,
    TransformTable,
)
from pop3_service.storage.accounts import AccountStore
from pop3_service.storage.transforms import TransformStore
from pop3_service.supervisor.activation_checks import check_mode, is_like, own, told, was
from pop3_service.supervisor.canaries import Canaries
from pop3_service.supervisor.transform_counts import TransformCounts
from pop3_service.transform.command_line import find_program, parse_chain

Check = Callable[[str, Settings], Awaitable[None]]
log = structlog.get_logger()


class ActiveTransformsDesk:
    """The use cases of activations; ``changing`` is held from looking at them until others hold.

    ``check`` tries a command line on samples, within a time; ``apply`` tells every worker.
    """

    def __init__(
        self,
        store: TransformStore,
        accounts: AccountStore,
        settings: Callable[[], Settings],
        check: Check,
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
        self._accounts = accounts
        self._settings = settings
        self._check = check
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

    async def get(self, name: str, version: int = 0) -> Transform:
        """Give a version, or the latest for 0.

        Raises:
            TransformNotFound
        """
        found = await self._store.get(name, version)
        if found is None:
            raise TransformNotFound(name, version)
        return found

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

    @property
    def command_line(self) -> str:
        """What everybody's mail is passed through; empty for nothing."""
        found = self._find(EVERYONE)
        if found is None:
            return ""
        transform = found.transform if found.mode is Mode.ON else found.former
        return transform.command_line if transform else ""

    async def activate(
        self,
        name: str,
        by: str,
        *,
        version: int = 0,
        subject: Subject = EVERYONE,
        mode: Mode = Mode.ON,
        share: int = 0,
        accounts: Sequence[str] = (),
        failure_limit: int = DEFAULT_FAILURE_LIMIT,
    ) -> ActivationRecord:
        """Make a version active, 0 for the latest, or none by the name ``none``.

        What says the same as what is in force is that, and changes nothing.

        Raises:
            InvalidArgument, TransformNotFound, TransformInvalid, AccountNotFound, RoleNotFound
        """
        describe(target=str(subject))
        transform = None if name == NONE else await self.get(name, version)
        for program in transform.programs if transform else ():
            find_program(program)
        new = Activation(0, own(subject), transform, mode, share=share,
                         failure_limit=failure_limit, set_by=by)  # fmt: skip
        check_mode(new, accounts)
        new = replace(new, accounts=await self._own_names(accounts))
        async with self.changing:
            return await self._make(new)

    async def use_command_line(
        self, command_line: str, by: str, on_failure: OnFailure = OnFailure.REFUSE
    ) -> ActivationRecord | None:
        """Make an unnamed transform, and make it active for everyone; a blank one ends what is.

        Raises:
            TransformInvalid: it cannot be run, or failed on a sample.
        """
        describe(target=str(EVERYONE))
        if not command_line.strip():
            async with self.changing:
                old = self._find(EVERYONE)
                if old is not None:
                    await self._end(self._end_of(old, EndReason.DEACTIVATED, by))
            return None
        new = await self._tried(command_line, on_failure, by)
        async with self.changing:
            old = self._find(EVERYONE)
            if old is not None and old.mode is Mode.ON and is_like(old.transform, new):
                describe(after={"transform": new.command_line, "unchanged": True})
                return self._record(old)
            return await self._make(Activation(0, EVERYONE, new, set_by=by))

    async def roll_back(
        self, subject: Subject, by: str
    ) -> tuple[ActivationRecord, ActivationRecord | None]:
        """Bring back what was active before; give what was rolled back, and what is in force now.

        Raises:
            NothingActive: nothing is active for the subject itself.
            TransformNotFound: what was active before was deleted.
        """
        describe(target=str(subject))
        async with self.changing:
            return await self._back(self._active(own(subject)), EndReason.ROLLED_BACK, by)

    async def deactivate(self, subject: Subject, by: str) -> ActivationRecord:
        """End what is active for a subject; then a less specific one decides.

        Raises:
            NothingActive: nothing is active for the subject itself.
        """
        describe(target=str(subject))
        async with self.changing:
            ended = self._end_of(self._active(own(subject)), EndReason.DEACTIVATED, by)
            await self._end(ended)
            return ended

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
            back = "what held before" if old.inherits else f"{old.former or NONE}"
            text = (
                f"{old.transform or NONE} for {old.subject} was given up, back to {back}:"
                f" {count.failures} of {count.runs} runs failed, the last because {count.failure}"
            )
            log.warning("canary given up", text=text)
            kind = SessionEventKind.TRANSFORM_ROLLED_BACK
            self.publish(SessionEvent(kind, NO_SESSION, self._now_s(), text))

    # --- what is active becomes something else --------------------

    async def _make(self, new: Activation) -> ActivationRecord:
        """Make something active, in place of what is."""
        old = self._find(new.subject)
        if old is not None and old.says_the_same(new):
            describe(after={"transform": str(new), "unchanged": True})
            return self._record(old)
        self._check_bounds(new)
        if old is None:
            new = replace(new, inherits=True)
        elif old.mode is Mode.ON:
            new = replace(new, former=old.transform, before=old.id)
        else:
            new = replace(new, former=old.former, inherits=old.inherits, before=old.before)
        if new.mode is Mode.CANARY and not new.inherits and new.transform == new.former:
            raise InvalidArgument("a canary is of another version than the one that holds")
        ended = self._end_of(old, EndReason.REPLACED, new.set_by) if old else None
        return await self._begin(ended, new)

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
        describe(before={"transform": str(ended.activation)} if ended else {}, after=told(new))
        log.info("transform activated", transform=str(new), by=new.set_by, was=was(ended))
        return self._record(new)

    async def _end(self, ended: ActivationRecord) -> None:
        """Store that what was active has ended, with nothing in its place."""
        await self._store.end(ended)
        await self._put(TransformTable(self._others(ended.activation.subject)))
        describe(before={"transform": str(ended.activation)}, after={"transform": None})
        log.info("transform deactivated", by=ended.end and ended.end.by, was=was(ended))

    async def _put(self, table: TransformTable) -> None:
        self.current = table
        self._counts.put(table.activations)
        await self._apply(table)

    # --- what all of them need --------------------

    async def _tried(self, command_line: str, on_failure: OnFailure, by: str) -> Transform:
        """Give a new transform without a name that ran on samples."""
        command_line = command_line.strip()
        programs = parse_chain(command_line)
        if not programs:
            raise TransformInvalid("there is no program")
        for program in programs:
            find_program(program)
        # A trial takes its time; nobody else's change waits for it.
        await self._check(command_line, self._settings())
        return Transform(0, "", 0, command_line, programs, on_failure, created_by=by,
                         create_time_s=self._now_s())  # fmt: skip

    async def _own_names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Give accounts' own spellings of names, each once, in order.

        Raises:
            AccountNotFound: one of them is not there.
        """
        meant = tuple(dict.fromkeys(AccountName.meant(name) for name in names))
        found = await self._accounts.existing(meant)
        for name in meant:
            if name not in found:
                raise AccountNotFound(name)
        return tuple(sorted(meant))

    def _check_bounds(self, new: Activation) -> None:
        """See that workers can be told all that is active at once.

        Raises:
            InvalidArgument
        """
        others = self._others(new.subject)
        if len(others) >= MAX_ACTIVATIONS:
            raise InvalidArgument(f"{MAX_ACTIVATIONS} transforms are active already")
        if sum(len(it.accounts) for it in (*others, new)) > MAX_CANARY_ACCOUNTS:
            raise InvalidArgument(f"canaries name at most {MAX_CANARY_ACCOUNTS} accounts together")

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

"""The use cases of activations: for whom which transform is to be active."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from lineproto.clock import Clock
from pop3_service.domain.account import AccountName
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import (
    AccountNotFound,
    InvalidArgument,
    TransformInvalid,
    TransformNotFound,
)
from pop3_service.domain.settings import Settings
from pop3_service.domain.subject import EVERYONE, Scope, Subject
from pop3_service.domain.transforms import (
    DEFAULT_FAILURE_LIMIT,
    MAX_ACTIVATIONS,
    MAX_CANARY_ACCOUNTS,
    NONE,
    Activation,
    ActivationRecord,
    EndReason,
    Mode,
    OnFailure,
    Transform,
    TransformTable,
)
from pop3_service.storage.accounts import AccountStore
from pop3_service.storage.transforms import TransformStore
from pop3_service.supervisor.transforms.checks import brief, check_mode, is_like, own
from pop3_service.supervisor.transforms.in_force import TransformsInForce
from pop3_service.transform.command_line import find_program, parse_chain

Check = Callable[[str, Settings], Awaitable[None]]


class ActiveTransformsDesk(TransformsInForce):
    """The use cases of activations. ``check`` tries a command line on samples."""

    def __init__(
        self,
        store: TransformStore,
        accounts: AccountStore,
        settings: Callable[[], Settings],
        check: Check,
        apply: Callable[[TransformTable], Awaitable[None]],
        clock: Clock,
    ) -> None:
        super().__init__(store, apply, clock)
        self._accounts = accounts
        self._settings = settings
        self._check = check

    async def get(self, name: str, version: int = 0) -> Transform:
        """Give a version, or the latest for 0.

        Raises:
            TransformNotFound
        """
        found = await self._store.get(name, version)
        if found is None:
            raise TransformNotFound(name, version)
        return found

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
        wanted = brief(f"{name}@{version}" if version else name)
        describe(target=str(subject), asked={"transform": wanted, "mode": mode.value})
        transform = None if name == NONE else await self.get(name, version)
        for program in transform.programs if transform else ():
            find_program(program)
        new = Activation(0, own(subject), transform, mode, share=share,
                         failure_limit=failure_limit, set_by=by)  # fmt: skip
        check_mode(new, accounts)
        new = replace(new, accounts=await self._own_names(accounts, new.subject))
        async with self.changing:
            return await self._make(new)

    async def use_command_line(
        self, command_line: str, by: str, on_failure: OnFailure = OnFailure.REFUSE
    ) -> ActivationRecord | None:
        """Make an unnamed transform, and make it active for everyone; a blank one ends what is.

        Raises:
            TransformInvalid: it cannot be run, or failed on a sample.
        """
        describe(target=str(EVERYONE), asked={"transform": brief(command_line)})
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
                describe(after={"transform": brief(new.command_line), "unchanged": True})
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

    async def _make(self, new: Activation) -> ActivationRecord:
        """Make something active, in place of what is."""
        old = self._find(new.subject)
        if old is not None and old.says_the_same(new):
            describe(after={"transform": brief(new), "unchanged": True})
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

    async def _own_names(self, names: Sequence[str], subject: Subject) -> tuple[str, ...]:
        """Give accounts' own spellings of names, each once, in order.

        Raises:
            AccountNotFound: one of them is not there.
            InvalidArgument: one of them is not of the subject, and so would get nothing.
        """
        meant = tuple(dict.fromkeys(AccountName.meant(name) for name in names))
        roles = await self._accounts.roles_of(meant)
        for name in meant:
            if name not in roles:
                raise AccountNotFound(name)
            if subject.scope is Scope.ROLE and roles[name] != subject.name:
                raise InvalidArgument(f"{name} has the role {roles[name]}, not {subject.name}")
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

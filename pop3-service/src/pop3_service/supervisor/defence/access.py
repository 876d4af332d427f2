"""The table of address rules, bans and suspensions: in force here and on every worker.

Every worker has confirmed a change before it is answered. What has ended is over by the clock, in
every process; the table that goes round afterwards only tidies up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import structlog

from lineproto.clock import Clock
from pop3_service.domain.access import Access, Ground, Visit, has_ended
from pop3_service.domain.account import AccountName, Principal
from pop3_service.domain.address_rules import AccessTable, Ban, Service, Suspension
from pop3_service.domain.errors import (
    AccountNotFound,
    AccountSuspended,
    AddressDenied,
    PermissionDenied,
    ServiceError,
    WouldLockOut,
)
from pop3_service.domain.rights import Right
from pop3_service.storage.access import AccessStore
from pop3_service.storage.accounts import AccountStore
from pop3_service.supervisor.defence.seen_callers import SeenCallers

RETRY_S = 5.0
"""How long until what could not be stored as ended is tried again."""
LONGEST_WAIT_S = 60.0
"""The date may be set while the end of a ban is waited for."""

log = structlog.get_logger()


class AccessGate:
    """The table in force. ``changing`` is held from looking at it until another is in force.

    ``apply`` tells every worker and gives how many sessions ended; ``rights_of`` gives those of a
    role.
    """

    def __init__(
        self,
        store: AccessStore,
        accounts: AccountStore,
        apply: Callable[[AccessTable], Awaitable[int]],
        rights_of: Callable[[str], frozenset[Right]],
        clock: Clock,
    ) -> None:
        self.current = Access()
        self.changing = asyncio.Lock()
        self.on_ended: Callable[[Ban | Suspension], None] = lambda _: None
        """Told of each ban and suspension that is over by itself."""
        self._store = store
        self._accounts = accounts
        self._apply = apply
        self._rights_of = rights_of
        self._clock = clock
        self._seen = SeenCallers(clock)
        self._changed = asyncio.Event()

    async def load(self) -> None:
        """Read what is stored; workers are told when they start."""
        self.current = Access(await self._store.load())

    async def reload(self) -> None:
        """Read what is stored anew, and put it in force."""
        async with self.changing:
            await self.put(await self._store.load())

    # --- who may come in to manage --------------------

    def check(self, principal: Principal) -> None:
        """Let a management call or login pass.

        Raises:
            AccountSuspended, AddressDenied
        """
        visit = Visit(Service.MANAGEMENT, principal.address, principal.name, principal.role)
        _raise(self.current.refuses(visit, self.now_s()))
        self._seen.note(principal)

    def check_address(self, address: str) -> None:
        """Refuse an address that nobody may manage from, before a password is looked at.

        Raises:
            AddressDenied
        """
        _raise(self.current.refuses_unknown(Service.MANAGEMENT, address, self.now_s()))

    # --- changes --------------------

    async def put(self, table: AccessTable) -> int:
        """Put a table in force here and on every worker; give how many sessions ended."""
        self.current = Access(table)
        self._changed.set()
        return await self._apply(table)

    async def governed(self, name: str, by: Principal) -> AccountName:
        """Give the name of an account that is there, and has no rights that the caller lacks."""
        account = await self._accounts.get(AccountName.meant(name))
        if account is None:
            raise AccountNotFound(name)
        by.require_all(self._rights_of(account.role), "this account")
        return account.name

    def check_lock_out(self, table: AccessTable, by: Principal, force: bool) -> None:
        """See that a new table keeps out neither whom the caller may not govern, nor himself.

        Raises:
            PermissionDenied: somebody with rights that the caller lacks has called from there.
            WouldLockOut: it is the caller, and he does not force it.
        """
        new, now_s = Access(table), self.now_s()
        for seen in [*self._seen.all(), by]:
            visit = Visit(Service.MANAGEMENT, seen.address, seen.name, seen.role)
            ground = new.refuses(visit, now_s)
            if ground is None or self.current.refuses(visit, now_s) is not None:
                continue
            if by.lacks(self._rights_of(seen.role)):  # at a login no rights are known yet
                raise PermissionDenied(
                    "somebody with rights that you lack manages the service from there"
                )
            if seen.name == by.name and not force:
                raise WouldLockOut(f"that would lock you out yourself ({ground}); force does it")

    async def account_deleted(self, name: AccountName) -> None:
        """Forget an account's suspension, which the store has dropped with it."""
        async with self.changing:
            table = self.current.table
            rest = tuple(it for it in table.suspensions if it.account != name)
            if rest != table.suspensions:
                await self.put(replace(table, suspensions=rest))

    # --- the clock --------------------

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take out what has ended, when it ends. Everybody has let it count no more by then."""
        task = asyncio.create_task(self._expire())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _expire(self) -> None:
        while True:
            self._changed.clear()
            end_s = self.current.table.next_end_s()
            if end_s is None:
                await self._changed.wait()
                continue
            wait_s = end_s - self.now_s()
            if wait_s > 0:
                await self._wait(wait_s)
                continue
            try:
                await self._remove_ended()
            except ServiceError as error:
                log.error("ended bans are still stored", error=str(error))
                await self._clock.sleep(RETRY_S)

    async def _wait(self, seconds: float) -> None:
        """Wait for a time, or until something changes."""
        waits = [
            asyncio.ensure_future(it)
            for it in (self._clock.sleep(min(seconds, LONGEST_WAIT_S)), self._changed.wait())
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _remove_ended(self) -> None:
        async with self.changing:
            table, now_s = self.current.table, self.now_s()
            bans = [it for it in table.bans if has_ended(it, now_s)]
            suspensions = [it for it in table.suspensions if has_ended(it, now_s)]
            await self._store.delete_bans([it.network for it in bans])
            await self._store.delete_suspensions([it.account for it in suspensions])
            await self.put(
                replace(
                    table,
                    bans=tuple(it for it in table.bans if not has_ended(it, now_s)),
                    suspensions=tuple(it for it in table.suspensions if not has_ended(it, now_s)),
                )
            )
        ended: list[Ban | Suspension] = [*bans, *suspensions]
        for ground in ended:
            log.info("ended by itself", what=str(ground), set_by=ground.set_by)
            self.on_ended(ground)

    def now_s(self) -> float:
        """Give the time (Unix)."""
        return self._clock.now().timestamp()


def _raise(ground: Ground | None) -> None:
    if isinstance(ground, Suspension):
        raise AccountSuspended
    if ground is not None:
        raise AddressDenied

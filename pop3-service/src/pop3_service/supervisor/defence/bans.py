"""Bans of networks and suspensions of accounts: set, lifted, and what they end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from pop3_service.domain.account import AccountName, Principal
from pop3_service.domain.address_rules import (
    MAX_BANS,
    Ban,
    Suspension,
    check_text,
    parse_network,
)
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import BanNotFound, InvalidArgument, WouldLockOut
from pop3_service.storage.access import AccessStore
from pop3_service.supervisor.defence.access import AccessGate
from pop3_service.supervisor.defence.gateway_address import SharedAddresses

log = structlog.get_logger()


class BansDesk:
    """The use cases of bans and suspensions.

    ``end_account`` ends an account's tokens and sessions, and gives how many sessions; ``shared``
    are the addresses that stand for many clients.
    """

    def __init__(
        self,
        gate: AccessGate,
        store: AccessStore,
        end_account: Callable[[AccountName], Awaitable[int]],
        shared: SharedAddresses,
    ) -> None:
        self._gate = gate
        self._store = store
        self._end_account = end_account
        self._shared = shared

    def bans(self) -> list[Ban]:
        """Give the bans, oldest first."""
        return list(self._gate.current.table.bans)

    def suspensions(self) -> list[Suspension]:
        """Give the suspensions, oldest first."""
        return list(self._gate.current.table.suspensions)

    async def ban(
        self, ban: Ban, lasts_s: float | None, by: Principal, *, force: bool
    ) -> tuple[Ban, int]:
        """Ban a network for so long, or for ever; give the ban and how many sessions ended.

        It takes the place of a ban of the same network.

        Raises:
            InvalidArgument, PermissionDenied, WouldLockOut
        """
        ban = replace(
            ban,
            network=parse_network(ban.network),
            reason=check_text(ban.reason),
            end_time_s=self._end(lasts_s),
            set_by=str(by.name),
            set_time_s=self._gate.now_s(),
        )
        describe(target=ban.network)
        async with self._gate.changing:
            table = self._gate.current.table
            others = tuple(it for it in table.bans if it.network != ban.network)
            if len(others) >= MAX_BANS:
                raise InvalidArgument(f"there are {MAX_BANS} bans already")
            new = replace(table, bans=(*others, ban))
            self._check_shared(ban, force)
            self._gate.check_lock_out(new, by, force)
            await self._store.put_ban(ban)
            ended = await self._gate.put(new)
        describe(after=_told(ban) | {"sessions_ended": ended})
        log.info("network banned", by=by.name, network=ban.network, sessions=ended)
        return ban, ended

    async def lift(self, network: str, by: Principal) -> Ban:
        """Let a network in again.

        Raises:
            InvalidArgument, BanNotFound
        """
        network = parse_network(network)
        describe(target=network)
        async with self._gate.changing:
            table = self._gate.current.table
            ban = next((it for it in table.bans if it.network == network), None)
            if ban is None:
                raise BanNotFound(f"there is no ban of {network}")
            await self._store.delete_bans([network])
            await self._gate.put(replace(table, bans=tuple(it for it in table.bans if it != ban)))
        describe(before=_told(ban))
        log.info("ban lifted", by=by.name, network=network)
        return ban

    # --- suspensions --------------------

    async def suspend(
        self, suspension: Suspension, lasts_s: float | None, by: Principal, *, force: bool
    ) -> tuple[Suspension, int]:
        """Keep an account out and end all that it has open; give how many sessions that was.

        Raises:
            InvalidArgument, AccountNotFound, PermissionDenied, LastAdmin, WouldLockOut
        """
        describe(target=suspension.account)
        account = await self._gate.governed(suspension.account, by)
        suspension = replace(
            suspension,
            account=str(account),
            reason=check_text(suspension.reason),
            end_time_s=self._end(lasts_s),
            set_by=str(by.name),
            set_time_s=self._gate.now_s(),
        )
        async with self._gate.changing:
            table = self._gate.current.table
            others = tuple(it for it in table.suspensions if it.account != account)
            new = replace(table, suspensions=(*others, suspension))
            self._gate.check_lock_out(new, by, force)
            await self._store.put_suspension(suspension)
            ended = await self._gate.put(new) + await self._end_account(account)
        describe(target=str(account), after=_told(suspension) | {"sessions_ended": ended})
        log.info("account suspended", by=by.name, name=account, sessions=ended)
        return suspension, ended

    async def resume(self, name: str, by: Principal) -> Suspension:
        """Let an account log in again.

        Raises:
            AccountNotFound, PermissionDenied, BanNotFound
        """
        describe(target=name)
        account = await self._gate.governed(name, by)
        async with self._gate.changing:
            table = self._gate.current.table
            found = next((it for it in table.suspensions if it.account == account), None)
            if found is None:
                raise BanNotFound(f"account {str(account)!r} is not suspended")
            await self._store.delete_suspensions([account])
            rest = tuple(it for it in table.suspensions if it != found)
            await self._gate.put(replace(table, suspensions=rest))
        describe(target=str(account), before=_told(found))
        log.info("account resumed", by=by.name, name=account)
        return found

    def _end(self, lasts_s: float | None) -> float | None:
        return None if lasts_s is None else self._gate.now_s() + lasts_s

    def _check_shared(self, ban: Ban, force: bool) -> None:
        why = "" if force else self._shared.why_not(ban.network)
        if why:
            raise WouldLockOut(f"{why}; force does it nevertheless")


def _told(what: Ban | Suspension) -> dict[str, object]:
    """Give what the audit is told."""
    return {"reason": what.reason, "end_time_s": what.end_time_s}

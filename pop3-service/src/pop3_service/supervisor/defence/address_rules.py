"""Address rules: made and removed; nobody makes one for those who have rights that he lacks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

import structlog

from pop3_service.domain.account import Principal
from pop3_service.domain.address_rules import MAX_RULES, AddressRule, check_text, parse_network
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import AccountNotFound, InvalidArgument, RuleNotFound
from pop3_service.domain.rights import Right
from pop3_service.domain.subject import Scope
from pop3_service.storage.access import AccessStore
from pop3_service.supervisor.defence.access import AccessGate

log = structlog.get_logger()


class RulesDesk:
    """The use cases of address rules. ``rights_of`` gives the rights of a role."""

    def __init__(
        self, gate: AccessGate, store: AccessStore, rights_of: Callable[[str], frozenset[Right]]
    ) -> None:
        self._gate = gate
        self._store = store
        self._rights_of = rights_of

    def list(self) -> list[AddressRule]:
        """Give the rules, oldest first."""
        return list(self._gate.current.table.rules)

    async def create(
        self, rule: AddressRule, by: Principal, *, force: bool
    ) -> tuple[AddressRule, int]:
        """Add a rule; give it with its id, and how many sessions it ended.

        Raises:
            InvalidArgument, AccountNotFound, PermissionDenied, WouldLockOut
        """
        rule = replace(
            rule,
            network=parse_network(rule.network),
            note=check_text(rule.note),
            set_by=str(by.name),
            set_time_s=self._gate.now_s(),
        )
        describe(target=rule.network)
        await self._check_subject(rule, by)
        async with self._gate.changing:
            table = self._gate.current.table
            if len(table.rules) >= MAX_RULES:
                raise InvalidArgument(f"there are {MAX_RULES} address rules already")
            for other in table.rules:
                if _says_the_same(other, rule):
                    raise InvalidArgument(f"rule {other.id} says so already")
            new = replace(table, rules=(*table.rules, rule))
            self._gate.check_lock_out(new, by, force)
            rule = replace(rule, id=await self._store.insert_rule(rule))
            ended = await self._gate.put(replace(table, rules=(*table.rules, rule)))
        describe(target=f"rule {rule.id}", after=_told(rule) | {"sessions_ended": ended})
        log.info("address rule created", by=by.name, rule=str(rule), sessions=ended)
        return rule, ended

    async def delete(self, number: int, by: Principal, *, force: bool) -> tuple[AddressRule, int]:
        """Remove a rule; give it as it was, and how many sessions that ended.

        Raises:
            RuleNotFound, PermissionDenied, WouldLockOut
        """
        describe(target=f"rule {number}")
        async with self._gate.changing:
            table = self._gate.current.table
            rule = next((it for it in table.rules if it.id == number), None)
            if rule is None:
                raise RuleNotFound(number)
            await self._check_subject(rule, by, must_exist=False)
            new = replace(table, rules=tuple(it for it in table.rules if it.id != number))
            self._gate.check_lock_out(new, by, force)
            await self._store.delete_rule(number)
            ended = await self._gate.put(new)
        describe(before=_told(rule), after={"sessions_ended": ended})
        log.info("address rule deleted", by=by.name, rule=str(rule), sessions=ended)
        return rule, ended

    async def _check_subject(
        self, rule: AddressRule, by: Principal, *, must_exist: bool = True
    ) -> None:
        """Let nobody keep out, or let in, who has rights that he lacks."""
        match rule.subject.scope:
            case Scope.ACCOUNT if must_exist:
                await self._gate.governed(rule.subject.name, by)
            case Scope.ACCOUNT:
                with contextlib.suppress(AccountNotFound):
                    await self._gate.governed(rule.subject.name, by)
            case Scope.ROLE:
                rights = self._rights_of(rule.subject.name)
                if must_exist and not rights:
                    raise InvalidArgument(f"there is no role {rule.subject.name[:64]!r}")
                by.require_all(rights, "a rule for this role")


def _says_the_same(one: AddressRule, other: AddressRule) -> bool:
    return (one.effect, one.network, one.subject, one.service) == (
        other.effect,
        other.network,
        other.subject,
        other.service,
    )


def _told(rule: AddressRule) -> dict[str, object]:
    """Give what the audit is told."""
    return {"rule": str(rule), "service": str(rule.service), "note": rule.note}

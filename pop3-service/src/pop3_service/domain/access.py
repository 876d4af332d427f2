"""The one place where it is decided who may come in: rules, bans and suspensions, compiled.

A network is looked up by a dict for each prefix length there is, so the number of rules does not
matter. What decides and what explains (``WHY``) is the same list of grounds, in order of weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

from lineproto.networks import plain_address, plain_network
from pop3_service.domain.address_rules import (
    AccessTable,
    AddressRule,
    Ban,
    Effect,
    Service,
    Suspension,
)
from pop3_service.domain.subject import Scope, Subject

T = TypeVar("T")
Ground = Ban | Suspension | AddressRule

_EVERYONE = Subject()


@dataclass(frozen=True, slots=True)
class Visit:
    """Who comes for what; what is not known is empty. The address may have its port."""

    service: Service
    address: str = ""
    account: str = ""
    role: str = ""


class _Networks(Generic[T]):
    """What was put in by network, found by address."""

    __slots__ = ("_by_bits",)

    def __init__(self, items: Iterable[tuple[str, T]]) -> None:
        found: dict[int, dict[int, dict[int, list[T]]]] = {}
        for network, item in items:
            bits, value, shift = _network(network)
            by_value = found.setdefault(bits, {}).setdefault(shift, {})
            by_value.setdefault(value, []).append(item)
        # The smallest shift is the longest prefix.
        self._by_bits = {bits: sorted(by_shift.items()) for bits, by_shift in found.items()}

    def find(self, address: tuple[int, int]) -> Iterator[T]:
        """Give what covers an address: the longest prefix first."""
        bits, value = address
        for shift, by_value in self._by_bits.get(bits, ()):
            found = by_value.get(value >> shift)
            if found is not None:
                yield from found


class Access:
    """A compiled table. It is made once for each change, and never changes itself."""

    def __init__(self, table: AccessTable | None = None) -> None:
        table = table or AccessTable()
        self.table = table
        self.is_empty = table == AccessTable()
        self._bans = _Networks((it.network, it) for it in table.bans)
        self._suspensions = {it.account: it for it in table.suspensions}
        by_subject: dict[tuple[Service, Subject], list[AddressRule]] = {}
        personal: dict[Service, list[AddressRule]] = {}
        # Of the rules of one network the first that is put in decides.
        for rule in sorted(table.rules, key=lambda it: (it.effect is Effect.ALLOW, it.id)):
            for service in _services(rule.service):
                by_subject.setdefault((service, rule.subject), []).append(rule)
                if rule.subject != _EVERYONE:
                    personal.setdefault(service, []).append(rule)
        self._rules = {
            key: _Networks((it.network, it) for it in rules) for key, rules in by_subject.items()
        }
        self._personal = {
            service: _Networks((it.network, it) for it in rules)
            for service, rules in personal.items()
        }

    def grounds(self, visit: Visit, now_s: float) -> Iterator[Ground]:
        """Give all that is in force for a visit; the first decides."""
        address = address_of(visit.address)
        if address is not None:
            bans = [it for it in self._bans.find(address) if not has_ended(it, now_s)]
            yield from sorted(bans, key=_longest_first)
        suspension = self._suspensions.get(visit.account)
        if suspension is not None and not has_ended(suspension, now_s):
            yield suspension
        if address is not None:
            for subject in _subjects(visit):
                rules = self._rules.get((visit.service, subject))
                if rules is not None:
                    yield from rules.find(address)

    def refuses(self, visit: Visit, now_s: float) -> Ground | None:
        """Give what keeps a visit out, or None."""
        if self.is_empty:
            return None
        ground = next(self.grounds(visit, now_s), None)
        return ground if ground is not None and denies(ground) else None

    def refuses_unknown(self, service: Service, address: str, now_s: float) -> Ground | None:
        """Give what keeps an address out whoever it is; None where an account may come in."""
        if self.is_empty:
            return None
        ground = self.refuses(Visit(service, address), now_s)
        if isinstance(ground, AddressRule) and not all(
            denies(it) for it in self.personal_rules(service, address)
        ):
            return None
        return ground

    def personal_rules(self, service: Service, address: str) -> Iterator[AddressRule]:
        """Give the rules for accounts and roles that are about an address."""
        known, rules = address_of(address), self._personal.get(service)
        if known is not None and rules is not None:
            yield from rules.find(known)

    def about(self, visit: Visit) -> list[AddressRule]:
        """Give the rules for a visit's account and role themselves, wherever it comes from."""
        subjects = [it for it in _subjects(visit) if it != _EVERYONE]
        rank = {subject: number for number, subject in enumerate(subjects)}
        rules = [
            it
            for it in self.table.rules
            if it.subject in rank and visit.service in _services(it.service)
        ]
        return sorted(rules, key=lambda it: (rank[it.subject], it.id))


def denies(ground: Ground) -> bool:
    """Whether a ground keeps a client out."""
    return not (isinstance(ground, AddressRule) and ground.effect is Effect.ALLOW)


def has_ended(ground: Ban | Suspension, now_s: float) -> bool:
    """Whether a ban or a suspension is over."""
    return ground.end_time_s is not None and ground.end_time_s <= now_s


def address_of(peer: str) -> tuple[int, int] | None:
    """Give an address as its number of bits and its value; None if it cannot be read.

    It may have its port, as ``lineproto.connection.address_text`` writes it.
    """
    if not peer:
        return None
    host = peer
    if peer[0] == "[":
        host = peer[1:].partition("]")[0]
    elif peer.count(":") == 1:
        host = peer.partition(":")[0]
    try:
        address = plain_address(host.partition("%")[0])
    except ValueError:
        return None
    return address.max_prefixlen, int(address)


def _subjects(visit: Visit) -> Iterator[Subject]:
    """Give the subjects that a visit is, the most specific first."""
    if visit.account:
        yield Subject(Scope.ACCOUNT, visit.account)
    if visit.role:
        yield Subject(Scope.ROLE, visit.role)
    yield _EVERYONE


def _services(service: Service) -> tuple[Service, ...]:
    return (Service.POP3, Service.MANAGEMENT) if service is Service.BOTH else (service,)


def _longest_first(ban: Ban) -> float:
    return float("-inf") if ban.end_time_s is None else -ban.end_time_s


@lru_cache(maxsize=2 * 10_000)
def _network(text: str) -> tuple[int, int, int]:
    """Give a network's bits, its value and by how much an address is shifted to meet it.

    A table that changes by a rule is compiled anew; its networks have been read before.
    """
    network = plain_network(text)
    shift = network.max_prefixlen - network.prefixlen
    return network.max_prefixlen, int(network.network_address) >> shift, shift

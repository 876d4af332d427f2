"""The compiled rules decide as a search through all of them does."""

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from pop3_service.domain.access import Access, Visit, address_of
from pop3_service.domain.address_rules import (
    AccessTable,
    AddressRule,
    Ban,
    Effect,
    Service,
    Suspension,
    parse_network,
)
from pop3_service.domain.subject import Scope, Subject

ACCOUNTS = ("ana", "berta")
ROLES = ("user", "admin")
SUBJECTS = [
    Subject(),
    *(Subject(Scope.ROLE, it) for it in ROLES),
    *(Subject(Scope.ACCOUNT, it) for it in ACCOUNTS),
]
# Few octets, so that networks and addresses meet.
octet = st.sampled_from((0, 1, 127, 128, 255))
ipv4 = st.builds(lambda *it: ".".join(map(str, it)), octet, octet, octet, octet)
ipv6 = st.builds(lambda a, b: f"2001:db8:{a:x}::{b:x}", octet, octet)
mapped = ipv4.map(lambda it: f"::ffff:{it}")
addresses = st.one_of(ipv4, ipv6, mapped)


@st.composite
def networks(draw: st.DrawFn) -> str:
    address = draw(addresses)
    bits = 128 if ":" in address else 32
    least = 96 if address.startswith("::ffff:") else 0
    length = draw(st.integers(least, bits))
    return parse_network(str(ip_network(f"{address}/{length}", strict=False)))


rules = st.lists(
    st.builds(
        AddressRule,
        st.just(0),
        st.sampled_from(Effect),
        networks(),
        st.sampled_from(SUBJECTS),
        st.sampled_from(Service),
    ),
    max_size=12,
).map(
    lambda made: tuple(
        AddressRule(i, it.effect, it.network, it.subject, it.service) for i, it in enumerate(made)
    )
)
ends = st.one_of(st.none(), st.sampled_from((50.0, 100.0, 150.0)))
tables = st.builds(
    AccessTable,
    rules,
    st.lists(st.builds(Ban, networks(), end_time_s=ends), max_size=3).map(tuple),
    st.lists(st.builds(Suspension, st.sampled_from(ACCOUNTS), end_time_s=ends), max_size=1).map(
        tuple
    ),
)
visits = st.builds(
    Visit,
    st.sampled_from((Service.POP3, Service.MANAGEMENT)),
    addresses,
    st.sampled_from(("", *ACCOUNTS)),
    st.sampled_from(("", *ROLES)),
)
NOW_S = 100.0


def covers(network: str, address: str) -> bool:
    found = ip_address(address)
    found = getattr(found, "ipv4_mapped", None) or found
    return found in ip_network(network)


def lasts(end_s: float | None) -> bool:
    return end_s is None or end_s > NOW_S


def naive(table: AccessTable, visit: Visit) -> bool:
    """Whether a visit is let in, by looking at everything."""
    if any(covers(it.network, visit.address) and lasts(it.end_time_s) for it in table.bans):
        return False
    if any(it.account == visit.account and lasts(it.end_time_s) for it in table.suspensions):
        return False
    order = [Scope.ACCOUNT, Scope.ROLE, Scope.EVERYONE]
    names = {Scope.ACCOUNT: visit.account, Scope.ROLE: visit.role, Scope.EVERYONE: ""}
    matching = [
        it
        for it in table.rules
        if it.service in (visit.service, Service.BOTH)
        and it.subject.name == names[it.subject.scope]
        and covers(it.network, visit.address)
    ]
    if not matching:
        return True
    best = min(
        matching,
        key=lambda it: (
            order.index(it.subject.scope),
            -ip_network(it.network).prefixlen,
            it.effect is Effect.ALLOW,
        ),
    )
    return best.effect is Effect.ALLOW


@given(tables, visits)
def test_compiled_rules_decide_as_a_search_does(table: AccessTable, visit: Visit) -> None:
    assert (Access(table).refuses(visit, NOW_S) is None) == naive(table, visit)


@given(tables, visits)
def test_whom_every_account_is_refused_from_is_refused_before_login(
    table: AccessTable, visit: Visit
) -> None:
    access = Access(table)
    if access.refuses_unknown(visit.service, visit.address, NOW_S) is not None:
        for account in (*ACCOUNTS, "carl"):
            for role in (*ROLES, "operator"):
                known = Visit(visit.service, visit.address, account, role)
                assert access.refuses(known, NOW_S) is not None


@given(ipv4, st.integers(0, 65535))
def test_a_mapped_address_is_the_ipv4_address(address: str, port: int) -> None:
    assert address_of(f"[::ffff:{address}]:{port}") == address_of(f"{address}:{port}")

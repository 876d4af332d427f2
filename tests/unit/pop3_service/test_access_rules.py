"""Who may come in from where."""

import time

import pytest

from pop3_service.domain.access import Access, Visit, address_of
from pop3_service.domain.address_rules import (
    MAX_RULES,
    AccessTable,
    AddressRule,
    Ban,
    Effect,
    Service,
    Suspension,
    check_text,
    parse_network,
)
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.subject import Scope, Subject
from pop3_service.domain.why import explain

ANA = Subject(Scope.ACCOUNT, "ana")
USERS = Subject(Scope.ROLE, "user")
ALL = Subject()
EVERYWHERE = ("0.0.0.0/0", "::/0")


def rules(*lines: str) -> Access:
    """Rules as ``allow 10.0.0.0/8 everyone both``."""
    made = []
    for number, line in enumerate(lines, 1):
        effect, network, subject, *service = line.split()
        made.append(
            AddressRule(
                number,
                Effect(effect),
                parse_network(network),
                Subject.parse(subject),
                Service(service[0]) if service else Service.BOTH,
            )
        )
    return Access(AccessTable(tuple(made)))


def lets_in(
    access: Access,
    address: str,
    account: str = "ana",
    role: str = "user",
    service: Service = Service.POP3,
) -> bool:
    return access.refuses(Visit(service, address, account, role), 0.0) is None


def test_who_no_rule_is_about_may_come_in() -> None:
    assert lets_in(Access(), "192.0.2.1:5")
    assert lets_in(rules("deny 192.0.2.0/24 everyone"), "198.51.100.1:5")


def test_the_longest_prefix_decides() -> None:
    access = rules(
        "deny 10.0.0.0/8 everyone", "allow 10.1.0.0/16 everyone", "deny 10.1.2.3 everyone"
    )
    assert not lets_in(access, "10.2.0.1:5")
    assert lets_in(access, "10.1.0.1:5")
    assert not lets_in(access, "10.1.2.3:5")


def test_an_account_goes_before_its_role_and_this_before_everyone() -> None:
    access = rules(
        "deny 10.1.2.3 everyone", "allow 10.1.0.0/16 role:user", "deny 10.0.0.0/8 account:ana"
    )
    assert not lets_in(access, "10.1.2.3:5", "ana")
    assert lets_in(access, "10.1.2.3:5", "berta")
    assert not lets_in(access, "10.1.2.3:5", "carl", "operator")


def test_of_an_allow_and_a_deny_for_one_network_the_deny_decides() -> None:
    for lines in (
        ("allow 10.0.0.0/8 everyone", "deny 10.0.0.0/8 everyone"),
        ("deny 10.0.0.0/8 everyone", "allow 10.0.0.0/8 everyone"),
    ):
        assert not lets_in(rules(*lines), "10.1.2.3:5")


def test_a_subject_without_a_matching_rule_leaves_it_to_the_next() -> None:
    access = rules("allow 10.0.0.0/8 account:ana", "deny 192.0.2.0/24 everyone")
    assert lets_in(access, "198.51.100.1:5")  # an allow alone keeps nobody out
    assert not lets_in(access, "192.0.2.1:5")


def test_only_some_networks_are_allowed_by_denying_all_others() -> None:
    access = rules(
        "allow 10.0.0.0/8 account:ana",
        *(f"deny {network} account:ana" for network in EVERYWHERE),
    )
    assert lets_in(access, "10.1.2.3:5")
    assert not lets_in(access, "192.0.2.1:5")
    assert not lets_in(access, "[2001:db8::1]:5")
    assert lets_in(access, "192.0.2.1:5", "berta")


def test_a_rule_is_about_its_service_alone() -> None:
    access = rules("deny 10.0.0.0/8 everyone management", "deny 192.0.2.0/24 everyone both")
    assert lets_in(access, "10.1.2.3:5", service=Service.POP3)
    assert not lets_in(access, "10.1.2.3:5", service=Service.MANAGEMENT)
    for service in (Service.POP3, Service.MANAGEMENT):
        assert not lets_in(access, "192.0.2.1:5", service=service)


@pytest.mark.attack(58, "bans", "allow lists")
def test_an_ipv4_address_is_the_same_however_it_is_written() -> None:
    assert parse_network("::ffff:192.0.2.0/120") == "192.0.2.0/24"
    assert parse_network("::ffff:c000:201") == "192.0.2.1/32"
    for network in ("::ffff:192.0.2.1", "::ffff:c000:201/128", "192.0.2.1"):
        access = rules(f"deny {network} everyone")
        banned = Access(AccessTable(bans=(Ban(parse_network(network)),)))
        for address in ("192.0.2.1:5", "[::ffff:192.0.2.1]:5", "::ffff:c000:201"):
            assert not lets_in(access, address)
            assert not lets_in(banned, address)
        assert lets_in(access, "192.0.2.2:5")
    allowed = rules("allow ::ffff:192.0.2.1 everyone", "deny 0.0.0.0/0 everyone")
    assert lets_in(allowed, "[::ffff:192.0.2.1]:5")
    # All of IPv6 is not all of IPv4: a mapped address is none of it.
    assert lets_in(rules("deny ::/0 everyone"), "[::ffff:192.0.2.1]:5")


def test_a_ban_goes_before_every_rule_and_ends_by_the_clock() -> None:
    ban = Ban("192.0.2.0/24", end_time_s=100.0)
    rule = AddressRule(1, Effect.ALLOW, "192.0.2.1/32", ANA)
    access = Access(AccessTable((rule,), (ban,)))
    visit = Visit(Service.POP3, "192.0.2.1:5", "ana", "user")
    assert access.refuses(visit, 99.9) == ban
    assert access.refuses(visit, 100.0) is None


def test_of_two_bans_the_one_that_lasts_longer_is_told() -> None:
    for_ever = Ban("192.0.2.0/24")
    bans = (Ban("192.0.2.1/32", end_time_s=100.0), for_ever, Ban("192.0.0.0/16", end_time_s=500.0))
    assert Access(AccessTable(bans=bans)).refuses(Visit(Service.POP3, "192.0.2.1"), 0) == for_ever


def test_a_suspension_keeps_the_account_out_from_everywhere_until_it_ends() -> None:
    suspension = Suspension("ana", end_time_s=100.0)
    access = Access(AccessTable(suspensions=(suspension,)))
    for service in (Service.POP3, Service.MANAGEMENT):
        assert access.refuses(Visit(service, "192.0.2.1:5", "ana", "user"), 0) == suspension
        assert access.refuses(Visit(service, "", "ana", "user"), 0) == suspension
        assert access.refuses(Visit(service, "192.0.2.1:5", "ana", "user"), 100) is None
        assert access.refuses(Visit(service, "192.0.2.1:5", "berta", "user"), 0) is None


def test_who_is_unknown_yet_is_let_in_where_an_account_may_be_allowed() -> None:
    access = rules("deny 0.0.0.0/0 everyone", "allow 10.0.0.0/8 account:ana")
    assert access.refuses_unknown(Service.POP3, "192.0.2.1:5", 0) is not None
    assert access.refuses_unknown(Service.POP3, "10.1.2.3:5", 0) is None
    assert lets_in(access, "10.1.2.3:5", "ana")
    assert not lets_in(access, "10.1.2.3:5", "berta")
    banned = Access(AccessTable(access.table.rules, (Ban("10.0.0.0/8"),)))
    assert banned.refuses_unknown(Service.POP3, "10.1.2.3:5", 0) is not None


@pytest.mark.parametrize(
    ("peer", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:110", "192.0.2.1"),
        ("[2001:db8::1]:110", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[fe80::1%eth0]:110", "fe80::1"),
        ("[::ffff:192.0.2.1]:110", "192.0.2.1"),
    ],
)
def test_an_address_is_read_with_and_without_its_port(peer: str, plain: str) -> None:
    assert address_of(peer) == address_of(plain) != None  # noqa: E711


@pytest.mark.parametrize("peer", ["", "unknown", "unix:", "192.0.2.1.5", "[x]:1", "1:2"])
def test_what_is_no_address_matches_no_network(peer: str) -> None:
    assert address_of(peer) is None
    assert lets_in(rules("deny 0.0.0.0/0 everyone", "deny ::/0 everyone"), peer)


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "10.0.0.0/33", "ana", "fe80::1%eth0", "1/2/3"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_network(text)


@pytest.mark.parametrize("text", ["", "role", "role:", "account:", "everyone:x", "group:x"])
def test_what_is_no_subject_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Subject.parse(text)


def test_a_subject_is_read_as_it_is_written() -> None:
    for subject in (ALL, USERS, ANA):
        assert Subject.parse(str(subject)) == subject


def test_a_reason_is_short_and_printable() -> None:
    assert check_text("  guesses passwords ") == "guesses passwords"
    for text in ("x" * 501, "a\nb", "\x1b[2J"):
        with pytest.raises(InvalidArgument):
            check_text(text)


# --- WHY --------------------


def test_why_tells_what_decides_and_what_comes_next() -> None:
    access = rules("deny 10.0.0.0/8 everyone", "allow 10.1.0.0/16 account:ana")
    told = explain(access, Visit(Service.POP3, "10.1.2.3", "ana", "user"), 0)
    assert told.allowed
    assert [it.id for it in told.grounds if isinstance(it, AddressRule)] == [2, 1]
    assert told.others == ()


def test_why_of_an_address_tells_the_rules_that_need_an_account() -> None:
    access = rules("deny 10.0.0.0/8 everyone", "allow 10.1.0.0/16 account:ana")
    told = explain(access, Visit(Service.POP3, "10.1.2.3"), 0)
    assert not told.allowed
    assert [it.id for it in told.others] == [2]
    assert explain(access, Visit(Service.POP3, "10.2.0.0"), 0).others == ()


def test_why_of_an_account_tells_the_rules_that_need_an_address() -> None:
    access = rules(
        "deny 10.0.0.0/8 role:user", "deny 192.0.2.0/24 everyone", "allow 10.1.0.0/16 account:ana"
    )
    told = explain(access, Visit(Service.POP3, "", "ana", "user"), 0)
    assert told.allowed
    assert told.grounds == ()
    assert [it.id for it in told.others] == [3, 1]


def test_as_many_rules_as_there_may_be_are_compiled_and_looked_up_fast() -> None:
    networks = [f"{a}.{b}.{c}.0/24" for a in (10, 11) for b in range(20) for c in range(250)]
    made = [AddressRule(i, Effect.DENY, network) for i, network in enumerate(networks, 1)]
    assert len(made) == MAX_RULES
    begin = time.process_time()
    access = Access(AccessTable(tuple(made)))
    compiled_s = time.process_time() - begin
    begin = time.process_time()
    for _ in range(1000):
        access.refuses(Visit(Service.POP3, "11.19.249.7:5", "ana", "user"), 0)
    lookup_us = (time.process_time() - begin) * 1000
    print(
        f"10,000 rules: compiled in {compiled_s * 1000:.0f} ms, a lookup takes {lookup_us:.1f} us"
    )
    assert not lets_in(access, "11.19.249.7:5")
    assert compiled_s < 2
    assert lookup_us < 200

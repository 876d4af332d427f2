"""Who managed the service a short while ago."""

from pop3_service.domain.account import AccountName, Principal
from pop3_service.supervisor.defence.seen_callers import MAX_CALLERS, REMEMBER_S, SeenCallers
from unit.pop3_service.clock import FakeClock


def principal(name: str = "ana", address: str = "192.0.2.1:5") -> Principal:
    return Principal(AccountName(name), "user", address=address)


def test_a_caller_is_remembered_once_an_address_for_an_hour() -> None:
    clock = FakeClock()
    seen = SeenCallers(clock)
    seen.note(principal())
    seen.note(principal(address="192.0.2.1:6"))
    seen.note(principal(address="[2001:db8::1]:6"))
    assert [it.address for it in seen.all()] == ["192.0.2.1:6", "[2001:db8::1]:6"]
    clock.move(REMEMBER_S - 1)
    seen.note(principal())
    clock.move(1)
    assert [it.address for it in seen.all()] == ["192.0.2.1:5"]


def test_nobody_pushes_others_out_from_addresses_of_one_network() -> None:
    seen = SeenCallers(FakeClock())
    seen.note(principal("admin"))
    for number in range(MAX_CALLERS):
        seen.note(principal(address=f"[2001:db8::{number:x}]:6"))
    assert [it.name for it in seen.all()] == ["admin", "ana"]


def test_the_longest_unseen_is_forgotten_first() -> None:
    seen = SeenCallers(FakeClock())
    for number in range(MAX_CALLERS):
        seen.note(principal(f"u{number}"))
    seen.note(principal("u0"))
    seen.note(principal("last"))
    names = [it.name for it in seen.all()]
    assert len(names) == MAX_CALLERS
    assert "u1" not in names
    assert names[-2:] == ["u0", "last"]

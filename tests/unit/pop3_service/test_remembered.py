"""Logins verified a moment ago: only the very same ones, for a while, and not too many."""

import pytest

from pop3_service.control.remembered import RememberedLogins
from unit.pop3_service.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Lifetime:
    """What the setting is now."""

    seconds = 60.0


@pytest.fixture
def lifetime() -> Lifetime:
    return Lifetime()


@pytest.fixture
def logins(clock: FakeClock, lifetime: Lifetime) -> RememberedLogins:
    return RememberedLogins(clock, lambda: lifetime.seconds, limit=3)


def found(logins: RememberedLogins, name: bytes, password: bytes) -> str | None:
    login = logins.find(name, password)
    return login.account if login else None


def test_a_login_is_known_for_its_time_and_no_longer(
    logins: RememberedLogins, clock: FakeClock
) -> None:
    assert logins.find(b"ana", b"secret") is None
    logins.remember(b"ana", b"secret", "Ana")
    clock.move(60)
    assert found(logins, b"ana", b"secret") == "Ana"
    clock.move(0.1)
    assert logins.find(b"ana", b"secret") is None
    logins.remember(b"ana", b"secret", "Ana")
    assert found(logins, b"ana", b"secret") == "Ana"


def test_another_lifetime_holds_for_what_is_remembered_already(
    logins: RememberedLogins, clock: FakeClock, lifetime: Lifetime
) -> None:
    logins.remember(b"ana", b"secret", "ana")
    clock.move(40)
    lifetime.seconds = 39
    assert logins.find(b"ana", b"secret") is None
    logins.remember(b"ana", b"secret", "ana")
    clock.move(100)
    lifetime.seconds = 100
    assert found(logins, b"ana", b"secret") == "ana"


def test_use_does_not_extend_it(logins: RememberedLogins, clock: FakeClock) -> None:
    logins.remember(b"ana", b"secret", "ana")
    for _ in range(6):
        clock.move(10)
        assert found(logins, b"ana", b"secret") == "ana"
    clock.move(1)
    assert logins.find(b"ana", b"secret") is None


def test_what_was_verified_elsewhere_keeps_its_age(
    logins: RememberedLogins, clock: FakeClock
) -> None:
    logins.remember(b"ana", b"secret", "ana", 50)
    clock.move(10)
    assert found(logins, b"ana", b"secret") == "ana"
    clock.move(1)
    assert logins.find(b"ana", b"secret") is None


def test_with_a_lifetime_of_0_nothing_is_known_and_nothing_kept(
    logins: RememberedLogins, lifetime: Lifetime
) -> None:
    logins.remember(b"ana", b"secret", "ana")
    lifetime.seconds = 0
    assert logins.find(b"ana", b"secret") is None
    logins.remember(b"eva", b"secret", "eva")
    lifetime.seconds = 60
    assert logins.find(b"ana", b"secret") is None
    assert logins.find(b"eva", b"secret") is None
    logins.forget("ana")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        (b"ana", b"Secret"),
        (b"ana", b""),
        (b"Ana", b"secret"),
        (b"anas", b"ecret"),  # the same octets, parted elsewhere
        (b"an", b"asecret"),
        (b"3 ana", b"secret"),
        (b"", b"3 anasecret"),
    ],
)
def test_no_other_name_or_password_is_known(
    logins: RememberedLogins, name: bytes, password: bytes
) -> None:
    logins.remember(b"ana", b"secret", "Ana")
    assert logins.find(name, password) is None


def test_an_account_is_forgotten_under_all_its_spellings_and_alone(
    logins: RememberedLogins,
) -> None:
    logins.remember(b"ana", b"secret", "ana")
    logins.remember(b"a\xc2\xadna", b"secret", "ana")
    logins.remember(b"eva", b"secret", "eva")
    logins.forget("ana")
    logins.forget("nobody")
    assert logins.find(b"ana", b"secret") is None
    assert logins.find(b"a\xc2\xadna", b"secret") is None
    assert found(logins, b"eva", b"secret") == "eva"


def test_past_the_limit_the_oldest_is_forgotten(logins: RememberedLogins) -> None:
    for name in (b"a", b"b", b"c", b"a", b"d"):
        logins.remember(name, b"secret", name.decode())
    known = [name for name in (b"a", b"b", b"c", b"d") if logins.find(name, b"secret")]
    assert known == [b"a", b"c", b"d"]
    for name in ("a", "b", "c", "d"):
        logins.forget(name)
    assert not [name for name in (b"a", b"b", b"c", b"d") if logins.find(name, b"secret")]


def test_passwords_are_not_kept_in_clear(logins: RememberedLogins) -> None:
    logins.remember(b"ana", b"a very secret password", "ana")
    assert "very secret" not in repr(vars(logins))


def test_which_app_password_it_was_is_kept(logins: RememberedLogins) -> None:
    logins.remember(b"ana", b"secret", "ana")
    logins.remember(b"ana", b"other", "ana", app_password="phone")
    own, app = logins.find(b"ana", b"secret"), logins.find(b"ana", b"other")
    assert own is not None
    assert own.app_password == ""
    assert app is not None
    assert app.app_password == "phone"
    logins.forget("ana")
    assert logins.find(b"ana", b"other") is None


def test_everybody_is_forgotten_at_once_and_what_is_verified_meanwhile_is_told_so(
    logins: RememberedLogins,
) -> None:
    for name in ("ana", "eva"):
        logins.remember(name.encode(), b"secret", name)
    before = logins.changes
    logins.forget_all()
    assert logins.changes > before
    assert logins.find(b"ana", b"secret") is None
    assert logins.find(b"eva", b"secret") is None
    logins.remember(b"ana", b"secret", "ana")
    logins.forget("ana")

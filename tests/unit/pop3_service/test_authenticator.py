from __future__ import annotations

import asyncio
import threading
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pop3_service.control.plane import Admitted
from pop3_service.domain.account import Account, AccountFacts, AccountName
from pop3_service.domain.errors import LoginThrottled, StoreUnavailable
from pop3_service.domain.passwords import MAX_OCTETS
from pop3_service.domain.rights import RoleName
from pop3_service.supervisor.authentication import authenticator as module
from pop3_service.supervisor.authentication.authenticator import Authenticator
from unit.pop3_service.clock import FakeClock


class FakeAccounts:
    """Accounts by name; ``on_get`` happens after each look."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.on_get: Callable[[], None] = lambda: None
        self.failure: Exception | None = None
        self.failure_to_write: Exception | None = None
        self.on_replace: Callable[[], None] = lambda: None

    async def get(self, name: str) -> Account | None:
        if self.failure is not None:
            raise self.failure
        found = self.accounts.get(name)
        self.on_get()
        return found

    async def replace_hash(self, name: str, old: str, new: str) -> bool:
        if self.failure_to_write is not None:
            raise self.failure_to_write
        self.on_replace()
        if name not in self.accounts or self.accounts[name].password_hash != old:
            return False
        self.put(name, new)
        return True

    def put(self, name: str, password_hash: str) -> None:
        account = Account(AccountName(name), RoleName.USER, password_hash, FakeClock().now())
        self.accounts[name] = account


@pytest.fixture
def accounts() -> FakeAccounts:
    return FakeAccounts()


class Lifetime:
    """How long a login is remembered."""

    seconds = 600.0


@pytest.fixture
def lifetime() -> Lifetime:
    return Lifetime()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def authenticator(
    accounts: FakeAccounts, clock: FakeClock, lifetime: Lifetime
) -> Iterator[Authenticator]:
    made = Authenticator(
        accounts,  # type: ignore[arg-type]
        clock,
        lambda: lifetime.seconds,
        memory_kib=8,
        passes=1,
    )
    yield made
    made.close()


@pytest.fixture
async def ana(accounts: FakeAccounts, authenticator: Authenticator) -> str:
    accounts.put("ana", await authenticator.hash(b"secret"))
    return "ana"


async def test_the_right_password_gives_the_account(
    authenticator: Authenticator, accounts: FakeAccounts, ana: str
) -> None:
    assert await authenticator.verify(b"ana", b"secret") == accounts.accounts["ana"]
    assert await authenticator.matches(accounts.accounts["ana"], b"secret")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        (b"ana", b"wrong"),
        (b"ana", b""),
        (b"ana", b"secret "),
        (b"ana", b"secret\0"),
        (b"ana", b"x" * 2**20),
        (b"Ana", b"secret"),
        (b"nobody", b"secret"),
        (b"nobody", b"no account has this"),
        (b"", b""),
        (b"\xff", b"secret"),
        (b"../ana", b"secret"),
        (b"x" * 2**20, b"secret"),
    ],
)
async def test_anything_else_gives_nobody_after_one_hash(
    authenticator: Authenticator,
    ana: str,
    monkeypatch: pytest.MonkeyPatch,
    name: bytes,
    password: bytes,
) -> None:
    hashed: list[str] = []
    verify = authenticator._verify
    monkeypatch.setattr(
        authenticator, "_verify", lambda *given: (hashed.append(given[0]), verify(*given))[1]
    )
    assert await authenticator.verify(name, password) is None
    assert len(hashed) == 1


@pytest.mark.attack(17)
async def test_a_name_that_is_not_there_costs_the_same_hash(authenticator: Authenticator) -> None:
    real = await authenticator.hash(b"x")
    parameters = real.split("$")[1:4]
    assert authenticator._dummy_hash.split("$")[1:4] == parameters


async def test_spellings_of_a_name_and_a_password_are_one(
    accounts: FakeAccounts, authenticator: Authenticator
) -> None:
    name, password = "señor", "contraseña"
    accounts.put(name, await authenticator.hash(password.encode()))
    for form in ("NFC", "NFD", "NFKC"):
        given = (unicodedata.normalize(form, text).encode() for text in (name, password))
        assert await authenticator.verify(*given) is not None


async def test_octets_that_are_no_text_can_be_a_password(
    accounts: FakeAccounts, authenticator: Authenticator
) -> None:
    accounts.put("ana", await authenticator.hash(b"\xff\xfe"))
    assert await authenticator.verify(b"ana", b"\xff\xfe") is not None
    assert await authenticator.verify(b"ana", b"\xff") is None


@pytest.mark.attack(20)
async def test_the_longest_password_works(
    accounts: FakeAccounts, authenticator: Authenticator
) -> None:
    accounts.put("ana", await authenticator.hash(b"x" * MAX_OCTETS))
    assert await authenticator.verify(b"ana", b"x" * MAX_OCTETS) is not None
    assert await authenticator.verify(b"ana", b"x" * (MAX_OCTETS + 1)) is None


async def test_a_stored_hash_that_is_damaged_lets_nobody_in(
    accounts: FakeAccounts, authenticator: Authenticator
) -> None:
    accounts.put("ana", "$argon2id$nonsense")
    assert await authenticator.verify(b"ana", b"secret") is None


async def test_a_hash_made_with_other_costs_still_counts(
    accounts: FakeAccounts, authenticator: Authenticator
) -> None:
    other = Authenticator(accounts, FakeClock(), lambda: 600, memory_kib=16, passes=2)  # type: ignore[arg-type]
    accounts.put("ana", await other.hash(b"secret"))
    other.close()
    assert await authenticator.verify(b"ana", b"secret") is not None


@pytest.mark.attack(25, "changed")
async def test_a_password_changed_during_the_check_does_not_count(
    authenticator: Authenticator, accounts: FakeAccounts, ana: str
) -> None:
    def change() -> None:
        accounts.on_get = lambda: None
        accounts.put("ana", "another hash")
        authenticator.account_changed(AccountName("ana"))

    accounts.on_get = change
    assert await authenticator.verify(b"ana", b"secret") is None


@pytest.mark.attack(25, "deleted")
async def test_an_account_deleted_during_the_check_does_not_count(
    authenticator: Authenticator, accounts: FakeAccounts, ana: str
) -> None:
    def delete() -> None:
        accounts.accounts.clear()
        authenticator.account_changed(AccountName("ana"))

    accounts.on_get = delete
    assert await authenticator.verify(b"ana", b"secret") is None


async def test_an_account_deleted_during_the_second_look_does_not_count(
    authenticator: Authenticator, accounts: FakeAccounts, ana: str
) -> None:
    looks = iter(range(100))

    def change() -> None:
        look = next(looks)
        if look == 1:
            accounts.accounts.clear()
        if look < 2:
            authenticator.account_changed(AccountName("ana"))

    accounts.on_get = change
    assert await authenticator.verify(b"ana", b"secret") is None


async def test_a_password_changed_while_its_login_is_told_of_does_not_count(
    authenticator: Authenticator, accounts: FakeAccounts
) -> None:
    accounts.put("ana", await authenticator.hash(b"old"))
    new = await authenticator.hash(b"new")

    async def reset(_: Account, __: bytes) -> None:
        accounts.put("ana", new)
        authenticator.account_changed(AccountName("ana"))

    authenticator.on_verified = reset
    assert await authenticator.login(b"ana", b"old") is None
    authenticator.on_verified = None
    assert await authenticator.login(b"ana", b"old") is None
    assert await authenticator.login(b"ana", b"new") == ADMITTED


async def test_a_change_of_somebody_else_disturbs_nobody(
    authenticator: Authenticator, accounts: FakeAccounts, ana: str
) -> None:
    def change() -> None:
        accounts.on_get = lambda: None
        authenticator.account_changed(AccountName("ana"))

    accounts.on_get = change
    assert await authenticator.verify(b"ana", b"secret") is not None


async def test_too_many_checks_at_once_are_refused_and_the_others_go_on(
    authenticator: Authenticator, ana: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 5)
    go = threading.Event()
    verify = authenticator._verify
    monkeypatch.setattr(authenticator, "_verify", lambda *given: go.wait(30) and verify(*given))
    checks = [asyncio.create_task(authenticator.verify(b"ana", b"secret")) for _ in range(8)]
    while sum(check.done() for check in checks) < 3:
        await asyncio.sleep(0)
    with pytest.raises(LoginThrottled):
        await authenticator.hash(b"x")
    go.set()
    results = await asyncio.gather(*checks, return_exceptions=True)
    assert sum(isinstance(result, Account) for result in results) == 5
    assert sum(isinstance(result, LoginThrottled) for result in results) == 3
    assert await authenticator.verify(b"ana", b"secret") is not None


async def test_a_check_that_nobody_waits_for_any_more_frees_its_place(
    authenticator: Authenticator, ana: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 1)
    go = threading.Event()
    verify = authenticator._verify
    monkeypatch.setattr(authenticator, "_verify", lambda *given: go.wait(30) and verify(*given))
    check = asyncio.create_task(authenticator.verify(b"ana", b"secret"))
    while not authenticator._waiting:
        await asyncio.sleep(0)
    check.cancel()
    await asyncio.gather(check, return_exceptions=True)
    go.set()
    assert await authenticator.verify(b"ana", b"secret") is not None


async def test_a_store_that_fails_is_no_wrong_password(
    authenticator: Authenticator, accounts: FakeAccounts
) -> None:
    accounts.failure = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await authenticator.verify(b"ana", b"secret")


# --- hashes of another server --------------------

ADMITTED = Admitted("ana", facts=AccountFacts(password_time_s=FakeClock().now().timestamp()))
OLD = "{SHA256-CRYPT}$5$GjMmvkgD7/Fnh6QW$AxRsfbTAutISRyV3RTg1Hui2HAY4uC8VErS2WQm8oi6"


async def test_an_old_hash_is_replaced_by_ours_at_the_first_right_login(
    accounts: FakeAccounts, authenticator: Authenticator
) -> None:
    accounts.put("ana", OLD)
    assert await authenticator.verify(b"ana", b"wrong") is None
    assert accounts.accounts["ana"].password_hash == OLD
    account = await authenticator.verify(b"ana", b"secret")
    assert account == accounts.accounts["ana"]
    assert accounts.accounts["ana"].password_hash.startswith("$argon2id$")
    assert await authenticator.verify(b"ana", b"secret") is not None
    assert await authenticator.verify(b"ana", b"wrong") is None


@pytest.fixture
def dearer(accounts: FakeAccounts, clock: FakeClock) -> Iterator[Authenticator]:
    """An authenticator of a later start, with another cost."""
    made = Authenticator(
        accounts,  # type: ignore[arg-type]
        clock,
        lambda: 600.0,
        memory_kib=16,
        passes=2,
    )
    yield made
    made.close()


async def test_a_hash_of_another_cost_is_made_anew_at_the_next_right_login(
    accounts: FakeAccounts, dearer: Authenticator, ana: str
) -> None:
    cheap = accounts.accounts["ana"].password_hash
    assert await dearer.verify(b"ana", b"wrong") is None
    assert accounts.accounts["ana"].password_hash == cheap
    assert await dearer.login(b"ana", b"secret") is not None
    dear = accounts.accounts["ana"].password_hash
    assert "$m=16,t=2,p=1$" in dear
    assert await dearer.verify(b"ana", b"secret") is not None
    assert accounts.accounts["ana"].password_hash == dear


async def test_a_remembered_login_leaves_its_hash_until_it_is_hashed_again(
    accounts: FakeAccounts, dearer: Authenticator, clock: FakeClock, ana: str
) -> None:
    cheap = accounts.accounts["ana"].password_hash
    await dearer.login(b"ana", b"secret")
    accounts.put("ana", cheap)
    await dearer.login(b"ana", b"secret")
    assert accounts.accounts["ana"].password_hash == cheap
    clock.move(601)
    await dearer.login(b"ana", b"secret")
    assert accounts.accounts["ana"].password_hash != cheap


async def test_two_logins_at_once_that_replace_a_hash_are_both_right(
    accounts: FakeAccounts, dearer: Authenticator, ana: str
) -> None:
    found = await asyncio.gather(*(dearer.verify(b"ana", b"secret") for _ in range(3)))
    assert None not in found


async def test_an_old_hash_is_of_the_octets_that_are_sent_and_ours_of_any_spelling(
    accounts: FakeAccounts, authenticator: Authenticator
) -> None:
    from passlib.hash import sha256_crypt

    old, other = (unicodedata.normalize(form, "contraseña").encode() for form in ("NFD", "NFC"))
    accounts.put("ana", "{SHA256-CRYPT}" + sha256_crypt.hash(old))
    assert await authenticator.verify(b"ana", other) is None
    assert await authenticator.verify(b"ana", old) is not None
    assert await authenticator.verify(b"ana", other) is not None


async def test_a_login_does_not_fail_because_the_new_hash_cannot_be_stored(
    accounts: FakeAccounts, authenticator: Authenticator
) -> None:
    accounts.put("ana", OLD)
    accounts.failure_to_write = StoreUnavailable("away")
    assert await authenticator.verify(b"ana", b"secret") is not None
    assert accounts.accounts["ana"].password_hash == OLD


@pytest.mark.parametrize("password", [b"secret", b"another"])
async def test_a_password_that_changes_while_its_old_hash_is_replaced_is_what_counts(
    accounts: FakeAccounts, authenticator: Authenticator, password: bytes
) -> None:
    accounts.put("ana", OLD)
    changed = await authenticator.hash(password)

    def change() -> None:
        accounts.put("ana", changed)
        authenticator.account_changed(AccountName("ana"))

    accounts.on_replace = change
    found = await authenticator.verify(b"ana", b"secret")
    assert (found is not None) is (password == b"secret")
    assert accounts.accounts["ana"].password_hash == changed


async def test_an_old_hash_and_a_change_of_somebody_else_let_everybody_in(
    accounts: FakeAccounts, authenticator: Authenticator
) -> None:
    accounts.put("ana", OLD)

    def change() -> None:
        accounts.on_get = lambda: None
        authenticator.account_changed(AccountName("eva"))

    accounts.on_get = change
    logins = [authenticator.verify(b"ana", b"secret") for _ in range(5)]
    assert None not in await asyncio.gather(*logins)


# --- remembered logins --------------------


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The passwords that were hashed to be compared."""
    passwords: list[bytes] = []
    verify = Authenticator._verify

    def noted(self: Authenticator, hashed: str, password: bytes) -> bool:
        passwords.append(password)
        return verify(self, hashed, password)

    monkeypatch.setattr(Authenticator, "_verify", noted)
    return passwords


async def test_a_login_is_hashed_once_in_its_lifetime_and_tells_its_age(
    authenticator: Authenticator, clock: FakeClock, ana: str, hashed: list[bytes]
) -> None:
    assert await authenticator.login(b"ana", b"secret") == ADMITTED
    clock.move(599)
    assert await authenticator.login(b"ana", b"secret") == replace(ADMITTED, age_s=599)
    assert hashed == [b"secret"]
    clock.move(2)
    assert await authenticator.login(b"ana", b"secret") == ADMITTED
    assert hashed == [b"secret"] * 2


async def test_with_no_lifetime_every_login_is_hashed(
    authenticator: Authenticator, lifetime: Lifetime, ana: str, hashed: list[bytes]
) -> None:
    await authenticator.login(b"ana", b"secret")
    lifetime.seconds = 0
    for _ in range(3):
        assert await authenticator.login(b"ana", b"secret") == ADMITTED
    assert len(hashed) == 4


async def test_a_wrong_password_is_not_remembered(
    authenticator: Authenticator, ana: str, hashed: list[bytes]
) -> None:
    for _ in range(2):
        assert await authenticator.login(b"ana", b"wrong") is None
    assert len(hashed) == 2

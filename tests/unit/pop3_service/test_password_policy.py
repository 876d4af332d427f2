"""The password policy's rules, and the estimator that two of them ask."""

from __future__ import annotations

import resource
import time
import unicodedata
from dataclasses import fields, replace
from datetime import timedelta

import pytest

from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import (
    PasswordExpired,
    PasswordHindrance,
    PasswordMustChange,
    ServiceUnavailable,
)
from pop3_service.domain.password_policy import PasswordPolicy, Strength, holds_name
from pop3_service.domain.passwords import random_password
from pop3_service.domain.settings import Settings
from pop3_service.supervisor.identity import estimator as module
from pop3_service.supervisor.identity.estimator import Estimator
from unit.pop3_service.clock import FakeClock

ANA = AccountName("ana")
STRONG = Strength(4, is_common=False)
OFF = PasswordPolicy.of(Settings())
STRICT = PasswordPolicy(
    min_length=12, min_strength=3, refuse_common=True, refuse_name=True, history=5, expire_days=90
)


def broken(
    policy: PasswordPolicy, password: str, strength: Strength | None = STRONG, name: str = "ana"
) -> list[str]:
    return policy.broken_rules(AccountName(name), password.encode(), strength)


def test_without_a_policy_whatever_can_be_sent_is_taken() -> None:
    assert not OFF.asks_estimator
    for password in ("x", "ana", "pass1", "default"):
        assert broken(OFF, password, None) == []


def test_a_policy_has_a_setting_for_each_of_its_fields() -> None:
    values = {
        "min_length": 9, "min_strength": 2, "refuse_common": True, "refuse_name": True,
        "history": 3, "expire_days": 7, "reset_must_change": True,
    }  # fmt: skip
    assert values.keys() == {item.name for item in fields(PasswordPolicy)}
    settings = Settings().changed({f"password_{name}": value for name, value in values.items()})
    assert PasswordPolicy.of(settings) == PasswordPolicy(**values)


@pytest.mark.parametrize(
    ("password", "least", "enough"),
    [
        ("abcdefgh", 8, True),
        ("abcdefg", 8, False),
        ("\u00e9" * 8, 8, True),
        ("e\u0301" * 4, 8, False),  # an accent is no character of its own
        ("\u00ad" * 20 + "abc", 8, False),  # soft hyphens are left out before it is hashed
        ("\U0001f600" * 8, 8, True),
        ("\u0627\u0031" * 4, 8, True),  # what cannot be prepared counts as it is
        ("x", 1, True),
        ("x" * 127, 128, False),
        ("x" * 128, 128, True),
    ],
)
def test_length_is_in_characters_as_they_are_hashed(
    password: str, least: int, enough: bool
) -> None:
    rules = broken(replace(OFF, min_length=least), password)
    assert rules == ([] if enough else [f"it has fewer than {least} characters"])


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ana", "xxanaxx"),
        ("ana", "ANA1879"),
        ("anabel", "1lebana!"),
        ("ana@example.org", "my-ana-pass"),
        ("ana@example.org", "Ana@Example.org9"),
        ("josé", "xJOSE\u0301x"),
        ("straße", "STRASSE9"),
        ("straße", "9essarts"),
        ("\u03c3\u03bf\u03c6\u03af\u03b1", "\u03a3\u039f\u03a6\u038a\u0391!"),
        ("ana", "\uff21\uff4e\uff41"),  # in full width
        ("ﬁona", "FIONA-rules"),
        ("\u0130pek", "i\u0307pek-1"),
    ],
)
def test_a_name_is_found_however_it_is_written(name: str, password: str) -> None:
    assert holds_name(password, AccountName(name))
    assert broken(replace(OFF, refuse_name=True), password, name=name) == [
        "it holds the account's name"
    ]


@pytest.mark.parametrize(
    ("name", "password"),
    [("ana", "banza"), ("al", "calculate"), ("a@example.org", "banana"), ("ana", "nap")],
)
def test_a_short_name_or_a_part_of_one_is_nothing(name: str, password: str) -> None:
    assert not holds_name(password, AccountName(name))


def test_every_rule_that_is_broken_is_told() -> None:
    told = broken(STRICT, "ana1", Strength(1, is_common=True))
    assert told == [
        "it has fewer than 12 characters",
        "it holds the account's name",
        "it is one that many people use",
        "it is too easy to guess (strength 1 of 4, 3 is needed)",
    ]
    assert broken(STRICT, "correct horse battery staple") == []


def test_a_random_password_keeps_to_the_strictest_rules_by_its_making() -> None:
    made = random_password()
    assert len(made) >= 20
    assert broken(replace(STRICT, min_length=20), made, name="zzzz") == []


def account(*, must_change: bool = False, age_days: float = 0) -> Account:
    now = FakeClock().now()
    return Account(
        ANA,
        "user",
        "hash",
        now - timedelta(days=400),
        must_change_password=must_change,
        password_time=now - timedelta(days=age_days),
    )


@pytest.mark.parametrize(
    ("days", "must_change", "age_days", "hindrance"),
    [
        (0, False, 3650, None),
        (90, False, 89.99, None),
        (90, False, 90, PasswordExpired),
        (90, True, 1, PasswordMustChange),
        (0, True, 0, PasswordMustChange),
        (1, False, 3650, PasswordExpired),
    ],
)
def test_a_password_opens_nothing_but_its_change(
    days: int, must_change: bool, age_days: float, hindrance: type[PasswordHindrance] | None
) -> None:
    policy = replace(OFF, expire_days=days)
    found = policy.hindrance(account(must_change=must_change, age_days=age_days), FakeClock().now())
    assert (type(found) if found else None) is hindrance


def test_a_password_is_as_old_as_its_account_unless_it_is_known_better() -> None:
    made = replace(account(), password_time=None)
    assert made.password_since == made.create_time
    assert replace(OFF, expire_days=2).expire_time(made) == made.create_time + timedelta(days=2)
    assert OFF.expire_time(made) is None


# --- the estimator ---


async def estimate(password: str, name: str = "ana") -> Strength:
    return await Estimator().strength(AccountName(name), password.encode())


@pytest.mark.parametrize(
    ("password", "score", "is_common"),
    [
        ("password", 0, True),
        ("P4ssw0rd", 0, True),
        ("drowssap", 0, True),
        ("letmein1", 0, True),
        ("default", 1, True),
        ("pass1", 1, True),
        ("aaaaaaaaaaaaaaaa", 0, False),
        ("own secret", 2, False),  # it holds a common word, and more
        ("correct horse battery staple", 4, False),
        ("contraseña de mi abuela", 4, False),
    ],
)
async def test_a_strength_is_estimated(password: str, score: int, is_common: bool) -> None:
    assert await estimate(password) == Strength(score, is_common)


async def test_a_name_that_its_guesser_knows_is_worth_little() -> None:
    with_name = await estimate("aeinstein1879", "aeinstein@example.org")
    without = await estimate("aeinstein1879", "somebody")
    assert with_name.score < without.score


async def test_a_random_password_is_strong() -> None:
    assert await estimate(random_password()) == STRONG


@pytest.mark.parametrize(
    "password",
    [
        "x" * 1024,
        "4@8({[</369&#!1/|0$5+7%2" * 42,  # each may stand for several letters
        "1|7!" * 256,
        "\u00fc" * 512,
        "\U0001f600" * 256,
        "qwertyuiop" * 100,
        "01.02.2003" * 100,
    ],
)
@pytest.mark.attack(20)
async def test_the_longest_password_is_estimated_in_a_bounded_time(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_s = module.LIMIT_S
    monkeypatch.setattr(module, "LIMIT_S", 10 * limit_s)  # it waits for the processor as well
    own_s, child_s = time.process_time(), spent_by_children_s()
    assert (await estimate(password)).score >= 0
    assert time.process_time() - own_s < 0.25  # of this process: others go on meanwhile
    assert spent_by_children_s() - child_s < limit_s / 2


def spent_by_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def test_what_cannot_be_sent_as_text_is_estimated_too() -> None:
    found = await Estimator().strength(ANA, b"\xff\xfe\x80" + unicodedata.lookup("BELL").encode())
    assert 0 <= found.score <= 4


async def test_a_lone_surrogate_is_no_fault() -> None:
    found = await Estimator().strength(ANA, b"\xed\xa0\x80" * 10)
    assert 0 <= found.score <= 4


@pytest.mark.parametrize(
    "program",
    [("/no/such/program",), ("/bin/false",), ("/bin/sleep", "600")],
)
async def test_a_strength_that_cannot_be_told_is_a_failure_of_the_service(
    program: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROGRAM", program)
    monkeypatch.setattr(module, "LIMIT_S", 0.2)
    with pytest.raises(ServiceUnavailable, match="cannot be estimated"):
        await estimate("secret")

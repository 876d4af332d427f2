from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pop3_service.domain.account import AccountName, Principal
from pop3_service.domain.errors import InvalidCredentials
from pop3_service.domain.rights import BUILT_IN, RoleName
from pop3_service.supervisor.identity.automation import AutomationTokens
from pop3_service.supervisor.identity.tokens import LIFETIME, LONGEST, MAX_PER_ACCOUNT, Tokens
from unit.pop3_service.clock import FakeClock

ANA = Principal(AccountName("ana"), RoleName.USER, BUILT_IN[RoleName.USER].rights)
EVA = Principal(AccountName("eva"), RoleName.ADMIN, BUILT_IN[RoleName.ADMIN].rights)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tokens(clock: FakeClock) -> Tokens:
    automation = AutomationTokens(None, None, clock)  # type: ignore[arg-type]
    return Tokens(clock, lambda role: BUILT_IN[role].rights, automation)


def lives(tokens: Tokens, token: str) -> bool:
    try:
        tokens.principal(token)
    except InvalidCredentials:
        return False
    return True


def test_a_token_tells_whose_it_is(tokens: Tokens) -> None:
    (first, end), (second, _) = tokens.issue(ANA), tokens.issue(EVA)
    assert (tokens.principal(first), tokens.principal(second)) == (ANA, EVA)
    assert len(first) >= 43
    assert first != second
    assert end == FakeClock().now() + LIFETIME


@pytest.mark.parametrize("token", ["", "x", "é", "x" * 100_000])
def test_a_token_that_was_never_given_is_none(tokens: Tokens, token: str) -> None:
    tokens.issue(ANA)
    assert not lives(tokens, token)
    tokens.end(token)


def test_a_token_itself_is_not_kept(tokens: Tokens) -> None:
    token, _ = tokens.issue(ANA)
    assert token not in repr(vars(tokens))


def test_a_token_dies_on_its_hour(tokens: Tokens, clock: FakeClock) -> None:
    token, _ = tokens.issue(ANA)
    clock.move(LIFETIME.total_seconds() - 1)
    assert lives(tokens, token)
    clock.move(1)
    assert not lives(tokens, token)
    with pytest.raises(InvalidCredentials):
        tokens.renew(token)


def test_renewal_moves_the_end_but_never_past_a_day(tokens: Tokens, clock: FakeClock) -> None:
    token, _ = tokens.issue(ANA)
    begin = clock.now()
    for _ in range(46):
        clock.move(1800)
        assert tokens.renew(token) == clock.now() + LIFETIME
    clock.move(1800)
    assert tokens.renew(token) == begin + LONGEST
    clock.move(1799)
    assert tokens.renew(token) == begin + LONGEST
    clock.move(1)
    assert not lives(tokens, token)


def test_the_tokens_of_an_account_end_together_but_the_one_kept(tokens: Tokens) -> None:
    own = [tokens.issue(ANA)[0] for _ in range(3)]
    other, _ = tokens.issue(EVA)
    tokens.end_account(ANA.name, keep=own[1])
    assert [lives(tokens, token) for token in own] == [False, True, False]
    assert lives(tokens, other)
    tokens.end_account(ANA.name)
    assert not lives(tokens, own[1])


def test_a_token_of_somebody_else_is_not_kept_for_an_account(tokens: Tokens) -> None:
    own, other = tokens.issue(ANA)[0], tokens.issue(EVA)[0]
    tokens.end_account(ANA.name, keep=other)
    assert not lives(tokens, own)
    assert lives(tokens, other)


def test_one_token_too_many_ends_the_oldest_of_that_account(tokens: Tokens) -> None:
    other, _ = tokens.issue(EVA)
    own = [tokens.issue(ANA)[0] for _ in range(MAX_PER_ACCOUNT + 1)]
    assert [lives(tokens, token) for token in own] == [False] + [True] * MAX_PER_ACCOUNT
    assert lives(tokens, other)


def test_a_restricted_login_has_no_rights_until_its_password_is_changed(tokens: Tokens) -> None:
    token, _ = tokens.issue(replace(ANA, is_restricted=True))
    other, _ = tokens.issue(replace(EVA, is_restricted=True))
    assert tokens.principal(token).rights == frozenset()
    tokens.set_role(ANA.name, "admin")
    assert tokens.principal(token).rights == frozenset()
    tokens.unrestrict(token)
    assert tokens.principal(token).rights
    assert tokens.principal(other).is_restricted
    tokens.end(token)
    tokens.unrestrict(token)  # it may have ended meanwhile
    assert not lives(tokens, token)


def test_dead_tokens_are_dropped(tokens: Tokens, clock: FakeClock) -> None:
    for number in range(50):
        tokens.issue(Principal(AccountName(f"user{number}"), RoleName.USER))
    clock.move(timedelta(hours=2).total_seconds())
    tokens.issue(ANA)
    assert len(tokens._logins) == 1

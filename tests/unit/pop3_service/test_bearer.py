from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import InvalidToken, ServiceUnavailable, StoreUnavailable
from pop3_service.domain.rights import RoleName
from pop3_service.domain.settings import Settings
from pop3_service.supervisor.authentication import jose, token_keys
from pop3_service.supervisor.authentication.bearer import BearerTokens
from pop3_service.supervisor.authentication.token_key_source import TokenKeySource
from pop3_service.supervisor.authentication.token_keys import TokenKeys
from support.issuer import AUDIENCE, ISSUER, ec_key, key_set, token
from unit.pop3_service.clock import FakeClock

KEY = ec_key()


class FakeAccounts:
    """Accounts by name."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.failure: Exception | None = None

    async def get(self, name: str) -> Account | None:
        if self.failure:
            raise self.failure
        if name not in self.names:
            return None
        return Account(AccountName(name), RoleName.USER, "hash", FakeClock().now())


class Desk:
    """Bearer tokens, with keys from a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "keys.json"
        self.path.write_bytes(key_set(KEY))
        self.clock = FakeClock()
        self.accounts = FakeAccounts("ana@example.org", "u1")
        self.settings = Settings().changed(
            {"oauth_jwks": str(self.path), "oauth_issuer": ISSUER, "oauth_audience": AUDIENCE}
        )
        self.keys = TokenKeys(
            lambda: self.settings.token_key_source, TokenKeySource(None).load, self.clock
        )
        self.tokens = BearerTokens(
            self.keys,
            self.accounts,  # type: ignore[arg-type]
            lambda: self.settings,
            self.clock,
        )

    def set(self, **values: Any) -> None:
        self.settings = self.settings.changed(values)

    def token(self, key: Any = KEY, **claims: Any) -> bytes:
        return token(key, self.clock.now().timestamp(), **claims).encode()

    async def name(self, meant: bytes = b"", **claims: Any) -> str:
        return (await self.tokens.verify(self.token(**claims), meant)).name

    async def refused(self, why: str, meant: bytes = b"", **claims: Any) -> None:
        with pytest.raises(InvalidToken) as error:
            await self.name(meant, **claims)
        assert why in error.value.why


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_token_is_for_the_account_that_its_email_names(desk: Desk) -> None:
    assert await desk.name() == "ana@example.org"
    assert await desk.name(email_verified=True) == "ana@example.org"


@pytest.mark.parametrize("verified", [False, "true", "false", None, 0, 1])
async def test_an_email_that_the_issuer_does_not_vouch_for_names_nobody(
    desk: Desk, verified: object
) -> None:
    if verified is None:  # not said: then the issuer gives only addresses of its own
        assert await desk.name(email_verified=None)
    else:
        await desk.refused("not verified", email_verified=verified)


async def test_a_setting_names_the_claim_that_is_the_account(desk: Desk) -> None:
    desk.set(oauth_account_claim="sub")
    assert await desk.name(sub="u1", email_verified=False) == "u1"
    await desk.refused("has no sub")
    desk.set(oauth_account_claim="preferred_username")
    assert await desk.name(sub="x", preferred_username="u1") == "u1"


@pytest.mark.parametrize("value", [None, 5, [], ["u1"], {"u1": 1}, True])
async def test_a_claim_that_is_no_text_names_nobody(desk: Desk, value: object) -> None:
    desk.set(oauth_account_claim="name")
    await desk.refused("has no name", name=value)


@pytest.mark.parametrize("value", ["", ".", "../u1", "u1\0", "a b", "x" * 300, "\ud800"])
async def test_a_claim_that_no_account_can_have_names_nobody(desk: Desk, value: str) -> None:
    desk.set(oauth_account_claim="name")
    with pytest.raises(InvalidToken):
        await desk.name(name=value)


async def test_a_name_without_an_account_is_refused_like_any_token(desk: Desk) -> None:
    texts = set()
    for given in (desk.token(email="nobody@example.org"), desk.token(exp=1), b"opaque", b"\xff"):
        with pytest.raises(InvalidToken) as error:
            await desk.tokens.verify(given)
        texts.add(str(error.value))
    assert texts == {"the token is not valid here"}


async def test_the_account_that_is_asked_for_must_be_the_tokens(desk: Desk) -> None:
    assert await desk.name(b"ana@example.org")
    for other in (b"u1", b"Ana@example.org", b"ana@example.org ", b"\xff", b"x" * 2000):
        with pytest.raises(InvalidToken):
            await desk.name(other)


async def test_spellings_of_the_name_asked_for_are_one(desk: Desk) -> None:
    desk.accounts.names.append("señor")
    for form in ("señor", "sen\u0303or"):
        assert await desk.name(form.encode(), email="señor") == "señor"


@pytest.mark.parametrize(
    ("claims", "fits"),
    [
        ({"scope": "pop mail"}, True),
        ({"scope": "openid mail pop"}, True),
        ({"scp": "mail pop"}, True),
        ({"scp": ["mail", "pop"]}, True),
        ({"scope": "mail", "scp": ["pop"]}, True),
        ({"scope": "mail"}, False),
        ({"scope": "mailpop"}, False),
        ({"scope": "MAIL POP"}, False),
        ({"scope": 5}, False),
        ({"scp": {"mail": 1, "pop": 1}}, False),
        ({"scp": [["mail", "pop"]]}, False),
        ({}, False),
    ],
)
async def test_a_token_needs_all_scopes_that_are_asked_for(
    desk: Desk, claims: dict[str, Any], fits: bool
) -> None:
    assert await desk.name(**claims)
    desk.set(oauth_scope="mail pop")
    if fits:
        assert await desk.name(**claims)
    else:
        await desk.refused("scope", **claims)


@pytest.mark.parametrize("name", ["oauth_jwks", "oauth_issuer", "oauth_audience"])
async def test_without_source_issuer_or_audience_no_token_is_taken(desk: Desk, name: str) -> None:
    assert desk.settings.takes_bearer_tokens
    desk.set(**{name: ""})
    assert not desk.settings.takes_bearer_tokens
    await desk.refused("off")


async def test_a_token_of_a_new_key_is_taken_once_the_key_is_there(desk: Desk) -> None:
    new = ec_key("new")
    assert await desk.name()
    await desk.refused("key is not known", key=new)
    desk.path.write_bytes(key_set(KEY, new))
    desk.clock.move(token_keys.UNKNOWN_S)
    assert await desk.name(key=new)


async def test_a_token_of_a_key_that_was_withdrawn_is_refused(desk: Desk) -> None:
    assert await desk.name()
    desk.path.write_bytes(key_set(ec_key("new")))
    desk.clock.move(token_keys.FILE_AGE_S)
    await desk.keys.look()
    desk.clock.move(token_keys.UNKNOWN_S)
    await desk.refused("key is not known")


async def test_without_keys_a_token_is_neither_right_nor_wrong(desk: Desk) -> None:
    desk.path.unlink()
    with pytest.raises(ServiceUnavailable):
        await desk.name()


async def test_a_store_that_fails_is_no_wrong_token(desk: Desk) -> None:
    desk.accounts.failure = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await desk.name()


@pytest.mark.attack(24, "pop3")
async def test_a_token_ends_when_it_says_and_is_for_this_service_alone(
    desk: Desk,
) -> None:
    own = desk.token()
    for _ in range(2):  # within its time it may come again: clients keep it for an hour
        assert (await desk.tokens.verify(own)).name == "ana@example.org"
    await desk.refused("aud", aud="another service")
    await desk.refused("iss", iss="https://another.test")
    desk.clock.move(300 + jose.LEEWAY_S)
    with pytest.raises(InvalidToken, match="not valid here") as error:
        await desk.tokens.verify(own)
    assert "expired" in error.value.why


async def test_attack_25_a_token_of_a_deleted_account_opens_nothing(desk: Desk) -> None:
    own = desk.token()
    assert await desk.tokens.verify(own)
    desk.accounts.names.clear()
    with pytest.raises(InvalidToken):
        await desk.tokens.verify(own)


async def test_a_change_of_settings_holds_for_the_next_login(desk: Desk) -> None:
    assert await desk.name()
    desk.settings = replace(desk.settings, oauth_audience="other")
    await desk.refused("aud")

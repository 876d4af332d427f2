from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.settings import Settings
from pop3_service.supervisor.settings import SettingsDesk


@pytest.mark.parametrize("item", fields(Settings), ids=lambda item: item.name)
def test_every_setting_tells_what_it_is_and_its_default_is_in_range(item: Any) -> None:
    assert item.metadata["help"]
    assert Settings().changed({item.name: item.default}) == Settings()


@pytest.mark.parametrize(
    "values",
    [
        {"max_accounts": 0},
        {"max_accounts": -1},
        {"max_accounts": 2**63},
        {"max_accounts": "many"},
        {"max_accounts": True},
        {"max_accounts": None},
        {"max_connections": 0},
        {"idle_timeout_s": float("nan")},
        {"idle_timeout_s": float("inf")},
        {"idle_timeout_s": "soon"},
        {"login_idle_timeout_s": 0},
        {"min_login_delay_s": -1},
        {"max_login_delay_s": 61},
        {"min_login_delay_s": 20},
        {"max_login_delay_s": 1},
        {"transform_timeout_s": 0},
        {"oauth_scope": 3},
        {"transform": "wc"},
        {"plaintext_login": ""},
        {"plaintext_login": "maybe"},
        {"plaintext_login": True},
        {"language": "de"},
        {"language": ""},
        {"unicode_headers": "downgrade"},
        {"no_such": 1},
        {"oauth_jwks": "keys.json"},
        {"oauth_jwks": "http://issuer.test/keys"},
        {"oauth_jwks": "https://"},
        {"oauth_jwks": "https://user:secret@issuer.test/keys"},
        {"oauth_jwks": "https://issuer.test:x/keys"},
        {"oauth_jwks": "https://[::1/keys"},
        {"oauth_jwks": "file:///keys.json"},
        {"oauth_account_claim": " "},
        {"idle_timeout": 1},
    ],
)
def test_a_value_that_does_not_fit_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        Settings().changed(values)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"max_accounts": 0}, "max_accounts must be from 1 to 10000000"),
        ({"idle_timeout_s": 0}, "idle_timeout must be from 1 to 86400 seconds"),
        ({"idle_timeout_s": "soon"}, "idle_timeout is a number"),
        ({"language": "ES"}, "language is one of en, es"),
    ],
)
def test_a_refusal_names_the_setting_as_its_users_do(values: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        Settings().changed(values)
    assert str(error.value) == text


def test_one_wrong_value_leaves_all_as_they_were() -> None:
    before = Settings()
    with pytest.raises(InvalidArgument):
        before.changed({"max_connections": 5, "max_accounts": 0})
    assert before == Settings()


def test_numbers_are_read_from_text_as_a_flag_gives_them() -> None:
    changed = Settings().changed(
        {"max_accounts": "7", "idle_timeout_s": "1.5", "oauth_scope": " pop "}
    )
    assert (changed.max_accounts, changed.idle_timeout_s, changed.oauth_scope) == (7, 1.5, "pop")


def test_both_login_delays_can_change_at_once() -> None:
    changed = Settings().changed({"min_login_delay_s": 20, "max_login_delay_s": 30})
    assert (changed.min_login_delay_s, changed.max_login_delay_s) == (20, 30)


class Stored:
    """Values as they are in the database, in the order in which they were stored."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    async def load(self) -> dict[str, Any]:
        return self.values


async def loaded(**values: Any) -> Settings:
    desk = SettingsDesk(Stored(**values), None, None)  # type: ignore[arg-type]
    await desk.load()
    return desk.current


@pytest.mark.parametrize(("least", "most"), [(20, 40), (0.5, 1), (0, 0)])
async def test_stored_settings_that_fit_one_another_are_taken_in_any_order(
    least: float, most: float
) -> None:
    wanted = Settings(min_login_delay_s=least, max_login_delay_s=most)
    assert await loaded(min_login_delay_s=least, max_login_delay_s=most) == wanted
    assert await loaded(max_login_delay_s=most, min_login_delay_s=least) == wanted


async def test_a_stored_setting_that_fits_no_longer_is_left_out() -> None:
    assert await loaded(gone=1, max_accounts=0, apop=True) == Settings(apop=True)

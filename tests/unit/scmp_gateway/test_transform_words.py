"""Transforms as people write them, in both clients."""

from __future__ import annotations

import pytest

from pop3mgmt.transform_words import parse_canary, parse_percent, parse_version, show_version


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [("banner", "banner", 0), ("banner@2", "banner", 2), ("@7", "", 7), ("none", "none", 0)],
)
def test_a_version_is_a_name_and_a_number(text: str, name: str, version: int) -> None:
    assert parse_version(text) == (name, version)
    if version:
        assert show_version(name, version) == text


@pytest.mark.parametrize("text", ["", "@", "banner@", "banner@0", "a@-1", "a@x", "a@1@2", "a@²"])
def test_anything_else_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="is not a transform such as"):
        parse_version(text)


@pytest.mark.parametrize(
    ("text", "accounts", "share"),
    [
        ("10%", (), 10),
        ("ana", ("ana",), 0),
        ("ana,bob", ("ana", "bob"), 0),
        ("ana,100%,bob", ("ana", "bob"), 100),
    ],
)
def test_a_canary_is_for_accounts_and_a_share(
    text: str, accounts: tuple[str, ...], share: int
) -> None:
    assert parse_canary(text) == (accounts, share)


@pytest.mark.parametrize("text", ["", ",", "ana,", "5%,6%", "101%", "-1%", "1.5%", "x%", "%"])
def test_anything_else_is_no_canary(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_canary(text)


def test_a_percentage_has_its_sign() -> None:
    assert (parse_percent("0%"), parse_percent("5%"), parse_percent("100%")) == (0, 5, 100)
    with pytest.raises(ValueError, match="is not a percentage"):
        parse_percent("5")

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pop3_service.domain.account import NAME_MAX_OCTETS, AccountName, is_too_long
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.saslprep import prepare
from scale import EXAMPLES

TRICKS = st.sampled_from("./\\\0 ~%:@\u00ad\uff0f\uff0e\u2024\u2025\u2026\u200b\u00a0\u2028éא1")
TEXTS = st.one_of(st.text(max_size=40), st.text(TRICKS, max_size=8))


@settings(max_examples=EXAMPLES)
@given(TEXTS)
def test_a_name_that_is_taken_is_safe_as_one_folder(text: str) -> None:
    try:
        name = AccountName.parse(text)
    except InvalidArgument:
        return
    assert 1 <= len(name.encode()) <= NAME_MAX_OCTETS
    assert not set(name) & set("/\0 \r\n\t")
    assert not name.startswith(".")
    assert Path("/mail", name).parent == Path("/mail")
    assert all(c.isprintable() for c in name)


@settings(max_examples=EXAMPLES)
@given(TEXTS)
def test_preparing_a_name_again_changes_nothing(text: str) -> None:
    try:
        name = AccountName.parse(text)
    except InvalidArgument:
        return
    assert AccountName.parse(name) == name


@settings(max_examples=EXAMPLES)
@given(st.text(st.characters(max_codepoint=0x2FF, categories=["L", "M"]), min_size=1, max_size=20))
def test_composed_and_decomposed_spellings_are_one_name(text: str) -> None:
    spellings = []
    for form in ("NFC", "NFD"):
        try:
            spellings.append(AccountName.parse(unicodedata.normalize(form, text)))
        except InvalidArgument:
            spellings.append(None)
    assert spellings[0] == spellings[1]


@pytest.mark.parametrize(
    ("text", "prepared"),
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX")],
)
def test_the_examples_of_rfc_4013_are_prepared_as_it_says(text: str, prepared: str) -> None:
    assert prepare(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031"])
def test_the_examples_of_rfc_4013_that_are_errors_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"character|right-to-left"):
        prepare(text)


@pytest.mark.attack(28, "paths", "nul")
@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc",
        "a\0b",
        "a b",
        "a\r\nb",
        "\u00ad",
        "\uff0e\uff0e",
        "\uff0e\uff0e\uff0fetc",
        "\u2026",
        "a\u2028b",
        "a\u00a0b",
        "x" * 256,
        "é" * 128,
        "\ud800",
        "\u0627a\u0627",
    ],
)
def test_a_name_that_could_leave_its_folder_or_be_misread_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        AccountName.parse(text)


@pytest.mark.attack(28, "long")
def test_a_name_of_megabytes_is_refused_without_preparing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared: list[str] = []
    monkeypatch.setattr("pop3_service.domain.account.prepare", prepared.append)
    with pytest.raises(InvalidArgument, match="at most 255 octets"):
        AccountName.parse("é" * 1_000_000)
    assert prepared == []


@pytest.mark.parametrize(
    "text", ["a", "x" * 255, "a..b", "%2e%2e", "a@b.example", "señor", "~", "-rf"]
)
def test_an_unusual_name_that_does_no_harm_is_taken(text: str) -> None:
    assert AccountName.parse(text) == text


@pytest.mark.attack(28, "case")
def test_names_that_differ_by_case_are_two_names() -> None:
    assert AccountName.parse("Ana") != AccountName.parse("ana")


def test_a_text_that_grows_when_it_is_prepared_is_refused_by_what_it_would_be() -> None:
    """One character may become 18; of 1020 such each login would take 30 ms of everybody's time."""
    assert is_too_long("\ufdfa" * 341)
    assert is_too_long("\ufdfa" * 57)
    assert not is_too_long("\ufdfa" * 56)
    assert is_too_long("a" * 1021)
    assert not is_too_long("\uff41" * 255)
    assert AccountName.parse("\uff41" * 255) == "a" * 255
    with pytest.raises(InvalidArgument, match="at most 255 octets"):
        AccountName.parse("\ufdfa" * 341)

"""The tables are total, and SCMP.md speaks of everything in them."""

import re
from pathlib import Path

import pytest

import scmp_gateway
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from scmp_gateway.errors import CODE, HINTS, refusal
from scmp_gateway.verbs import VERBS, visible
from support.contract import MODULES

METHODS = {
    f"{service.name}/{method.name}"
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
OPTIONAL = re.compile(r"\[[^]]*\]")
SPECIFICATION = Path(scmp_gateway.__file__).parents[2] / "SCMP.md"
SEED = {
    "CAPA", "ALL_CONNEC", "CURR_CONNEC", "BYTES_TRANS", "USERS", "STATUS", "MAX_USERS",
    "DELETE_USER", "ADD_USER", "RESET_USER_PASSWORD", "CHANGE_PASSWORD", "TRANSFORM",
}  # fmt: skip


def test_every_reason_has_a_code() -> None:
    assert CODE.keys() == set(Reason)


@pytest.mark.parametrize("reason", HINTS)
def test_what_to_do_is_told_behind_what_was_refused_in_verbs_that_there_are(
    reason: Reason,
) -> None:
    told = refusal(ManagementError(reason, "no")).encode().decode()
    assert told == f"-ERR [{CODE[reason]}] no; {HINTS[reason]}\r\n"
    for word in re.findall(r"[A-Z_]{2,}", HINTS[reason]):
        assert word in VERBS
    before_login = refusal(ManagementError(reason, "no"), logged_in=False).encode().decode()
    assert before_login == f"-ERR [{CODE[reason]}] no\r\n", "those verbs need a login"


def test_the_seeds_twelve_commands_are_there() -> None:
    assert VERBS.keys() > SEED


@pytest.mark.parametrize("name", VERBS)
def test_the_specification_gives_the_usage_of_every_verb(name: str) -> None:
    text = SPECIFICATION.read_text().replace("\\|", "|")
    assert f"`{VERBS[name].usage}`" in text


@pytest.mark.parametrize("code", sorted(set(CODE.values())))
def test_the_specification_explains_every_code(code: str) -> None:
    assert f"| `{code}` |" in SPECIFICATION.read_text()


def test_the_specification_has_no_verb_and_no_code_that_there_is_not() -> None:
    text = SPECIFICATION.read_text()
    verbs, codes = text.partition("## 5. Verbs")[2].split("## 6. Response codes")
    told = re.findall(r"^\| `([A-Z_]+)[ `]", verbs, re.MULTILINE)
    assert sorted(told) == sorted(VERBS)
    codes = codes.partition("## 7.")[0]
    assert set(re.findall(r"^\| `([A-Z-]+)`", codes, re.MULTILINE)) == {*CODE.values(), "TLS"}


def test_who_may_make_all_calls_of_a_verb_sees_it() -> None:
    everything = {call for verb in VERBS.values() for call in verb.calls}
    assert visible(everything).keys() == VERBS.keys()
    before = {"USER", "PASS", "AUTH_TOKEN", "STLS", "CAPA", "HELP", "NOOP", "QUIT"}
    assert visible(None).keys() == visible(set()).keys() == before
    lists = {"CURR_CONNEC", "SESSIONS"}
    assert visible({"SessionsService/ListSessions"}).keys() - before == lists
    both = {"SessionsService/ListSessions", "ServerService/GetStatus"}
    assert "ALL_CONNEC" in visible(both)


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_that_needs_a_login_names_its_calls(name: str) -> None:
    verb = VERBS[name]
    assert bool(verb.calls) is not verb.before_login
    assert set(verb.calls) | set(verb.also) <= METHODS


@pytest.mark.parametrize("name", VERBS)
def test_usage_begins_with_the_verb_and_names_its_arguments(name: str) -> None:
    verb = VERBS[name]
    assert verb.usage.split()[0] == name
    assert verb.fits(verb.least)
    assert not verb.fits(verb.least - 1)
    assert OPTIONAL.sub("", verb.usage).count("<") == verb.least


@pytest.mark.parametrize("name", VERBS)
def test_help_of_a_verb_fits_a_terminal_of_80_columns(name: str) -> None:
    verb = VERBS[name]
    first, *others = verb.explained()
    assert first.startswith(verb.usage)
    told = " ".join([first.removeprefix(verb.usage), *others])
    assert told.split() == verb.help.split()
    assert all(len(line) <= 80 for line in (first, *others))
    assert all(line.startswith("  ") for line in others)

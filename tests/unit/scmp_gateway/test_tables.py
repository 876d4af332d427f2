"""The tables are total, and SCMP.md speaks of everything in them."""

from pathlib import Path

import pytest

import scmp_gateway
from pop3mgmt.reasons import Reason
from scmp_gateway.errors import CODE
from scmp_gateway.verb import Role
from scmp_gateway.verbs import VERBS, visible

SPECIFICATION = Path(scmp_gateway.__file__).parents[2] / "SCMP.md"
SEED = {
    "CAPA", "ALL_CONNEC", "CURR_CONNEC", "BYTES_TRANS", "USERS", "STATUS", "MAX_USERS",
    "DELETE_USER", "ADD_USER", "RESET_USER_PASSWORD", "CHANGE_PASSWORD", "TRANSFORM",
}  # fmt: skip


def test_every_reason_has_a_code() -> None:
    assert CODE.keys() == set(Reason)


def test_the_seeds_twelve_commands_are_there() -> None:
    assert VERBS.keys() == SEED | {
        "USER", "PASS", "QUIT", "HELP", "NOOP", "RELOAD_CERTIFICATES", "RESTART_WORKERS",
        "IMPORT_UIDL", "APOP", "STLS",
    }  # fmt: skip


@pytest.mark.parametrize("name", VERBS)
def test_the_specification_gives_the_usage_of_every_verb(name: str) -> None:
    text = SPECIFICATION.read_text().replace("\\|", "|")
    assert f"`{VERBS[name].usage}`" in text


@pytest.mark.parametrize("code", sorted(set(CODE.values())))
def test_the_specification_explains_every_code(code: str) -> None:
    assert f"| `{code}` |" in SPECIFICATION.read_text()


def test_an_admin_sees_more_than_a_user_and_a_user_more_than_anyone() -> None:
    anyone, user, admin = (set(visible(role)) for role in Role)
    assert anyone < user < admin == set(VERBS)
    assert user - anyone == {"CURR_CONNEC", "CHANGE_PASSWORD"}


@pytest.mark.parametrize("name", VERBS)
def test_usage_begins_with_the_verb_and_names_its_arguments(name: str) -> None:
    verb = VERBS[name]
    assert verb.usage.split()[0] == name
    assert verb.fits(verb.least)
    assert not verb.fits(verb.least - 1)
    assert verb.usage.count("<") - verb.usage.count("[<") == verb.least

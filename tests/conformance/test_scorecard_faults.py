"""The scorecard on a server that is broken on purpose, one fault at a time.

Each fault is found by the rules that are about it, and by no others: ``stub/faults.py`` says
which these are.
"""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.scorecard.card import BINDING, Result, exit_status, play
from conformance.scorecard.catalogue import RULES
from conformance.scorecard.mail import Maildir
from conformance.scorecard.probe import Target
from conformance.scorecard.rules import Rule, Verdict
from conformance.stub.faults import FAULTS, NO_FAULT_FOR
from conformance.stub.server import Stub
from scale import RULES_BESIDE
from support.certificates import authority

PASSWORD = "two  blanks inside"
TIMEOUT_S = 6.0
Played = Callable[[str, list[Rule]], list[Result]]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    chain, key = authority().issue("stub.test").write(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


@pytest.fixture
def played(tls: ssl.SSLContext, tmp_path: Path) -> Played:
    def play_to(fault: str, rules: list[Rule]) -> list[Result]:
        maildir = Maildir(tmp_path / "ana")
        maildir.make()
        faults = frozenset({fault} if fault else ())
        with Stub(maildir.path, "ana", PASSWORD, tls, faults) as stub:
            clear, secured = stub.ports
            target = Target(
                "127.0.0.1", clear, "ana", PASSWORD, secured,
                maildir=maildir, timeout_s=TIMEOUT_S, flood=1 << 17,
            )  # fmt: skip
            return list(play(target, rules))

    return play_to


def broken(results: list[Result]) -> set[str]:
    return {it.name for it in results if it.verdict is Verdict.FAIL}


def beside(fault: str, wanted: set[str]) -> list[Rule]:
    """The rules that find a fault, and some of those that must not: others for each fault."""
    turn = list(FAULTS).index(fault)
    return [
        rule
        for number, rule in enumerate(RULES.values())
        if rule.name in wanted or (number + turn) % RULES_BESIDE == 0
    ]


def test_without_a_fault_every_rule_is_kept(played: Played) -> None:
    results = played("", list(RULES.values()))
    assert broken(results) == set(), "\n".join(it.line() for it in results)
    assert exit_status(results) == 0
    assert {it.told for it in results if it.verdict is Verdict.NOT_OFFERED} == {
        "CAPA does not name LOGIN-DELAY",
        "there are response codes",
        "AUTH-RESP-CODE is announced",
    }


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_rules_and_by_no_others(fault: str, played: Played) -> None:
    wanted = set(FAULTS[fault].split())
    results = played(fault, beside(fault, wanted))
    told = [it for it in results if (it.verdict is Verdict.FAIL) != (it.name in wanted)]
    assert broken(results) == wanted, "\n".join(it.line() for it in told)
    binding = any(RULES[name].level in BINDING for name in wanted)
    assert (exit_status(results) == 1) == binding


def test_every_rule_has_a_fault_that_it_finds_or_is_named() -> None:
    found = {name for names in FAULTS.values() for name in names.split()}
    assert found | NO_FAULT_FOR.keys() == RULES.keys()
    assert not found & NO_FAULT_FOR.keys()

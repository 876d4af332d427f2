"""The scorecard on the real service with what is off by default switched on."""

from dataclasses import replace
from pathlib import Path

from conformance.scorecard.__main__ import parser
from conformance.scorecard.card import BINDING, Result, play
from conformance.scorecard.catalogue import RULES
from conformance.scorecard.rules import Verdict
from conformance.test_scorecard import served, told
from pop3_service.domain.settings import Settings

DISAGREE = {  # the rules are about a server without what is there
    "there are response codes",
    "AUTH-RESP-CODE is announced",
    "a message that vanished brings no SYS code",
}


def reasons(results: list[Result], verdict: Verdict) -> set[str]:
    return {it.told for it in results if it.verdict is verdict}


def broken(results: list[Result]) -> list[Result]:
    return [it for it in results if it.level in BINDING and it.verdict is Verdict.FAIL]


def test_with_apop_and_in_spanish_every_rule_is_kept(tmp_path: Path) -> None:
    switches = {"POP3_APOP": "yes", "POP3_SCRAM": "yes", "POP3_LANGUAGE": "es"}
    with served(tmp_path, 0, **switches) as target:
        results = list(play(target, RULES.values()))
    assert not broken(results), told(broken(results))
    assert reasons(results, Verdict.UNSURE) == set()
    assert reasons(results, Verdict.NOT_OFFERED) == {"CAPA does not name LOGIN-DELAY", *DISAGREE}


def test_where_passwords_need_tls_every_rule_is_kept_after_stls(tmp_path: Path) -> None:
    with served(tmp_path, 0, POP3_PLAINTEXT_LOGIN="never") as target:
        results = list(play(replace(target, starttls=True, announced={}), RULES.values()))
    assert not broken(results), told(broken(results))
    assert reasons(results, Verdict.UNSURE) == {"no login in clear text"}
    assert "no name is taken in clear text" in reasons(results, Verdict.NOT_OFFERED)


def test_with_a_login_delay_it_is_announced_and_kept(tmp_path: Path) -> None:
    with served(tmp_path, 0, POP3_LOGIN_DELAY="1") as target:
        rules = [it for it in RULES.values() if it.name.startswith("2449-login-delay")]
        results = list(play(target, rules))
    assert [it.verdict for it in results] == [Verdict.PASS, Verdict.PASS], told(results)


def test_it_waits_for_the_latest_answer_to_a_wrong_login() -> None:
    given = parser().parse_args(["localhost", "110", "--user", "ana", "--password", "secret"])
    assert given.timeout >= Settings().max_login_delay_s * 2, "before the check, and after it"

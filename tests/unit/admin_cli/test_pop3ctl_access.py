"""What pop3ctl shows of rules, bans and verdicts."""

from __future__ import annotations

from admin_cli.access import ban_record, verdict_records
from pop3mgmt.v1 import access_pb2
from pop3mgmt.v1.access_pb2 import AddressRule, Ban, Ground, Suspension, Verdict
from unit.admin_cli.conftest import Tool


def test_why_is_asked_about_one_address_and_one_account(pop3ctl: Tool) -> None:
    for words in (["10.0.0.1", "10.0.0.2"], ["ana", "berta"], []):
        assert pop3ctl("why", *words).exit_code == 2


def test_a_verdict_without_grounds_says_that_nothing_is_against_it() -> None:
    verdict = Verdict(kind=access_pb2.ACCESS_KIND_POP3, allowed=True)
    [record] = verdict_records(verdict)
    assert (record["kind"], record["outcome"]) == ("pop3", "allowed")
    assert record["what"] == "nothing is against it"


def test_a_verdict_tells_each_ground_in_order_of_weight() -> None:
    rule = AddressRule(
        id=7, effect=AddressRule.EFFECT_DENY, network="10.0.0.0/8", subject="everyone", note="n"
    )
    verdict = Verdict(
        kind=access_pb2.ACCESS_KIND_MANAGEMENT,
        grounds=[
            Ground(ban=Ban(network="10.0.0.0/8", reason="r")),
            Ground(suspension=Suspension(account_name="ana")),
            Ground(rule=rule),
        ],
        other_rules=[rule],
    )
    told = [(it["rank"], it["what"], it["text"]) for it in verdict_records(verdict)]
    assert told == [
        ("decides", "ban of 10.0.0.0/8", "r"),
        ("then", "suspension of ana", ""),
        ("then", "rule 7: deny 10.0.0.0/8 for everyone", "n"),
        ("for others", "rule 7: deny 10.0.0.0/8 for everyone", "n"),
    ]
    assert {it["outcome"] for it in verdict_records(verdict)} == {"refused"}


def test_a_ban_for_ever_has_no_end() -> None:
    assert ban_record(Ban(network="10.0.0.1/32"))["end_time"] is None

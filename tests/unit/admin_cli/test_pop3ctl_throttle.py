from __future__ import annotations

import pytest

from pop3mgmt.v1.throttle_pb2 import Throttled
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import MADE, Service


@pytest.fixture
def throttled(service: Service) -> Service:
    service.throttled = [
        Throttled(network="192.0.2.0/24", failure_count=12),
        Throttled(account_name="alice", failure_count=2),
    ]
    for it, seconds in zip(service.throttled, (15, 4), strict=True):
        it.last_failure_time.seconds = MADE
        it.delay.seconds = seconds
    return service


def test_networks_and_accounts_are_listed_as_a_table(pop3ctl: Tool, throttled: Service) -> None:
    assert pop3ctl.ok("throttle", "list").splitlines() == [
        "NETWORK       ACCOUNT  FAILURES  LAST                 DELAY",
        "192.0.2.0/24  -              12  2026-01-01 00:00:00    15s",
        "-             alice           2  2026-01-01 00:00:00     4s",
    ]


def test_networks_and_accounts_are_listed_as_json(pop3ctl: Tool, throttled: Service) -> None:
    assert pop3ctl.json("throttle", "list")[1] == {
        "network": "",
        "account_name": "alice",
        "failure_count": 2,
        "last_failure_time": "2026-01-01T00:00:00Z",
        "delay": 4.0,
    }


def test_those_of_a_network_or_an_account_are_forgotten(pop3ctl: Tool, throttled: Service) -> None:
    assert pop3ctl.ok("throttle", "clear", "192.0.2.0/24") == "cleared: 1\n"
    assert pop3ctl.json("throttle", "clear", "--account", "alice") == {
        "address": None,
        "account_name": "alice",
        "cleared_count": 1,
    }
    assert throttled.throttled == []


@pytest.mark.parametrize("words", [[], ["192.0.2.7", "--account", "alice"]])
def test_clearing_needs_exactly_one_target(pop3ctl: Tool, words: list[str]) -> None:
    assert pop3ctl("throttle", "clear", *words).exit_code == 2

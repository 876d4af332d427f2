from __future__ import annotations

from pop3mgmt.v1.tokens_pb2 import AutomationToken
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import MADE, Service


def test_the_token_is_all_of_stdout(pop3ctl: Tool, service: Service) -> None:
    made = pop3ctl("tokens", "create", "ci", "--role", "auditor", "--expires", "90d")
    assert (made.exit_code, made.stdout) == (0, "valija_secret\n")
    assert made.stderr == 'token "ci", which is not shown again:\n'
    assert service.lifetimes_s == [90 * 86400]
    assert service.automation["ci"].role_name == "auditor"


def test_quiet_says_nothing_else(pop3ctl: Tool, service: Service) -> None:
    words = ("--network", "192.0.2.0/24", "--network", "2001:db8::/32", "--quiet")
    made = pop3ctl("tokens", "create", "ci", "--role", "auditor", *words)
    assert (made.stdout, made.stderr) == ("valija_secret\n", "")
    assert service.lifetimes_s == [0]
    assert list(service.automation["ci"].networks) == ["192.0.2.0/24", "2001:db8::/32"]


def test_the_token_as_json(pop3ctl: Tool) -> None:
    assert pop3ctl.json("tokens", "create", "ci", "--role", "auditor") == {
        "name": "ci",
        "role": "auditor",
        "networks": [],
        "created_by": "admin",
        "create_time": "2026-01-01T00:00:00Z",
        "expire_time": None,
        "last_use_time": None,
        "last_use_address": "",
        "secret": "valija_secret",
    }


def test_tokens_are_listed(pop3ctl: Tool, service: Service) -> None:
    assert pop3ctl.json("tokens", "list") == []
    used = AutomationToken(
        name="ci",
        role_name="auditor",
        networks=["192.0.2.0/24"],
        created_by="admin",
        last_use_address="192.0.2.7",
    )
    used.expire_time.seconds = MADE + 86400
    used.last_use_time.seconds = MADE
    service.automation = {"ci": used, "b": AutomationToken(name="b", role_name="admin")}
    rows = [line.split() for line in pop3ctl.ok("tokens", "list").splitlines()]
    assert rows[1] == [
        *("ci", "auditor", "192.0.2.0/24", "2026-01-02", "00:00:00"),
        *("2026-01-01", "00:00:00", "192.0.2.7", "admin"),
    ]
    assert rows[2] == ["b", "admin", "any", "never", "-", "-"]


def test_a_token_is_revoked_once(pop3ctl: Tool, service: Service) -> None:
    service.automation["ci"] = AutomationToken(name="ci")
    assert pop3ctl.ok("tokens", "revoke", "ci") == 'revoked token "ci"\n'
    assert service.automation == {}
    assert pop3ctl("tokens", "revoke", "ci").exit_code == 6


def test_a_token_needs_a_role(pop3ctl: Tool) -> None:
    assert pop3ctl("tokens", "create", "ci").exit_code == 2
    assert pop3ctl("tokens", "create", "ci", "--role", "auditor", "--expires", "x").exit_code == 2

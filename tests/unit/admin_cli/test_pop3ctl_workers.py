from __future__ import annotations

import json

import pytest

from pop3mgmt.reasons import Reason
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import Service


def test_a_restart_tells_how_many_were_replaced(pop3ctl: Tool) -> None:
    assert pop3ctl.ok("workers", "restart") == "replaced 2 workers\n"
    assert pop3ctl.json("workers", "restart") == {"worker_count": 2}


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.WORKERS_BUSY, 10),
        (Reason.INVALID_ARGUMENT, 3),
        (Reason.PERMISSION_DENIED, 5),
        (Reason.SERVICE_UNAVAILABLE, 10),
    ],
)
def test_a_restart_that_is_refused_says_why(
    pop3ctl: Tool, service: Service, reason: Reason, code: int
) -> None:
    service.refusal = reason
    result = pop3ctl("workers", "restart", "--json")
    assert result.exit_code == code
    assert json.loads(result.stderr)["error"]["reason"] == reason.value


def test_who_is_told_that_workers_are_busy_is_told_where_to_look(
    pop3ctl: Tool, service: Service
) -> None:
    service.refusal = Reason.WORKERS_BUSY
    assert "pop3ctl status" in pop3ctl("workers", "restart").stderr

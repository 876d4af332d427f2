from __future__ import annotations

import json

from pop3mgmt.reasons import Reason
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import Service


def test_certificates_are_listed_as_a_table(pop3ctl: Tool) -> None:
    assert pop3ctl.ok("certificates", "list").splitlines() == [
        "NAMES                        DEFAULT  EXPIRES              ISSUER        FILE",
        "mail.example,*.mail.example  yes      2026-04-01 00:00:00  CN=Authority"
        "  /tls/fullchain.pem",
    ]


def test_certificates_are_listed_as_json_under_the_contracts_names(
    pop3ctl: Tool, service: Service
) -> None:
    [found] = pop3ctl.json("certificates", "list")
    assert found.keys() == set(service.certificates[0].DESCRIPTOR.fields_by_name)
    assert found["names"] == ["mail.example", "*.mail.example"]
    assert found["not_after_time"] == "2026-04-01T00:00:00Z"
    assert (found["is_default"], found["self_signed"]) == (True, False)


def test_without_certificates_the_list_is_empty(pop3ctl: Tool, service: Service) -> None:
    service.certificates.clear()
    assert pop3ctl.json("certificates", "list") == []
    assert len(pop3ctl.ok("certificates", "list").splitlines()) == 1


def test_a_reload_lists_what_is_in_force_then(pop3ctl: Tool) -> None:
    rows = pop3ctl.ok("certificates", "reload").splitlines()
    assert [row.split()[0] for row in rows[1:]] == ["mail.example,*.mail.example", "new.example"]


def test_a_bad_certificate_is_told_with_its_file(pop3ctl: Tool, service: Service) -> None:
    service.refusal = Reason.CERTIFICATE_INVALID
    result = pop3ctl("certificates", "reload", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stderr)["error"]["reason"] == "CERTIFICATE_INVALID"

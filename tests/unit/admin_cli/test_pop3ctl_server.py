from __future__ import annotations

import json

import pytest

from admin_cli.output import size
from pop3mgmt.durations import parse_duration, show_duration
from pop3mgmt.v1.server_pb2 import Settings
from pop3mgmt.v1.transform_activations_pb2 import TRANSFORM_MODE_CANARY, TRANSFORM_MODE_SHADOW
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import Service, certificate
from unit.admin_cli.transform_activations import activation


def test_status_is_readable(pop3ctl: Tool) -> None:
    result = pop3ctl("status")
    lines = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    facts = {name: value.strip() for name, value in lines.items()}
    assert facts["Up for"] == "1h30m"
    assert facts["Sent"] == "5.0 MiB"
    assert facts["Connections now"] == "3"
    assert facts["Transform"] == "off"
    assert (facts["Transforms active"], facts["Being tried"]) == ("0", "-")
    assert (facts["Canaries given up"], facts["Sandbox"]) == ("0", "-")
    assert facts["Transformed mail"] == "none"
    assert facts["Certificates"] == "none, TLS is off"
    assert result.stderr == "warning: the default password of admin is in place\n"


def test_status_as_json_has_the_contracts_names(pop3ctl: Tool, service: Service) -> None:
    found = pop3ctl.json("status")
    assert found.keys() == {*service.status.DESCRIPTOR.fields_by_name, "uptime_seconds"}
    assert found["start_time"] == "2026-01-01T00:00:00Z"
    assert found["uptime_seconds"] == 5400
    assert found["warnings"] == ["the default password of admin is in place"]


def test_status_tells_what_is_being_tried(pop3ctl: Tool, service: Service) -> None:
    transforms = service.status.transforms
    transforms.activation_count, transforms.given_up_canary_count = 3, 1
    transforms.isolation = "Landlock ABI 7; held back: files"
    canary = activation("everyone", TRANSFORM_MODE_CANARY)
    canary.share_percent, canary.counts.run_count, canary.counts.failure_count = 10, 30, 1
    shadow = activation("role:user", TRANSFORM_MODE_SHADOW)
    transforms.trials.extend([canary, shadow])
    lines = dict(line.split("  ", 1) for line in pop3ctl.ok("status").splitlines())
    facts = {name: value.strip() for name, value in lines.items()}
    assert facts["Being tried"] == (
        "everyone: banner@2, canary 10%, 30 runs, 1 failed;"
        " role:user: banner@2, shadow, 0 runs, 0 failed, 0 differ"
    )
    assert (facts["Transforms active"], facts["Canaries given up"]) == ("3", "1")
    assert facts["Sandbox"] == "Landlock ABI 7; held back: files"
    found = pop3ctl.json("status")["transforms"]
    assert found.keys() == set(transforms.DESCRIPTOR.fields_by_name)
    assert [it["mode"] for it in found["trials"]] == ["canary", "shadow"]


def test_status_tells_until_when_the_management_port_can_speak_tls(
    pop3ctl: Tool, service: Service
) -> None:
    def told() -> str:
        lines = pop3ctl.ok("status").splitlines()
        return next(it for it in lines if it.startswith("gRPC TLS until"))

    assert told().endswith(" -")
    service.status.management_certificate_not_after_time.seconds = 1_775_044_800
    assert told().endswith(" 2026-04-01 12:00:00")
    found = pop3ctl.json("status")["management_certificate_not_after_time"]
    assert found == "2026-04-01T12:00:00Z"


def test_status_tells_of_transformed_mail(pop3ctl: Tool, service: Service) -> None:
    assert pop3ctl.json("status")["transformed_mail"] is None
    mail = service.status.transformed_mail
    mail.used_bytes, mail.limit_bytes, mail.done_count = 3 << 20, 1 << 30, 5
    line = next(it for it in pop3ctl.ok("status").splitlines() if it.startswith("Transformed"))
    assert line.split("  ")[-1].strip() == "3.0 MiB of 1.0 GiB"
    mail.ahead, mail.waiting_count, mail.failed_count = True, 2, 1
    line = next(it for it in pop3ctl.ok("status").splitlines() if it.startswith("Transformed"))
    assert line.endswith("3.0 MiB of 1.0 GiB; as it arrives: 2 waiting, 5 done, 1 failed")
    found = pop3ctl.json("status")["transformed_mail"]
    assert found.keys() == set(mail.DESCRIPTOR.fields_by_name)
    assert found["waiting_count"] == 2


def test_status_tells_until_when_certificates_are_good(pop3ctl: Tool, service: Service) -> None:
    service.status.certificates.append(service.certificates[0])
    service.status.certificates.append(certificate("other.example"))
    assert pop3ctl.ok("status").splitlines()[-1].split("  ")[-1].strip() == (
        "mail.example, *.mail.example until 2026-04-01 00:00:00;"
        " other.example until 2026-04-01 00:00:00"
    )
    first, second = pop3ctl.json("status")["certificates"]
    assert [first] == pop3ctl.json("certificates", "list")
    assert second == {**first, "names": ["other.example"], "is_default": False}


def test_a_watched_status_is_a_growing_table(pop3ctl: Tool, service: Service) -> None:
    header, first, second = pop3ctl.ok("status", "--watch", "--interval", "250ms").splitlines()
    assert header.split()[0] == "TIME"
    assert first == second
    assert first.startswith("2026-01-01 01:30:00            3")
    assert service.watch_interval_s == 0.25


def test_a_watched_status_is_one_json_object_a_line(pop3ctl: Tool) -> None:
    lines = pop3ctl.ok("status", "--watch", "--json").splitlines()
    assert [json.loads(line)["version"] for line in lines] == ["1.2.3", "1.2.3"]


@pytest.mark.parametrize("interval", ["0.05", "soon"])
def test_an_interval_that_cannot_be_is_wrong_usage(pop3ctl: Tool, interval: str) -> None:
    assert pop3ctl("status", "--watch", "--interval", interval).exit_code == 2


def test_settings_are_listed(pop3ctl: Tool) -> None:
    rows = dict(
        line.split(maxsplit=1)
        for line in pop3ctl.ok("settings", "get").splitlines()
        if len(line.split()) == 2
    )
    assert rows["NAME"] == "VALUE"
    assert rows["max_accounts"] == "100"
    assert rows["idle_timeout"] == "10m"
    assert rows["min_login_delay"] == "0.5s"


def test_settings_as_json_are_all_and_in_seconds(pop3ctl: Tool) -> None:
    found = pop3ctl.json("settings", "get")
    assert found.keys() == set(Settings.DESCRIPTOR.fields_by_name)
    assert (found["idle_timeout"], found["min_login_delay"]) == (600, 0.5)


def test_one_setting_is_shown_alone(pop3ctl: Tool) -> None:
    assert pop3ctl.ok("settings", "get", "idle_timeout") == "10m\n"
    assert pop3ctl.json("settings", "get", "max_accounts") == {"max_accounts": 100}


def test_settings_are_changed_and_only_these(pop3ctl: Tool, service: Service) -> None:
    found = pop3ctl.json("settings", "set", "max_accounts=500", "idle_timeout=1h30m")
    assert found["max_accounts"] == 500
    assert service.settings.idle_timeout.seconds == 5400
    assert service.settings.max_connections == 1000


def test_changed_settings_are_shown(pop3ctl: Tool) -> None:
    told = pop3ctl.ok("settings", "set", "max_login_delay=1.5")
    lines = [line.split() for line in told.splitlines()]
    assert lines == [["NAME", "VALUE"], ["max_login_delay", "1.5s"]], "those, and no others"


@pytest.mark.parametrize("words", [["get", "max_acounts"], ["set", "max_acounts=1"]])
def test_an_unknown_setting_names_those_that_are(pop3ctl: Tool, words: list[str]) -> None:
    result = pop3ctl("settings", *words)
    assert result.exit_code == 2
    for name in Settings.DESCRIPTOR.fields_by_name:
        assert name in result.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    "word",
    [
        "max_accounts",
        "max_accounts=",
        "max_accounts=²",
        "max_accounts=1e3",
        "max_accounts=2147483648",
        "idle_timeout=long",
        "idle_timeout=-1s",
        "idle_timeout=",
    ],
)
def test_a_setting_that_cannot_be_read_is_wrong_usage(pop3ctl: Tool, word: str) -> None:
    assert pop3ctl("settings", "set", word).exit_code == 2


def test_a_setting_given_twice_is_wrong_usage(pop3ctl: Tool) -> None:
    assert pop3ctl("settings", "set", "max_accounts=1", "max_accounts=2").exit_code == 2


@pytest.mark.parametrize("seconds", [0, 0.5, 1, 1.5, 59, 60, 61.25, 600, 5400, 86400, 93784])
def test_a_duration_that_is_shown_can_be_set(seconds: float) -> None:
    assert parse_duration(show_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 * 1024**2, "5.0 MiB"),
        (3 * 1024**4, "3.0 TiB"),
        (2048 * 1024**4, "2048.0 TiB"),
    ],
)
def test_sizes_are_in_the_unit_that_reads_best(octets: int, text: str) -> None:
    assert size(octets) == text


def test_times_that_are_not_known_are_a_dash(pop3ctl: Tool, service: Service) -> None:
    service.status.ClearField("start_time")
    assert "Started             -\n" in pop3ctl.ok("status")
    found = pop3ctl.json("status")
    assert (found["start_time"], found["uptime_seconds"]) == (None, 0)


def test_a_setting_can_be_text(pop3ctl: Tool, service: Service) -> None:
    pop3ctl.ok("settings", "set", "oauth_issuer=https://issuer.example/?a=b c")
    assert service.settings.oauth_issuer == "https://issuer.example/?a=b c"


def test_a_switch_is_on_or_off(pop3ctl: Tool, service: Service) -> None:
    assert pop3ctl.ok("settings", "get", "apop") == "off\n"
    assert pop3ctl.json("settings", "set", "apop=on")["apop"] is True
    assert service.settings.apop
    assert pop3ctl.ok("settings", "get", "apop") == "on\n"
    pop3ctl.ok("settings", "set", "apop=off")
    assert not service.settings.apop
    assert pop3ctl("settings", "set", "apop=perhaps").exit_code == 2

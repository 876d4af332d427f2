from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pop3_service.config import (
    GROUPS,
    OPTIONS,
    BadOption,
    Config,
    Option,
    misspelt,
    parser,
    read_config,
    setting_options,
)
from pop3_service.domain.settings import Settings

SAMPLES: dict[str, tuple[str, str, Any, Any]] = {
    "port": ("110", "111", 110, 111),
    "port_ipv6": ("6262", "6263", 6262, 6263),
    "port_tls": ("995", "996", 995, 996),
    "port_proxy": ("1112", "0", 1112, 0),
    "port_proxy_tls": ("1996", "0", 1996, 0),
    "proxy_from": (
        "10.0.0.0/8, 2001:db8::7",
        "192.0.2.1",
        ("10.0.0.0/8", "2001:db8::7"),
        ("192.0.2.1",),
    ),
    "shared_addresses": ("10.0.0.1", "10.0.0.0/24, ::1", ("10.0.0.1",), ("10.0.0.0/24", "::1")),
    "bind_ipv4": ("127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"),
    "bind_ipv6": ("::1", "::", "::1", "::"),
    "mail_dir": ("/var/mail", "/var/other", Path("/var/mail"), Path("/var/other")),
    "mail_path": ("{domain}/{local}", "{user}", "{domain}/{local}", "{user}"),
    "data_dir": ("/data", "/other", Path("/data"), Path("/other")),
    "transform": ("wc -l", "cat", "wc -l", "cat"),
    "spool_dir": ("/spool", "/other", Path("/spool"), Path("/other")),
    "transform_path": ("/a:/b", "/c", (Path("/a"), Path("/b")), (Path("/c"),)),
    "tls_cert": ("/a.pem", "/b.pem", Path("/a.pem"), Path("/b.pem")),
    "tls_key": ("/a.key", "/b.key", Path("/a.key"), Path("/b.key")),
    "tls_dir": ("/live", "/other", Path("/live"), Path("/other")),
    "oauth_ca": ("/a.pem", "/b.pem", Path("/a.pem"), Path("/b.pem")),
    "apop_key_file": ("/a.key", "/b.key", Path("/a.key"), Path("/b.key")),
    "audit_key_file": ("/a.key", "/b.key", Path("/a.key"), Path("/b.key")),
    "gateway_secret_file": ("/a.key", "/b.key", Path("/a.key"), Path("/b.key")),
    "workers": ("4", "2", 4, 2),
    "grpc_listen": ("0.0.0.0:1", "0.0.0.0:2", "0.0.0.0:1", "0.0.0.0:2"),
    "grpc_tls_cert": ("/a.pem", "/b.pem", Path("/a.pem"), Path("/b.pem")),
    "grpc_tls_key": ("/a.key", "/b.key", Path("/a.key"), Path("/b.key")),
    "grpc_client_ca": ("/a.pem", "/b.pem", Path("/a.pem"), Path("/b.pem")),
    "grpc_reflection": ("yes", "no", True, False),
    "host_name": ("mail.example", "other.example", "mail.example", "other.example"),
    "demo": ("yes", "no", True, False),
    "admin_bootstrap": ("secret", "change-first", "secret", "change-first"),
    "password_memory_kib": ("8", "16", 8, 16),
    "password_passes": ("1", "3", 1, 3),
    "log_level": ("debug", "error", "debug", "error"),
    "log_format": ("json", "logfmt", "json", "logfmt"),
}
"""Of each option: a flag's text, a variable's text, and what is read from each."""


def read(*words: str, environment: Mapping[str, str] | None = None) -> Config:
    return read_config(parser().parse_args(words), environment or {})


def words_of(option: Option) -> list[str]:
    text, _, value, _ = SAMPLES[option.name]
    return [option.flag] if value is True else [option.flag, text]


def test_the_samples_cover_every_option() -> None:
    assert SAMPLES.keys() == {option.name for option in OPTIONS}
    assert {option.name for option in OPTIONS} == {item.name for item in fields(Config)} - {
        "admin_password",
        "settings",
    }


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_option_is_read_from_its_flag(option: Option) -> None:
    assert getattr(read(*words_of(option)), option.name) == SAMPLES[option.name][2]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_option_is_read_from_its_variable(option: Option) -> None:
    config = read(environment={option.variable: SAMPLES[option.name][1]})
    assert getattr(config, option.name) == SAMPLES[option.name][3]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_a_flag_wins_over_a_variable(option: Option) -> None:
    config = read(*words_of(option), environment={option.variable: SAMPLES[option.name][1]})
    assert getattr(config, option.name) == SAMPLES[option.name][2]


@pytest.mark.parametrize(
    "option", [option for option in OPTIONS if option.name != "host_name"], ids=lambda o: o.name
)
def test_an_option_that_is_not_given_has_its_default(option: Option) -> None:
    assert getattr(read(), option.name) == option.default


def test_the_greeting_names_this_host_unless_told_otherwise() -> None:
    assert read().host_name


def test_the_service_that_the_task_asks_for_can_be_started() -> None:
    config = read("-p", "110", "-P", "6262", "-t", "wc", "-d", "/var/maildir")
    assert (config.port, config.port_ipv6, config.mail_dir) == (110, 6262, Path("/var/maildir"))
    assert (config.transform, config.settings) == ("wc", {})


def test_the_ports_are_1110_and_9090_without_flags() -> None:
    assert (read().port, read().port_ipv6) == (1110, 9090)


@pytest.mark.parametrize("option", setting_options(), ids=lambda option: option.name)
def test_a_setting_can_be_given_by_flag_and_by_variable(option: Option) -> None:
    name = next(i.name for i in fields(Settings) if i.name.removesuffix("_s") == option.name)
    assert read(option.flag, "7").settings == {name: "7"}
    assert read(environment={option.variable: "8"}).settings == {name: "8"}
    both = read(option.flag, "7", environment={option.variable: "8"})
    assert both.settings == {name: "7"}


def test_workers_can_be_as_many_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pop3_service.config.usable_cores", lambda: 3)
    assert read("--workers", "auto").workers == 3
    assert read("-w", "auto").workers == 3
    assert read(environment={"POP3_WORKERS": "auto"}).workers == 3


def test_an_empty_variable_means_no_port_for_proxies_and_none_of_them() -> None:
    config = read(environment={"POP3_PORT_PROXY": "", "POP3_PROXY_FROM": " "})
    assert (config.port_proxy, config.proxy_from) == (None, ())


def test_an_empty_variable_names_no_certificate() -> None:
    environment = {"POP3_TLS_CERT": "", "POP3_TLS_KEY": "", "POP3_TLS_DIR": ""}
    config = read(environment=environment)
    assert (config.tls_cert, config.tls_key, config.tls_dir) == (None, None, None)


def test_a_setting_that_is_not_given_is_no_change() -> None:
    assert read().settings == {}


def test_an_empty_transform_is_a_change_to_none() -> None:
    assert read("-t", "").transform == ""
    assert read(environment={"POP3_TRANSFORM": ""}).transform == ""
    assert read("-t", "wc", environment={"POP3_TRANSFORM": "cat"}).transform == "wc"


@pytest.mark.parametrize(
    "words",
    [
        ("-p", "65536"),
        ("-p", "-1"),
        ("-p", "pop3"),
        ("-p", "²"),
        ("-p", ""),
        ("-P", "1.5"),
        ("--workers", "many"),
        ("--workers", "+1"),
        ("--workers", "AUTO"),
        ("--password-passes", "0x1"),
    ],
)
def test_a_bad_value_is_refused_and_its_flag_named(words: tuple[str, str]) -> None:
    given = parser().parse_args([f"{words[0]}={words[1]}" if len(words[0]) > 2 else "".join(words)]
                                if words[1] else list(words))  # fmt: skip
    with pytest.raises(BadOption, match="--"):
        read_config(given, {})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("POP3_PORT", "x"),
        ("POP3_DEMO", "perhaps"),
        ("POP3_LOG_LEVEL", "loud"),
        ("POP3_LOG_FORMAT", "xml"),
        ("POP3_WORKERS", "-1"),
    ],
)
def test_a_bad_variable_is_refused_and_named(variable: str, value: str) -> None:
    with pytest.raises(BadOption, match=variable):
        read(environment={variable: value})


@pytest.mark.parametrize("words", [("--log-level", "loud"), ("--no-such",), ("extra",), ("-p",)])
def test_a_wrong_command_line_is_a_usage_error(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(words)
    assert end.value.code == 2


def test_a_variable_that_is_none_of_ours_is_found_and_what_it_looks_like() -> None:
    known = {option.variable: "1" for option in (*OPTIONS, *setting_options())}
    others = {"POP3CTL_USER": "ana", "POP3_MGMT_TARGET": "x", "POP3_ADMIN_PASSWORD_FILE": "x"}
    assert misspelt(known | others) == {}
    assert misspelt({**known, "POP3_MAX_CONECTIONS": "9", "POP3_XYZZY": "9"}) == {
        "POP3_MAX_CONECTIONS": "POP3_MAX_CONNECTIONS",
        "POP3_XYZZY": None,
    }


def test_help_lists_every_option_with_its_default() -> None:
    text = " ".join(parser().format_help().split())
    for option in (*OPTIONS, *setting_options()):
        assert option.flag in text
        if option.short:
            assert f"{option.short} " in text
    for default in ("1110", "9090", "1995", "127.0.0.1:50051", "19456", "0"):
        assert f"(default {default})" in text
    for initial in ("10000", "allow", "off", "0"):
        assert f"(at first {initial})" in text


def test_help_fits_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert [line for line in parser().format_help().splitlines() if len(line) > 80] == []


def test_every_option_is_told_with_its_subject() -> None:
    told = [name for names in GROUPS.values() for name in names]
    assert sorted(told) == sorted(option.name for option in OPTIONS)


def test_the_admin_password_comes_from_its_variable_or_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    assert read().admin_password is None
    assert read(environment={"POP3_ADMIN_PASSWORD": ""}).admin_password is None
    assert read(environment={"POP3_ADMIN_PASSWORD": "x"}).admin_password == "x"
    environment = {"POP3_ADMIN_PASSWORD_FILE": str(secret), "POP3_ADMIN_PASSWORD": "x"}
    assert read(environment=environment).admin_password == "from a file"


def test_no_flag_takes_a_secret() -> None:
    assert "--admin-password" not in parser().format_help()
    with pytest.raises(SystemExit):
        parser().parse_args(["--admin-password", "x"])


@pytest.mark.parametrize("octets", [None, b"\xff\xfe"], ids=["missing", "not text"])
def test_a_secret_file_that_cannot_be_read_is_told(tmp_path: Path, octets: bytes | None) -> None:
    path = tmp_path / "secret"
    if octets is not None:
        path.write_bytes(octets)
    with pytest.raises(BadOption, match="POP3_ADMIN_PASSWORD_FILE"):
        read(environment={"POP3_ADMIN_PASSWORD_FILE": str(path)})


def test_a_secret_in_the_environment_that_is_no_text_is_a_clear_error() -> None:
    with pytest.raises(BadOption, match="POP3_ADMIN_PASSWORD: it is not text"):
        read(environment={"POP3_ADMIN_PASSWORD": os.fsdecode(b"pass\xff")})
    assert read(environment={"POP3_ADMIN_PASSWORD": "contraseña"}).admin_password == "contraseña"


def test_the_configuration_does_not_print_the_secret() -> None:
    assert "hush" not in repr(read(environment={"POP3_ADMIN_PASSWORD": "hush"}))


def test_the_first_admins_secret_comes_from_a_file_alone_once_it_is_asked_for(
    tmp_path: Path,
) -> None:
    variables = {"POP3_ADMIN_PASSWORD": "in a variable"}
    assert read(environment=variables).admin_password == "in a variable"
    variables["POP3_ADMIN_BOOTSTRAP"] = "secret"
    assert read(environment=variables).admin_password is None
    (tmp_path / "secret").write_text("in a file\n")
    variables["POP3_ADMIN_PASSWORD_FILE"] = str(tmp_path / "secret")
    assert read(environment=variables).admin_password == "in a file"


def test_an_unknown_way_to_make_the_first_admin_is_refused() -> None:
    with pytest.raises(BadOption, match="default, change-first, secret"):
        read(environment={"POP3_ADMIN_BOOTSTRAP": "no"})

"""Start-up options: flag, variable and default of each, declared once."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineproto.networks import Networks
from lineproto.variables import unknown_variables
from scmp_gateway import __version__

POLICIES = ("allow", "local", "never")
"""Passwords outside TLS: from everyone, from this host alone, or from nobody."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the gateway is started with. Times are in seconds."""

    bind: str
    port: int
    service: str
    host_name: str
    idle_timeout: float
    max_connections: int
    deadline: float
    log_format: str
    gateway_secret_file: Path | None
    port_tls: int
    tls_cert: Path | None
    tls_key: Path | None
    plaintext_login: str
    port_proxy: int | None
    proxy_from: tuple[str, ...]
    service_tls_ca: Path | None
    service_tls_cert: Path | None
    service_tls_key: Path | None
    service_tls_name: str


@dataclass(frozen=True, slots=True)
class Option:
    """One option. Its flag is ``--name``."""

    name: str
    variable: str
    default: Any
    read: Callable[[str], Any]
    help: str
    short: tuple[str, ...] = ()
    metavar: str = ""

    @property
    def meaning(self) -> str:
        """What it is for, with its default."""
        if self.default in ("", None, ()):
            return self.help
        shown = f"{self.default:g}" if isinstance(self.default, float) else self.default
        return f"{self.help} (default {shown})"


class BadOption(Exception):
    """An option's value cannot be used."""


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e9:
        raise ValueError("not a positive number")
    return number


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ValueError("a port is a number from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError("not a whole number above 0")
    return int(text)


def _policy(text: str) -> str:
    if text not in POLICIES:
        raise ValueError(f"use one of {', '.join(POLICIES)}")
    return text


def _format(text: str) -> str:
    if text not in ("logfmt", "json"):
        raise ValueError("use logfmt or json")
    return text


def _port_or_none(text: str) -> int | None:
    return _port(text) if text else None


def _networks(text: str) -> tuple[str, ...]:
    networks = tuple(filter(None, (part.strip() for part in text.split(","))))
    Networks(networks)
    return networks


def _path_or_none(text: str) -> Path | None:
    return Path(text) if text else None


METAVARS: dict[Callable[[str], Any], str] = {
    str: "TEXT",
    _positive: "SECONDS",
    _port: "PORT",
    _port_or_none: "PORT",
    _count: "N",
    _policy: "allow|local|never",
    _format: "logfmt|json",
    _networks: "NETWORK[,NETWORK]",
    _path_or_none: "FILE",
}

OPTIONS = (
    Option("bind", "SCMP_BIND", "127.0.0.1", str, "address to listen on", metavar="ADDRESS"),
    Option("port", "SCMP_PORT", 1111, _port, "port to listen on", ("-p",)),
    Option(
        "service",
        "POP3_MGMT_TARGET",
        "127.0.0.1:50051",
        str,
        "the service's gRPC address",
        metavar="HOST:PORT",
    ),
    Option(
        "host_name",
        "SCMP_HOST_NAME",
        "",
        str,
        "name in the greeting (default this host's)",
        metavar="NAME",
    ),
    Option(
        "idle_timeout",
        "SCMP_IDLE_TIMEOUT",
        600.0,
        _positive,
        "silence after which a connection closes",
    ),
    Option("max_connections", "SCMP_MAX_CONNECTIONS", 1000, _count, "connections at a time"),
    Option("deadline", "SCMP_DEADLINE", 10.0, _positive, "how long a call may take"),
    Option("log_format", "SCMP_LOG_FORMAT", "logfmt", _format, "how to log"),
    Option(
        "gateway_secret_file",
        "SCMP_GATEWAY_SECRET_FILE",
        Path("var/gateway.secret"),
        _path_or_none,
        "what proves the gateway to the service, to pass on clients' addresses; the service"
        " makes it",
    ),
    Option("port_tls", "SCMP_PORT_TLS", 1112, _port, "port where TLS begins at once"),
    Option("tls_cert", "SCMP_TLS_CERT", None, _path_or_none, "certificate and chain in PEM"),
    Option(
        "tls_key",
        "SCMP_TLS_KEY",
        None,
        _path_or_none,
        "its key in PEM, where it is not in the same file",
    ),
    Option(
        "plaintext_login",
        "SCMP_PLAINTEXT_LOGIN",
        "allow",
        _policy,
        "who may send a password or token in clear text: allow (all), local (only from this"
        " host), never",
    ),
    Option(
        "port_proxy",
        "SCMP_PORT_PROXY",
        None,
        _port_or_none,
        "port for proxies that send a PROXY header",
    ),
    Option(
        "proxy_from",
        "SCMP_PROXY_FROM",
        (),
        _networks,
        "where proxies connect from, as 10.0.0.0/24,2001:db8::7",
    ),
    Option(
        "service_tls_ca",
        "SCMP_SERVICE_TLS_CA",
        None,
        _path_or_none,
        "speak TLS with the service; authorities in PEM that vouch for it",
    ),
    Option(
        "service_tls_cert",
        "SCMP_SERVICE_TLS_CERT",
        None,
        _path_or_none,
        "certificate in PEM to show to the service",
    ),
    Option("service_tls_key", "SCMP_SERVICE_TLS_KEY", None, _path_or_none, "its key in PEM"),
    Option(
        "service_tls_name",
        "SCMP_SERVICE_TLS_NAME",
        "",
        str,
        "name in the service's certificate, where it is not that of its address",
        metavar="NAME",
    ),
)


def parser() -> argparse.ArgumentParser:
    """Make the command line's parser out of the options."""
    made = argparse.ArgumentParser(
        prog="scmp-gateway",
        usage="scmp-gateway [OPTIONS]",
        description="Valija's SCMP gateway: management over telnet, translated to gRPC.",
        epilog="Each option names its variable; the option wins. Then: telnet localhost 1111, and"
        " HELP.",
    )
    made.add_argument("--version", action="version", version=f"Valija {__version__}")
    made.add_argument("--check", action="store_true", help="greet a running gateway; exit 0 or 1")
    for option in OPTIONS:
        made.add_argument(
            *option.short,
            "--" + option.name.replace("_", "-"),
            dest=option.name,
            metavar=option.metavar or METAVARS[option.read],
            help=f"{option.meaning}; {option.variable}",
        )
    return made


def misspelt(environment: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """Give the variables that begin as ours and are none, each with the one it looks like."""
    return unknown_variables(environment, "SCMP_", {option.variable for option in OPTIONS})


def read_config(given: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Config:
    """Put flags, variables and defaults together; a flag wins over a variable.

    Raises:
        BadOption: a value cannot be read.
    """
    values = {}
    for option in OPTIONS:
        text = getattr(given, option.name)
        if text is None:
            text = environment.get(option.variable)
        try:
            values[option.name] = option.default if text is None else option.read(text)
        except ValueError as error:
            raise BadOption(f"{option.name}: {error}") from None
    values["host_name"] = values["host_name"] or socket.getfqdn()
    if values["port_proxy"] is not None and not values["proxy_from"]:
        raise BadOption("port_proxy: proxy_from has to say where proxies connect from")
    if values["tls_key"] and not values["tls_cert"]:
        raise BadOption("tls_key: it is given without tls_cert")
    if not values["service_tls_ca"]:
        for name in ("service_tls_cert", "service_tls_key", "service_tls_name"):
            if values[name]:
                raise BadOption(f"{name}: it is given without service_tls_ca")
    if values["plaintext_login"] == "never" and not values["tls_cert"]:
        raise BadOption("plaintext_login: never, without tls_cert, lets nobody log in")
    return Config(**values)

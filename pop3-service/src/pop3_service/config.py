"""Start-up options: flag, variable and default of each, declared once.

``Config`` is fixed at start. A flag or variable that names a setting is no part of it: it is
written as a change by the command line, and without it the stored value stands; so with the
transform.
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lineproto.networks import Networks
from lineproto.variables import unknown_variables
from pop3_service.cores import usable_cores
from pop3_service.domain.settings import Settings
from pop3_service.maildir.paths import DEFAULT_TEMPLATE

DEFAULT, CHANGE_FIRST, SECRET = ADMIN_BOOTSTRAPS = ("default", "change-first", "secret")
"""How the first admin is made: with the password that everybody knows; with that one, to be changed
before anything else; with one of the operator's own, or not at all."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the service is started with. ``settings`` holds only those that were given."""

    port: int
    port_ipv6: int
    port_tls: int
    port_proxy: int | None
    port_proxy_tls: int | None
    proxy_from: tuple[str, ...]
    shared_addresses: tuple[str, ...]
    bind_ipv4: str
    bind_ipv6: str
    mail_dir: Path
    mail_path: str
    data_dir: Path
    spool_dir: Path | None
    transform_path: tuple[Path, ...]
    tls_cert: Path | None
    tls_key: Path | None
    tls_dir: Path | None
    oauth_ca: Path | None
    apop_key_file: Path | None
    audit_key_file: Path | None
    gateway_secret_file: Path | None
    workers: int
    grpc_listen: str
    grpc_tls_cert: Path | None
    grpc_tls_key: Path | None
    grpc_client_ca: Path | None
    grpc_reflection: bool
    host_name: str
    demo: bool
    password_memory_kib: int
    password_passes: int
    log_level: str
    log_format: str
    admin_bootstrap: str = DEFAULT
    admin_password: str | None = field(default=None, repr=False)
    transform: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Option:
    """One start-up option."""

    name: str
    default: Any
    read: Callable[[str], Any]
    help: str
    short: str | None = None
    metavar: str = ""
    choices: Sequence[str] | None = None

    @property
    def flag(self) -> str:
        """The long form."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "POP3_" + self.name.upper()

    @property
    def meaning(self) -> str:
        """What it is for, with its default."""
        default = _shown(self.default)
        return f"{self.help} (default {default})" if default else self.help


VARIABLES_ALONE = frozenset({"POP3_ADMIN_PASSWORD", "POP3_ADMIN_PASSWORD_FILE"})
"""They have no flag."""
VARIABLES_OF_OTHERS = frozenset({"POP3_MGMT_TARGET", "POP3_NOFILE", "POP3_PIDS"})
"""Those of the gateway, and of the compose files."""


class BadOption(Exception):
    """An option's value cannot be used."""


def _shown(default: Any) -> str:
    """Write a default as it would be given; nothing for one that needs no word."""
    if default is None or default is False or default == ():
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= 65535:
        raise ValueError("a port is a number from 0 to 65535")
    return number


def _port_or_none(text: str) -> int | None:
    return _port(text) if text else None


def _networks(text: str) -> tuple[str, ...]:
    networks = tuple(filter(None, (part.strip() for part in text.split(","))))
    Networks(networks)
    return networks


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("not a whole number")
    return int(text)


def _workers(text: str) -> int:
    if text == "auto":
        return usable_cores()
    if not (text.isascii() and text.isdigit()):
        raise ValueError("not a whole number, nor auto")
    return int(text)


def _paths(text: str) -> tuple[Path, ...]:
    paths = tuple(Path(part) for part in text.split(":") if part)
    if any(not path.is_absolute() for path in paths):
        raise ValueError("a folder is given from the root, as /srv/filters")
    return paths


def _path_or_none(text: str) -> Path | None:
    return Path(text) if text else None


def _flag(text: str) -> bool:
    if text.lower() not in ("", "0", "1", "false", "true", "no", "yes", "off", "on"):
        raise ValueError("use yes or no")
    return text.lower() in ("1", "true", "yes", "on")


OPTIONS: tuple[Option, ...] = (
    Option("port", 1110, _port, "POP3 port on IPv4", "-p", "PORT"),
    Option("port_ipv6", 9090, _port, "POP3 port on IPv6; takes IPv4 too", "-P", "PORT"),
    Option("port_tls", 1995, _port, "implicit TLS port (RFC 8314), on both addresses",
           metavar="PORT"),
    Option("port_proxy", None, _port_or_none, "POP3 port for proxies that send a PROXY header, on"
           " both addresses", metavar="PORT"),
    Option("port_proxy_tls", None, _port_or_none, "the same with implicit TLS behind the header",
           metavar="PORT"),
    Option("proxy_from", (), _networks, "where proxies connect from, as 10.0.0.0/24,2001:db8::7",
           metavar="NETWORK[,NETWORK]"),
    Option("shared_addresses", (), _networks, "addresses that many clients have in common, besides"
           " a container's gateway; never throttled or banned", metavar="NETWORK[,NETWORK]"),
    Option("bind_ipv4", "0.0.0.0", str, "IPv4 address to listen on", metavar="ADDRESS"),  # noqa: S104
    Option("bind_ipv6", "::", str, "IPv6 address to listen on", metavar="ADDRESS"),
    Option("mail_dir", Path("maildir-volume"), Path, "folder of the Maildirs", "-d", "DIR"),
    Option(
        "mail_path",
        DEFAULT_TEMPLATE,
        str,
        "an account's Maildir beneath it, such as {domain}/{local}/Maildir",
        metavar="PATH",
    ),
    Option("data_dir", Path("var"), Path, "folder of the database, the audit, keys and backups",
           metavar="DIR"),
    Option("transform", None, str, "a program, or more parted by |, that everybody's mail is passed"
           " through from this start on; stored like a setting, and empty for none", "-t",
           "COMMAND"),
    Option("spool_dir", None, Path, "folder for transformed mail (default DATA_DIR/spool)",
           metavar="DIR"),
    Option("transform_path", (), _paths, "folders that transforms may read, besides /usr and /opt",
           metavar="DIR[:DIR]"),
    Option("tls_cert", None, _path_or_none, "certificate and chain in PEM, leaf first",
           metavar="FILE"),
    Option("tls_key", None, _path_or_none, "its key in PEM, where it is not in the same file", None,
           "FILE"),
    Option("tls_dir", None, _path_or_none, "further certificates, chosen by the name a client asks"
           " for: in each sub-folder fullchain.pem and privkey.pem, as certbot lays them out",
           metavar="DIR"),
    Option("oauth_ca", None, _path_or_none, "authorities in PEM that vouch for the address of"
           " --oauth-jwks (default the system's)", metavar="FILE"),
    Option("apop_key_file", None, _path_or_none, "key that APOP's secrets are sealed with"
           " (default DATA_DIR/apop.key, which is made)", metavar="FILE"),
    Option("gateway_secret_file", None, _path_or_none, "what the gateway proves itself by, to pass"
           " on its clients' addresses (default DATA_DIR/gateway.secret, which is made)",
           metavar="FILE"),
    Option("audit_key_file", None, _path_or_none, "key that the audit's chain is made with"
           " (default DATA_DIR/audit.key, which is made)", metavar="FILE"),
    Option("workers", 0, _workers, "worker processes; 0 means one process for everything, auto one"
           " worker for each core that the service may use", "-w", "N"),
    Option("grpc_listen", "127.0.0.1:50051", str, "management address", metavar="ADDRESS:PORT"),
    Option("grpc_tls_cert", None, _path_or_none, "management in TLS: certificate and chain in PEM",
           metavar="FILE"),
    Option("grpc_tls_key", None, _path_or_none, "its key in PEM, where it is not in the same file",
           None, "FILE"),
    Option("grpc_client_ca", None, _path_or_none, "authorities in PEM: management clients must show"
           " a certificate that comes from them", metavar="FILE"),
    Option("grpc_reflection", False, _flag, "serve gRPC reflection"),
    Option("host_name", "", str, "name in the greeting (default this host's)", metavar="NAME"),
    Option("demo", False, _flag, "on a first start, make user1 to user3 with sample mail; without"
           " --tls-cert and --tls-dir, make a self-signed certificate"),
    Option("admin_bootstrap", DEFAULT, str, "the first admin, default, on a first start: with the"
           " password default; with that, to be changed before anything else; or with the secret in"
           " the file of POP3_ADMIN_PASSWORD_FILE, without which nothing starts", None,
           "|".join(ADMIN_BOOTSTRAPS), ADMIN_BOOTSTRAPS),
    Option("password_memory_kib", 19456, _count, "argon2id memory in KiB", metavar="KIB"),
    Option("password_passes", 2, _count, "argon2id passes", metavar="N"),
    Option("log_level", "info", str, "least level to log", None,
           "debug|info|warning|error",
           ("debug", "info", "warning", "error")),
    Option("log_format", "logfmt", str, "how to log", None, "logfmt|json",
           ("logfmt", "json")),
)  # fmt: skip

GROUPS: dict[str, tuple[str, ...]] = {
    "listening": ("port", "port_ipv6", "port_tls", "bind_ipv4", "bind_ipv6", "host_name"),
    "mail and data": ("mail_dir", "mail_path", "data_dir", "audit_key_file", "transform",
                      "transform_path", "spool_dir"),
    "TLS": ("tls_cert", "tls_key", "tls_dir"),
    "behind a proxy": ("port_proxy", "port_proxy_tls", "proxy_from", "shared_addresses"),
    "accounts and logins": ("demo", "admin_bootstrap", "password_memory_kib", "password_passes",
                            "apop_key_file", "oauth_ca"),
    "management": ("grpc_listen", "grpc_tls_cert", "grpc_tls_key", "grpc_client_ca",
                   "grpc_reflection", "gateway_secret_file"),
    "running": ("workers", "log_level", "log_format"),
}  # fmt: skip
"""The options by subject, as help and OPTIONS.md tell them."""


def setting_options() -> tuple[Option, ...]:
    """Give an option for each setting; a time is given in seconds, without the ``_s``."""
    return tuple(
        Option(
            item.name.removesuffix("_s"),
            None,
            str,
            f"{item.metadata['help']}{_initial(item)}",
            metavar=_metavar(item),
        )
        for item in fields(Settings)
    )


def _initial(setting: Field[Any]) -> str:
    """Say what holds until a setting is changed."""
    value = setting.default
    shown = ("on" if value else "off") if isinstance(value, bool) else _shown(value)
    return f" (at first {shown})" if shown else ""


def _metavar(setting: Field[Any]) -> str:
    """Say what a setting's value looks like."""
    if choices := setting.metadata.get("choices"):
        return "|".join(choices)
    if setting.name.endswith("_s"):
        return "SECONDS"
    if isinstance(setting.default, bool):
        return "on|off"
    return "TEXT" if isinstance(setting.default, str) else "N"


def parser() -> argparse.ArgumentParser:
    """Make the command line's parser out of the options."""
    made = argparse.ArgumentParser(
        prog="pop3d",
        usage="pop3d [OPTIONS]",
        description="Valija's POP3 service: RFC 1939 over Maildir, steered over gRPC.",
        epilog="Each option has a variable: --mail-dir is POP3_MAIL_DIR; the option wins. The first"
        " admin's password comes from POP3_ADMIN_PASSWORD or the file POP3_ADMIN_PASSWORD_FILE."
        " Example: pop3d -p 110 -P 6262 -t wc -d /var/maildir",
    )
    made.add_argument("--version", action="version", version=f"Valija {version('pop3-service')}")
    made.add_argument("--health", action="store_true", help="ask a running service; exit 0 or 1")
    made.add_argument(
        "--restore",
        metavar="FILE",
        help="put a backup in force in DATA_DIR, which no"
        " service may have open, and end; - is stdin",
    )
    by_name = {option.name: option for option in OPTIONS}
    for title, names in GROUPS.items():
        _add(made.add_argument_group(title), [by_name[name] for name in names])
    settings = made.add_argument_group(
        "settings",
        "Stored: one that is given is put in force at this start and stands at later ones. They can"
        " be changed while the service runs, by pop3ctl settings and by SCMP.",
    )
    _add(settings, setting_options())
    return made


def _add(group: argparse._ArgumentGroup, options: Sequence[Option]) -> None:
    for option in options:
        names = [name for name in (option.short, option.flag) if name]
        text = option.meaning.replace("%", "%%")
        if option.read is _flag:
            group.add_argument(*names, dest=option.name, action="store_const", const="yes",
                               help=text)  # fmt: skip
        else:
            group.add_argument(*names, dest=option.name, metavar=option.metavar, help=text,
                               choices=option.choices)  # fmt: skip


def read_config(given: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Config:
    """Put flags, variables and defaults together; a flag wins over a variable.

    Raises:
        BadOption: a value cannot be read.
    """
    values = {option.name: _value(option, given, environment) for option in OPTIONS}
    settings = {}
    for item, option in zip(fields(Settings), setting_options(), strict=True):
        value = _value(option, given, environment)
        if value is not None:
            settings[item.name] = value
    values["host_name"] = values["host_name"] or socket.getfqdn()
    if values["admin_bootstrap"] == SECRET:  # a variable can be read by who sees the process
        environment = {key: it for key, it in environment.items() if key != "POP3_ADMIN_PASSWORD"}
    return Config(**values, admin_password=_secret("POP3_ADMIN_PASSWORD", environment),
                  settings=settings)  # fmt: skip


def misspelt(environment: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """Give the variables that begin as ours and are none, each with the one it looks like."""
    options = {option.variable for option in (*OPTIONS, *setting_options())}
    return unknown_variables(environment, "POP3_", options | VARIABLES_ALONE | VARIABLES_OF_OTHERS)


def _value(option: Option, given: argparse.Namespace, environment: Mapping[str, str]) -> Any:
    text = getattr(given, option.name)
    source = option.flag
    if text is None:
        text, source = environment.get(option.variable), option.variable
        if text is None:
            return option.default
        if option.choices and text not in option.choices:
            raise BadOption(f"{source}: use one of {', '.join(option.choices)}")
    try:
        return option.read(text)
    except ValueError as error:
        raise BadOption(f"{source}: {error}") from None


def _secret(variable: str, environment: Mapping[str, str]) -> str | None:
    """Read a secret from a variable, or from the file that ``…_FILE`` names."""
    path = environment.get(variable + "_FILE")
    if path:
        try:
            return Path(path).read_text().rstrip("\r\n")
        except OSError as error:
            raise BadOption(f"{variable}_FILE: {error.strerror}") from None
        except UnicodeDecodeError:
            raise BadOption(f"{variable}_FILE: it is not text") from None
    text = environment.get(variable) or None
    if text is not None and not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # octets that are no UTF-8
            raise BadOption(f"{variable}: it is not text") from None
    return text

"""What is done with the service as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import Reply, World
from pop3mgmt.client import Caller
from pop3mgmt.setting_values import plain, shown
from pop3mgmt.v1.server_pb2 import Settings
from support.certificates import authority


def _certificate(folder: Path) -> None:
    authority().issue("mail.example").write(folder / "tls/a")


async def _another(world: World) -> Facts:
    authority().issue("other.example").write(world.folder / "tls/b")
    return {}


async def _status(caller: Caller, _: Facts) -> Any:
    return await caller.get_status()


async def _settings(caller: Caller, _: Facts) -> Any:
    return await caller.get_settings()


async def _set(caller: Caller, _: Facts) -> Any:
    wanted = Settings()
    wanted.idle_timeout.FromSeconds(900)
    return await caller.update_settings(wanted, ["idle_timeout"])


async def _set_maximum(caller: Caller, _: Facts) -> Any:
    return await caller.update_settings(Settings(max_accounts=7), ["max_accounts"])


async def _list_certificates(caller: Caller, _: Facts) -> Any:
    return await caller.list_certificates()


async def _reload(caller: Caller, _: Facts) -> Any:
    return await caller.reload_certificates()


async def _restart(caller: Caller, _: Facts) -> Any:
    return await caller.restart_workers()


def _value(reply: Reply) -> int:
    return int(reply.line.split()[1])


COUNTS = {
    "account_count": "accounts",
    "current_connection_count": "current-connections",
    "worker_count": "workers",
    "draining_worker_count": "draining-workers",
    "worker_restart_count": "worker-restarts",
    "refused_login_count": "refused-logins",
}


def _counts(reply: Reply) -> dict[str, Any]:
    told = dict(line.split(": ", 1) for line in reply.listing)
    return {"version": told["version"], **{key: int(told[COUNTS[key]]) for key in COUNTS}}


def _words(reply: Reply) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in reply.listing)


def _names(reply: Reply) -> list[str]:
    return [line.split()[0] for line in reply.listing]


def _as_words(settings: dict[str, Any]) -> dict[str, str]:
    return {name: shown(name, value) for name, value in settings.items()}


ABILITIES = [
    Ability(
        "ServerService/GetStatus",
        _status,
        "STATUS",
        ("status",),
        Answers(
            lambda status: {key: getattr(status, key) for key in ("version", *COUNTS)},
            _counts,
            lambda record: {key: record[key] for key in ("version", *COUNTS)},
        ),
    ),
    Ability(
        "ServerService/GetStatus",
        _status,
        "BYTES_TRANS",
        ("status",),
        Answers(lambda status: status.sent_bytes, _value, lambda record: record["sent_bytes"]),
        what="in the seed's words",
    ),
    Ability(
        "ServerService/GetSettings",
        _settings,
        "SETTINGS",
        ("settings", "get"),
        Answers(lambda settings: _as_words(plain(settings)), _words, _as_words),
    ),
    Ability(
        "ServerService/GetSettings",
        _settings,
        "SETTINGS max_connections",
        ("settings", "get", "max_connections"),
        Answers(
            lambda settings: settings.max_connections,
            lambda reply: int(reply.line.removeprefix("+OK max_connections: ")),
            lambda record: record["max_connections"],
        ),
        what="one",
    ),
    Ability(
        "ServerService/GetSettings",
        _settings,
        "MAX_USERS",
        ("settings", "get", "max_accounts"),
        Answers(
            lambda settings: settings.max_accounts, _value, lambda record: record["max_accounts"]
        ),
        what="in the seed's words",
    ),
    Ability(
        "ServerService/UpdateSettings",
        _set,
        "SET idle_timeout 15m",
        ("settings", "set", "idle_timeout=15m"),
        right="settings.write",
    ),
    Ability(
        "ServerService/UpdateSettings",
        _set_maximum,
        "MAX_USERS 7",
        ("settings", "set", "max_accounts=7"),
        right="settings.write",
        what="in the seed's words",
    ),
    Ability(
        "ServerService/ListCertificates",
        _list_certificates,
        "CERTIFICATES",
        ("certificates", "list"),
        Answers(
            lambda them: [",".join(it.names) for it in them],
            _names,
            lambda records: [",".join(it["names"]) for it in records],
        ),
        files=_certificate,
    ),
    Ability(
        "ServerService/ReloadCertificates",
        _reload,
        "RELOAD_CERTIFICATES",
        ("certificates", "reload"),
        Answers(len, _value, len),
        prepare=_another,
        files=_certificate,
    ),
    Ability(
        "ServerService/RestartWorkers",
        _restart,
        "RESTART_WORKERS",
        ("workers", "restart"),
        Answers(lambda count: count, _value, lambda record: record["worker_count"]),
    ),
]

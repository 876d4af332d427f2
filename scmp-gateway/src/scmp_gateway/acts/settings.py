"""Settings, all of them, in the words that pop3ctl takes too."""

from __future__ import annotations

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.setting_values import NAMES, plain, put, shown
from pop3mgmt.v1.server_pb2 import Settings
from scmp_gateway.command import Line


async def settings(caller: Caller, line: Line) -> Reply:
    """All settings, or one."""
    if line.words:
        _check(line.words[0])
    found = plain(await caller.get_settings())
    if line.words:
        return Ok(_told(line.words[0], found[line.words[0]]))
    return Listing("settings follow", [_told(name, value) for name, value in found.items()])


async def set_(caller: Caller, line: Line) -> Reply:
    """Change a setting; its value is the rest of the line, and empty without one."""
    name, _, text = line.rest.strip(" ").partition(" ")
    _check(name)
    wanted = Settings()
    try:
        put(wanted, name, text.strip(" "))
    except ValueError as error:
        raise ManagementError(Reason.INVALID_ARGUMENT, str(error)) from None
    return Ok(_told(name, plain(await caller.update_settings(wanted, [name]))[name]))


def _check(name: str) -> None:
    if name not in NAMES:
        raise ManagementError(
            Reason.INVALID_ARGUMENT, f"there is no setting {name!r}; SETTINGS lists them"
        )


def _told(name: str, value: float | str) -> str:
    return f"{name}: {shown(name, value)}"

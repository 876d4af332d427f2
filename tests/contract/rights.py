"""The table of rights, calls, SCMP verbs and pop3ctl commands, made from the code.

``make rights`` prints it; ``proto/RIGHTS.md`` holds it, and a test holds that to the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click

from admin_cli.commands import Command
from admin_cli.main import COMMANDS
from pop3_service.api.methods import ACCESS
from scmp_gateway.verbs import VERBS

V1 = "/pop3mgmt.v1."
HEAD = """# Rights

What each call of the contract asks of its caller, and how it is made over SCMP and by pop3ctl.
`make rights` makes this page from the code, and a test holds it to that. "Or own" means: for the
caller's own account, without any other right. Verbs and commands in parentheses make the call for
some of their arguments alone.

| right | call | SCMP | pop3ctl |
|---|---|---|---|
"""

WITHOUT_SCMP: dict[str, str] = {
    "AccountsService/ImportAccounts": "it takes a whole file",
    "MaildropService/PutMessage": "it takes a whole message",
    "BackupService/ExportBackup": "it gives a whole file",
    "BackupService/ImportBackup": "it takes a whole file",
    "SessionsService/WatchSessions": "it is a stream, and SCMP has an answer to each line",
    "ServerService/WatchStatus": "it is a stream, and SCMP has an answer to each line",
    "AuditService/WatchAudit": "it is a stream, and SCMP has an answer to each line",
    "AuthService/RenewToken": "both programs do so by themselves",
}
"""Calls that no verb makes, and why."""
WITHOUT_COMMAND: dict[str, str] = {
    "AuthService/RenewToken": "both programs do so by themselves",
}
"""Calls that no command makes, and why."""


class Row(NamedTuple):
    """One call."""

    rights: tuple[str, ...]
    call: str
    verbs: tuple[str, ...]
    commands: tuple[str, ...]


def commands() -> Iterator[tuple[str, Command]]:
    """Give every command of pop3ctl under its words."""
    for name, lazy in COMMANDS.items():
        found = lazy.load()
        if isinstance(found, click.Group):
            for child, command in found.commands.items():
                assert isinstance(command, Command)
                yield f"{name} {child}", command
        else:
            assert isinstance(found, Command)
            yield name, found


def guarded() -> dict[str, tuple[str, ...]]:
    """Give the rights of every call of the contract that asks for a login."""
    return {
        name.removeprefix(V1): tuple(sorted(access.rights))
        for name, access in ACCESS.items()
        if name.startswith(V1) and not access.is_public
    }


def table() -> list[Row]:
    """Give a row for each call, in the order of the services."""
    words = list(commands())
    return [
        Row(
            rights,
            call,
            (
                *(name for name, verb in VERBS.items() if call in verb.calls),
                *(f"({name})" for name, verb in VERBS.items() if call in verb.also),
            ),
            (
                *(name for name, command in words if call in command.calls),
                *(f"({name})" for name, command in words if call in command.also),
            ),
        )
        for call, rights in guarded().items()
    ]


def markdown() -> str:
    """Give the page."""
    return HEAD + "".join(map(_line, table()))


def _line(row: Row) -> str:
    own = "own" in row.rights and len(row.rights) > 1
    rights = [right for right in row.rights if not (own and right == "own")]
    told = " or ".join(f"`{right}`" for right in rights) + (" or own" if own else "")
    verbs = _named(row.verbs) or WITHOUT_SCMP[row.call]
    words = _named(row.commands) or WITHOUT_COMMAND[row.call]
    return f"| {told or 'a login'} | {row.call} | {verbs} | {words} |\n"


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(f"(`{it[1:-1]}`)" if it.startswith("(") else f"`{it}`" for it in names)


if __name__ == "__main__":
    print(markdown(), end="")

"""accounts password-policy: what a new password must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from admin_cli.commands import Command
from admin_cli.connection import call
from admin_cli.output import Column, Record, show_facts, yes_or_no

if TYPE_CHECKING:
    from pop3mgmt.v1.accounts_pb2 import PasswordPolicy

COLUMNS = (
    Column("min_length", "Characters at least"),
    Column("min_strength", "Strength at least", lambda strength: f"{strength} of 4"),
    Column("refuse_common", "Common ones refused", yes_or_no),
    Column("refuse_name", "With the name refused", yes_or_no),
    Column("history", "Must differ from so many before"),
    Column("expire_days", "Expires after days", lambda days: str(days) if days else "never"),
    Column("reset_must_change", "To be changed after a reset", yes_or_no),
)


@click.command(
    "password-policy",
    cls=Command,
    calls=("AccountsService/GetPasswordPolicy",),
    examples=(
        "pop3ctl accounts password-policy",
        "pop3ctl settings set password_min_length=12 password_min_strength=3",
    ),
)
def password_policy() -> None:
    """Show what a new password must be; everybody may see it.

    An admin sets it by the settings whose names begin with password_.
    """
    show_facts(policy_record(call(lambda caller: caller.get_password_policy())), COLUMNS)


def policy_record(policy: PasswordPolicy) -> Record:
    """Give the policy's values under their names in the contract."""
    return {field.name: getattr(policy, field.name) for field in policy.DESCRIPTOR.fields}

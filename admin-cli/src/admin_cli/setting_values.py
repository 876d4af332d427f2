"""Settings on the command line; what their words mean is the contract's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from admin_cli.output import Record

if TYPE_CHECKING:
    from pop3mgmt.v1.server_pb2 import Settings


def check_name(name: str) -> None:
    """Refuse a name that is not a setting's.

    Raises:
        click.UsageError: it names the settings that there are.
    """
    from pop3mgmt.setting_values import NAMES

    if name not in NAMES:
        raise click.UsageError(f"no setting {name!r}; the settings are {', '.join(NAMES)}")


def parse_settings(words: Sequence[str]) -> tuple[Settings, list[str]]:
    """Read ``name=value`` words; give the values and the names that were given.

    Raises:
        click.UsageError: a word is not ``name=value``, or a name is unknown or given twice.
    """
    from pop3mgmt.setting_values import put
    from pop3mgmt.v1.server_pb2 import Settings

    settings = Settings()
    names: list[str] = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise click.UsageError(f"{word!r} is not NAME=VALUE")
        check_name(name)
        if name in names:
            raise click.UsageError(f"{name} is given twice")
        names.append(name)
        try:
            put(settings, name, text)
        except ValueError as error:
            raise click.UsageError(f"{name}: {error}") from None
    return settings, names


def settings_record(settings: Settings) -> Record:
    """Give the values under their names; a duration is a number of seconds."""
    from pop3mgmt.setting_values import plain

    return dict(plain(settings))


def show_value(name: str, value: Any) -> str:
    """Write a record's value so that ``settings set`` takes it."""
    from pop3mgmt.setting_values import shown

    return shown(name, value)

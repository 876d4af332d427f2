"""Settings as words and back: the names and kinds are those of the contract's Settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from admin_cli.durations import parse_duration, show_duration
from admin_cli.output import Record

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor

    from pop3mgmt.v1.server_pb2 import Settings

_WHOLE = re.compile(r"-?[0-9]{1,10}")
_SWITCH = {"on": True, "off": False}
_INT32_MAX = 2**31 - 1


def check_name(name: str) -> None:
    """Refuse a name that is not a setting's.

    Raises:
        click.UsageError: it names the settings that there are.
    """
    known = _fields()
    if name not in known:
        raise click.UsageError(f"no setting {name!r}; the settings are {', '.join(known)}")


def parse_settings(words: Sequence[str]) -> tuple[Settings, list[str]]:
    """Read ``name=value`` words; give the values and the names that were given.

    Raises:
        click.UsageError: a word is not ``name=value``, or a name is unknown or given twice.
    """
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
            _put(settings, _fields()[name], text)
        except ValueError as error:
            raise click.UsageError(f"{name}: {error}") from None
    return settings, names


def settings_record(settings: Settings) -> Record:
    """Give the values under their names; a duration is a number of seconds."""
    return {name: _plain(getattr(settings, name)) for name in _fields()}


def show_value(name: str, value: Any) -> str:
    """Write a record's value so that ``settings set`` takes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return show_duration(value) if _is_duration(_fields()[name]) else str(value)


def _fields() -> dict[str, FieldDescriptor]:
    from pop3mgmt.v1.server_pb2 import Settings

    return dict(Settings.DESCRIPTOR.fields_by_name)


def _put(settings: Settings, field: FieldDescriptor, text: str) -> None:
    if _is_duration(field):
        getattr(settings, field.name).FromTimedelta(timedelta(seconds=parse_duration(text)))
    elif field.cpp_type == field.CPPTYPE_STRING:
        setattr(settings, field.name, text)
    elif field.cpp_type == field.CPPTYPE_BOOL:
        if text not in _SWITCH:
            raise ValueError(f"{text!r} is not {' or '.join(_SWITCH)}")
        setattr(settings, field.name, _SWITCH[text])
    else:
        if not _WHOLE.fullmatch(text) or abs(int(text)) > _INT32_MAX:
            raise ValueError(f"{text!r} is not a whole number up to {_INT32_MAX}")
        setattr(settings, field.name, int(text))


def _is_duration(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.full_name == "google.protobuf.Duration"


def _plain(value: Any) -> int | float | str:
    if isinstance(value, int | str):
        return value
    seconds: float = value.ToTimedelta().total_seconds()
    return int(seconds) if seconds.is_integer() else seconds

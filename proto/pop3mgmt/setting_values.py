"""Settings as words and back: the names and kinds are those of the contract's Settings."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from pop3mgmt.durations import parse_duration, show_duration
from pop3mgmt.v1.server_pb2 import Settings

_WHOLE = re.compile(r"-?[0-9]{1,10}")
_SWITCH = {"on": True, "off": False}
_INT32_MAX = 2**31 - 1
_FIELDS: dict[str, FieldDescriptor] = dict(Settings.DESCRIPTOR.fields_by_name)

NAMES = tuple(_FIELDS)
"""The settings there are, in the contract's order."""


def put(settings: Settings, name: str, text: str) -> None:
    """Read a value that a person wrote; ``name`` is one of ``NAMES``.

    Raises:
        ValueError: the text is not a value of that kind.
    """
    field = _FIELDS[name]
    if _is_duration(field):
        getattr(settings, name).FromTimedelta(timedelta(seconds=parse_duration(text)))
    elif field.cpp_type == field.CPPTYPE_STRING:
        setattr(settings, name, text)
    elif field.cpp_type == field.CPPTYPE_BOOL:
        if text not in _SWITCH:
            raise ValueError(f"{text!r} is not {' or '.join(_SWITCH)}")
        setattr(settings, name, _SWITCH[text])
    else:
        if not _WHOLE.fullmatch(text) or abs(int(text)) > _INT32_MAX:
            raise ValueError(f"{text!r} is not a whole number up to {_INT32_MAX}")
        setattr(settings, name, int(text))


def plain(settings: Settings) -> dict[str, int | float | str]:
    """Give the values under their names; a duration is a number of seconds."""
    return {name: _plain(getattr(settings, name)) for name in NAMES}


def shown(name: str, value: Any) -> str:
    """Write a plain value so that ``put`` takes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return show_duration(value) if _is_duration(_FIELDS[name]) else str(value)


def _is_duration(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.full_name == "google.protobuf.Duration"


def _plain(value: Any) -> int | float | str:
    if isinstance(value, int | str):
        return value
    seconds: float = value.ToTimedelta().total_seconds()
    return int(seconds) if seconds.is_integer() else seconds

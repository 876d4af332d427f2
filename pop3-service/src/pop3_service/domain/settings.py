"""Settings: what can be changed while the service runs. Each is declared once, here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from pop3_service.domain.errors import InvalidArgument

RFC_IDLE_S = 600.0
"""RFC 1939 section 3: an autologout timer has at least 10 minutes."""


def _number(default: float, low: float, high: float, help_: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "help": help_})


def _count(default: int, low: int, high: int, help_: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "help": help_})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; times are in seconds. ``transform`` is a command line, empty for none."""

    max_accounts: int = _count(10_000, 1, 10_000_000, "the largest number of accounts")
    max_connections: int = _count(10_000, 1, 1_000_000, "the largest number of connections")
    transform: str = field(
        default="", metadata={"help": "the command that RETR passes mail through"}
    )
    idle_timeout_s: float = _number(
        RFC_IDLE_S, 1, 86_400, "silence after which a connection closes"
    )
    login_idle_timeout_s: float = _number(
        60.0, 1, 86_400, "the same before login, past 80 % of the connections"
    )
    min_login_delay_s: float = _number(
        2.0, 0, 60, "delay of the answer to a network's first wrong login"
    )
    max_login_delay_s: float = _number(15.0, 0, 60, "longest delay of the answer to a wrong login")
    transform_timeout_s: float = _number(
        60.0, 0.1, 3600, "time for a transform, besides 1 s for each MiB"
    )
    remember_login_s: float = _number(
        600.0, 0, 3600, "for how long a right password is not hashed again; 0 for never"
    )

    def changed(self, values: Mapping[str, object]) -> Settings:
        """Give these settings with some values replaced; text is read as the field's type.

        Raises:
            InvalidArgument: an unknown name, a wrong type, or a value out of range.
        """
        known = {item.name: item for item in fields(self)}
        checked: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise InvalidArgument(f"there is no setting {name!r}; there are {', '.join(known)}")
            checked[name] = _checked(name, value, known[name].default, known[name].metadata)
        new = replace(self, **checked)
        if new.max_login_delay_s < new.min_login_delay_s:
            raise InvalidArgument("max_login_delay is below min_login_delay")
        return new

    def as_dict(self) -> dict[str, Any]:
        """Give all values by name."""
        return asdict(self)


def _checked(name: str, value: object, default: object, metadata: Mapping[str, Any]) -> object:
    """Read and check one value by the type of its default."""
    if isinstance(default, str):
        if not isinstance(value, str):
            raise InvalidArgument(f"{name} is text")
        return value.strip()
    # Outside this process a time goes by its name alone, whatever its unit is there.
    shown = name.removesuffix("_s")
    unit = "" if shown == name else " seconds"
    number = _as_number(shown, value, whole=isinstance(default, int))
    low, high = metadata["low"], metadata["high"]
    if not low <= number <= high:
        raise InvalidArgument(f"{shown} must be from {low} to {high}{unit}")
    return number


def _as_number(name: str, value: object, *, whole: bool) -> float:
    kind = "a whole number" if whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidArgument(f"{name} is {kind}")
    try:
        return int(value) if whole else float(value)
    except (ValueError, OverflowError):
        raise InvalidArgument(f"{name} is {kind}") from None

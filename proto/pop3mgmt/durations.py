"""Durations as people write them: ``90``, ``1.5``, ``250ms``, ``10m``, ``1h30m``."""

from __future__ import annotations

import re

_UNITS: dict[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,6})?", re.ASCII)
_PART = re.compile(rf"({_NUMBER.pattern})(ms|s|m|h|d)", re.ASCII)


def parse_duration(text: str) -> float:
    """Give seconds; a number without a unit is seconds.

    Raises:
        ValueError: it is not a duration.
    """
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 60s, 10m, 1h30m or 1.5")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def show_duration(seconds: float) -> str:
    """Write a duration so that ``parse_duration`` gives it back."""
    rest = round(seconds, 6)
    words = []
    for unit in ("d", "h", "m"):
        count = int(rest // _UNITS[unit])
        rest = round(rest - count * _UNITS[unit], 6)
        if count:
            words.append(f"{count}{unit}")
    if rest or not words:
        words.append(f"{rest:.6f}".rstrip("0").rstrip(".") + "s")
    return "".join(words)

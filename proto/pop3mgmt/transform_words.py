"""Transforms as people write them: ``banner@2``, and for whom a canary is: ``10%,ana``."""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_PERCENT = re.compile(r"(100|[0-9]{1,2})%", re.ASCII)


class Canary(NamedTuple):
    """For whom a canary is: accounts by their names, and so many percent of all others."""

    accounts: tuple[str, ...]
    share: int


def parse_version(text: str) -> tuple[str, int]:
    """Read ``<name>`` or ``<name>@<version>``; version 0 is the latest, ``@7`` one without a name.

    Raises:
        ValueError: it is neither.
    """
    name, at, version = text.partition("@")
    if (at and not (_NUMBER.fullmatch(version) and int(version))) or not (name or at):
        raise ValueError(f"{text!r} is not a transform such as banner or banner@2")
    return name, int(version or 0)


def show_version(name: str, version: int) -> str:
    """Write a version so that ``parse_version`` gives it back."""
    return f"{name}@{version}"


def parse_percent(text: str) -> int:
    """Read ``5%``, from 0 to 100.

    Raises:
        ValueError: it is none.
    """
    found = _PERCENT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a percentage from 0% to 100%")
    return int(found[1])


def parse_canary(text: str) -> Canary:
    """Read for whom a canary is: a percentage, accounts, or both, parted by commas.

    Raises:
        ValueError: there are two percentages, or nothing between two commas.
    """
    words = text.split(",")
    shares = [parse_percent(word) for word in words if word.endswith("%")]
    if not all(words) or len(shares) > 1:
        raise ValueError(f"{text!r} is not for whom a canary is, such as 10% or ana,bob")
    accounts = tuple(word for word in words if not word.endswith("%"))
    return Canary(accounts, shares[0] if shares else 0)

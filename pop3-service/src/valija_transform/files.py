"""Files that options name."""

from __future__ import annotations

from valija_transform.failures import NoInput, WrongUsage

LARGEST = 64 * 1024
"""Octets of such a file."""


def read_text_file(path: str) -> str:
    """Read a file of UTF-8 text.

    Raises:
        NoInput: it cannot be read.
        WrongUsage: it is too large, or no UTF-8.
    """
    try:
        with open(path, "rb") as file:
            octets = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise NoInput(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if len(octets) > LARGEST:
        raise WrongUsage(f"{path} has more than {LARGEST} octets")
    try:
        return octets.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeError:
        raise WrongUsage(f"{path} is not UTF-8") from None

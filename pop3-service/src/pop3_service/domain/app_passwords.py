"""App passwords: made by the service, each for one POP3 client, and revoked one by one.

They are random, so a fast hash is enough to store them by, and to find them by.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from pop3_service.domain.errors import InvalidArgument

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""Lower case letters and digits, without those that look like others: l, o, 0 and 1."""
GROUPS = 7
GROUP_LENGTH = 4
"""Seven groups of four from 32 characters: 140 bits."""
MOST = 50
"""App passwords that an account may have: a client's proof (SCRAM) is tried against each."""
LONGEST_NAME = 64
EVERY = "all"
"""What stands for all of them, so that none has it as its name."""
_SHAPE = re.compile(rb"[a-km-np-z2-9]{4}(?:-[a-km-np-z2-9]{4}){6}")


@dataclass(frozen=True, slots=True)
class AppPassword:
    """One of them as it is listed; the password itself was shown once and is not stored.

    ``last_use_peer`` is the address and port of the last login with it, empty before the first.
    """

    name: str
    create_time: datetime
    last_use_time: datetime | None = None
    last_use_peer: str = ""


def make_app_password() -> str:
    """Make a password, as it is to be typed: in groups, with the hyphens."""
    letters = [secrets.choice(ALPHABET) for _ in range(GROUPS * GROUP_LENGTH)]
    starts = range(0, len(letters), GROUP_LENGTH)
    return "-".join("".join(letters[at : at + GROUP_LENGTH]) for at in starts)


def digest_if_app_password(password: bytes) -> bytes | None:
    """Give what is stored of a password of this shape (SHA-256); None for any other."""
    if _SHAPE.fullmatch(password) is None:
        return None
    return hashlib.sha256(password).digest()


def check_app_password_name(name: str) -> str:
    """Give a name as it is stored (NFC).

    Raises:
        InvalidArgument: it is empty, too long, more than one word, or stands for all.
    """
    name = unicodedata.normalize("NFC", name[: 4 * LONGEST_NAME])
    if not name or len(name) > LONGEST_NAME:
        raise InvalidArgument(f"an app password's name has from 1 to {LONGEST_NAME} characters")
    if any(c.isspace() or not c.isprintable() for c in name):
        raise InvalidArgument("an app password's name cannot hold blanks or control characters")
    if name.casefold() == EVERY:
        raise InvalidArgument(f"{name!r} stands for all app passwords")
    return name

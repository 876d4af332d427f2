"""Password hashes of another server: what is taken, at what cost at most, and how it is checked.

Stored as Dovecot writes them, ``{SCHEME}hash``: by the brace they are known from our own. bcrypt by
the library of that name; SHA-crypt by libpass, the fork of passlib that is kept up (Python's own
crypt is gone, its copies rest on the system's libcrypt). Both are loaded when they are needed.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pop3_service.domain.errors import InvalidArgument

LONGEST = 1024
"""Characters of a password field."""
MOST_ROUNDS = 1_000_000
"""Of SHA-crypt: half a second. A wrong password costs as much, so more would be an attack."""
HIGHEST_COST = 16
"""Of bcrypt: some three seconds."""
MOST_MEMORY_KIB = 262_144
MOST_WORK_KIB = 1_048_576
"""Of argon2: memory, and memory by passes."""
BCRYPT_OCTETS = 72
"""What bcrypt reads of a password."""
_LOADING = threading.Lock()
"""Held while libpass loads a hash: a second thread that asks meanwhile is told there is none."""

_FIELD = re.compile(r"\{([A-Za-z0-9-]+)(?:\.([A-Za-z0-9]+))?\}(.*)", re.DOTALL)
_SALT = r"[./0-9A-Za-z]"
_BCRYPT = re.compile(rf"\$2[aby]\$(\d\d)\${_SALT}{{53}}")
_SHA512 = re.compile(rf"\$6\$(?:rounds=(\d{{1,9}})\$)?{_SALT}{{1,16}}\${_SALT}{{86}}")
_SHA256 = re.compile(rf"\$5\$(?:rounds=(\d{{1,9}})\$)?{_SALT}{{1,16}}\${_SALT}{{43}}")
_ARGON2 = re.compile(
    r"\$argon2id?\$v=19\$m=(\d{1,9}),t=(\d{1,4}),p=(\d{1,3})\$[+/0-9A-Za-z]{11,86}\$[+/0-9A-Za-z]{16,86}"
)
_SCHEMES: dict[str, tuple[str, re.Pattern[str]]] = {
    "ARGON2ID": ("$argon2id$", _ARGON2),
    "ARGON2I": ("$argon2i$", _ARGON2),
    "BLF-CRYPT": ("$2", _BCRYPT),
    "SHA512-CRYPT": ("$6$", _SHA512),
    "SHA256-CRYPT": ("$5$", _SHA256),
}
CLEAR = frozenset({"PLAIN", "CLEARTEXT"})

_argon2 = PasswordHasher()


@dataclass(frozen=True, slots=True)
class OldPassword:
    """A password as another server has it: hashed as it is to be stored, or in clear."""

    scheme: str
    stored: str = field(default="", repr=False)
    clear: bytes = field(default=b"", repr=False)


def read_old_password(text: str) -> OldPassword:
    """Read the password field of a line of Dovecot's passwd-file.

    Raises:
        InvalidArgument: its scheme is not taken, its hash is none, or checking it costs too much.
    """
    if len(text) > LONGEST:
        raise InvalidArgument(f"the password field has more than {LONGEST} characters")
    if not text:
        raise InvalidArgument("there is no password")
    found = _FIELD.fullmatch(text)
    scheme, encoding, value = found.groups() if found else ("CRYPT", None, text)
    scheme = scheme.upper()
    if scheme not in CLEAR | _SCHEMES.keys() | {"CRYPT"}:
        raise InvalidArgument(f"scheme {scheme} is not taken; set a new password")
    octets = _decoded(value, encoding)
    if scheme in CLEAR:
        return OldPassword(scheme, clear=octets)
    try:
        hashed = octets.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidArgument(f"this is no hash of {scheme}") from None
    if scheme == "CRYPT":
        scheme = _scheme_of(hashed)
    _check(scheme, hashed)
    return OldPassword(scheme, f"{{{scheme}}}{hashed}")


def is_old(stored: str) -> bool:
    """Whether a stored hash came from another server."""
    return stored.startswith("{")


def matches_old(stored: str, password: bytes) -> bool:
    """Whether a password, as the client sent it, is the one of an old hash. Takes its time."""
    scheme, _, hashed = stored[1:].partition("}")
    try:
        match scheme:
            case "ARGON2ID" | "ARGON2I":
                return _argon2.verify(hashed, password)
            case "BLF-CRYPT":
                import bcrypt

                return bcrypt.checkpw(password[:BCRYPT_OCTETS], hashed.encode())
            case "SHA512-CRYPT":
                with _LOADING:
                    from passlib.hash import sha512_crypt

                return bool(sha512_crypt.verify(password, hashed))
            case "SHA256-CRYPT":
                with _LOADING:
                    from passlib.hash import sha256_crypt

                return bool(sha256_crypt.verify(password, hashed))
    except (VerificationError, InvalidHashError, ValueError):
        return False
    return False


def _scheme_of(hashed: str) -> str:
    for scheme, (prefix, _) in _SCHEMES.items():
        if hashed.startswith(prefix):
            return scheme
    raise InvalidArgument("this kind of crypt is not taken; set a new password")


def _check(scheme: str, hashed: str) -> None:
    prefix, pattern = _SCHEMES[scheme]
    found = pattern.fullmatch(hashed)
    if found is None or not hashed.startswith(prefix):
        raise InvalidArgument(f"this is no hash of {scheme}")
    if pattern is _ARGON2:
        memory_kib, passes, lanes = (int(number) for number in found.groups())
        good = 8 * lanes <= memory_kib <= MOST_MEMORY_KIB and passes and lanes
        if not good or memory_kib * passes > MOST_WORK_KIB:
            raise InvalidArgument(
                f"m={memory_kib},t={passes},p={lanes} costs too much; set a new password"
            )
    elif pattern is _BCRYPT:
        if not 4 <= int(found[1]) <= HIGHEST_COST:
            raise InvalidArgument(f"a cost of {found[1]} is not taken; set a new password")
    elif found[1] and not 1000 <= int(found[1]) <= MOST_ROUNDS:
        raise InvalidArgument(f"{found[1]} rounds are not taken; set a new password")


def _decoded(value: str, encoding: str | None) -> bytes:
    octets = value.encode("utf-8", "surrogateescape")
    try:
        match (encoding or "").lower():
            case "":
                return octets
            case "b64" | "base64":
                return base64.b64decode(octets, validate=True)
            case "hex":
                return bytes.fromhex(value)
    except (binascii.Error, ValueError):
        pass
    raise InvalidArgument("the password's encoding cannot be read")

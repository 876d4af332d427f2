"""Dovecot's passwd-file, a line an account.

``user:{SCHEME}password:uid:gid:gecos:home:shell:extra fields``
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pop3_service.domain.errors import InvalidArgument
from pop3_service.supervisor.identity.old_hashes import OldPassword, read_old_password

EXTRA = 7
"""Where the extra fields of a line begin."""
MEANT_FOR_LOGIN = frozenset(
    {
        "allow_nets", "allow_real_nets", "login_user", "nodelay", "nologin", "nopassword", "pass",
        "password", "proxy", "proxy_maybe", "proxy_nopipelining", "user",
    }
)  # fmt: skip
"""Extra fields by which Dovecot decides about a login; without them it would be another one."""


@dataclass(frozen=True, slots=True)
class PasswdLine:
    """A line: an account's name and password, or ``why`` there is none of these."""

    number: int
    name: str
    password: OldPassword | None = field(default=None, repr=False)
    why: str = ""


def read_passwd_file(data: bytes) -> Iterator[PasswdLine]:
    """Read a file's lines; blank ones and comments are left out."""
    for number, octets in enumerate(data.split(b"\n"), 1):
        line = octets.removesuffix(b"\r").lstrip(b" \t")
        if not line or line.startswith(b"#"):
            continue
        yield _read(number, line)


def _read(number: int, line: bytes) -> PasswdLine:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return PasswdLine(number, "", why="the line is no UTF-8")
    name, colon, rest = text.partition(":")
    if not colon:
        return PasswdLine(number, "", why="the line has no password field")
    password, *fields = rest.split(":")
    extra = ":".join(fields[EXTRA - 2 :]).split()
    found = MEANT_FOR_LOGIN.intersection(it.partition("=")[0] for it in extra)
    if found:
        why = f"{min(found)} is set, which is not taken over"
        return PasswdLine(number, name, why=why)
    try:
        return PasswdLine(number, name, read_old_password(password))
    except InvalidArgument as error:
        return PasswdLine(number, name, why=str(error))

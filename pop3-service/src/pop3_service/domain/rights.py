"""Rights, and the roles that are sets of them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from pop3_service.domain.errors import InvalidArgument

_ROLE_NAME = re.compile(r"[a-z][a-z0-9-]{0,15}")


class Right(StrEnum):
    """What a caller may do. ``OWN`` is about the caller's own account and nothing else."""

    OWN = "own"
    ACCOUNTS_READ = "accounts.read"
    ACCOUNTS_WRITE = "accounts.write"
    ROLES_READ = "roles.read"
    ROLES_WRITE = "roles.write"
    SESSIONS_READ = "sessions.read"
    SESSIONS_DISCONNECT = "sessions.disconnect"
    STATUS_READ = "status.read"
    SETTINGS_READ = "settings.read"
    SETTINGS_WRITE = "settings.write"
    TRANSFORM_WRITE = "transform.write"
    TRANSFORM_READ = "transform.read"
    MAIL_READ = "mail.read"
    MAIL_WRITE = "mail.write"
    RULES_READ = "rules.read"
    RULES_WRITE = "rules.write"
    BANS_READ = "bans.read"
    BANS_WRITE = "bans.write"
    TOKENS_READ = "tokens.read"
    TOKENS_WRITE = "tokens.write"
    AUDIT_READ = "audit.read"
    SERVER_OPERATE = "server.operate"
    BACKUP_WRITE = "backup.write"


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of rights; a built-in one cannot be changed."""

    name: str
    rights: frozenset[Right]
    is_built_in: bool = False


class RoleName(StrEnum):
    """The roles that are always there."""

    USER = "user"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    ADMIN = "admin"


_READS = frozenset(right for right in Right if right.value.endswith(".read"))

BUILT_IN: dict[str, Role] = {
    name.value: Role(name.value, rights, is_built_in=True)
    for name, rights in {
        RoleName.USER: frozenset({Right.OWN}),
        # Everything that can be looked at but mail, which is nobody's business but its owner's.
        RoleName.AUDITOR: (_READS - {Right.MAIL_READ}) | {Right.OWN},
        RoleName.OPERATOR: frozenset(
            {
                Right.OWN,
                Right.STATUS_READ,
                Right.ACCOUNTS_READ,
                Right.SESSIONS_READ,
                Right.SESSIONS_DISCONNECT,
                Right.RULES_READ,
                Right.BANS_READ,
                Right.BANS_WRITE,
                Right.TRANSFORM_READ,
            }
        ),
        RoleName.ADMIN: frozenset(Right),
    }.items()
}


def parse_role_name(text: str) -> str:
    """Check the name of a role that is to be made.

    Raises:
        InvalidArgument: it is not 1 to 16 small letters, digits and hyphens.
    """
    if not _ROLE_NAME.fullmatch(text):
        raise InvalidArgument(
            "a role's name is a small letter, then up to 15 small letters, digits and hyphens"
        )
    return text


def parse_rights(names: Collection[str]) -> frozenset[Right]:
    """Read rights by their names.

    Raises:
        InvalidArgument: there is no right of one of the names, or no name at all.
    """
    if not names:
        raise InvalidArgument("a role has at least one right")
    try:
        return frozenset(Right(name) for name in names)
    except ValueError:
        unknown = next(name for name in names if name not in set(Right))
        # All of them would be cut off in a reply of SCMP.
        raise InvalidArgument(
            f"there is no right {unknown[:64]!r}; the role admin has all that there are"
        ) from None

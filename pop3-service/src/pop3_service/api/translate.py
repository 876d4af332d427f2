"""Values of the domain to messages of the contract and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pop3_service.domain.account import Account
from pop3_service.domain.certificate import Certificate
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.password_policy import PasswordPolicy
from pop3_service.domain.rights import RoleName
from pop3_service.domain.session import NO_SESSION, SessionEvent, SessionEventKind, SessionInfo
from pop3_service.domain.settings import Settings
from pop3_service.maildir.importing import IdImport, Messages
from pop3_service.maildir.old_ids import IdSource
from pop3_service.supervisor.identity.account_import import ImportedLine, Outcome
from pop3mgmt.v1 import accounts_pb2, maildrop_pb2, server_pb2, sessions_pb2

PAGE = 1000
T = TypeVar("T")

SETTING_FIELDS: dict[str, str] = {
    item.name.removesuffix("_s"): item.name for item in fields(Settings)
}
"""Settings by their names in the contract; a time there is a Duration, here seconds."""

_KINDS = {
    SessionEventKind.CONNECTED: sessions_pb2.SessionEvent.KIND_CONNECTED,
    SessionEventKind.LOGGED_IN: sessions_pb2.SessionEvent.KIND_LOGGED_IN,
    SessionEventKind.ENDED: sessions_pb2.SessionEvent.KIND_ENDED,
    SessionEventKind.TRANSFORM_ROLLED_BACK: sessions_pb2.SessionEvent.KIND_TRANSFORM_ROLLED_BACK,
}
_ROLES: dict[int, str] = {
    accounts_pb2.ROLE_USER: RoleName.USER,
    accounts_pb2.ROLE_ADMIN: RoleName.ADMIN,
}

_OUTCOMES = {
    Outcome.IMPORTED: accounts_pb2.IMPORT_OUTCOME_IMPORTED,
    Outcome.EXISTS: accounts_pb2.IMPORT_OUTCOME_EXISTS,
    Outcome.REFUSED: accounts_pb2.IMPORT_OUTCOME_REFUSED,
}
_ID_SOURCES = {
    maildrop_pb2.ID_SOURCE_DOVECOT: IdSource.DOVECOT,
    maildrop_pb2.ID_SOURCE_COURIER: IdSource.COURIER,
}


def timestamp(time: datetime) -> Timestamp:
    """Write a time."""
    made = Timestamp()
    made.FromDatetime(time.astimezone(UTC))
    return made


def role_of(role: accounts_pb2.Role.ValueType, name: str) -> str:
    """Read a role's name; the number is from before roles had names. None given means user.

    Raises:
        InvalidArgument: there is no such role, or two are given.
    """
    if role == accounts_pb2.ROLE_UNSPECIFIED:
        return name or RoleName.USER
    if role not in _ROLES or (name and name != _ROLES[role]):
        raise InvalidArgument(f"there is no role {role}" if not name else "two roles are given")
    return _ROLES[role]


def account_message(
    account: Account, session_count: int, expire_time: datetime | None = None
) -> accounts_pb2.Account:
    """Write an account, without its password's hash; that expires at ``expire_time``, if ever."""
    return accounts_pb2.Account(
        name=account.name,
        role=(
            accounts_pb2.ROLE_ADMIN if account.role == RoleName.ADMIN else accounts_pb2.ROLE_USER
        ),
        role_name=account.role,
        create_time=timestamp(account.create_time),
        has_default_password=account.has_default_password,
        session_count=session_count,
        has_apop_secret=account.has_apop_secret,
        must_change_password=account.must_change_password,
        password_time=timestamp(account.password_since),
        password_expire_time=timestamp(expire_time) if expire_time else None,
    )


def policy_message(policy: PasswordPolicy) -> accounts_pb2.PasswordPolicy:
    """Write the password policy."""
    return accounts_pb2.PasswordPolicy(**asdict(policy))


def imported_line_message(line: ImportedLine) -> accounts_pb2.ImportedLine:
    """Write what became of a line."""
    return accounts_pb2.ImportedLine(
        number=line.number,
        name=line.name,
        outcome=_OUTCOMES[line.outcome],
        scheme=line.scheme,
        why=line.why,
    )


def session_message(session: SessionInfo) -> sessions_pb2.Session:
    """Write a session."""
    return sessions_pb2.Session(
        id=session.id,
        peer=session.peer,
        account_name=session.account,
        connect_time=timestamp(datetime.fromtimestamp(session.connect_time_s, UTC)),
        sent_bytes=session.sent_bytes,
        sent_message_count=session.sent_messages,
        idle_seconds=int(session.idle_s),
    )


def event_message(event: SessionEvent, skipped: int) -> sessions_pb2.SessionEvent:
    """Write an event."""
    return sessions_pb2.SessionEvent(
        kind=_KINDS[event.kind],
        session=session_message(event.session) if event.session != NO_SESSION else None,
        event_time=timestamp(datetime.fromtimestamp(event.time_s, UTC)),
        skipped_count=skipped,
        text=event.text,
    )


def certificate_message(certificate: Certificate) -> server_pb2.Certificate:
    """Write a certificate."""
    return server_pb2.Certificate(
        names=certificate.names,
        not_before_time=timestamp(certificate.not_before),
        not_after_time=timestamp(certificate.not_after),
        issuer=certificate.issuer,
        self_signed=certificate.self_signed,
        is_default=certificate.is_default,
        source_file=certificate.source,
        fingerprint=certificate.fingerprint,
    )


def settings_message(settings: Settings) -> server_pb2.Settings:
    """Write the settings."""
    made = server_pb2.Settings()
    for name, ours in SETTING_FIELDS.items():
        value = getattr(settings, ours)
        if name == ours:
            setattr(made, name, value)
        else:
            getattr(made, name).FromMilliseconds(round(value * 1000))
    return made


def read_settings(message: server_pb2.Settings, paths: Iterable[str]) -> dict[str, Any]:
    """Read the settings that ``paths`` name."""
    values: dict[str, Any] = {}
    for path in paths:
        value = getattr(message, path)
        if isinstance(value, Duration):
            value = value.ToMilliseconds() / 1000
        values[SETTING_FIELDS[path]] = value
    return values


def id_source_of(source: maildrop_pb2.IdSource.ValueType) -> IdSource:
    """Read where unique ids come from.

    Raises:
        InvalidArgument: there is no such source, or none is given.
    """
    found = _ID_SOURCES.get(source)
    if found is None:
        raise InvalidArgument("unique ids come from dovecot or courier")
    return found


def id_import_message(result: IdImport) -> maildrop_pb2.ImportUniqueIdsResponse:
    """Write what an import changed."""

    def total(messages: Messages) -> maildrop_pb2.MessageTotal:
        return maildrop_pb2.MessageTotal(message_count=messages.count, size_bytes=messages.octets)

    return maildrop_pb2.ImportUniqueIdsResponse(
        source_found=result.source_found,
        all=total(result.all),
        kept=total(result.kept),
        changed=total(result.changed),
        refused=total(result.refused),
        missing=total(result.missing),
        gone_count=result.gone,
        broken_line_count=result.broken_lines,
        problems=result.problems,
    )


def offset_page(found: Sequence[T], size: int, token: str) -> tuple[Sequence[T], str]:
    """Cut a page out of a list; the token is the offset.

    Raises:
        InvalidArgument: the size or the token is none of ours.
    """
    start, size = page_bounds(size, token)
    end = start + size
    return found[start:end], str(end) if end < len(found) else ""


def page_bounds(size: int, token: str) -> tuple[int, int]:
    """Give how many things come before a page, and how many it has at most.

    Raises:
        InvalidArgument: the size or the token is none of ours.
    """
    if size < 0 or (token and not (token.isascii() and token.isdigit() and len(token) < 10)):
        raise InvalidArgument("page_size or page_token cannot be used")
    return int(token or 0), min(size or PAGE, PAGE)

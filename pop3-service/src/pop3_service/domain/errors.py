"""What can go wrong, each with its reason and its data; the edges translate them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pop3mgmt.reasons import Reason


class ServiceError(Exception):
    """A request was refused. ``reason`` is for programs, the text for people."""

    reason: ClassVar[Reason] = Reason.INTERNAL


class InvalidArgument(ServiceError):
    """A value is not one that this field takes."""

    reason = Reason.INVALID_ARGUMENT


class InvalidCredentials(ServiceError):
    """The name or the password is wrong; which one is never told."""

    reason = Reason.INVALID_CREDENTIALS

    def __init__(self, text: str = "wrong name or password") -> None:
        super().__init__(text)


class InvalidToken(InvalidCredentials):
    """A bearer token is not one that this service takes. ``why`` is for the log alone."""

    def __init__(self, why: str) -> None:
        super().__init__("the token is not valid here")
        self.why = why


class UnknownTokenKey(InvalidToken):
    """A bearer token is signed with a key that is not among those known."""


class PermissionDenied(ServiceError):
    """The caller's role does not allow this."""

    reason = Reason.PERMISSION_DENIED

    def __init__(self, text: str = "your role does not allow this") -> None:
        super().__init__(text)


class PasswordRefused(ServiceError):
    """A new password breaks rules of the policy; ``broken`` says which, for people."""

    reason = Reason.PASSWORD_REFUSED

    def __init__(self, broken: Sequence[str]) -> None:
        super().__init__(f"this password is not taken: {'; '.join(broken)}")
        self.broken = tuple(broken)


class PasswordMustChange(ServiceError):
    """An admin set it, for its first use alone."""

    reason = Reason.PASSWORD_MUST_CHANGE

    def __init__(self, name: str) -> None:
        super().__init__("your password must be changed before anything else")
        self.name = name


class PasswordExpired(ServiceError):
    """It is older than the policy allows."""

    reason = Reason.PASSWORD_EXPIRED

    def __init__(self, name: str) -> None:
        super().__init__("your password has expired and must be changed before anything else")
        self.name = name


PasswordHindrance = PasswordMustChange | PasswordExpired
"""A password is right, and opens nothing but its own change."""


class AccountNotFound(ServiceError):
    """There is no account of that name."""

    reason = Reason.ACCOUNT_NOT_FOUND

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no account {name!r}")
        self.name = name


class SessionNotFound(ServiceError):
    """There is no session of that id."""

    reason = Reason.SESSION_NOT_FOUND

    def __init__(self, session_id: str) -> None:
        super().__init__(f"there is no session {session_id!r}")
        self.session_id = session_id


class MessageNotFound(ServiceError):
    """There is no message of that unique id, or its file is gone."""

    reason = Reason.MESSAGE_NOT_FOUND


class AccountExists(ServiceError):
    """An account of that name is already there."""

    reason = Reason.ACCOUNT_EXISTS

    def __init__(self, name: str) -> None:
        super().__init__(f"account {name!r} already exists")
        self.name = name


class AccountLimit(ServiceError):
    """One more account would pass the maximum."""

    reason = Reason.ACCOUNT_LIMIT

    def __init__(self, maximum: int) -> None:
        super().__init__(f"the maximum of {maximum} accounts is reached")
        self.maximum = maximum


class LimitBelowCurrent(ServiceError):
    """A new maximum is below what there is now."""

    reason = Reason.LIMIT_BELOW_CURRENT

    def __init__(self, maximum: int, current: int) -> None:
        super().__init__(f"{maximum} is below the {current} there are now")
        self.maximum = maximum
        self.current = current


class LastAdmin(ServiceError):
    """The service would be left without an admin."""

    reason = Reason.LAST_ADMIN

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is the last admin")
        self.name = name


class WouldLockOut(ServiceError):
    """A rule, a ban or a suspension would keep out whoever sets it, or many behind one address."""

    reason = Reason.WOULD_LOCK_OUT


class AccountSuspended(ServiceError):
    """The account may not log in for now; told only to who has its password or its login."""

    reason = Reason.ACCOUNT_SUSPENDED

    def __init__(self) -> None:
        super().__init__("this account is suspended")


class AddressDenied(ServiceError):
    """A ban or a rule keeps out whoever comes from this address."""

    reason = Reason.ADDRESS_DENIED

    def __init__(self) -> None:
        super().__init__("you may not come in from your address")


class RuleNotFound(ServiceError):
    """There is no address rule of that number."""

    reason = Reason.RULE_NOT_FOUND

    def __init__(self, number: int) -> None:
        super().__init__(f"there is no address rule {number}")
        self.number = number


class BanNotFound(ServiceError):
    """What was to be let in again is not banned or suspended."""

    reason = Reason.BAN_NOT_FOUND


class LoginThrottled(ServiceError):
    """Too many wrong logins wait for their answer already."""

    reason = Reason.LOGIN_THROTTLED

    def __init__(self) -> None:
        super().__init__("too many wrong logins, try again later")


class LoginTooSoon(ServiceError):
    """The account's last login is not as long ago as the setting ``login_delay`` says."""

    reason = Reason.LOGIN_TOO_SOON


class MaildropInUse(ServiceError):
    """Another session holds the maildrop."""

    reason = Reason.MAILDROP_IN_USE

    def __init__(self) -> None:
        super().__init__("maildrop is in use by another session")


class MaildropUnavailable(ServiceError):
    """The maildrop cannot be read or written now."""

    reason = Reason.MAILDROP_UNAVAILABLE


class MaildropUnusable(ServiceError):
    """A maildrop's folder is none, or may not be used: an admin must mend that."""

    reason = Reason.MAILDROP_UNUSABLE


class MaildropDamaged(ServiceError):
    """A maildrop's imported unique ids cannot be read: an admin must mend that."""

    reason = Reason.MAILDROP_DAMAGED


class CertificateInvalid(ServiceError):
    """A certificate or its key cannot be used: ``why``, and the file it is about if known."""

    reason = Reason.CERTIFICATE_INVALID

    def __init__(self, why: str, file: str = "") -> None:
        super().__init__(f"{file}: {why}" if file else why)
        self.why = why
        self.file = file


class WorkersBusy(ServiceError):
    """Workers are being replaced already, or those replaced before still have sessions."""

    reason = Reason.WORKERS_BUSY


class TransformInvalid(ServiceError):
    """The transform's command line cannot be run, or failed on a sample message."""

    reason = Reason.TRANSFORM_INVALID


class TransformFailed(ServiceError):
    """The transform failed on a message."""

    reason = Reason.TRANSFORM_FAILED


class BackupInvalid(ServiceError):
    """A backup is damaged, or not one that this service can use."""

    reason = Reason.BACKUP_INVALID

    def __init__(self, why: str) -> None:
        super().__init__(f"the backup cannot be used: {why}")


class BackupNotFound(ServiceError):
    """The service's folder has no backup of that name."""

    reason = Reason.BACKUP_NOT_FOUND

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no backup {name!r}")
        self.name = name


class StoreUnavailable(ServiceError):
    """The account store cannot be read or written now."""

    reason = Reason.STORE_UNAVAILABLE


class ServiceUnavailable(ServiceError):
    """A part of the service is away for the moment."""

    reason = Reason.SERVICE_UNAVAILABLE


class AppPasswordNotFound(ServiceError):
    """The account has no app password of that name."""

    reason = Reason.APP_PASSWORD_NOT_FOUND

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no app password {name!r}")
        self.name = name


class AppPasswordExists(ServiceError):
    """The account has an app password of that name already."""

    reason = Reason.APP_PASSWORD_EXISTS

    def __init__(self, name: str) -> None:
        super().__init__(f"there is an app password {name!r} already")
        self.name = name


class AppPasswordLimit(ServiceError):
    """The account has as many app passwords as it may."""

    reason = Reason.APP_PASSWORD_LIMIT

    def __init__(self, maximum: int) -> None:
        super().__init__(f"an account has at most {maximum} app passwords")
        self.maximum = maximum


class NotFound(ServiceError):
    """There is nothing of that name."""

    reason = Reason.NOT_FOUND


class AlreadyExists(ServiceError):
    """The name is taken."""

    reason = Reason.ALREADY_EXISTS


class StillInUse(ServiceError):
    """What is to go is needed by something else."""

    reason = Reason.STILL_IN_USE


class RoleNotFound(NotFound):
    """There is no role of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no role {name[:64]!r}")
        self.name = name


class RoleExists(AlreadyExists):
    """A role of that name is already there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"role {name!r} already exists")
        self.name = name


class TransformNotFound(NotFound):
    """There is no transform of that name, or no such version of it."""

    def __init__(self, name: str, version: int = 0) -> None:
        what = f"{name[:64]}@{version}" if version else name[:64]
        super().__init__(f"there is no transform {what!r}")
        self.name = name
        self.version = version


class NothingActive(NotFound):
    """No transform is active for a subject itself."""

    def __init__(self, subject: object) -> None:
        super().__init__(f"no transform is active for {str(subject)[:300]} itself")


class TransformInUse(StillInUse):
    """A transform that is to go is active for somebody."""

    def __init__(self, name: str, subject: object) -> None:
        super().__init__(f"transform {name!r} is active for {subject}")
        self.name = name


class TokenNotFound(NotFound):
    """There is no automation token of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no token {name[:64]!r}")
        self.name = name


class TokenExists(AlreadyExists):
    """An automation token of that name is already there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"token {name!r} already exists")
        self.name = name


class RoleInUse(StillInUse):
    """Accounts or automation tokens have the role that is to go."""

    def __init__(self, name: str, count: int, what: str = "accounts") -> None:
        super().__init__(f"{count} {what} have the role {name!r}")
        self.count = count


class TooManyStreams(ServiceError):
    """The caller has as many streams open as one may have."""

    reason = Reason.CONNECTION_LIMIT

    def __init__(self) -> None:
        super().__init__("too many streams are open; end one first")

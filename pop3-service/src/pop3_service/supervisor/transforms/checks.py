"""What an activation must be, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence

from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.subject import Scope, Subject
from pop3_service.domain.transforms import (
    DEFAULT_FAILURE_LIMIT,
    MAX_CANARY_ACCOUNTS,
    Activation,
    ActivationRecord,
    Mode,
    Transform,
)

TOLD = 600
"""Characters of a command line that the audit is told; all of it is stored with its version."""


def own(subject: Subject) -> Subject:
    """Give a subject in its account's own spelling; whether it is there is seen when stored."""
    if subject.scope is not Scope.ACCOUNT:
        return subject
    return Subject(Scope.ACCOUNT, AccountName.meant(subject.name))


def is_like(transform: Transform | None, new: Transform) -> bool:
    """Whether a transform has no name either, and does the same."""
    return transform is not None and (
        (transform.name, transform.command_line, transform.on_failure)
        == ("", new.command_line, new.on_failure)
    )


def check_mode(new: Activation, accounts: Sequence[str]) -> None:
    """See that what is given for a canary is given for one, and is enough.

    Raises:
        InvalidArgument
    """
    if not 0 <= new.share <= 100 or not 0 <= new.failure_limit <= 100:
        raise InvalidArgument("a share and a failure limit are from 0 to 100 percent")
    if new.mode is Mode.SHADOW and new.transform is None:
        raise InvalidArgument("nothing can run in the shadow of mail as it is")
    if new.mode is not Mode.CANARY:
        if new.share or accounts or new.failure_limit != DEFAULT_FAILURE_LIMIT:
            raise InvalidArgument("only a canary has a share, accounts and a failure limit")
    elif new.subject.scope is Scope.ACCOUNT:
        raise InvalidArgument("a canary is for some of a role's accounts, or of all")
    elif len(accounts) > MAX_CANARY_ACCOUNTS:
        raise InvalidArgument(f"a canary names at most {MAX_CANARY_ACCOUNTS} accounts")
    elif not new.share and not accounts:
        raise InvalidArgument("a canary needs a share or accounts")


def brief(text: object) -> str:
    """Give a text that the audit has room for, however it writes it; more is cut and said so."""
    whole = str(text)
    return whole if len(whole) <= TOLD else f"{whole[:TOLD]}... ({len(whole)} characters)"


def told(new: Activation) -> dict[str, object]:
    """Give what the audit is told of what is active now."""
    told: dict[str, object] = {"transform": brief(new)}
    if new.transform is not None and new.transform.name:
        told["command_line"] = brief(new.transform.command_line)
    if new.mode is Mode.CANARY:
        told |= {"share": new.share, "accounts": len(new.accounts), "limit": new.failure_limit}
    return told


def was(ended: ActivationRecord | None) -> str | None:
    """Give what the log is told of what has ended."""
    return brief(ended.activation) if ended else None

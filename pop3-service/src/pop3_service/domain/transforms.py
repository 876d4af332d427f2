"""Transforms: named, versioned chains of programs, and for whom which of them is active.

A version never changes. What is active for a subject is an activation; of the subjects that an
account belongs to, the most specific that has one decides alone: the account, its role, everyone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.subject import Scope, Subject

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
NONE = "none"
"""No transform is called so: it stands for mail as it is."""
MAX_NAMES = 1000
"""Transforms that have a name, besides all their versions."""
MAX_PROGRAMS = 8
"""The longest chain."""
DEFAULT_FAILURE_LIMIT = 5
"""Percent of a canary's runs that may fail."""
MAX_ACTIVATIONS = 1000
"""Activations in force: each worker is told all of them at each change."""
MAX_CANARY_ACCOUNTS = 1000
"""Accounts that the canaries in force may name together."""
LEAST_FAILURES = 3
"""Failures below which no canary is given up: one bad message proves nothing."""


class OnFailure(StrEnum):
    """What a client gets of a message that the transform failed on."""

    REFUSE = "refuse"
    ORIGINAL = "original"


class Mode(StrEnum):
    """How an activation counts.

    ``ON``: for all of its subject. ``SHADOW``: the transform runs beside what is delivered, which
    stays what it was. ``CANARY``: for some accounts, while the others keep what was before.
    """

    ON = "on"
    SHADOW = "shadow"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Transform:
    """One version of a transform; ``id`` is its own over all names, ``version`` counts from 1.

    ``programs`` is the chain, an argv each. One that was made from a command line alone has no
    name. Times are seconds (Unix).
    """

    id: int
    name: str
    version: int
    command_line: str
    programs: tuple[tuple[str, ...], ...]
    on_failure: OnFailure = OnFailure.REFUSE
    note: str = ""
    created_by: str = ""
    create_time_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.name else self.command_line


@dataclass(frozen=True, slots=True)
class Choice:
    """What holds for an account's session, from its login to its end.

    ``transform`` is what mail is passed through, None for none; ``shadow`` is what runs beside it.
    ``activation`` is what runs count for: those of the shadow where there is one, else those of
    the transform. Under 0 none count, such as those beside a canary, which say nothing of it.
    """

    activation: int = 0
    transform: Transform | None = None
    shadow: Transform | None = None


UNTOUCHED = Choice()
"""Mail as it is."""


@dataclass(frozen=True, slots=True)
class Activation:
    """What is active for a subject; ``transform`` is None where mail is to stay as it is.

    ``former`` is what was there before: what is delivered beside a shadow, what the accounts get
    that are not among a canary's, and what a canary is rolled back to. Where it ``inherits``,
    nothing was, and all this is what a less specific subject has at the time. ``before`` is the
    activation that a rollback brings back, by its id, 0 for none.

    A canary's accounts are ``accounts``, and ``share`` percent of all others. It is given up when
    more than ``failure_limit`` percent of its runs have failed, and at least ``LEAST_FAILURES``.
    """

    id: int
    subject: Subject
    transform: Transform | None
    mode: Mode = Mode.ON
    former: Transform | None = None
    accounts: tuple[str, ...] = ()
    share: int = 0
    failure_limit: int = DEFAULT_FAILURE_LIMIT
    set_by: str = ""
    set_time_s: float = 0.0
    inherits: bool = False
    before: int = 0

    def __str__(self) -> str:
        what = f"{self.transform or NONE} for {self.subject}"
        return what if self.mode is Mode.ON else f"{what} as a {self.mode}"

    def says_the_same(self, other: Activation) -> bool:
        """Whether another one makes the same active in the same way."""
        return _said(self) == _said(other)

    def includes(self, account: str) -> bool:
        """Whether an account is among a canary's; the same ones for as long as it lasts."""
        if account in self.accounts:
            return True
        digest = hashlib.blake2b(f"{self.id}/{account}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % 100 < self.share

    def chosen(self, account: str, otherwise: Choice = UNTOUCHED) -> Choice:
        """Say what it means for an account of its subject.

        ``otherwise`` is what would hold for the account if nothing were active for the subject.
        """
        match self.mode:
            case Mode.SHADOW:
                beside = otherwise.transform if self.inherits else self.former
                return Choice(self.id, beside, self.transform)
            case Mode.CANARY if not self.includes(account):
                return otherwise if self.inherits else Choice(0, self.former)
        return Choice(self.id, self.transform)


def _said(it: Activation) -> tuple[object, ...]:
    version = it.transform.id if it.transform else None
    return it.subject, version, it.mode, it.accounts, it.share, it.failure_limit


@dataclass(frozen=True, slots=True)
class TransformTable:
    """All activations that are in force, at most one a subject."""

    activations: tuple[Activation, ...] = ()


NOTHING_ACTIVE = TransformTable()


class ActiveTransforms:
    """A table, made ready for logins."""

    def __init__(self, table: TransformTable = TransformTable()) -> None:
        self.table = table
        by_scope: dict[Scope, dict[str, Activation]] = {scope: {} for scope in Scope}
        for it in table.activations:
            by_scope[it.subject.scope][it.subject.name] = it
        self._everyone = by_scope[Scope.EVERYONE].get("")
        self._of_role = by_scope[Scope.ROLE]
        self._of_account = by_scope[Scope.ACCOUNT]

    def __bool__(self) -> bool:
        return bool(self.table.activations)

    def choose(self, account: str, role: str) -> Choice:
        """Say what holds for an account; ``account`` is its own spelling of its name."""
        choice = UNTOUCHED
        for found in (self._everyone, self._of_role.get(role), self._of_account.get(account)):
            if found is not None:
                choice = found.chosen(account, choice)
        return choice


@dataclass(frozen=True, slots=True)
class TransformCount:
    """What came of runs under an activation since the last count; times are seconds.

    ``failures`` are runs that gave no message; ``differences`` shadow runs whose result was not
    what was delivered; ``skipped`` shadow runs that were left out because there was too much to do.
    ``failure`` says why the last one failed, empty if none did.
    """

    activation: int
    runs: int = 0
    failures: int = 0
    differences: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failure: str = ""

    @classmethod
    def of_run(cls, activation: int, seconds: float, failure: str = "") -> TransformCount:
        """Count one run; ``failure`` says why it gave no message, empty if it did."""
        return cls(activation, 1, 1 if failure else 0, seconds=seconds, failure=failure)

    def __add__(self, other: TransformCount) -> TransformCount:
        return TransformCount(
            self.activation,
            self.runs + other.runs,
            self.failures + other.failures,
            self.differences + other.differences,
            self.skipped + other.skipped,
            self.seconds + other.seconds,
            other.failure or self.failure,
        )

    def passes(self, failure_limit: int) -> bool:
        """Whether so many have failed that a canary of this limit (percent) is to be given up."""
        return self.failures >= LEAST_FAILURES and self.failures * 100 > failure_limit * self.runs


class EndReason(StrEnum):
    """Why an activation is in force no more."""

    REPLACED = "replaced"
    ROLLED_BACK = "rolled back"
    GIVEN_UP = "given up"
    """A canary of which too many runs failed."""
    DEACTIVATED = "deactivated"
    SUBJECT_DELETED = "subject deleted"
    """The account or the role that it was for is gone."""


@dataclass(frozen=True, slots=True)
class ActivationRecord:
    """An activation and what came of it; ``end`` says how it ended, None while it is in force."""

    activation: Activation
    count: TransformCount
    end: ActivationEnd | None = None


@dataclass(frozen=True, slots=True)
class ActivationEnd:
    """How an activation ended; ``by`` is empty where the service did it by itself."""

    reason: EndReason
    by: str
    time_s: float


def parse_transform_name(text: str) -> str:
    """Check the name of a transform.

    Raises:
        InvalidArgument: it is not 1 to 32 small letters, digits and hyphens, or it is ``none``.
    """
    if not _NAME.fullmatch(text):
        raise InvalidArgument(
            "a transform's name is a small letter, then up to 31 small letters, digits and hyphens"
        )
    if text == NONE:
        raise InvalidArgument(f"{NONE!r} stands for no transform at all")
    return text


def total(counts: Iterable[TransformCount], activation: int) -> TransformCount:
    """Add counts of one activation up."""
    return sum(counts, TransformCount(activation))

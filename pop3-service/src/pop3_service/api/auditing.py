"""What of the calls goes to the audit: all that change something, one entry each.

An act's entry is durable before its reply, refused or not. Of callers who have not proved who they
are, refusals are noted without waiting, so that they cannot keep the disk busy; of those who have,
so many are written, and more are counted.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from lineproto.clock import Clock
from pop3_service.domain.audit import (
    OK,
    ActorKind,
    AuditEntry,
    Described,
    Via,
    describing,
    host_of,
)
from pop3_service.domain.errors import ServiceError
from pop3mgmt.reasons import Reason

READ_VERBS = frozenset(
    {"Check", "Count", "Explain", "Export", "Find", "Get", "List", "Preview", "Verify", "Watch"}
)
"""How the name of a method begins that changes nothing."""
ACT_VERBS = frozenset(
    {"Activate", "Add", "Back", "Ban", "Change", "Clear", "Create", "Deactivate", "Delete",
     "Disconnect", "End", "Import", "Lift", "Login", "Logout", "Put", "Reload", "Remove", "Renew",
     "Reset", "Restart", "Restore", "Resume", "Revoke", "Roll", "Set", "Suspend", "Test",
     "Update", "Use"}
)  # fmt: skip
"""How the others begin; a verb that is in neither counts as an act, and a test asks for it."""
NOT_TOLD = frozenset({"AuthService/RenewToken"})
"""Acts that are no news: whoever is logged in does them all the time."""
READS_TOLD = frozenset({"MaildropService/GetMessage", "BackupService/ExportBackup"})
"""Reads that are told where the account is not the caller's own: somebody's mail, all secrets."""

_NOUNS = {"transform_activations": "transforms"}
"""Services whose acts are told with those of another."""

Behaviour = Callable[[Any, Any], Any]


class Who(NamedTuple):
    """Who makes a call, and from where; without a proof, ``kind`` is NOBODY."""

    name: str
    kind: ActorKind
    token: str
    address: str
    via: Via


class Journal(Protocol):
    """Where entries go."""

    async def ready(self) -> None:
        """Make sure that an entry can be written."""

    async def record(self, entry: AuditEntry) -> int:
        """Write an entry durably."""

    def note(self, entry: AuditEntry) -> None:
        """Write an entry soon, or count it as left out."""

    def counts(self, refused: AuditEntry) -> bool:
        """Whether a refusal is one too many of its caller's, and is only counted."""


def verb_of(method: str) -> str:
    """Give the first word of a method such as ``/pop3mgmt.v1.AuthService/Login``."""
    return _snake(method.rpartition("/")[2]).partition("_")[0].capitalize()


def is_told(method: str) -> bool:
    """Whether a method's calls go to the audit."""
    short = method.rpartition(".")[2]
    if not method.startswith("/pop3mgmt.") or short in NOT_TOLD:
        return False
    return short in READS_TOLD or verb_of(method) not in READ_VERBS


def action_of(method: str, via: Via = Via.GRPC) -> str:
    """Name a method as the audit does: ``AccountsService/CreateAccount`` is accounts.create."""
    service, _, name = method.rpartition(".")[2].partition("/")
    if name == "Login":
        return f"login.{via.value}"
    noun = _snake(service.removesuffix("Service"))
    noun = _NOUNS.get(noun, noun)
    words = _snake(name)
    for ending in (noun, noun.removesuffix("s")):
        words = words.removesuffix(f"_{ending}")
    return f"{noun}.{words}"


def _snake(name: str) -> str:
    return "_".join(re.findall("[A-Z][a-z0-9]*", name)).lower()


def outcome_of(error: BaseException | None) -> str:
    """Give an entry's outcome for how a call ended."""
    if error is None:
        return OK
    if isinstance(error, ServiceError):
        return error.reason.value
    if isinstance(error, TimeoutError | asyncio.CancelledError):
        return Reason.DEADLINE_EXCEEDED.value
    return Reason.INTERNAL.value


class Auditing:
    """Wraps the behaviour of methods so that each call leaves its entry."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    async def refused(self, method: str, who: Who, error: ServiceError) -> None:
        """Tell of a call that was refused before anything was done.

        Raises:
            StoreUnavailable: that cannot be written.
        """
        if is_told(method):
            await self._ended(method, who, Described(), error)

    def told(
        self, method: str, handler: Any, behaviour: Behaviour, who: Callable[[], Who]
    ) -> Behaviour:
        """Wrap the behaviour of a method; ``who`` gives its caller while it is called."""
        if not is_told(method):
            return behaviour
        wrap = self._stream if handler.response_streaming else self._unary
        return wrap(method, behaviour, who)

    def _unary(self, method: str, behaviour: Behaviour, who: Callable[[], Who]) -> Behaviour:
        async def act(request: Any, context: Any) -> Any:
            with describing() as said:
                await self._journal.ready()
                response = await self._told(behaviour(request, context), method, who(), said)
            await self._ended(method, who(), said, None)
            return response

        return act

    def _stream(self, method: str, behaviour: Behaviour, who: Callable[[], Who]) -> Behaviour:
        """Wrap a method with a stream of responses; its act is done before the first."""

        async def act(request: Any, context: Any) -> AsyncIterator[Any]:
            with describing() as said:
                await self._journal.ready()
                responses = behaviour(request, context)
                try:
                    first = True
                    while True:
                        response = await self._told(anext(responses, None), method, who(), said)
                        if first:
                            await self._ended(method, who(), said, None)
                            first = False
                        if response is None:
                            return
                        yield response
                finally:
                    if inspect.isasyncgen(responses):
                        await responses.aclose()

        return act

    async def _told(self, act: Awaitable[Any], method: str, who: Who, said: Described) -> Any:
        """Wait for an act; how it failed is told before anybody hears of it."""
        try:
            return await act
        except Exception as error:
            await self._ended(method, who, said, error)
            raise
        except asyncio.CancelledError as error:
            entry = self._entry(method, who, said, error)
            if not self._journal.counts(entry):
                self._journal.note(entry)
            raise

    async def _ended(self, method: str, who: Who, said: Described, error: Exception | None) -> None:
        if method.rpartition(".")[2] in READS_TOLD and who.name and said.target == who.name:
            return
        entry = self._entry(method, who, said, error)
        if error is not None and entry.actor_kind is ActorKind.NOBODY:
            self._journal.note(entry)
        elif error is None or not self._journal.counts(entry):
            await self._journal.record(entry)

    def _entry(
        self, method: str, who: Who, said: Described, error: BaseException | None
    ) -> AuditEntry:
        kind = said.actor_kind or who.kind
        return AuditEntry(
            time_s=self._clock.now().timestamp(),
            action=action_of(method, who.via),
            actor=said.actor or who.name,
            actor_kind=ActorKind.NOBODY if error and who.kind is ActorKind.NOBODY else kind,
            token=who.token,
            address=host_of(who.address),
            via=who.via,
            target=said.target,
            outcome=outcome_of(error),
            before=said.before,
            after=_refused(said) if error else said.after,
        )


def _refused(said: Described) -> dict[str, Any]:
    """Tell of what did not come about: only what was asked for is certain."""
    return {"asked": said.asked} if said.asked else {}

"""Mail transformed ahead: as it arrives, before anybody asks for it.

One message at a time, and one of each account in turn: a large mailbox keeps nobody waiting. It
takes no maildrop's lock, so it is in no session's way; what it finds is kept under the identity of
one file, and is of use to nobody if that file is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Protocol

import structlog

from lineproto.clock import Clock
from pop3_service.domain.ahead import NOTHING_AHEAD, AheadProgress, Owner
from pop3_service.domain.errors import MessageNotFound, ServiceError
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import (
    ActiveTransforms,
    Choice,
    Transform,
    TransformCount,
    TransformTable,
)
from pop3_service.maildir.arrivals import Arrivals
from pop3_service.maildir.message import Message
from pop3_service.maildir.paths import MailPaths
from pop3_service.worker.ahead_results import AheadResults
from pop3_service.worker.ahead_turns import Mailbox, Turns
from pop3_service.worker.transform_reports import TransformReports

LOOK_S = 3.0
"""Time between two looks at all folders."""
OWNERS_S = 60.0
"""Time after which it is asked anew whose mail there is."""
PAUSES = 4
"""A pause is at least so many times as long as the look took."""
LOOKS_AT_A_TIME = 200

log = structlog.get_logger()


class Control(Protocol):
    """What this asks of the supervisor, and tells it."""

    async def owners(self, after: str) -> Sequence[Owner]:
        """Give whose mail there is in order of name, those after a name; some at a time.

        Raises:
            ServiceError: not now.
        """

    def report_transforms(self, counts: list[TransformCount]) -> None:
        """Tell what came of runs."""

    def report_ahead(self, progress: AheadProgress) -> None:
        """Tell how far it has come."""


class Ahead:
    """Transforms mail ahead while ``run`` runs."""

    def __init__(
        self,
        control: Control,
        paths: MailPaths,
        results: AheadResults,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._control = control
        self._reports = TransformReports(control.report_transforms)
        self._arrivals = Arrivals(paths)
        self._results = results
        self._settings = settings
        self._clock = clock
        self._active = ActiveTransforms()
        self._turns = Turns(clock)
        self._done = 0
        self._told = NOTHING_AHEAD
        self._ask_s = 0.0
        self._is_current = False
        """Whether the mailboxes are those that the table and the settings mean."""
        self._changed, self._work, self._room = (asyncio.Event() for _ in range(3))

    def set_transforms(self, table: TransformTable) -> None:
        """Put what is active in force; a run under way goes on."""
        self._active = ActiveTransforms(table)
        self._ask_anew()

    def configure(self, settings: Settings) -> None:
        """Put settings in force."""
        optional, self._settings = self._settings.transform_optional, settings
        if settings.transform_optional != optional:
            self._ask_anew()

    async def run(self) -> None:
        """Go on until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch())
                tasks.create_task(self._work_off())
        finally:
            self._results.end()
            self._reports.flush()

    def _ask_anew(self) -> None:
        self._is_current = False
        self._changed.set()
        self._room.set()

    # --- whose mail there is, and which of it is new --------------------

    async def _watch(self) -> None:
        while True:
            self._changed.clear()
            began_s = self._clock.monotonic()
            try:
                if not self._is_current or began_s >= self._ask_s:
                    await self._ask()
                await self._look_at_all()
            except (ServiceError, OSError) as error:
                log.warning("mail is not looked at", reason=str(error))
            took_s = self._clock.monotonic() - began_s
            await self._pause(max(LOOK_S, PAUSES * took_s))

    async def _pause(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        changing = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((sleeping, changing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            changing.cancel()

    async def _ask(self) -> None:
        """Find out whose mail is to be transformed, and into what."""
        active, optional = self._active, self._settings.transform_optional
        found: list[tuple[float, Mailbox]] = []
        after = ""
        while owners := await self._control.owners(after):
            for owner in owners:
                if owner.transform or not optional:
                    choice = active.choose(owner.account, owner.role)
                    if choice.transform is not None:
                        mailbox = self._mailbox(owner.account, choice, choice.transform)
                        found.append((-owner.login_time_s, mailbox))
            after = owners[-1].account
        found.sort(key=lambda it: it[0])  # who was there last is there next
        self._turns.replace(mailbox for _, mailbox in found)
        self._arrivals.keep(self._turns.mailboxes)
        self._is_current = active is self._active and optional == self._settings.transform_optional
        self._ask_s = self._clock.monotonic() + OWNERS_S
        self._work.set()
        self._tell()

    def _mailbox(self, account: str, choice: Choice, transform: Transform) -> Mailbox:
        known = self._turns.mailboxes.get(account)
        if known is not None and known.transform == transform:
            known.choice = choice
            return known
        self._arrivals.forget(account)
        return Mailbox(account, choice, transform)

    async def _look_at_all(self) -> None:
        accounts = iter(list(self._turns.mailboxes))
        while some := list(islice(accounts, LOOKS_AT_A_TIME)):
            for account in await asyncio.to_thread(self._arrivals.changed, some):
                while self._is_current and not self._turns.has_room:
                    self._room.clear()
                    await self._room.wait()
                if not self._is_current:
                    return
                await self._look_at(self._turns.mailboxes[account])

    async def _look_at(self, mailbox: Mailbox) -> None:
        try:
            missing = await asyncio.to_thread(self._look, mailbox)
        except (ServiceError, OSError) as error:
            log.warning("mail is not looked at", account=mailbox.account, reason=str(error))
            return
        self._turns.put(mailbox, missing)
        self._work.set()
        self._tell()

    def _look(self, mailbox: Mailbox) -> list[Message]:
        messages = self._arrivals.look(mailbox.account)
        return self._results.missing(mailbox.account, mailbox.transform, messages)

    # --- one message after the other --------------------

    async def _work_off(self) -> None:
        while True:
            if not self._is_current:
                self._results.rest_all()
            elif self._turns.waiting and await self._results.is_full():
                await self._clock.sleep(LOOK_S)
                continue
            elif found := self._turns.next():
                await self._transform(*found)
                self._after(found[0])
                continue
            self._work.clear()
            await self._work.wait()

    async def _transform(self, mailbox: Mailbox, message: Message) -> None:
        account, transform = mailbox.account, mailbox.transform
        opening = partial(self._arrivals.open_message, account, message)
        counting = partial(self._count, mailbox)
        try:
            why = await self._results.make(account, transform, message, opening, counting)
        except MessageNotFound:
            return  # the next look tells what there is now
        except (ServiceError, OSError) as error:
            log.warning("mail is not transformed", account=account, reason=str(error))
            await self._clock.sleep(LOOK_S)
        except Exception as error:  # a fault of ours with one message: not the end of all others
            log.error("mail is not transformed", account=account, exc_info=error)
            self._turns.failed(mailbox, message)
        else:
            if why:
                self._turns.failed(mailbox, message)

    def _after(self, mailbox: Mailbox) -> None:
        if not mailbox.messages:
            self._results.rest(mailbox.account, mailbox.transform)
            if mailbox.more:  # another look tells which
                self._arrivals.forget(mailbox.account)
                self._changed.set()
        if self._turns.has_room:
            self._room.set()
        self._tell()

    def _count(self, mailbox: Mailbox, seconds: float, failure: str) -> None:
        failures = int(bool(failure))
        self._done += 1 - failures
        self._reports.add(
            TransformCount(mailbox.activation, 1, failures, seconds=seconds, failure=failure)
        )

    def _tell(self) -> None:
        progress = AheadProgress(self._turns.waiting, self._done, self._turns.failures)
        if progress != self._told:
            self._told = progress
            self._control.report_ahead(progress)

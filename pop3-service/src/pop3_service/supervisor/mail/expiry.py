"""Expiry in the background: each hour every maildrop is looked at that has old mail to lose.

These are all while ``expire_days`` is set, else those whose accounts have a retention of their own.

One maildrop after the other, a bounded number of messages at a time, each in a thread, and as long
a pause after each as it took. A maildrop that a session has is left until the next look. When the
machine's clock is put ahead, no mail goes for an hour: a wrong date would make all of it old.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial

import structlog

from lineproto.clock import Clock
from pop3_service.domain.account import Account
from pop3_service.domain.errors import InvalidArgument, MaildropInUse, ServiceError
from pop3_service.domain.settings import Settings
from pop3_service.maildir.expiry import Expired, expire
from pop3_service.maildir.paths import MailPaths
from pop3_service.storage.accounts import AccountStore

PASS_S = 3600.0
"""Time between two looks at all maildrops."""
DAY_S = 86_400
JUMP_S = 3600.0
"""So much ahead of the time that has passed is a clock that was put ahead."""
ACCOUNTS_A_PAGE = 200
MESSAGES_A_TURN = 500
"""Messages removed in one go: so long a maildrop is locked."""

log = structlog.get_logger()


class Expiry:
    """Removes old mail. ``settings`` gives those of now."""

    def __init__(
        self,
        accounts: AccountStore,
        paths: MailPaths,
        settings: Callable[[], Settings],
        clock: Clock,
        tell: Callable[[str, int, int, int], None],
    ) -> None:
        """``tell`` is told account, days, messages and octets of what was removed."""
        self._tell = tell
        self._accounts = accounts
        self._paths = paths
        self._settings = settings
        self._clock = clock
        self._days = 0
        self._some_retain = False
        """Whether an account has a retention of its own, as far as is known."""
        self._resting = False
        self._changed = asyncio.Event()
        self._offset_s = self._clock_offset_s()
        self._held_until_s = 0.0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look at the maildrops until the end of the block."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def settings_changed(self) -> None:
        """Look at all maildrops soon if mail expires at another age now."""
        if self._settings().expire_days != self._days:
            self._changed.set()

    def retention_changed(self) -> None:
        """Note that an account has another retention; it counts from the next look on.

        No look begins for it while others come each hour anyway: else one account could keep the
        look from ever coming to the others.
        """
        self._some_retain = True
        if self._resting:
            self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            self._days = self._settings().expire_days
            self._some_retain = self._resting = False
            await self._look_at_all()
            await self._pause()

    async def _pause(self) -> None:
        """Wait for an hour, or until the setting changes; without expiry for a change alone."""
        self._resting = not (self._days or self._some_retain)
        waits = [asyncio.create_task(self._until_changed())]
        if not self._resting:
            waits.append(asyncio.create_task(self._after(PASS_S)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _until_changed(self) -> None:
        await self._changed.wait()

    async def _after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    async def _look_at_all(self) -> None:
        after = ""
        try:
            while page := await self._accounts.page(
                after, ACCOUNTS_A_PAGE, with_retention=not self._days
            ):
                self._some_retain |= not self._days
                for account in page:
                    if self._is_over():
                        return
                    await self._look_at(account)
                after = page[-1].name
        except ServiceError as error:
            log.error("expiry broke off", reason=str(error))
        except Exception as error:  # a fault of ours, or no thread to be had: not the last look
            log.error("expiry broke off", exc_info=error)

    def _is_over(self) -> bool:
        """Whether this look ends here: the setting has changed, or the clock was put ahead."""
        before_s, self._offset_s = self._offset_s, self._clock_offset_s()
        now_s, jump_s = self._clock.monotonic(), self._offset_s - before_s
        if jump_s > JUMP_S:
            self._held_until_s = now_s + PASS_S
            log.error("clock was put ahead, no mail expires for an hour", seconds=round(jump_s))
        return self._changed.is_set() or now_s < self._held_until_s

    def _clock_offset_s(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    async def _look_at(self, account: Account) -> None:
        name, days = account.name, self._days_of(account)
        try:
            parts = self._paths.parts(name)
        except InvalidArgument:
            return  # it has no maildrop
        count = octets = 0
        try:
            more = (await self._turn(parts, days, 0)).more
            # Who was deleted since the page was read may have left their mail to be kept, and who
            # is there may want it kept for longer.
            while more and (now := await self._accounts.get(name)) and not self._is_over():
                if not (days := self._days_of(now)):
                    break
                turn = await self._turn(parts, days, MESSAGES_A_TURN)
                count, octets, more = count + turn.removed, octets + turn.octets, turn.more
                if turn.failed:
                    log.error("mail does not go", account=name, count=turn.failed)
        except MaildropInUse:
            pass  # the next look is soon enough
        except ServiceError as error:
            log.warning("mail cannot expire", account=name, reason=str(error))
        if count:
            self._tell(name, days, count, octets)
            log.info("mail expired", account=name, days=days, count=count, octets=octets)

    def _days_of(self, account: Account) -> int:
        return account.preferences.expire_days(self._days)

    async def _turn(self, parts: tuple[str, ...], days: int, limit: int) -> Expired:
        began_s = self._clock.monotonic()
        now_s, age_s = self._clock.now().timestamp(), days * DAY_S
        work = partial(expire, self._paths.root, parts, now_s, age_s, limit)
        turn = await asyncio.to_thread(work)
        await self._clock.sleep(self._clock.monotonic() - began_s)
        return turn

"""Results made ahead: each by the means of a session, in the background."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from pop3_service.domain.errors import TransformFailed
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import Transform
from pop3_service.maildir.message import Message
from pop3_service.transform.cache import Cache
from pop3_service.transform.fingerprint import fingerprint
from pop3_service.transform.runner import MIB, Runner
from pop3_service.transform.session import OnRun, Original, SessionTransform

SESSIONS = 16
"""Mailboxes whose results are held while more of their mail is worked at."""
FULL = 0.9
"""Share of the quota from which nothing is made ahead: it would push other results out."""


class AheadResults:
    """Makes results in the cache that all processes share. ``settings`` gives those of now."""

    def __init__(self, runner: Runner, cache: Cache, settings: Callable[[], Settings]) -> None:
        self._runner = runner
        self._cache = cache
        self._settings = settings
        self._sessions: OrderedDict[tuple[str, Transform], SessionTransform] = OrderedDict()
        self._on_run: OnRun

    def missing(
        self, account: str, transform: Transform, messages: Sequence[Message]
    ) -> list[Message]:
        """Give those of which there is no result; may wait for the disk.

        Raises:
            TransformInvalid: one of the programs is not there.
            OSError: results cannot be looked at.
        """
        folder = self._cache.lease(account, fingerprint(transform.programs)) if messages else None
        if folder is None:
            return []
        try:
            there = folder.sizes()
        finally:
            folder.close()
        return [message for message in messages if message.identity not in there]

    async def make(
        self,
        account: str,
        transform: Transform,
        message: Message,
        opening: Callable[[], int],
        on_run: OnRun,
    ) -> str:
        """Make one if it is still missing; say why the transform failed, empty if it did not.

        ``opening`` gives a descriptor of the message's file; ``on_run`` is told what a run took
        in seconds, and why it failed. To be called once at a time.

        Raises:
            ServiceError: the message is not there as it was.
        """
        self._on_run = on_run
        session = self._session(account, transform)
        original = Original(message.identity, message.size, message.octets, opening)
        try:
            result = await session.open(original)
        except TransformFailed as error:
            return str(error)
        if result is None:
            return session.failure(original)
        result.close()
        return ""

    async def is_full(self) -> bool:
        """Whether another result would push out one that somebody may still want."""
        quota = self._settings().transform_cache_mib * MIB
        return await self._cache.in_thread(self._cache.used) >= FULL * quota

    def rest(self, account: str, transform: Transform) -> None:
        """Hold a mailbox's results no longer."""
        session = self._sessions.pop((account, transform), None)
        if session is not None:
            session.close()

    def end(self) -> None:
        """Hold nothing any more, and let go of the cache."""
        self.rest_all()
        self._cache.close()

    def rest_all(self) -> None:
        """Hold no mailbox's results."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _session(self, account: str, transform: Transform) -> SessionTransform:
        key = account, transform
        session = self._sessions.get(key)
        if session is None:
            session = SessionTransform(
                self._runner,
                self._cache,
                account,
                transform,
                self._settings,
                on_run=lambda seconds, failure: self._on_run(seconds, failure),
                background=True,
            )
            self._sessions[key] = session
            if len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)[1].close()
        self._sessions.move_to_end(key)
        return session

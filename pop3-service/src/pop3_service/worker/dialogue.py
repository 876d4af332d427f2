"""One POP3 connection's dialogue: the session machine's actions, carried out."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from functools import partial

import structlog

from lineproto.connection import Answer, Connection
from lineproto.reply import Err, Listing, Ok
from pop3_service.control.plane import Admitted, Credentials, Refused
from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import InvalidCredentials, ServiceError
from pop3_service.domain.session import SessionEventKind, SessionInfo
from pop3_service.maildir.maildrop import Maildrop
from pop3_service.pop3.command import BadCommand, parse
from pop3_service.pop3.session import Action, Commit, Login, SendMessage, Session
from pop3_service.worker.context import WorkerContext
from pop3_service.worker.errors import CODE, refusal
from pop3_service.worker.sending import MessageBroken, send_message
from pop3mgmt.reasons import Reason

LONG_LISTING = 4096
"""Messages from which a listing goes out in pieces, so that it is never whole in memory."""

log = structlog.get_logger()


class Pop3Dialogue:
    """A ``lineproto.connection.Dialogue`` that speaks POP3."""

    __slots__ = (
        "_changed",
        "_commands",
        "_connect_time_s",
        "_connection",
        "_context",
        "_deleted",
        "_drop",
        "_on_end",
        "_session",
        "account",
        "finished",
        "interruptible",
        "sent_messages",
        "session_id",
    )

    def __init__(
        self,
        context: WorkerContext,
        connection: Connection,
        session_id: str,
        *,
        full: bool,
        on_end: Callable[[Pop3Dialogue], None],
    ) -> None:
        self.session_id = session_id
        self.account = ""
        self.finished = full
        self.interruptible = True
        self.sent_messages = 0
        self._context = context
        self._connection = connection
        self._on_end = on_end
        self._session = Session(context.capabilities)
        self._drop: Maildrop | None = None
        self._connect_time_s = context.clock.now().timestamp()
        self._commands = 0
        self._deleted = 0
        self._changed: set[str] | None = None  # accounts changed while a login is under way

    # --- what the connection calls --------------------

    def greet(self) -> bytes:
        """Give the greeting, or say that there are too many connections."""
        if self.finished:
            return Err("too many connections, try again later", "SYS/TEMP").encode()
        return Ok(self._context.greeting).encode()

    def receive(self, line: bytes) -> Answer:
        """Answer a line."""
        self._commands += 1
        try:
            result = self._session.execute(parse(line))
        except BadCommand as error:
            result = self._session.bad_command(error)
        self.finished = self._session.finished
        match result:
            case Listing() if self._drop is not None and len(self._drop.messages) > LONG_LISTING:
                return self._send_listing(result)
            case Ok() | Err() | Listing():
                return result.encode()
            case Commit(()):
                reply = self._session.committed(0, 0)
                self.finished = True
                return reply.encode()
        return self._act(result)

    def line_too_long(self) -> bytes:
        """Answer a line that passed the limit."""
        reply = self._session.bad_command(BadCommand("command line too long"))
        self.finished = self._session.finished
        return reply.encode()

    def refuse_stopping(self) -> bytes:
        """Answer a line that came while the server stops: no UPDATE."""
        return Err("server is stopping", "SYS/TEMP").encode()

    def failed(self, error: Exception) -> bytes:
        """Log a fault of ours under a number that the client is told."""
        number = uuid.uuid4().hex[:8]
        log.error("session failed", id=self.session_id, number=number, exc_info=error)
        return Err(f"internal error {number}", "SYS/TEMP").encode()

    def idle_limit_s(self) -> float:
        """Seconds without a complete command after which the connection closes."""
        settings = self._context.settings
        if not self.account and self._context.crowded():
            return min(settings.login_idle_timeout_s, settings.idle_timeout_s)
        return settings.idle_timeout_s

    def lost(self, reason: str) -> None:
        """The connection is gone: unlock, and log the session's totals in one line."""
        if self._drop is not None:
            self._drop.close()
            self._drop = None
            self._context.counters.add("logouts")
        self._on_end(self)
        log.info(
            "session ended",
            id=self.session_id,
            peer=self._connection.peer,
            account=self.account or None,
            reason=reason,
            seconds=round(self._context.clock.now().timestamp() - self._connect_time_s, 3),
            commands=self._commands,
            sent_bytes=self._connection.sent_bytes,
            sent_messages=self.sent_messages,
            deleted_messages=self._deleted,
        )

    # --- what the listener calls --------------------

    def info(self) -> SessionInfo:
        """Give the session as the management sees it."""
        return SessionInfo(
            id=self.session_id,
            peer=self._connection.peer,
            account=self.account,
            connect_time_s=self._connect_time_s,
            sent_bytes=self._connection.sent_bytes,
            sent_messages=self.sent_messages,
            idle_s=max(self._connection.idle_s(), 0.0),
        )

    def account_changed(self, account: str) -> None:
        """An account was changed or deleted: a login under way must not count."""
        if self._changed is not None:
            self._changed.add(account)

    def disconnect(self) -> None:
        """End the session; a commit in progress is finished first."""
        if self.interruptible:
            self._connection.abort("disconnected by management")
        else:
            self._connection.close("disconnected by management")

    # --- actions --------------------

    async def _act(self, action: Action) -> bytes:
        match action:
            case Login(name, password):
                return await self._login(Credentials(name, password, self._connection.peer))
            case SendMessage(index, lines):
                return await self._send(index, lines)
            case Commit(indexes):
                return await self._commit(indexes)

    async def _login(self, credentials: Credentials) -> bytes:
        self._changed = set()
        try:
            outcome = await self._context.control.login(credentials)
            if isinstance(outcome, Admitted) and outcome.account in self._changed:
                # It was changed or deleted after its password was checked.
                outcome = Refused(Reason.INVALID_CREDENTIALS, str(InvalidCredentials()))
        finally:
            self._changed = None
        if isinstance(outcome, Refused):
            return await self._refuse(outcome)
        self.account = outcome.account
        try:
            self._drop = await self._open_maildrop(outcome.account)
        except ServiceError as error:
            self.account = ""
            return self._session.refused(refusal(error)).encode()
        self._context.counters.add("logins")
        if self._context.watched:
            self._context.tell(SessionEventKind.LOGGED_IN, self.info())
        if count := self._drop.passed_over:
            log.warning(
                "entries are no mail", id=self.session_id, account=self.account, count=count
            )
        return self._session.admitted(self._drop.messages).encode()

    async def _refuse(self, outcome: Refused) -> bytes:
        """Answer a refused login, after its delay; no one else waits for it."""
        if outcome.reason is Reason.INVALID_CREDENTIALS:
            self._context.counters.add("refused_logins")
        if outcome.delay_s > 0:
            await self._context.clock.sleep(outcome.delay_s)
        return self._session.refused(Err(outcome.text, CODE[outcome.reason])).encode()

    async def _open_maildrop(self, account: str) -> Maildrop:
        """Lock and list the maildrop in a thread; if the client is gone by then, unlock it."""
        context = self._context
        parts = context.paths.parts(AccountName(account))
        work = partial(Maildrop.open, context.paths.root, parts, context.lock)
        opening = asyncio.ensure_future(context.on_disk(work))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise

    async def _send(self, index: int, lines: int | None) -> bytes:
        assert self._drop is not None  # noqa: S101 - TRANSACTION state means that it is open
        try:
            await send_message(
                self._connection, self._context, self._drop, self._drop.messages[index], lines
            )
        except ServiceError as error:
            return refusal(error).encode()
        except MessageBroken as error:
            log.error(
                "message broke off",
                id=self.session_id,
                account=self.account,
                reason=str(error),
                exc_info=None if isinstance(error.__cause__, ServiceError) else error.__cause__,
            )
            self._connection.abort("message broke off")
            raise
        if lines is None:
            self.sent_messages += 1
            self._context.counters.add("sent_messages")
        return b""

    async def _send_listing(self, listing: Listing) -> bytes:
        for chunk in listing.chunks(LONG_LISTING):
            self._connection.write(chunk)
            await self._connection.drain()
        return b""

    async def _commit(self, indexes: tuple[int, ...]) -> bytes:
        """Delete durably before the reply; from here on the client's going changes nothing."""
        assert self._drop is not None  # noqa: S101 - as above
        self.interruptible = False
        doomed = [self._drop.messages[index] for index in indexes]
        deleted, failed = await self._context.on_disk(partial(self._drop.delete, doomed))
        self._deleted = deleted
        self._context.counters.add("deleted_messages", deleted)
        if failed:
            log.error("deletion failed", id=self.session_id, account=self.account, failed=failed)
        reply = self._session.committed(deleted, failed)
        self.finished = True
        return reply.encode()


def _close_unwanted(opening: asyncio.Future[Maildrop]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()

"""One POP3 connection's dialogue: the session machine's actions, carried out."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from lineproto.connection import WRITE_HIGH, Answer, Connection
from lineproto.nearby import is_nearby
from lineproto.reply import Err, Listing, Ok, Ready
from lineproto.tls import ServerContext
from pop3_service.control.plane import Admitted, Challenged, Credentials, Evidence, Refused
from pop3_service.domain.access import Ground
from pop3_service.domain.account import USER_FACTS, AccountFacts
from pop3_service.domain.address_rules import Suspension
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.errors import ServiceError, TransformFailed
from pop3_service.domain.session import SessionEventKind, SessionInfo
from pop3_service.pop3.capability import Offer
from pop3_service.pop3.catalogue import Text
from pop3_service.pop3.command import LINE_LIMIT, BadCommand, parse
from pop3_service.pop3.sasl import exchange
from pop3_service.pop3.sasl.exchange import Challenge, Proof
from pop3_service.pop3.session import (
    Action,
    Commit,
    FindSizes,
    Login,
    SendMessage,
    Session,
    StartTls,
    State,
)
from pop3_service.transform.session import TransformPending
from pop3_service.worker.context import WorkerContext
from pop3_service.worker.errors import refusal
from pop3_service.worker.maildrops import OpenMaildrop
from pop3_service.worker.sending import MessageBroken, send_message, small_message
from pop3_service.worker.transformed import TransformedMail, transformed_mail
from pop3mgmt.reasons import Reason

LONG_LISTING = 4096
"""Messages from which a listing goes out in pieces, so that it is never whole in memory."""

T = TypeVar("T")

EVERYBODY = ""
"""In place of an account's name: all of them."""

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
        "_in_tls",
        "_on_end",
        "_session",
        "_transformed",
        "account",
        "app_password",
        "facts",
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
        in_tls: bool,
        on_end: Callable[[Pop3Dialogue], None],
    ) -> None:
        self.session_id = session_id
        self.account = ""
        self.app_password = ""
        self.facts = USER_FACTS
        self.finished = full
        self.interruptible = True
        self.sent_messages = 0
        self._context = context
        self._connection = connection
        self._on_end = on_end
        self._in_tls = in_tls
        self._session = Session(
            self._offer(),
            context.language,
            may_start_tls=context.tls is not None and not in_tls,
            sends_utf8=context.sends_utf8,
        )
        self._drop: OpenMaildrop | None = None
        self._transformed: TransformedMail | None = None
        self._connect_time_s = context.clock.now().timestamp()
        self._commands = 0
        self._deleted = 0
        self._changed: set[str] | None = None  # accounts changed while a login is under way

    # --- what the connection calls --------------------

    def greet(self) -> bytes:
        """Give the greeting, or say that there are too many connections."""
        if self.finished:
            return self._err(Text.TOO_MANY_CONNECTIONS, "SYS/TEMP")
        greeting = self._context.greeting
        if self._context.settings.apop:
            self._session.timestamp = self._context.new_timestamp()
            return greeting.removesuffix(b"\r\n") + b" " + self._session.timestamp + b"\r\n"
        return greeting

    def receive(self, line: bytes) -> Answer:
        """Answer a line."""
        self._commands += 1
        if self._session.exchange is not None:
            self._connection.limit_lines(LINE_LIMIT)
            result = self._session.respond(line)
        else:
            try:
                result = self._session.execute(parse(line))
            except BadCommand as error:
                result = self._session.bad_command(error)
        self.finished = self._session.finished
        match result:
            case Ready(octets):
                return octets if len(octets) <= WRITE_HIGH else self._send_ready(octets)
            case SendMessage():
                return self._act(result)
            case Listing() if self._drop is not None and len(self._drop.messages) > LONG_LISTING:
                return self._send_listing(result)
            case Ok() | Err() | Listing():
                return result.encode()
        return self._act(result)

    def line_too_long(self) -> bytes:
        """Answer a line that passed the limit."""
        if self._session.exchange is not None:
            self._connection.limit_lines(LINE_LIMIT)
            reply = self._session.bad_exchange(Text.MESSAGE_TOO_LONG)
        else:
            reply = self._session.bad_command(BadCommand(Text.LINE_TOO_LONG))
        self.finished = self._session.finished
        return reply.encode()

    def refuse_stopping(self) -> bytes:
        """Answer a line that came while the server stops: no UPDATE."""
        return self._err(Text.STOPPING, "SYS/TEMP")

    def failed(self, error: Exception) -> bytes:
        """Log a fault of ours under a number that the client is told."""
        number = uuid.uuid4().hex[:8]
        log.error("session failed", id=self.session_id, number=number, exc_info=error)
        return self._err(Text.INTERNAL_ERROR, "SYS/TEMP", number=number)

    def idle_limit_s(self) -> float:
        """Seconds without a complete command after which the connection closes."""
        settings = self._context.settings
        if not self.account and self._context.crowded():
            return min(settings.login_idle_timeout_s, settings.idle_timeout_s)
        return settings.idle_timeout_s

    def lost(self, reason: str) -> None:
        """The connection is gone: unlock, and log the session's totals in one line."""
        self._unlock()
        self._on_end(self)
        tls, via = self._connection.tls_version, self._connection.via
        if via is not None and via.itself and not self._commands:
            return  # a proxy that looks whether the service is alive
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
            **({"transform": str(self._transformed)} if self._transformed else {}),
            **({"tls": tls} if tls else {}),
            **({"proxy": via.proxy} if via else {}),
            **({"proxy_tls": via.tls} if via and via.tls else {}),
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
        """An account, or ``EVERYBODY``, was changed: a login under way must not count."""
        if self._changed is not None:
            self._changed.add(account)

    def is_refused(self) -> bool:
        """Whether a rule, a ban or a suspension keeps out who is there."""
        role = self.facts.role
        return self._context.refuses(self._connection.peer, self.account, role) is not None

    def offers_changed(self) -> None:
        """Settings have changed: what was offered before does not count any more."""
        self._session.put_offer(self._offer())

    def disconnect(self) -> None:
        """End the session; a commit in progress is finished first."""
        if self.interruptible:
            self._connection.abort("disconnected by management")
        else:
            self._connection.close("disconnected by management")

    # --- actions --------------------

    def _act(self, action: Action) -> Answer:
        """Carry an action out: at once where nothing has to be waited for."""
        match action:
            case Login(name, password):
                known = self._context.logins.find(name, password)
                if known is None or self._context.has_expired(known):
                    return self._log_in(self._credentials(name, password))
                return self._enter_at_once(known.account, known.facts, known.app_password)
            case SendMessage(index, None) if (
                self._transformed is None or self._transformed.is_original
            ):
                return self._send_at_once(index)
            case SendMessage(index, lines):
                return self._send(index, lines)
            case FindSizes():
                return self._find_sizes(action)
            case Commit(()):
                return self._committed(0, 0)
            case Commit(indexes):
                return self._commit(indexes)
            case StartTls():
                return self._start_tls()
            case Challenge():
                return self._challenge(action)
            case Proof():
                return self._prove(action)

    def _offer(self) -> Offer:
        offers = self._context.offers
        via = self._connection.via
        if self._in_tls:
            # Where TLS ends at a trusted proxy, its certificate is not ours to bind to.
            return offers.unheard if via is not None and via.tls else offers.in_tls
        if offers.policy == "local" and via is None and self._is_nearby():
            return offers.unheard
        return offers.in_clear

    def _is_nearby(self) -> bool:
        return is_nearby(self._connection.peer, self._connection.local)

    def _challenge(self, challenge: Challenge) -> bytes:
        self._connection.limit_lines(exchange.LINE_LIMIT)
        return challenge.encode()

    def _start_tls(self) -> bytes:
        context = self._context.tls
        if context is None:
            return self._err(Text.TLS_UNAVAILABLE, "SYS/TEMP")
        self._connection.start_tls(context)
        self._in_tls = True
        reply = self._session.securing()
        self._session.put_offer(self._offer())
        return reply.encode()

    def _enter_at_once(self, account: str, facts: AccountFacts, app_password: str) -> Answer:
        """Enter a maildrop that is known and has not changed, else the long way."""
        self.facts, self.app_password = facts, app_password
        ground = self._context.refuses(self._connection.peer, account, facts.role)
        if ground is not None:
            return self._keep_out(account, ground)
        try:
            drop = self._context.maildrops.open_at_once(account)
        except ServiceError as error:
            self._report(account, error.reason.value)
            return self._session.refused(self._refusal(error)).encode()
        if drop is None:
            return self._enter(account)
        self.account = account
        return self._let_in(drop)

    def _keep_out(self, account: str, ground: Ground) -> bytes:
        """Refuse a right password: only now it is told that it is not the password."""
        suspended = isinstance(ground, Suspension)
        reason = Reason.ACCOUNT_SUSPENDED if suspended else Reason.ADDRESS_DENIED
        log.info(
            "login refused",
            id=self.session_id,
            reason=reason,
            peer=self._connection.peer,
            account=account,
            because=str(ground),
        )
        self._report(account, reason.value)
        return self._session.refused(refusal(reason, self._session.language)).encode()

    async def _log_in(self, credentials: Credentials) -> bytes:
        logins = self._context.logins
        changes = logins.changes
        outcome = await self._checked(self._context.control.login(credentials))
        if isinstance(outcome, Refused):
            return await self._refuse(outcome)
        if logins.changes == changes:  # else it may be outdated already
            logins.remember(
                credentials.name,
                credentials.password,
                outcome.account,
                outcome.age_s,
                outcome.app_password,
                outcome.facts,
            )
        return await self._admit(outcome)

    async def _prove(self, proof: Proof) -> bytes:
        """Let the supervisor look at a message of a mechanism that it checks."""
        outcome = await self._checked(
            self._context.control.authenticate(
                Evidence(
                    proof.mechanism,
                    proof.response,
                    proof.state,
                    self._connection.peer,
                    self._binding(),
                    self._connection.tls_version,
                )
            )
        )
        match outcome:
            case Challenged(octets, state, delay_s):
                await self._context.delays.wait(delay_s)
                return self._challenge(self._session.challenged(octets, state))
            case Refused(Reason.INVALID_ARGUMENT):
                reply = self._session.bad_exchange(Text.BAD_MESSAGE)
                self.finished = self._session.finished
                return reply.encode()
            case Refused():
                return await self._refuse(outcome)
            case Admitted():
                return await self._admit(outcome)

    def _credentials(self, name: bytes, password: bytes) -> Credentials:
        connection = self._connection
        mechanism = self._session.mechanism
        return Credentials(name, password, connection.peer, mechanism, connection.tls_version)

    def _report(self, account: str, reason: str = "") -> None:
        """Tell a login, or a refusal that is decided here, to the audit."""
        connection, context = self._connection, self._context
        context.reports.add(
            LoginEvent(
                context.clock.now().timestamp(),
                account,
                connection.peer,
                self._session.mechanism,
                connection.tls_version,
                reason,
                self.app_password,
            )
        )

    def _binding(self) -> bytes:
        context = self._connection.tls_context if self._session.offer.binds else None
        return context.end_point if isinstance(context, ServerContext) else b""

    async def _checked(self, check: Awaitable[T]) -> T | Refused:
        """Give the outcome of a check; who was changed meanwhile is refused."""
        self._changed = set()
        try:
            outcome = await check
            if not isinstance(outcome, Admitted):
                return outcome
            reason = None
            if EVERYBODY in self._changed:  # by other accounts: nobody knows what it would be now
                reason = Reason.STORE_UNAVAILABLE
            elif outcome.account in self._changed:
                reason = Reason.INVALID_CREDENTIALS
            if reason is None:
                return outcome
            self._report(outcome.account, reason.value)
            return Refused(reason)
        finally:
            self._changed = None

    async def _admit(self, admitted: Admitted) -> bytes:
        answer = self._enter_at_once(admitted.account, admitted.facts, admitted.app_password)
        return answer if isinstance(answer, bytes) else await answer

    async def _enter(self, account: str) -> bytes:
        """Lock and list the maildrop; only then the login is answered (RFC 1939 section 4)."""
        self.account = account
        context = self._context
        try:
            drop = await context.maildrops.open(account, context.on_disk)
        except ServiceError as error:
            self.account = ""
            self._report(account, error.reason.value)
            return self._session.refused(self._refusal(error)).encode()
        answer = self._let_in(drop)
        return answer if isinstance(answer, bytes) else await answer

    def _let_in(self, drop: OpenMaildrop) -> Answer:
        """Enter a maildrop that is locked, unless the account logged in a moment ago."""
        if self._context.settings.login_delay_s:
            self._drop = drop  # whoever goes meanwhile leaves it unlocked
            return self._enter_in_time(drop)
        return self._entered(drop)

    async def _enter_in_time(self, drop: OpenMaildrop) -> bytes:
        """Enter unless it is too soon (RFC 2449 section 6.5); only who may log in is told so."""
        try:
            await self._context.control.note_login(self.account)
        except ServiceError as error:
            self._unlock()
            self._report(self.account, error.reason.value)
            self.account = ""
            return self._session.refused(self._refusal(error)).encode()
        return self._entered(drop)

    def _entered(self, drop: OpenMaildrop) -> bytes:
        self._drop = drop
        self._context.counters.add("logins")
        self._report(self.account)
        if self._context.watched:
            self._context.tell(SessionEventKind.LOGGED_IN, self.info())
        if count := drop.passed_over:
            log.warning(
                "entries are no mail", id=self.session_id, account=self.account, count=count
            )
        own, transformed = self.facts.preferences, False
        if self._context.transforms:
            self._transformed = transformed_mail(self._context, self.account, self.facts, drop)
            transformed = self._transformed is not None and not self._transformed.is_original
        admitted = self._session.admitted(
            drop.contents, own.language, own.retention_days, transformed=transformed
        )
        return admitted.encode()

    async def _refuse(self, outcome: Refused) -> bytes:
        """Answer a refused login, after its delay; no one else waits for it."""
        if outcome.reason is Reason.INVALID_CREDENTIALS:
            self._context.counters.add("refused_logins")
        await self._context.delays.wait(outcome.delay_s)
        reply = refusal(outcome.reason, self._session.language)
        return self._session.refused(reply).encode()

    def _send_at_once(self, index: int) -> Answer:
        """Answer RETR of a small message that the kernel has in memory, else the long way."""
        assert self._drop is not None  # noqa: S101 - TRANSACTION state means that it is open
        reply = small_message(self._drop, self._drop.messages[index], self._session.language)
        if reply is None:
            return self._send(index, None)
        self._sent()
        if self._transformed is not None:
            self._transformed.sent(index)
        return reply

    def _sent(self) -> None:
        self.sent_messages += 1
        self._context.counters.add("sent_messages")

    async def _find_sizes(self, action: FindSizes) -> bytes:
        """Answer STAT or LIST once the transform's sizes are known, or for now if that is long."""
        assert self._transformed is not None  # noqa: S101 - the session asks for nothing else
        try:
            octets = await self._transformed.find_sizes()
        except TransformPending as pending:
            return self._session.unsized(pending.done, pending.total).encode()
        except ServiceError as error:
            return self._refusal(error).encode()
        reply = self._session.sized(action.asked, octets)
        if isinstance(reply, Listing):
            return await self._send_listing(reply)
        return await self._send_ready(reply.encode())

    async def _send(self, index: int, lines: int | None) -> bytes:
        assert self._drop is not None  # noqa: S101 - as above
        connection, session, mail = self._connection, self._session, self._transformed
        try:
            if mail is None:
                message = self._drop.messages[index]
                await send_message(
                    connection, self._context, self._drop, message, lines, session.language
                )
            elif refused := await mail.send(connection, session, index, lines):
                return refused.encode()
        except TransformFailed as error:
            return self._refusal(error).encode()
        except ServiceError as error:
            self._drop.forget()
            return self._refusal(error).encode()
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
            self._sent()
        return b""

    async def _send_ready(self, octets: bytes) -> bytes:
        """Send a long reply no faster than it is read."""
        with memoryview(octets) as view:
            for start in range(0, len(octets), WRITE_HIGH):
                self._connection.write(bytes(view[start : start + WRITE_HIGH]))
                await self._connection.drain()
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
        self._drop.shrink(doomed)
        deleted, failed = await self._drop.delete(doomed, self._context.on_disk)
        self._deleted = deleted
        self._context.counters.add("deleted_messages", deleted)
        if failed:
            log.error("deletion failed", id=self.session_id, account=self.account, failed=failed)
        return self._committed(deleted, failed)

    def _committed(self, deleted: int, failed: int) -> bytes:
        """Answer QUIT. Who has read the answer may log in again at once, at any worker."""
        reply = self._session.committed(deleted, failed)
        self.finished = True
        self._unlock()
        return reply.encode()

    def _unlock(self) -> None:
        if self._drop is not None:
            drop, self._drop = self._drop, None
            if self._transformed is not None:
                self._transformed.close()
            drop.close()
            if self._session.state is not State.AUTHORIZATION:
                self._context.counters.add("logouts")
            if drop.index_is_old:
                self._context.in_background(drop.save_index)

    # --- replies --------------------

    def _err(self, text: Text, code: str, **arguments: object) -> bytes:
        return self._session.language.err(text, code, **arguments).encode()

    def _refusal(self, error: ServiceError) -> Err:
        """Tell of a failure; what it was in detail is for the log."""
        if error.reason is not Reason.MAILDROP_IN_USE:
            log.warning(
                "command failed",
                id=self.session_id,
                account=self.account or None,
                reason=error.reason,
                error=str(error),
            )
        return refusal(error.reason, self._session.language)

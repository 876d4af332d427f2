"""One SCMP connection's dialogue: lines to verbs, verbs to calls with the caller's own token."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

import structlog

from lineproto.connection import CLOSED_BY_CLIENT, Answer, Connection
from lineproto.reply import Err, Listing, Ok, Reply
from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from scmp_gateway.command import BadLine, Line, parse
from scmp_gateway.errors import refusal
from scmp_gateway.security import Security
from scmp_gateway.verb import Verb
from scmp_gateway.verbs import VERBS, visible

MAX_BAD_COMMANDS = 10
"""Consecutive unknown or unparsable commands that end the connection."""

log = structlog.get_logger()


class ScmpDialogue:
    """A ``lineproto.connection.Dialogue`` that speaks SCMP. It keeps a token, never a password."""

    def __init__(
        self,
        client: ManagementClient,
        connection: Connection,
        greeting: str,
        idle_timeout_s: float,
        *,
        full: bool,
        security: Security,
        on_end: Callable[[Caller | None], None],
    ) -> None:
        self.finished = full
        self.interruptible = True
        self._client = client
        self._connection = connection
        self._greeting = greeting
        self._idle_timeout_s = idle_timeout_s
        self._security = security
        self._on_end = on_end
        self._name: str | None = None
        self._caller: Caller | None = None
        self._bad_commands = 0
        self._commands = 0

    # --- what the connection calls --------------------

    def greet(self) -> bytes:
        """Give the greeting, or say that there are too many connections."""
        if self.finished:
            return Err("too many connections, try again later", "LIMIT").encode()
        return Ok(self._greeting).encode()

    def receive(self, line: bytes) -> Answer:
        """Answer a line."""
        self._commands += 1
        try:
            parsed = parse(line)
        except BadLine as error:
            return self._bad(str(error)).encode()
        verb = VERBS.get(parsed.verb)
        if verb is None:
            return self._bad("unknown command; send HELP").encode()
        self._bad_commands = 0
        if not verb.fits(len(parsed.words)):
            return Err(f"usage: {verb.usage}").encode()
        if self._caller is None and not verb.before_login:
            return Err("log in first, with USER and PASS", "AUTH").encode()
        if verb.handler is not None:
            return self._call(verb, parsed)
        answer = self._answer(parsed)
        return answer.encode() if isinstance(answer, Reply) else answer

    def line_too_long(self) -> bytes:
        """Answer a line that passed the limit."""
        return self._bad("command line too long").encode()

    def refuse_stopping(self) -> bytes:
        """Answer a line that came while the gateway stops."""
        return Err("gateway is stopping", "UNAVAILABLE").encode()

    def failed(self, error: Exception) -> bytes:
        """Log a fault of ours under a number that the client is told."""
        number = uuid.uuid4().hex[:8]
        log.error("dialogue failed", number=number, exc_info=error)
        return Err(f"internal error {number}", "INTERNAL").encode()

    def idle_limit_s(self) -> float:
        """Seconds without a complete command after which the connection closes."""
        return self._idle_timeout_s

    def lost(self, reason: str) -> None:
        """The connection is gone: let the token end, and log the session in one line."""
        self._on_end(self._caller)
        via = self._connection.via
        # Who says nothing and goes looked whether the port is open, as health checks often do.
        only_looked = not self._commands and reason == CLOSED_BY_CLIENT
        (log.debug if only_looked else log.info)(
            "session ended",
            peer=self._connection.peer,
            account=self._caller.account.name if self._caller else None,
            reason=reason,
            commands=self._commands,
            sent_bytes=self._connection.sent_bytes,
            **({"proxy": via.proxy} if via else {}),
            **({"tls": tls} if (tls := self._connection.tls_version) else {}),
        )
        self._caller = None

    # --- answers --------------------

    def _answer(self, line: Line) -> Reply | Coroutine[Any, Any, bytes]:
        """Answer a verb that needs no handler of its own."""
        match line.verb:
            case "USER" | "PASS" | "AUTH_TOKEN" if self._caller is not None:
                return Err(f"already logged in as {self._caller.account.name}; send LOGOUT first")
            case "USER" | "PASS" | "AUTH_TOKEN" if not self._security.takes_password(
                self._connection
            ):
                return Err("no password in clear text here, use STLS or the TLS port first", "TLS")
            case "USER":
                self._name = line.words[0]
                return Ok("User name accepted, send PASS command")
            case "PASS":
                if self._name is None:
                    return Err("send USER first")
                name, self._name = self._name, None
                return self._login(name, line.rest)
            case "AUTH_TOKEN":
                return self._login_by_token(line.words[0])
            case "LOGOUT" if self._caller is not None:
                return self._logout(self._caller)
            case "CAPA" | "HELP" if self._caller is not None:
                return self._told_to(self._caller, line)
            case "CAPA":
                return _capabilities(self._offered(None), "anyone")
            case "HELP":
                return _help(self._offered(None), line.words)
            case "STLS":
                return self._start_tls()
            case "QUIT":
                return self._quit()
        return self._keep_alive() if self._caller else Ok()

    def _start_tls(self) -> Reply:
        """Go over to TLS; what was said before it is forgotten."""
        context = self._security.context
        via = self._connection.via
        if self._connection.is_tls or (via and via.tls):
            return Err("this connection is in TLS already")
        if self._caller is not None:
            return Err("STLS comes before the login; send LOGOUT first")
        if context is None:
            return Err("there is no TLS here")
        self._name = None
        self._connection.start_tls(context)
        return Ok("begin TLS")

    def _offered(self, methods: Collection[str] | None) -> dict[str, Verb]:
        """Give the verbs for who may call these methods; None is for who has not logged in."""
        hidden = self._security.hidden(self._connection, logged_in=self._caller is not None)
        return {name: verb for name, verb in visible(methods).items() if name not in hidden}

    def _bad(self, text: str) -> Err:
        self._bad_commands += 1
        if self._bad_commands >= MAX_BAD_COMMANDS:
            self.finished = True
            return Err("too many bad commands, closing")
        return Err(text)

    # --- calls --------------------

    async def _login(self, name: str, password: str) -> bytes:
        try:
            caller = await self._client.login(name, password, client_address=self._connection.peer)
        except ManagementError as error:
            return refusal(error, logged_in=False).encode()
        self._caller = caller
        role = caller.account.role_name
        warning = f"; warning: {caller.warnings[0]}" if caller.warnings else ""
        log.info("login", peer=self._connection.peer, account=caller.account.name, role=role)
        return Ok(f"logged in as {caller.account.name} ({role}){warning}").encode()

    async def _login_by_token(self, token: str) -> bytes:
        caller = self._client.caller(token, client_address=self._connection.peer)
        try:
            now = await caller.get_caller()
        except ManagementError as error:
            return refusal(error, logged_in=False).encode()
        caller.account.name = now.account_name or f"token/{now.token_name}"
        caller.account.role_name = now.role_name
        self._name, self._caller = None, caller
        name, role = caller.account.name, now.role_name
        log.info("login by token", peer=self._connection.peer, account=name, role=role)
        return Ok(f"logged in as {name} ({role})").encode()

    async def _logout(self, caller: Caller) -> bytes:
        self._caller = None
        # What is left of the login, if the service is away, ends by itself; a token does not end.
        with contextlib.suppress(ManagementError):
            await caller.logout()
        return Ok("logged out").encode()

    async def _told_to(self, caller: Caller, line: Line) -> bytes:
        """Answer CAPA or HELP of who is logged in: it depends on rights, which may change."""
        try:
            await caller.renew_when_due()
            now = await caller.get_caller()
        except ManagementError as error:
            return (await self._refused(caller, error)).encode()
        verbs = self._offered(now.methods)
        if line.verb == "CAPA":
            return _capabilities(verbs, now.role_name).encode()
        return _help(verbs, line.words).encode()

    async def _call(self, verb: Verb, line: Line) -> bytes:
        caller = self._caller
        assert caller is not None and verb.handler is not None  # noqa: S101, PT018 - not before login
        try:
            await caller.renew_when_due()
            reply = await verb.handler(caller, line)
            if line.verb == "STATUS" and isinstance(reply, Listing):
                # The gateway's own certificate, which the service knows nothing of.
                reply = Listing(reply.text, [*reply.lines, *self._security.facts()])
            return reply.encode()
        except ManagementError as error:
            return (await self._refused(caller, error)).encode()

    async def _keep_alive(self) -> bytes:
        caller = self._caller
        assert caller is not None  # noqa: S101 - checked by the one caller
        try:
            await caller.renew_when_due()
        except ManagementError as error:
            return (await self._refused(caller, error)).encode()
        return Ok().encode()

    async def _refused(self, caller: Caller, error: ManagementError) -> Reply:
        """Tell a refusal; when it is the token that has ended, the dialogue begins anew."""
        if error.reason in (Reason.ADDRESS_DENIED, Reason.ACCOUNT_SUSPENDED):
            self.finished = True
        if error.reason is not Reason.INVALID_CREDENTIALS:
            return refusal(error)
        try:
            await caller.renew()
        except ManagementError as ended:
            if ended.reason is Reason.INVALID_CREDENTIALS:
                self._caller = None
                return Err("session ended, log in again", "AUTH")
        return refusal(error)  # the token lives: it was a wrong old password

    def _quit(self) -> Reply:
        self.finished = True
        return Ok("bye")


def _capabilities(verbs: dict[str, Verb], role: str) -> Listing:
    return Listing("capabilities follow", [*verbs, "PIPELINING", f"ROLE {role}"])


def _help(verbs: dict[str, Verb], words: Sequence[str]) -> Reply:
    """Explain the verbs, or the one that is named."""
    if not words:
        return Listing(
            "help follows", [line for verb in verbs.values() for line in verb.explained()]
        )
    verb = verbs.get(words[0].upper())
    if verb is None:
        return Err("no such command for you; send HELP alone for those there are")
    return Listing("help follows", verb.explained())

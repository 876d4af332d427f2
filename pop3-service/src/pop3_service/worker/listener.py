"""The POP3 listener of one worker: admits connections, knows its sessions, carries out orders."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
from functools import partial

import structlog

from lineproto.connection import Connection, Via, address_text
from lineproto.framing import LongLines
from lineproto.listener import Listener
from pop3_service.control.plane import CertificatePair, DisconnectOrder
from pop3_service.domain.access import Access, Ground
from pop3_service.domain.address_rules import AccessTable
from pop3_service.domain.session import SessionEventKind, SessionInfo
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import ActiveTransforms, TransformTable
from pop3_service.pop3.command import LINE_LIMIT
from pop3_service.pop3.sasl import exchange
from pop3_service.worker.context import WorkerContext
from pop3_service.worker.dialogue import EVERYBODY, Pop3Dialogue
from pop3_service.worker.tls import server_context

log = structlog.get_logger()


class Pop3Listener(Listener):
    """One worker's connections. It is a ``control.plane.Worker``."""

    line_limit = LINE_LIMIT
    # Tokens sent with AUTH itself are longer than any password (RFC 5034 section 4 would have them
    # in a line of their own).
    long_lines = LongLines(b"AUTH ", exchange.LINE_LIMIT)

    def __init__(self, context: WorkerContext, tag: str = "") -> None:
        """``tag`` begins the sessions' ids and tells this worker from all others before it."""
        super().__init__(context.clock)
        self._context = context
        self._tag = tag
        self._numbers = itertools.count(1)
        self._dialogues: dict[str, Pop3Dialogue] = {}
        self._turned_away = 0
        self.count_sent = context.counters.adder("sent_bytes")
        self._set_sweep(context.settings)

    # --- connections --------------------

    def take(
        self, with_tls: bool, sock: socket.socket, address: object, via: Via | None = None
    ) -> None:
        """Take an accepted connection, unless nobody may come in from there."""
        if not self._context.access.is_empty:
            peer = address_text(address)
            ground = self._context.refuses(peer)
            if ground is not None:
                self._turn_away(sock, peer, ground, said=not with_tls)
                return
        super().take(with_tls, sock, address, via)

    def dialogue(self, connection: Connection) -> Pop3Dialogue:
        """Make a session for a new connection."""
        # TLS that ended at a proxy of ours kept the client's words as secret; STLS within it is
        # nothing that the client could begin.
        via = connection.via
        in_tls = connection.begins_in_tls or bool(via and via.tls)
        session_id = f"{self._tag}{next(self._numbers)}"
        full = self._context.full()
        self._context.counters.add("opened")
        dialogue = Pop3Dialogue(
            self._context,
            connection,
            session_id,
            full=full,
            in_tls=in_tls,
            on_end=self._forget,
        )
        self._dialogues[session_id] = dialogue
        if self._context.watched:
            self._context.tell(SessionEventKind.CONNECTED, dialogue.info())
        return dialogue

    def tls_context(self) -> ssl.SSLContext | None:
        """Give what TLS handshakes that begin now are done with."""
        return self._context.tls

    def accept_failed(self, error: OSError) -> None:
        """Say that there is no room for one more connection."""
        log.error("cannot accept connections", reason=error.strerror)

    def proxy_refused(self, peer: str, reason: str) -> None:
        """Say why a connection to a proxies' port was closed."""
        log.warning("proxy connection refused", peer=peer, reason=reason)

    def proxies_refused(self, count: int) -> None:
        """Say how many more there were."""
        log.warning("more proxy connections refused", count=count)

    def swept(self) -> None:
        """Say how many more were turned away, and let go of what nobody asks for."""
        self._context.maildrops.sweep()
        if self._turned_away > 1:
            log.info("more connections turned away", count=self._turned_away - 1)
        self._turned_away = 0

    def _turn_away(self, sock: socket.socket, peer: str, ground: Ground, *, said: bool) -> None:
        """Close a connection; of many between two sweeps only the first is told of by itself."""
        if said:
            with contextlib.suppress(OSError):
                sock.send(self._context.turned_away, socket.MSG_DONTWAIT)
        sock.close()
        self._turned_away += 1
        if self._turned_away == 1:
            log.info("connection turned away", peer=peer, because=str(ground))

    def _forget(self, dialogue: Pop3Dialogue) -> None:
        self._context.counters.add("closed")
        del self._dialogues[dialogue.session_id]
        if self._context.watched:
            self._context.tell(SessionEventKind.ENDED, dialogue.info())

    # --- orders --------------------

    async def configure(self, settings: Settings) -> None:
        """Put settings in force, for sessions that are open too."""
        self._context.configure(settings)
        self._put_offers()
        self._set_sweep(settings)

    async def list_sessions(self, account: str) -> list[SessionInfo]:
        """Give the sessions, all or those of an account."""
        return [
            dialogue.info()
            for dialogue in self._dialogues.values()
            if not account or dialogue.account == account
        ]

    async def disconnect(self, order: DisconnectOrder) -> int:
        """End sessions without deleting mail; give how many."""
        ended = 0
        if order.forget and order.everybody:
            self._context.logins.forget_all()
        elif order.forget:
            self._context.logins.forget(order.account)
        if order.keep_sessions:
            return 0
        for dialogue in list(self._dialogues.values()):
            if order.forget:
                dialogue.account_changed(EVERYBODY if order.everybody else order.account)
            wanted = order.everybody or dialogue.account == order.account
            if (dialogue.account and wanted) or dialogue.session_id == order.session_id:
                dialogue.disconnect()
                ended += 1
        return ended

    async def set_access(self, table: AccessTable) -> int:
        """Put rules, bans and suspensions in force; give how many sessions they ended."""
        self._context.access = Access(table)
        refused = [it for it in self._dialogues.values() if it.is_refused()]
        for dialogue in refused:
            dialogue.disconnect()
        return len(refused)

    async def set_transforms(self, table: TransformTable) -> None:
        """Put what is active in force for logins from now on."""
        self._context.transforms = ActiveTransforms(table)

    async def watch(self, wanted: bool) -> None:
        """Begin or end reporting events."""
        self._context.watched = wanted

    async def set_certificates(self, pairs: list[CertificatePair]) -> None:
        """Put certificates in force for handshakes that begin from now on."""
        self._context.tls = (
            await self._context.on_disk(partial(server_context, pairs)) if pairs else None
        )
        self._context.bind_to([pair.end_point for pair in pairs])
        self._put_offers()

    async def set_least_retention(self, days: int) -> None:
        """Say what the shortest retention of an account is (EXPIRE before login)."""
        self._context.set_least_retention(days)
        self._put_offers()

    async def stop(self, grace_s: float) -> int:
        """Finish the commands in progress and close; give how many had to be cut."""
        self._context.delays.end()
        cut = await super().stop(grace_s)
        while self.connections:  # a commit in progress ends before its process does
            await self.clock.sleep(0.01)
        await self._context.shadows.close()
        self._context.reports.flush()
        self._context.transform_reports.flush()
        await self._context.runner.close()
        self._context.close()
        return cut

    def _put_offers(self) -> None:
        for dialogue in self._dialogues.values():
            dialogue.offers_changed()

    def _set_sweep(self, settings: Settings) -> None:
        shortest = min(settings.idle_timeout_s, settings.login_idle_timeout_s)
        self.sweep_s = min(max(shortest / 10, 0.05), 2.0)

"""What a check has in its hands: connections, sessions, mail, and what the server announces."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from conformance.scorecard.mail import Maildir, letter
from conformance.scorecard.rules import Broken, NotOffered, Unsure, demand
from conformance.scorecard.wire import Client, Evidence, Reply

Capabilities = dict[str, list[str]]


@dataclass(frozen=True)
class Target:
    """The server under test, and what is known of it."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls_port: int | None = None
    starttls: bool = False
    maildir: Maildir | None = None
    may_delete: bool = False
    timeout_s: float = 10.0
    flood: int = 1 << 20
    announced: dict[str, Capabilities | None] = field(default_factory=dict)

    @property
    def tls(self) -> ssl.SSLContext:
        """A client that is glad of any certificate: checks are about the protocol."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


@dataclass
class Probe:
    """One check's view of the server; what it opens is closed with it."""

    target: Target
    evidence: Evidence = field(init=False)
    _clients: list[Client] = field(default_factory=list)
    _parked: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.evidence = Evidence((self.target.password.encode(),))

    # --- connections --------------------

    def connect(self, *, tls: bool = False) -> Client:
        """A new connection in AUTHORIZATION state, in clear text or on the TLS port."""
        target = self.target
        port = target.tls_port if tls else target.port
        try:
            sock = socket.create_connection((target.host, port), target.timeout_s)
            if tls:
                sock = target.tls.wrap_socket(sock, server_hostname=target.host)
        except OSError as error:
            raise Broken(f"no connection to port {port}: {error}") from None
        client = Client(sock, target.timeout_s, self.evidence)
        self._clients.append(client)
        client.greeting = Reply(client.line())
        demand(client.greeting.line, "the server closed the connection instead of greeting")
        return client

    def bare(self, port: int) -> Client:
        """A connection on which nothing has been said yet, not even by the server."""
        sock = socket.create_connection((self.target.host, port), self.target.timeout_s)
        client = Client(sock, self.target.timeout_s, self.evidence)
        self._clients.append(client)
        return client

    def open(self) -> Client:
        """A new connection that may log in: after STLS where the target asks for that."""
        client = self.connect()
        if self.target.starttls:
            client.ok("STLS")
            self.secure(client)
        return client

    def secure(self, client: Client) -> None:
        """Go over to TLS after the reply to STLS."""
        try:
            client.socket = self.target.tls.wrap_socket(
                client.socket, server_hostname=self.target.host
            )
        except OSError as error:
            raise Broken(f"the TLS handshake failed: {error}") from None
        client.in_tls = True

    def enter(self, client: Client) -> Reply:
        """USER and PASS on this connection; gives the reply to PASS."""
        client.ok(f"USER {self.target.user}")
        reply = client.ask(f"PASS {self.target.password}")
        client.entered = reply.positive
        return reply

    def session(self, open_one: Callable[[], Client] | None = None) -> Client:
        """A logged-in session.

        The last check's session may hold the maildrop for a moment still, so a refusal is not
        believed at once.
        """
        deadline = time.monotonic() + self.patience_s
        while True:
            client = (open_one or self.open)()
            reply = self.enter(client)
            if reply.positive:
                return client
            client.leave()
            demand(time.monotonic() < deadline, "the login was refused")
            time.sleep(0.05)

    @property
    def patience_s(self) -> float:
        """For how long a login may be refused: a moment, and the announced delay."""
        delay = (self.target.announced.get("AUTHORIZATION") or {}).get("LOGIN-DELAY", ["0"])
        return min(self.target.timeout_s, 5.0) + int(delay[0] if delay[0].isdigit() else 0)

    def close(self) -> None:
        """Close all connections in order, and set right what was set aside."""
        for client in self._clients:
            client.leave()
        while self._parked:
            self._parked.pop()()

    def afterwards(self, act: Callable[[], None]) -> None:
        """Do this when the check is over."""
        self._parked.append(act)

    # --- mail --------------------

    def put(self, *messages: bytes) -> list[Path]:
        """Let the maildrop hold these messages alone, in this order.

        Raises:
            Unsure: there is no Maildir to put them into.
        """
        maildir = self.maildir()
        maildir.empty()
        return [maildir.deliver(message) for message in messages]

    def maildir(self) -> Maildir:
        """The Maildir of the account.

        Raises:
            Unsure: it was not given.
        """
        if self.target.maildir is None:
            raise Unsure("known mail is needed: give --maildir")
        return self.target.maildir

    def some(self, count: int, *, doomed: bool = False) -> Client:
        """A session whose maildrop holds at least so many messages, which may be deleted if said.

        Raises:
            Unsure: there are fewer, or they must not be deleted.
        """
        if self.target.maildir is not None:
            self.put(*(letter(number) for number in range(1, count + 1)))
        elif doomed and not self.target.may_delete:
            raise Unsure("mail may be lost: give --maildir or --delete")
        client = self.session()
        there = totals(client)[0]
        if self.target.maildir is not None:
            demand(there == count, f"there are {there} messages, {count} were delivered")
        elif there < count:
            raise Unsure(f"{count} messages are needed, there are {there}")
        return client

    # --- what is announced --------------------

    def offers(self, tag: str, state: str = "AUTHORIZATION") -> list[str]:
        """The parameters of a capability.

        Raises:
            NotOffered: it is not announced.
        """
        announced = self.announced(state)
        if tag not in announced:
            raise NotOffered(f"CAPA does not name {tag}")
        return announced[tag]

    def offers_command(self, tag: str, trial: str) -> None:
        """The same for a command that servers from before CAPA may know.

        Raises:
            NotOffered: it is not announced, or there is no CAPA and it is refused.
        """
        with contextlib.suppress(NotOffered):
            self.announced("TRANSACTION")
            self.offers(tag, "TRANSACTION")
            return
        if self.target.announced["TRANSACTION"] is None:
            client = self.session()
            there = client.ask(trial).positive
            client.leave()
            if there:
                return
        raise NotOffered(f"there is no {tag}")

    def announced(self, state: str = "AUTHORIZATION") -> Capabilities:
        """The capabilities in a state, asked for once; CLEAR is before any STLS.

        Raises:
            NotOffered: there is no CAPA.
        """
        known = self.target.announced
        if state not in known:
            ways = {"CLEAR": self.connect, "AUTHORIZATION": self.open, "TRANSACTION": self.session}
            client = ways[state]()
            known[state] = capabilities(client)
            client.leave()
        found = known[state]
        if found is None:
            raise NotOffered("there is no CAPA")
        return found


def refused(client: Client, *commands: str | bytes) -> None:
    """Each of these is answered by -ERR, and the session goes on (some end it after a few)."""
    for command in commands:
        client.err(command)
        client.ok("NOOP")


def capabilities(client: Client) -> Capabilities | None:
    """Ask for the capabilities; None if there is no CAPA."""
    if client.ask("CAPA").negative:
        return None
    words = [line.decode("latin-1").split() for line in client.body().splitlines()]
    return {line[0].upper(): line[1:] for line in words if line}


def totals(client: Client) -> tuple[int, int]:
    """Messages and octets as STAT tells them."""
    found = re.match(rb"\+OK (\d+) (\d+)", client.ok("STAT").text)
    demand(found, "STAT's reply has no two numbers")
    assert found is not None
    return int(found[1]), int(found[2])


def numbered(lines: list[bytes]) -> dict[int, bytes]:
    """A listing as numbers and what follows each."""
    pairs = [line.split(b" ", 1) for line in lines]
    demand(all(len(it) == 2 and it[0].isdigit() for it in pairs), "a line has no number and value")
    found = {int(number): value for number, value in pairs}
    demand(len(found) == len(pairs), "a number comes twice")
    return found


def sizes(client: Client) -> dict[int, int]:
    """Sizes by number as LIST tells them."""
    found = {number: value.split()[0] for number, value in numbered(client.listing("LIST")).items()}
    demand(all(size.isdigit() for size in found.values()), "a size is no number")
    return {number: int(size) for number, size in found.items()}


def unique_ids(client: Client) -> dict[int, bytes]:
    """Unique ids by number as UIDL tells them."""
    return numbered(client.listing("UIDL"))

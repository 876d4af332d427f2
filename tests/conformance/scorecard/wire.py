"""A client of our own: octets out, octets in, and everything is kept as evidence."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance.scorecard.rules import Broken, demand

LINE_MAX = 1 << 20
"""Octets after which a reply line is taken for endless."""


@dataclass
class Evidence:
    """What was sent and what came in one check. ``secrets`` are not shown."""

    secrets: tuple[bytes, ...] = ()
    lines: list[tuple[str, bytes]] = field(default_factory=list)

    def note(self, side: str, octets: bytes) -> None:
        """Keep it; a long piece is cut when it is shown."""
        self.lines.append((side, octets[:1000]))

    def shown(self, last: int = 8) -> list[str]:
        """The last lines of it, as text."""
        return [f"{side} {self._text(octets)}" for side, octets in self.lines[-last:]]

    def _text(self, octets: bytes) -> str:
        for secret in self.secrets:
            octets = octets.replace(secret, b"***")
        text = repr(octets[:200])[2:-1]
        return text + ("..." if len(octets) > 200 else "")


@dataclass(frozen=True, slots=True)
class Reply:
    """The first line of a reply, with its line ending."""

    line: bytes

    @property
    def text(self) -> bytes:
        """Without the line ending."""
        return self.line.rstrip(b"\r\n")

    @property
    def positive(self) -> bool:
        """Whether it is +OK."""
        return self.line[:3] == b"+OK"

    @property
    def negative(self) -> bool:
        """Whether it is -ERR."""
        return self.line[:4] == b"-ERR"

    @property
    def code(self) -> bytes:
        """The response code of RFC 2449 section 8, upper-case, or nothing."""
        words = self.text.split(b" ", 1)
        rest = words[1] if len(words) == 2 else b""
        return rest[1:].split(b"]")[0].upper() if rest[:1] == b"[" and b"]" in rest else b""


class Client:
    """One connection. Nothing that comes is interpreted unless a method says so.

    Every wait ends after ``timeout_s``, which is a broken rule like any other wrong answer.
    """

    def __init__(self, sock: socket.socket, timeout_s: float, evidence: Evidence) -> None:
        self.socket = sock
        self.timeout_s = timeout_s
        self.evidence = evidence
        self.entered = False
        self.greeting = Reply(b"")
        self.in_tls = isinstance(sock, ssl.SSLSocket)
        self._buffer = b""
        sock.settimeout(timeout_s)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # --- octets --------------------

    def send(self, octets: bytes) -> None:
        """Send octets as they are; a connection that the server has closed is found in reading."""
        self.evidence.note("C:", octets)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self.socket.sendall(octets)

    def line(self) -> bytes:
        """The next line with its ending; what is left, perhaps nothing, when the server closed."""
        deadline = time.monotonic() + self.timeout_s
        while (end := self._buffer.find(b"\n")) < 0:
            demand(len(self._buffer) < LINE_MAX, "a line without end came")
            if not self._more(deadline):
                break
        cut = end + 1 if end >= 0 else len(self._buffer)
        line, self._buffer = self._buffer[:cut], self._buffer[cut:]
        self.evidence.note("S:", line)
        return line

    def rest(self) -> bytes:
        """Everything until the server closes."""
        deadline = time.monotonic() + self.timeout_s
        while self._more(deadline):
            demand(len(self._buffer) < 1 << 28, "there is no end to what comes")
        octets, self._buffer = self._buffer, b""
        self.evidence.note("S:", octets)
        return octets

    def _more(self, deadline: float) -> bool:
        try:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            octets = self.socket.recv(1 << 16)
        except TimeoutError:
            self.evidence.note("S:", self._buffer)
            raise Broken(f"no answer within {self.timeout_s:g} s") from None
        except (ConnectionError, ssl.SSLError):
            return False
        self._buffer += octets
        return bool(octets)

    # --- replies --------------------

    def reply(self) -> Reply:
        """The next line, which must be a status line."""
        reply = Reply(self.line())
        demand(reply.line, "the server closed the connection instead of answering")
        demand(reply.positive or reply.negative, "the reply is neither +OK nor -ERR")
        return reply

    def ask(self, command: str | bytes) -> Reply:
        """Send a line; give the first line of its reply."""
        octets = command.encode() if isinstance(command, str) else command
        self.send(octets + b"\r\n")
        return self.reply()

    def ok(self, command: str | bytes) -> Reply:
        """A command that must be answered by +OK."""
        reply = self.ask(command)
        demand(reply.positive, f"{_named(command)} was refused")
        return reply

    def err(self, command: str | bytes) -> Reply:
        """A command that must be answered by -ERR."""
        reply = self.ask(command)
        demand(reply.negative, f"{_named(command)} was accepted")
        return reply

    def body(self) -> bytes:
        """The rest of a multi-line reply as it came, without the final dot."""
        lines = []
        while (line := self.line()) not in (b".\r\n", b".\n"):
            demand(line.endswith(b"\n"), "the server closed within a multi-line reply")
            lines.append(line)
        return b"".join(lines)

    def listing(self, command: str) -> list[bytes]:
        """The lines of a multi-line reply that must be positive, unstuffed."""
        self.ok(command)
        return unstuffed(self.body()).splitlines()

    def message(self, command: str) -> bytes:
        """A message, unstuffed, exactly as a client has it then."""
        self.ok(command)
        return unstuffed(self.body())

    def refuses_or_closes(self, octets: bytes) -> bool:
        """Whether what is sent is answered by -ERR or by the end; True if still open."""
        self.send(octets)
        reply = Reply(self.line())
        demand(not reply.line or reply.negative, "it was accepted")
        return bool(reply.line)

    # --- the end --------------------

    def half_close(self) -> None:
        """Send no more, and read on."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def drop(self) -> None:
        """Close without a word."""
        self.entered = False
        self.socket.close()

    def leave(self) -> None:
        """Close in order, and delete nothing; whatever the state was.

        A server that wrongly let it in gives the maildrop back too before the next check.
        """
        if self.socket.fileno() < 0:
            return
        with contextlib.suppress(Broken, OSError):
            self.timeout_s = min(self.timeout_s, 1.0)
            self.send(b"RSET\r\nQUIT\r\n")
            self.rest()
        self.drop()


def unstuffed(wire: bytes) -> bytes:
    """Take one dot away where a line begins with one (RFC 1939 section 3)."""
    if wire.startswith(b"."):
        wire = wire[1:]
    return wire.replace(b"\n.", b"\n")


def joined(commands: Iterable[str]) -> bytes:
    """Commands as one segment."""
    return b"".join(command.encode() + b"\r\n" for command in commands)


def _named(command: str | bytes) -> str:
    octets = command.encode() if isinstance(command, str) else command
    keyword = octets.split(b" ")[0].upper()
    if keyword in (b"PASS", b"AUTH", b"APOP"):
        return keyword.decode()
    text = repr(octets[:60])[2:-1]
    return text + ("..." if len(octets) > 60 else "")

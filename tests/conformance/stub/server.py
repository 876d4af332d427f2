"""Sockets, threads and lines of the stub. What it says is in ``talk``."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from conformance.stub.talk import Talk

LINE_LIMIT = 4096


@dataclass
class Stub:
    """A server on two free ports, the second in TLS. ``faults`` are those that are on."""

    maildir: Path
    user: str
    password: str
    tls: ssl.SSLContext
    faults: frozenset[str] = frozenset()
    locked: bool = False
    refuse_until: float = 0.0  # by the monotonic clock, for a lock that nobody holds
    sessions: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _listening: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        for in_tls in (False, True):
            listening = socket.create_server(("127.0.0.1", 0), backlog=100)
            self._listening.append(listening)
            threading.Thread(target=self._accept, args=(listening, in_tls), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for listening in self._listening:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()

    @property
    def ports(self) -> tuple[int, int]:
        """In clear text, and in TLS."""
        first, second = (it.getsockname()[1] for it in self._listening)
        return first, second

    def wrong(self, fault: str) -> bool:
        """Whether a fault is on."""
        return fault in self.faults

    def _accept(self, listening: socket.socket, in_tls: bool) -> None:
        while True:
            try:
                sock = listening.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock, in_tls), daemon=True).start()

    def _serve(self, sock: socket.socket, in_tls: bool) -> None:
        sock.settimeout(30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = Wire(self, sock)
        talk = Talk(self, wire)
        with contextlib.suppress(OSError):
            if in_tls and self.wrong("clear text on the TLS port"):
                talk.greet()
            if in_tls:
                wire.secure()
            talk.greet()
            while not talk.finished and (line := wire.line()) is not None:
                talk.answer(line)
        talk.ended()
        wire.close()


class Wire:
    """Lines in, octets out."""

    def __init__(self, stub: Stub, sock: socket.socket) -> None:
        self.stub = stub
        self.in_tls = False
        self._sock = sock
        self._buffer = b""

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self._sock.sendall(octets)

    def secure(self) -> None:
        """Begin TLS; what came before it is thrown away."""
        if self.stub.wrong("STLS keeps the buffer"):
            pass
        elif self.stub.wrong("STLS keeps a part of a line"):
            self._buffer = self._buffer.rpartition(b"\n")[2]
        else:
            self._buffer = b""
        self._sock = self.stub.tls.wrap_socket(self._sock, server_side=True)
        self.in_tls = True

    def line(self) -> bytes | None:
        """The next line without its end; None at the end, and ... for one that is too long."""
        if self.stub.wrong("a CR ends a line"):
            self._buffer = self._buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LINE_LIMIT:
                return self._overlong()
            try:
                octets = self._sock.recv(1 << 16)
            except OSError:
                octets = b""
            if not octets:
                return self._unended()
            self._buffer += octets
            if self.stub.wrong("a CR ends a line"):
                self._buffer = self._buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        if self.stub.wrong("pipelined commands are lost") and b"LIST" in self._buffer:
            self._buffer = b""
        return b"\xff too long" if len(line) > LINE_LIMIT else line.removesuffix(b"\r")

    def _overlong(self) -> bytes | None:
        if self.stub.wrong("a long line is cut"):
            line, self._buffer = self._buffer[:LINE_LIMIT], self._buffer[LINE_LIMIT:]
            return line
        while b"\n" not in self._buffer:
            self._buffer = self._sock.recv(1 << 16)
            if not self._buffer:
                return None
        self._buffer = self._buffer.partition(b"\n")[2]
        return b"\xff too long"

    def _unended(self) -> bytes | None:
        line, self._buffer = self._buffer, b""
        return line if line and self.stub.wrong("a line needs no end") else None

    def wait_for_end(self) -> None:
        """Wait until the client has gone."""
        with contextlib.suppress(OSError):
            while self._sock.recv(1 << 16):
                pass

    def close(self) -> None:
        """Close in order; in TLS with close_notify."""
        with contextlib.suppress(OSError, ValueError):
            if isinstance(self._sock, ssl.SSLSocket) and not self.stub.wrong("no close_notify"):
                self._sock.settimeout(0.5)
                self._sock.unwrap()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(0.5)
            while self._sock.recv(1 << 16):
                pass
        self._sock.close()

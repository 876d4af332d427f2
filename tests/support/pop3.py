"""A plain POP3 client that hides nothing: octets out, octets in, no interpretation."""

import socket
import ssl
from types import TracebackType
from typing import Self


class Pop3:
    """A connection; ``greeting`` is its first line. Times out rather than hang."""

    def __init__(
        self,
        port: int,
        host: str = "127.0.0.1",
        timeout: float = 30,
        tls: ssl.SSLContext | None = None,
        name: str | None = None,
        source: str | None = None,
        preface: bytes = b"",
    ) -> None:
        """With ``tls`` it is in TLS from the first octet, and asks for ``name``."""
        own = (source, 0) if source else None
        self.socket = socket.create_connection((host, port), timeout, own)
        self.socket.sendall(preface)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=name)
        self.file = self.socket.makefile("rb")
        self.greeting = self.line()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def line(self) -> bytes:
        """The next line with its end; b"" when the server has closed."""
        return self.file.readline()

    def ask(self, command: str) -> str:
        """Send a command and give the first line of its reply."""
        self.send(command.encode() + b"\r\n")
        return self.line().decode().rstrip("\r\n")

    def body(self) -> bytes:
        """The rest of a multi-line reply as it came over the wire, without the final dot."""
        lines = []
        while (line := self.line()) != b".\r\n":
            assert line.endswith(b"\r\n"), (line, "the server closed within a body")
            lines.append(line)
        return b"".join(lines)

    def ask_many(self, command: str) -> tuple[str, bytes]:
        """Send a command with a multi-line reply; give first line and wire body."""
        first = self.ask(command)
        assert first.startswith("+OK"), first
        return first, self.body()

    def listing(self, command: str) -> list[str]:
        """The lines of a listing."""
        return self.ask_many(command)[1].decode().splitlines()

    def log_in(self, name: str, password: str = "secret") -> str:
        """USER and PASS; gives the reply to PASS."""
        assert self.ask(f"USER {name}").startswith("+OK")
        return self.ask(f"PASS {password}")

    def secure(self, context: ssl.SSLContext, name: str | None = None) -> None:
        """Go over to TLS, after the reply to STLS."""
        self.file.close()
        self.socket = context.wrap_socket(self.socket, server_hostname=name)
        self.file = self.socket.makefile("rb")

    @property
    def tls(self) -> ssl.SSLSocket:
        """The connection as one in TLS."""
        assert isinstance(self.socket, ssl.SSLSocket)
        return self.socket

    def half_close(self) -> None:
        """Send no more and read on; the ssl module's own shutdown would end TLS for reading too."""
        socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def at_end(self) -> bool:
        """Whether the server has closed, with an end of file or a reset."""
        try:
            return self.line() == b""
        except ConnectionResetError:
            return True

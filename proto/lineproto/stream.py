"""Streams: connected sockets in clear text or in TLS, read and written without asyncio transports.

One epoll object tells all streams of a listener when their sockets are ready; asyncio's loop sees
only that object. TLS is OpenSSL on the socket itself: asyncio's own keeps 256 KiB a connection,
this one a few, and STLS turns one into the other without a new object for those above.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import select
import socket
import ssl
import sys
import termios
from collections.abc import Callable
from typing import Protocol

READ_SIZE = 16 * 1024
"""Octets read at a time: as many as a TLS record holds, so that none stay behind in OpenSSL."""
EVENTS_A_TURN = 256
"""Sockets served before the loop's other work gets its turn."""
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_ERRORS = select.EPOLLERR | select.EPOLLHUP


class Poller:
    """An epoll object in asyncio's loop. Handlers are called with the events of their socket."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self.loop.add_reader(self._epoll.fileno(), self._dispatch)

    def add(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Watch a descriptor."""
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def change(self, fd: int, events: int) -> None:
        """Watch for other events. An error or a hang-up is always told."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Watch no more; to be called before the descriptor is closed."""
        del self._handlers[fd]
        with contextlib.suppress(OSError):  # one that is closed has left by itself
            self._epoll.unregister(fd)

    def close(self) -> None:
        """Let go of the epoll object, once nothing is watched any more."""
        if not self._epoll.closed:
            self.loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _dispatch(self) -> None:
        for fd, events in self._epoll.poll(0, EVENTS_A_TURN):
            # A handler before may have closed this one, or a new socket may have its number by
            # now: streams take an event as a reason to look, and never as a fact.
            handler = self._handlers.get(fd)
            if handler is not None:
                handler(events)


class Owner(Protocol):
    """Who a stream belongs to; called only from the loop."""

    def data_received(self, data: bytes) -> None:
        """Octets came."""

    def eof_received(self) -> bool:
        """The other end sends no more; False closes the stream."""

    def tls_established(self) -> None:
        """The TLS handshake is done."""

    def pause_writing(self) -> None:
        """The other end does not read fast enough."""

    def resume_writing(self) -> None:
        """There is room again."""

    def connection_lost(self, error: Exception | None) -> None:
        """The stream is gone; ``error`` is None after ``close`` and ``abort``."""


class Stream:
    """A connected, non-blocking socket. What cannot be sent at once waits in memory.

    ``pause_writing`` is called when more than ``write_high`` octets wait, ``resume_writing`` when
    a quarter is left.
    """

    __slots__ = (
        "_closing",
        "_events",
        "_fd",
        "_handshaking",
        "_lost",
        "_owner",
        "_paused",
        "_poller",
        "_reading",
        "_socket",
        "_tls_context",
        "_unsent",
        "_write_eof",
        "_write_high",
        "tls_version",
    )

    def __init__(
        self, sock: socket.socket, poller: Poller, owner: Owner, *, write_high: int
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._fd = sock.fileno()
        self._poller = poller
        self._owner = owner
        self._write_high = write_high
        self.tls_version = ""
        """TLS version and cipher, such as ``TLSv1.3 TLS_AES_256_GCM_SHA384``; kept to the end."""
        self._unsent: bytearray | None = None
        self._tls_context: ssl.SSLContext | None = None
        self._handshaking = False
        self._reading = True
        self._paused = False
        self._write_eof = False
        self._closing = False
        self._lost = False
        self._events = _IN
        poller.add(self._fd, _IN, self._ready)

    # --- what the owner asks --------------------

    @property
    def is_tls(self) -> bool:
        """Whether what is sent and received now is in TLS."""
        return isinstance(self._socket, ssl.SSLSocket) and not self._handshaking

    @property
    def tls_context(self) -> ssl.SSLContext | None:
        """The context that the client was given, by the name it asked for; None in clear text."""
        return self._socket.context if isinstance(self._socket, ssl.SSLSocket) else None

    @property
    def is_handshaking(self) -> bool:
        """Whether a TLS handshake is under way or about to begin."""
        return self._handshaking or self._tls_context is not None

    def local_address(self) -> object:
        """Give this end's address, as the socket module writes it; None once it is gone."""
        try:
            address: object = self._socket.getsockname()
        except OSError:
            return None
        return address

    def is_closing(self) -> bool:
        """Whether the stream takes no more octets."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether octets that come are read."""
        return self._reading

    def get_write_buffer_size(self) -> int:
        """Octets written and not yet sent."""
        return 0 if self._unsent is None else len(self._unsent)

    def has_unread_records(self) -> bool:
        """Whether something came in TLS and was not read yet; each record is read by itself."""
        if self._lost or not isinstance(self._socket, ssl.SSLSocket):
            return False
        return fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)) != bytes(4)

    def write(self, octets: bytes) -> None:
        """Send octets, at once as far as the network takes them."""
        if self._lost or self._write_eof:
            return
        if self._unsent is None:
            sent = self._send(octets)
            if sent == len(octets) or self._lost:
                return
            self._unsent = bytearray(memoryview(octets)[sent:])
            self._watch()
        else:
            self._unsent += octets
        if len(self._unsent) > self._write_high and not self._paused:
            self._paused = True
            self._owner.pause_writing()

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Begin a TLS handshake as the server, once everything written has gone out."""
        self._tls_context = context
        if self._unsent is None:
            self._begin_tls()
        self._watch()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._reading = False
        self._watch()

    def resume_reading(self) -> None:
        """Read again."""
        self._reading = True
        self._watch()

    def write_eof(self) -> None:
        """Tell the other end that no more comes, after what is written; go on reading."""
        self._write_eof = True
        if self._unsent is None:
            self._shut_down()

    def close(self) -> None:
        """Read no more, send what is written, and close."""
        if self._closing:
            return
        self._closing = True
        self._reading = False
        if self._unsent is None and self._say_goodbye():
            self._lose(None)
        else:
            self._watch()

    def abort(self) -> None:
        """Close at once; what waits unsent is dropped."""
        self._lose(None)

    # --- events --------------------

    def _ready(self, events: int) -> None:
        try:
            if self._handshaking:
                self._handshake()
                return
            if self._unsent is not None and events & (_OUT | _ERRORS):
                self._flush()
            if self._reading and not self._lost and self._tls_context is None:
                self._read()
        except Exception as error:  # a fault of ours must not be told again and again
            self._lose(error)
            raise

    def _read(self) -> None:
        try:
            octets = self._socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
            self._watch()
            return
        except ssl.SSLWantWriteError:  # an answer of TLS itself found no room
            self._set_events(self._events | _OUT)
            return
        except OSError as error:
            self._lose(error)
            return
        if octets:
            self._owner.data_received(octets)
            if self._events & _OUT:
                self._watch()
            return
        self._reading = False
        if self._owner.eof_received():
            self._watch()
        else:
            self.close()

    def _send(self, octets: bytes | bytearray) -> int:
        """Send as much as there is room for."""
        if self._handshaking:
            return 0
        sent = 0
        try:
            sent = self._socket.send(octets)
            if sent < len(octets) and isinstance(self._socket, ssl.SSLSocket):
                with memoryview(octets) as view:  # OpenSSL takes a record at a time
                    while sent < len(octets):
                        sent += self._socket.send(view[sent:])
        except (BlockingIOError, InterruptedError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            self._lose(error)
        return sent

    def _flush(self) -> None:
        unsent = self._unsent
        if unsent is None:
            return
        sent = self._send(unsent) if unsent else 0  # only a goodbye is left
        if self._lost:
            return
        if sent < len(unsent):
            del unsent[:sent]
        else:
            self._unsent = None
            if self._closing:
                self._closing = False
                self.close()
                return
            if self._write_eof:
                self._shut_down()
            if self._tls_context is not None:
                self._begin_tls()
            self._watch()
        if self._paused and self.get_write_buffer_size() <= self._write_high // 4:
            self._paused = False
            self._owner.resume_writing()

    # --- TLS --------------------

    def _begin_tls(self) -> None:
        context, self._tls_context = self._tls_context, None
        assert context is not None  # noqa: S101 - both callers looked
        self._handshaking = True
        try:
            self._socket.getpeername()  # wrap_socket would close one that is gone by itself
            self._socket = context.wrap_socket(
                self._socket, server_side=True, do_handshake_on_connect=False
            )
        except OSError as error:
            self._lose(error)

    def _handshake(self) -> None:
        assert isinstance(self._socket, ssl.SSLSocket)  # noqa: S101 - else no handshake
        events = _IN
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLWantWriteError:
            events = _OUT
        except OSError as error:
            self._lose(error)
            return
        else:
            self._handshaking = False
            cipher = self._socket.cipher()
            self.tls_version = sys.intern(f"{self._socket.version()} {cipher and cipher[0]}")
            self._watch()
            self._owner.tls_established()
            return
        if events != self._events:
            self._set_events(events)

    def _say_goodbye(self) -> bool:
        """Tell the other end of the TLS session that it ends here; its answer is not waited for.

        False if the network has no room even for that; then it is said once there is.
        """
        if isinstance(self._socket, ssl.SSLSocket) and not self._handshaking:
            try:
                self._socket.unwrap()
            except ssl.SSLWantWriteError:
                self._unsent = bytearray()
                return False
            except (OSError, ValueError):  # its answer is not there, or it is gone
                return True
        return True

    # --- the end --------------------

    def _shut_down(self) -> None:
        if not self._say_goodbye():
            self._watch()
            return
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._reading = False
        self._unsent = None
        self._set_events(0)
        self._poller.loop.call_soon(self._end, error)

    def _end(self, error: Exception | None) -> None:
        owner = self._owner
        del self._owner  # it has this stream: no ring is left for the garbage collector
        try:
            # First: who sees the end and comes back at once finds its place free.
            owner.connection_lost(error)
        finally:
            self._socket.close()

    # --- the poller --------------------

    def _watch(self) -> None:
        """Watch for what there is to do now."""
        if self._lost:
            return
        if self._handshaking:
            events = _IN
        else:
            events = 0
            if self._reading and self._tls_context is None:
                events = _IN
            if self._unsent is not None:
                events |= _OUT
        if events != self._events:
            self._set_events(events)

    def _set_events(self, events: int) -> None:
        # A socket that is watched for nothing is taken out: a hang-up would be told for ever.
        if not events:
            if self._events:
                self._poller.remove(self._fd)
        elif not self._events:
            self._poller.add(self._fd, events, self._ready)
        else:
            self._poller.change(self._fd, events)
        self._events = events

"""Sending a message: stored octets to wire form, small ones in one write, large ones in pieces.

A failure before ``+OK`` is an ``-ERR`` for that message alone; one after it drops the connection
without the final dot, so that no client believes half a message.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial

from lineproto.connection import Connection
from lineproto.obtaining import obtain
from lineproto.stuffing import DOTLESS, END, LF_ONLY, TopCutter, WireEncoder
from pop3_service.domain.errors import MaildropUnavailable
from pop3_service.maildir.cached import read_piece
from pop3_service.maildir.message import Message
from pop3_service.pop3.catalogue import Language, Text
from pop3_service.transform.session import Result
from pop3_service.worker.context import WorkerContext
from pop3_service.worker.maildrops import OpenMaildrop

PIECE = 64 * 1024
"""Octets read at a time."""
PIECES_A_TURN = 4
"""Pieces sent before other sessions get their turn."""
_PLAIN = LF_ONLY | DOTLESS


class MessageBroken(ConnectionResetError):
    """A message failed after its ``+OK``; the connection must drop."""


class OtherSize(MaildropUnavailable):
    """A message is not as long as it was listed, though its file has not changed by its marks."""


def small_message(drop: OpenMaildrop, message: Message, language: Language) -> bytes | None:
    """Give the whole answer to RETR if that takes no wait and the message is as it was listed."""
    stored = drop.read_at_once(message)
    if stored is None:
        return None
    if message.form & _PLAIN == _PLAIN and stored.endswith(b"\n"):
        body = stored.replace(b"\n", b"\r\n")
        octets = len(body)
    else:
        encoder = WireEncoder(message.form)
        body = encoder.feed(stored) + encoder.finish()
        octets = encoder.octets
        if octets == message.octets:
            message.form = encoder.form
    if octets != message.octets:
        return None
    return b"".join((language.octets % octets, body, END))


async def send_message(
    connection: Connection,
    context: WorkerContext,
    drop: OpenMaildrop,
    message: Message,
    lines: int | None,
    language: Language,
) -> None:
    """Answer RETR, or TOP with ``lines``, with a message as it is stored.

    Raises:
        ServiceError: nothing was sent yet.
        ConnectionResetError: the client is gone, or the message broke under way.
    """
    fd = await obtain(context.on_disk(partial(drop.open_message, message)), os.close)
    try:
        await _send_stored(connection, context, fd, message, lines, language)
    except (OtherSize, MessageBroken) as error:
        if OtherSize in (type(error), type(error.__cause__)):
            drop.forget()
            await context.on_disk(drop.forget_sizes)
        raise
    finally:
        os.close(fd)


async def send_result(
    connection: Connection,
    context: WorkerContext,
    result: Result,
    lines: int | None,
    language: Language,
) -> None:
    """Answer RETR, or TOP with ``lines``, with what a transform made: its size is known.

    Raises:
        ServiceError: nothing was sent yet.
        ConnectionResetError: the client is gone, or the message broke under way.
    """
    sender = _Sender(connection, context, result.fd, result.size, result.form)
    if lines is None:
        await sender.send(language.octets % result.size, None, result.size)
    else:
        await sender.send(language.ok(Text.TOP_OF_MESSAGE).encode(), TopCutter(lines), None)


async def _send_stored(
    connection: Connection,
    context: WorkerContext,
    fd: int,
    message: Message,
    lines: int | None,
    language: Language,
) -> None:
    sender = _Sender(connection, context, fd, message.size, message.form)
    if lines is None:
        await sender.send(language.octets % message.octets, None, message.octets)
        message.form = sender.form
    else:
        await sender.send(language.ok(Text.TOP_OF_MESSAGE).encode(), TopCutter(lines), None)


class _Sender:
    """Sends one file's octets as the body of a reply."""

    __slots__ = ("_at", "_buffer", "_connection", "_context", "_encoder", "_fd", "_size")

    def __init__(
        self, connection: Connection, context: WorkerContext, fd: int, size: int, form: int = 0
    ) -> None:
        self._connection = connection
        self._context = context
        self._fd = fd
        self._at = 0
        self._size = size
        self._encoder = WireEncoder(form)
        self._buffer = bytearray(min(PIECE, size))

    @property
    def form(self) -> int:
        """What is known of the octets, once all were sent."""
        return self._encoder.form

    async def send(self, head: bytes, cutter: TopCutter | None, octets: int | None) -> None:
        """Send the reply. ``octets`` is what LIST told; another count is an error, never sent."""
        piece = await self._read()
        body = self._encoder.feed(cutter.feed(piece) if cutter else piece)
        if not self._more(cutter):
            body += self._encoder.finish()
            self._check(octets, OtherSize("the message was changed by another program"))
            self._connection.write(head + body + END)
            return
        self._connection.write(head + body)
        try:
            await self._send_rest(cutter)
            body = self._encoder.finish()
            self._check(octets, OtherSize("the message changed under way"))
        except ConnectionResetError:
            raise
        except Exception as error:  # whatever it is, no more text may follow in this body
            raise MessageBroken(str(error)) from error
        self._connection.write(body + END)

    async def _send_rest(self, cutter: TopCutter | None) -> None:
        pieces = 1
        while self._more(cutter):
            await self._connection.drain()
            if pieces % PIECES_A_TURN == 0:
                await asyncio.sleep(0)
            pieces += 1
            piece = await self._read()
            self._connection.write(self._encoder.feed(cutter.feed(piece) if cutter else piece))

    def _more(self, cutter: TopCutter | None) -> bool:
        return self._at < self._size and not (cutter is not None and cutter.done)

    def _check(self, octets: int | None, error: Exception) -> None:
        if octets is not None and self._encoder.octets != octets:
            raise error

    async def _read(self) -> bytes:
        """Read the next piece; a file shorter than it was is an error."""
        left = self._size - self._at
        if not left:
            return b""
        if left < len(self._buffer):
            del self._buffer[left:]
        piece = read_piece(self._fd, self._at, self._buffer)
        if piece is None:
            work = partial(os.pread, self._fd, len(self._buffer), self._at)
            try:
                piece = await self._context.on_disk(work)
            except OSError as error:
                raise MaildropUnavailable(f"cannot read the message: {error.strerror}") from error
        if not piece:
            raise MaildropUnavailable("the message was cut short by another program")
        self._at += len(piece)
        return piece

"""Asks ``supervisor.x509``, in a process that lives as long as the answer takes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime

import msgspec

from pop3_service.domain.errors import ServiceUnavailable
from pop3_service.supervisor.tls.messages import (
    MadeAnswer,
    Make,
    PairOctets,
    Question,
    Read,
    ReadAnswer,
    Reply,
    Unusable,
    Usable,
)

LIMIT_S = 60.0
PROGRAM = (sys.executable, "-m", "pop3_service.supervisor.tls.x509")


class CertificateReader:
    """Reads and makes certificates.

    Raises:
        ServiceUnavailable: the process could not be started, failed, or took too long.
    """

    async def read(self, pairs: Sequence[PairOctets]) -> list[Usable | Unusable]:
        """Say of each pair whether it can be used."""
        reply = await _ask(Read(list(pairs)))
        return reply.found if isinstance(reply, ReadAnswer) else []

    async def make(
        self, names: Sequence[str], not_before: datetime, not_after: datetime
    ) -> PairOctets:
        """Make a self-signed pair."""
        reply = await _ask(Make(list(names), not_before, not_after))
        if not isinstance(reply, MadeAnswer):
            raise ServiceUnavailable("no certificate was made")
        return reply.pair


async def _ask(question: Question) -> Reply:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*PROGRAM, stdin=pipe, stdout=pipe)
    except OSError as error:
        raise ServiceUnavailable(f"certificates cannot be read: {error.strerror}") from None
    try:
        async with asyncio.timeout(LIMIT_S):
            octets, _ = await process.communicate(msgspec.msgpack.encode(question))
    except TimeoutError:
        raise ServiceUnavailable("certificates cannot be read: it takes too long") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ServiceUnavailable(f"certificates cannot be read: status {process.returncode}")
    reply: Reply = msgspec.msgpack.decode(octets, type=ReadAnswer | MadeAnswer)
    return reply

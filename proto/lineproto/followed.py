"""A certificate in files: tried before it is used, and taken anew when its files change.

For programs that have one. It is tried in a handshake in memory, which tells its dates too, so no
library but OpenSSL is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from lineproto.certificate_files import content, identity
from lineproto.clock import Clock
from lineproto.tls import BadCertificate, PlainPair, server_context

POLL_S = 5.0
"""How often the files are looked at; a change is read once two looks in a row are the same."""
SOON = timedelta(days=14)
DAY_S = timedelta(days=1).total_seconds()
_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, which the ssl module has no name for."""
_FIRST = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FoundPair:
    """A certificate and its key as they were found, and what they make together."""

    chain: bytes
    key: bytes = field(repr=False)
    authorities: bytes
    context: ssl.SSLContext
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...] = ()
    end_point: bytes = b""

    def out_of_time(self, now: datetime) -> str:
        """Say what is wrong with its dates; empty if nothing."""
        if now < self.not_before:
            return f"is not valid before {self.not_before.isoformat()}"
        return f"expired at {self.not_after.isoformat()}" if now > self.not_after else ""


def try_out(chain: bytes, key: bytes, authorities: bytes = b"") -> FoundPair:
    """Try a certificate as a client would.

    ``authorities`` are those that clients' certificates come from; they are only looked at.

    Raises:
        BadCertificate: it cannot be used.
    """
    server = server_context([PlainPair(chain, key)])
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    leaf = _FIRST.search(chain)
    try:
        client.load_verify_locations(cadata=(leaf[0] if leaf else b"").decode("ascii"))
        told = _handshake(server, client)
        if authorities:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(
                cadata=authorities.decode("ascii")
            )
    except (ssl.SSLError, ValueError) as error:
        why = error.reason if isinstance(error, ssl.SSLError) else "not PEM"
        why = getattr(error, "verify_message", why) or "not PEM"
        raise BadCertificate(f"it cannot be used: {why.replace('_', ' ').lower()}") from None
    begin, end = (
        datetime.fromtimestamp(ssl.cert_time_to_seconds(str(told[name])), UTC)
        for name in ("notBefore", "notAfter")
    )
    return FoundPair(chain, key, authorities, server, begin, end)


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    """Let both meet in memory; give what the client is told of the certificate."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = client.wrap_bio(back, there)
    ours = server.wrap_bio(there, back, server_side=True)
    for side in (theirs, ours, theirs, ours):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return dict(theirs.getpeercert() or {})


class FollowedPair:
    """The certificate in force. One that cannot be used leaves the one before it in force.

    ``of`` says in the log what it is for; ``authorities`` is a third file that is followed too.
    """

    def __init__(
        self,
        of: str,
        chain: Path,
        key: Path | None,
        clock: Clock,
        authorities: Path | None = None,
    ) -> None:
        self._of = of
        self._chain, self._key, self._authorities = chain, key or chain, authorities
        self._clock = clock
        self._asked = asyncio.Event()
        self._changing = asyncio.Lock()
        self._seen: object = None
        self._settling: object = None
        self._next_day_s = clock.monotonic() + DAY_S
        self._pair: FoundPair | None = None

    @property
    def pair(self) -> FoundPair:
        """The one in force."""
        if self._pair is None:
            raise RuntimeError("no certificate was loaded")
        return self._pair

    async def load(self) -> None:
        """Read it for the first time.

        Raises:
            BadCertificate: it cannot be used.
        """
        await self._take()
        self._tell()

    def reload_soon(self) -> None:
        """Reload without waiting for it; for SIGHUP."""
        self._asked.set()

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow the files until the end of the block."""
        tasks = [asyncio.create_task(it) for it in (self._follow(), self._obey())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self) -> None:
        """Look once at the calendar and the files, and do what is due."""
        if self._clock.monotonic() >= self._next_day_s:
            self._next_day_s = self._clock.monotonic() + DAY_S
            self._tell(only_ending=True)
        look = await asyncio.to_thread(self._look)
        if look == self._seen:
            self._settling = None
        elif look != self._settling:
            self._settling = look
        else:
            await self.reload("changed files")

    async def reload(self, by: str) -> bool:
        """Take what is in the files now, if it can be used; say whether it could."""
        try:
            await self._take()
        except BadCertificate as error:
            log.error(
                "certificate not taken; what was in force stays",
                of=self._of,
                by=by,
                file=error.file or str(self._chain),
                reason=error.why,
            )
            return False
        log.info("certificate read", of=self._of, by=by)
        self._tell()
        return True

    async def _follow(self) -> None:
        while True:
            await self._clock.sleep(POLL_S)
            await self.look()

    async def _obey(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reload("SIGHUP")

    def _look(self) -> object:
        files = (self._chain, self._key, self._authorities)
        return tuple(identity(path) for path in files if path)

    async def _take(self) -> None:
        async with self._changing:
            self._seen = await asyncio.to_thread(self._look)
            self._settling = None
            found = await asyncio.to_thread(self._read)
            wrong = found.out_of_time(self._clock.now())
            # Where there is no other, a pair out of its time is better than no service at all.
            if wrong and self._pair is not None and self._pair.chain != found.chain:
                raise BadCertificate(f"the certificate {wrong}", str(self._chain))
            self._pair = found

    def _read(self) -> FoundPair:
        chain, key = content(self._chain), content(self._key)
        try:
            return try_out(chain, key, content(self._authorities) if self._authorities else b"")
        except BadCertificate as error:
            raise BadCertificate(error.why, error.file or str(self._chain)) from None

    def _tell(self, *, only_ending: bool = False) -> None:
        pair, now = self.pair, self._clock.now()
        facts = {
            "of": self._of,
            "file": str(self._chain),
            "not_after": pair.not_after.isoformat(),
            "days_left": (pair.not_after - now).days,
        }
        if pair.out_of_time(now):
            log.warning("certificate out of time", **facts)
        elif pair.not_after - now < SOON:
            log.warning("certificate ends soon", **facts)
        elif not only_ending:
            log.info("certificate in force", **facts)

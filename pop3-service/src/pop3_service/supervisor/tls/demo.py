"""The demo's own certificate: self-signed, in the data folder, made again before it ends."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import timedelta
from pathlib import Path

import structlog

from lineproto.clock import Clock
from pop3_service.domain.certificate import URGENT, Certificate
from pop3_service.domain.errors import ServiceUnavailable
from pop3_service.supervisor.tls.files import CHAIN, KEY, CertificateFiles
from pop3_service.supervisor.tls.messages import PairOctets
from pop3_service.supervisor.tls.reader import CertificateReader

LIFE = timedelta(days=397)
"""The longest that clients take of a certificate they are to trust by hand, Apple's among them."""
LOCAL = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9-]{1,63})*", re.I)

log = structlog.get_logger()


class DemoCertificate:
    """A pair for a host name and localhost in ``folder``."""

    def __init__(
        self, folder: Path, host_name: str, reader: CertificateReader, clock: Clock
    ) -> None:
        self.names = tuple(dict.fromkeys(
            (*((host_name,) if _HOST.fullmatch(host_name) else ()), *LOCAL)
        ))  # fmt: skip
        self.files = CertificateFiles(folder / CHAIN, folder / KEY, None)
        self._folder = folder
        self._reader = reader
        self._clock = clock

    def is_there(self) -> bool:
        """Whether one was made before."""
        return all(map(all, self.files.look().values()))

    def serves(self, certificate: Certificate) -> bool:
        """Whether it is for these names, and will be for a while: nobody is warned of it."""
        now = self._clock.now()
        fresh = not certificate.out_of_time(now) and not certificate.ends_within(URGENT, now)
        return fresh and set(self.names) <= set(certificate.names)

    async def make(self) -> None:
        """Make a pair in the place of what is there.

        Raises:
            ServiceUnavailable: it cannot be made or written.
        """
        start = self._clock.now() - timedelta(hours=1)  # a client's clock may be a little behind
        made = await self._reader.make(self.names, start, start + LIFE)
        try:
            await asyncio.to_thread(self._write, made)
        except OSError as error:
            raise ServiceUnavailable(f"cannot write to {self._folder}: {error.strerror}") from None
        log.info("demo certificate made", names=" ".join(self.names), folder=str(self._folder))

    def _write(self, made: PairOctets) -> None:
        """Write both files; what a crash leaves between the two is mended at the next start."""
        self._folder.mkdir(parents=True, exist_ok=True)
        _replace(self._folder / KEY, made.key, 0o600)
        _replace(self._folder / CHAIN, made.chain, 0o644)
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _replace(path: Path, octets: bytes, mode: int) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(fd)
    new.replace(path)

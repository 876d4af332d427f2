"""Certificates: read at start, and again when their files change, on SIGHUP or on demand.

A pair is checked before it takes the place of another. One that cannot be used leaves the one
before it in force, and says so in the log and in STATUS.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from lineproto.clock import Clock
from pop3_service.control.plane import CertificatePair
from pop3_service.domain.audit import describe
from pop3_service.domain.certificate import SOON, Certificate
from pop3_service.domain.errors import CertificateInvalid, ServiceError
from pop3_service.supervisor.tls.demo import DemoCertificate
from pop3_service.supervisor.tls.files import CertificateFiles, Look, PairFiles
from pop3_service.supervisor.tls.messages import PairOctets, Unusable, Usable
from pop3_service.supervisor.tls.reader import CertificateReader

POLL_S = 5.0
"""How often the files are looked at; a change is read once two looks in a row are the same."""
SETTLE_S = 0.2
READINGS = 10
"""How often a reading begins anew because the files changed meanwhile."""
DAILY = "daily check"
DAY_S = timedelta(days=1).total_seconds()

Faults = dict[str, str]
"""What is wrong, by the file that it is about."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """A pair that can be used, and what is told of it."""

    pair: CertificatePair
    certificate: Certificate


SIGHUP = "SIGHUP"
Telling = Callable[[str], contextlib.AbstractAsyncContextManager[None]]


class CertificatesDesk:
    """The certificates in force. Without ``files`` or ``demo`` there are none, and no TLS.

    ``try_out`` builds what a worker would build, and ``apply`` tells the workers.
    """

    def __init__(
        self,
        files: CertificateFiles | None,
        host_name: str,
        reader: CertificateReader,
        try_out: Callable[[Sequence[CertificatePair]], object],
        apply: Callable[[list[CertificatePair]], Awaitable[None]],
        clock: Clock,
        demo: DemoCertificate | None = None,
    ) -> None:
        self.pairs: list[CertificatePair] = []
        self.telling: Telling = lambda _: contextlib.nullcontext()
        """Tells of a change that nobody called for, by what brought it about."""
        self._files = demo.files if demo else files
        self._host_name = host_name
        self._reader = reader
        self._try_out = try_out
        self._apply = apply
        self._clock = clock
        self._demo = demo
        self._held: dict[PairFiles, Held] = {}
        self._faults: Faults = {}
        self._trouble = ""
        self._seen: Look | None = None
        self._settling: Look | None = None
        self._next_day_s = clock.monotonic() + DAY_S
        self._asked = asyncio.Event()
        self._changing = asyncio.Lock()

    # --- what there is --------------------

    def in_force(self) -> list[Certificate]:
        """Give the certificates, the default first."""
        return [
            replace(held.certificate, is_default=number == 0)
            for number, held in enumerate(self._held.values())
        ]

    def warnings(self) -> list[str]:
        """Tell what an admin should mend."""
        now = self._clock.now()
        told = [held.certificate.warning(now) for held in self._held.values()]
        told += [f"{file}: {why}" for file, why in self._faults.items()]
        return [text for text in (*told, self._trouble) if text]

    # --- changes --------------------

    async def load(self) -> None:
        """Read all pairs for the first time.

        Raises:
            CertificateInvalid: one of them cannot be used.
            ServiceUnavailable: they cannot be read, or the demo's cannot be made.
        """
        if self._files is None:
            log.info("TLS is off", reason="no certificate is configured")
            return
        if self._demo is None:
            faults = await self._take()
        else:
            faults = await self._prepare(self._demo)
        _raise_first(faults)
        if not self.pairs:
            raise CertificateInvalid("there is no certificate in it", str(self._files.folder))
        self._tell()

    async def reload(self, by: str) -> list[Certificate]:
        """Read all pairs again and put those that can be used in force.

        Raises:
            CertificateInvalid: one cannot be used; the one before it stays.
            ServiceUnavailable: they cannot be read now.
        """
        if self._files is None:
            raise CertificateInvalid("TLS is off: no certificate is configured")
        _raise_first(await self._renew(by))
        return self.in_force()

    def reload_soon(self) -> None:
        """Reload without waiting for it; for SIGHUP."""
        self._asked.set()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Follow the files until the end of the block."""
        if self._files is None:
            yield
            return
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
            await self._each_day()
        try:
            look = await asyncio.to_thread(self._look)
        except CertificateInvalid as error:
            self._in_trouble(error)
            return
        if look == self._seen:
            self._settling, self._trouble = None, ""
        elif look != self._settling:
            self._settling = look
        else:
            await self._renew_quietly("changed files")

    async def _follow(self) -> None:
        while True:
            await self._clock.sleep(POLL_S)
            await self.look()

    async def _obey(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self._renew_quietly(SIGHUP)

    async def _renew(self, by: str) -> Faults:
        """Take what can be used and tell all of it in the log."""
        before, were = self._faults, self._fingerprints()
        faults = await self._take()
        self._trouble = ""
        describe(
            target=by,
            before={"certificates": were},
            after={"certificates": self._fingerprints(), "refused": len(faults)},
        )
        log.info("certificates read", by=by, count=len(self.pairs), refused=len(faults))
        self._tell()
        for file, why in faults.items():
            if by != DAILY or before.get(file) != why:
                log.error("certificate not taken; what was in force stays", file=file, reason=why)
        return faults

    def _fingerprints(self) -> list[str]:
        return [held.certificate.fingerprint for held in self._held.values()]

    async def _renew_quietly(self, by: str) -> None:
        try:
            async with self.telling(by):
                await self._renew(by)
        except ServiceError as error:
            self._in_trouble(error)

    async def _each_day(self) -> None:
        demo = self._demo
        if demo is not None and not any(demo.serves(it) for it in self.in_force()):
            try:
                await demo.make()
            except ServiceError as error:
                self._in_trouble(error)
            else:
                await self._renew_quietly(DAILY)
                return
        elif self._faults:  # what was not valid yet may be now
            await self._renew_quietly(DAILY)
            return
        self._tell(only_ending=True)

    async def _prepare(self, demo: DemoCertificate) -> Faults:
        """Have the demo's pair read, made before if it is not there or not fit."""
        if not demo.is_there():
            await demo.make()
        if await self._take() or not any(demo.serves(it) for it in self.in_force()):
            await demo.make()
            return await self._take()
        return {}

    # --- reading --------------------

    def _look(self) -> Look:
        return self._files.look() if self._files else {}

    async def _take(self) -> Faults:
        """Read all pairs, put in force what can be, and give what is wrong with the others.

        Raises:
            CertificateInvalid, ServiceUnavailable: nothing can be read at all.
        """
        async with self._changing:
            look, octets, faults = await self._consistent()
            usable = await self._check(octets, faults)
            kept = {files: usable.get(files) or self._held.get(files) for files in look}
            held = self._in_order({files: it for files, it in kept.items() if it is not None})
            if self._held and not held:
                raise CertificateInvalid("no certificate is left in it", str(self._folder()))
            self._held, self._faults, self._seen, self._settling = held, faults, look, None
            pairs = [it.pair for it in held.values()]
            if pairs != self.pairs:
                self.pairs = pairs
                await self._apply(pairs)
            return faults

    async def _consistent(self) -> tuple[Look, dict[PairFiles, PairOctets], Faults]:
        """Read all files so that none of them changed meanwhile.

        Raises:
            CertificateInvalid: they change all the time, or the folder cannot be read.
        """
        for _ in range(READINGS):
            look = await asyncio.to_thread(self._look)
            octets: dict[PairFiles, PairOctets] = {}
            faults: Faults = {}
            for files in look:
                try:
                    octets[files] = await asyncio.to_thread(files.read)
                except CertificateInvalid as error:
                    faults[error.file] = error.why
            if look == await asyncio.to_thread(self._look):
                return look, octets, faults
            await self._clock.sleep(SETTLE_S)
        raise CertificateInvalid("the certificates' files are being written; try again")

    async def _check(
        self, octets: dict[PairFiles, PairOctets], faults: Faults
    ) -> dict[PairFiles, Held]:
        """Give the pairs that can be used, and add to ``faults`` why others cannot."""
        usable = {}
        found = await self._reader.read(list(octets.values())) if octets else []
        for files, told in zip(octets, found, strict=True):
            try:
                usable[files] = await self._usable(files, told)
            except CertificateInvalid as error:
                faults[str(files.chain)] = error.why
        return usable

    async def _usable(self, files: PairFiles, told: Usable | Unusable) -> Held:
        """Give the pair if it can take the place of the one before it.

        Raises:
            CertificateInvalid: it cannot.
        """
        if isinstance(told, Unusable):
            raise CertificateInvalid(told.text)
        await asyncio.to_thread(self._try_out, [told.pair])
        certificate = Certificate(
            told.pair.names,
            told.not_before,
            told.not_after,
            told.issuer,
            told.self_signed,
            told.fingerprint,
            str(files.chain),
        )
        wrong = certificate.out_of_time(self._clock.now())
        before = self._held.get(files)
        # Where there is no other, a pair out of its time is better than no service at all: clients
        # decide what they trust, and a restart must not be worse than running on.
        if wrong and before is not None and before.pair != told.pair:
            raise CertificateInvalid(f"the certificate {wrong}")
        return Held(told.pair, certificate)

    def _in_order(self, held: dict[PairFiles, Held]) -> dict[PairFiles, Held]:
        """Put the default first: the pair that was named, or else this host's own."""
        if self._files is not None and not self._files.has_default():
            for files, it in held.items():
                if self._host_name in it.certificate.names:
                    return {files: it, **held}
        return held

    def _folder(self) -> object:
        return self._files and self._files.folder

    # --- telling --------------------

    def _tell(self, *, only_ending: bool = False) -> None:
        now = self._clock.now()
        for certificate in self.in_force():
            wrong = certificate.out_of_time(now)
            if wrong or certificate.ends_within(SOON, now):
                event = "certificate out of time" if wrong else "certificate ends soon"
                log.warning(event, **_facts(certificate, now))
            elif not only_ending:
                log.info("certificate in force", **_facts(certificate, now))

    def _in_trouble(self, error: ServiceError) -> None:
        """Tell once that nothing can be read."""
        if self._trouble != str(error):
            self._trouble = str(error)
            log.error("certificates not read; those in force stay", reason=self._trouble)


def _raise_first(faults: Faults) -> None:
    for file, why in faults.items():
        raise CertificateInvalid(why, file)


def _facts(certificate: Certificate, now: datetime) -> dict[str, object]:
    return {
        "names": " ".join(certificate.names),
        "not_after": certificate.not_after.isoformat(),
        "days_left": (certificate.not_after - now).days,
        "file": certificate.source,
        "default": certificate.is_default,
    }

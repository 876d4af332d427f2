"""Sessions with a transform, over real files and programs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from lineproto.stuffing import decode, encode
from pop3_service.domain.reach import Reach
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import OnFailure, Transform
from pop3_service.maildir.message import Message
from pop3_service.transform.cache import Cache
from pop3_service.transform.runner import Runner
from pop3_service.transform.session import Original, Result, SessionTransform
from unit.pop3_service.clock import FakeClock

BOOT = "00000000-0000-4000-8000-000000000001"
MIB = 1 << 20


def in_crlf(octets: bytes) -> bytes:
    """The form that is sent, without the stuffed dots."""
    return decode(encode(octets))


def read(result: Result) -> bytes:
    """All octets of a result, which is let go."""
    octets = b""
    while piece := os.pread(result.fd, MIB, len(octets)):
        octets += piece
    result.close()
    return octets


@dataclass
class Desk:
    """One process's runner and cache in a folder, and mail beside them."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    quota: int = 64 * MIB
    at_a_time: int | None = None
    boot: str = BOOT

    def __post_init__(self) -> None:
        self.runs: list[tuple[float, str]] = []
        self.opened: list[str] = []
        self.results = self.folder / "transformed"
        self.settings = Settings()
        self.programs = self.folder / "programs"
        self.runner = Runner(
            self.folder / "spool",
            self.clock,
            reach=Reach((str(self.programs),)),
            concurrency=self.at_a_time,
        )
        self.cache = Cache(
            self.results, self.folder / "spool", lambda: self.quota, self.clock, self.boot
        )

    async def close(self) -> None:
        await self.runner.close()
        self.cache.close()

    def script(self, text: str) -> tuple[str, ...]:
        """Make a program out of shell text."""
        self.programs.mkdir(exist_ok=True)
        path = self.programs / f"program{len(list(self.programs.iterdir()))}"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return (str(path),)

    def session(
        self,
        *programs: tuple[str, ...],
        account: str = "ana",
        on_failure: OnFailure = OnFailure.REFUSE,
        background: bool = False,
    ) -> SessionTransform:
        return SessionTransform(
            self.runner,
            self.cache,
            account,
            Transform(1, "it", 1, "it", programs, on_failure),
            lambda: self.settings,
            on_run=lambda seconds, failure: self.runs.append((seconds, failure)),
            background=background,
        )

    def message(self, octets: bytes, name: str = "1.host") -> Original:
        path = self.folder / "mail" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(octets)
        status = path.stat()
        message = Message(
            "new", name, "uid", 0, 0, status.st_ino, status.st_size, status.st_mtime_ns
        )

        def open_it() -> int:
            self.opened.append(name)
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

        return Original(message.identity, len(octets), len(in_crlf(octets)), open_it)

    def messages(self, count: int) -> list[Original]:
        return [self.message(b"Subject: %d\n\nx\n" % it, f"{it}.host") for it in range(count)]

    def kept(self) -> list[Path]:
        """Results on the disk."""
        return sorted(self.results.glob("*/results/*/*/*"))

    def left_over(self) -> list[Path]:
        """Files that are no results."""
        spool = self.folder / "spool"
        return [*self.results.glob("*/spool/*"), *spool.glob("*/*"), *spool.glob("[!s]*")]

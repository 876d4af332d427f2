"""A process with a cache of results of its own, which does what it is told, a line at a time."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from pop3_service.transform.cache import Cache
from pop3_service.transform.results import Folder

BOOT = "00000000-0000-4000-8000-000000000001"
MARK = "f" * 32


def content(writer: str, message: str, size: int) -> bytes:
    """Octets that tell who wrote them of what, and whether they are whole."""
    head = f"{writer} {message} {size} ".encode()
    return head + b"x" * max(size - len(head) - 4, 0) + b"end\n"


def is_whole(octets: bytes, message: str) -> bool:
    """Whether octets are all of a result of that message."""
    fields = octets.split(b" ", 3)
    return (
        len(fields) == 4
        and fields[1] == message.encode()
        and octets == content(fields[0].decode(), message, int(fields[2]))
    )


class MovedClock:
    """The time that it was told."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now_s

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Holder:
    """A cache, and the folders of it that are held."""

    def __init__(self) -> None:
        self.held: dict[str, Folder] = {}

    def begin(self, folder: str, quota: int) -> None:
        """Let go of all, and begin anew in a folder."""
        for it in self.held.values():
            it.close()
        self.clock = MovedClock()
        self.cache = Cache(
            Path(folder, "transformed"), Path(folder, "spare"), lambda: quota, self.clock, BOOT
        )
        self.held = {}

    def hold(self, account: str) -> bool:
        folder = self.cache.lease(account, MARK)
        if folder is not None:
            self.held[account] = folder
        return folder is not None

    def let_go(self, account: str) -> None:
        self.held.pop(account).close()

    def publish(self, account: str, message: str, writer: str, size: int) -> bool:
        draft = self.cache.open_draft()
        draft.file.write(content(writer, message, size))
        kept = self.held[account].publish(message, draft)
        draft.close()
        return kept

    def read(self, account: str, message: str) -> str | None:
        fd = self.held[account].open(message)
        if fd is None:
            return None
        with open(fd, "rb") as file:
            return file.read().decode()

    def sizes(self, account: str) -> dict[str, int]:
        return self.held[account].sizes()

    def move(self, seconds: float) -> None:
        self.clock.now_s += seconds

    def sweep(self) -> None:
        self.cache.sweep_if_due()

    def used(self) -> int:
        return self.cache.used()

    def forget(self, account: str) -> None:
        self.cache.forget(account)

    def work(self, seed: int, rounds: int) -> list[str]:
        """Hold, publish, read and let go at random; give what was not as it should be."""
        chance = random.Random(seed)
        wrong: list[str] = []
        for number in range(rounds):
            account = f"u{chance.randrange(6)}"
            self.hold(account)
            seen: dict[str, str] = {}
            for _ in range(chance.randrange(12)):
                message = f"m{chance.randrange(8)}"
                size = chance.choice((50, 4096, 9000, 70_000))
                self.publish(account, message, f"{seed}.{number}", size)
                told = self.read(account, message)
                if told is not None and not is_whole(told.encode(), message):
                    wrong.append(f"half a result: {told[:60]!r}, {len(told)} octets")
                if message in seen and told != seen[message]:
                    wrong.append(f"a held result changed: {message}")
                if told is not None:
                    seen[message] = told
            self.let_go(account)
            self.move(chance.choice((0, 1, 400)))
            if chance.random() < 0.1:
                self.sweep()
        return wrong


class CacheProcess:
    """The same in a process of its own."""

    def __init__(self) -> None:
        tests = str(Path(__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.caching"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": tests},
        )

    def tell(self, act: str, *arguments: Any) -> None:
        """Begin something."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([act, *arguments]).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """Wait for what came of it."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def do(self, act: str, *arguments: Any) -> Any:
        self.tell(act, *arguments)
        return self.answer()

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def main() -> None:
    # The answers alone are in the standard output.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    holder = Holder()
    for line in sys.stdin:
        act, *arguments = json.loads(line)
        print(json.dumps(getattr(holder, act)(*arguments)), flush=True)


if __name__ == "__main__":
    main()

"""Very many POP3 sessions at a time, from one loop."""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

AT_ONCE = 64
"""Logins under way at a time."""

T = TypeVar("T")
Session = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def log_in(host: str, port: int, name: str, password: str = "secret") -> Session:
    """A session that stays open."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"USER {name}\r\nPASS {password}\r\n".encode())
    lines = [await asyncio.wait_for(reader.readline(), 120) for _ in range(3)]
    assert all(line.startswith(b"+OK") for line in lines), lines
    return reader, writer


async def in_turns(work: Callable[[str], Awaitable[T]], names: list[str]) -> list[T]:
    """Do the work for each name, so many at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> T:
        async with gate:
            return await work(name)

    return await asyncio.gather(*(one(name) for name in names))


async def is_empty(session: Session) -> bool:
    """Whether a session answers, of a maildrop without mail."""
    reader, writer = session
    writer.write(b"STAT\r\n")
    return await asyncio.wait_for(reader.readline(), 30) == b"+OK 0 0\r\n"


@contextmanager
def all_descriptors() -> Iterator[None]:
    """Let this process open as many files as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

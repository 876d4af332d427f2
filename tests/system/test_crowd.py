"""Thousands of sessions through the published port and to the container's own address."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

import scale
from support.compose import Project
from support.crowd import Session, all_descriptors, in_turns, is_empty, log_in


class Way(NamedTuple):
    """A way in, and how many sessions take it."""

    name: str
    host: str
    port: int
    count: int


def make_accounts(running: Project, count: int) -> list[str]:
    names = [f"crowd{number}" for number in range(count)]
    limits = (f"max_accounts={count + 100}", f"max_connections={count + 100}")
    login = {"POP3CTL_USER": "default", "POP3CTL_PASSWORD": "default"}
    running.compose("run", "--rm", "-T", "admin-cli", "settings", "set", *limits, **login)
    with running.admin() as admin:
        admin.send(b"".join(b"ADD_USER %s secret\r\n" % name.encode() for name in [*names, "late"]))
        replies = [admin.line() for _ in range(count + 1)]
    assert all(reply.startswith((b"+OK", b"-ERR [ALREADY-EXISTS]")) for reply in replies)
    return names


@pytest.fixture(params=["published on loopback", "published", "own address"])
def way(request: pytest.FixtureRequest, running: Project) -> Iterator[Way]:
    """How to come in.

    A port published on loopback goes through Docker's proxy, which takes six descriptors a
    connection: 20,000 are enough for 3,300. Any other address is translated by the kernel, as it
    is for clients from outside; here it is the one that this machine has on Docker's bridge.
    """
    match request.param:
        case "published on loopback":
            yield Way(request.param, "127.0.0.1", running.pop3, scale.PROXIED_SESSIONS)
        case "published":
            host = running.gateway()
            running.up(POP3_BIND_IPV4=host)
            yield Way(request.param, host, running.pop3, scale.PUBLISHED_SESSIONS)
            running.up()
        case _:
            yield Way(request.param, running.address(), 1110, scale.IDLE_SESSIONS)


async def test_sessions_by_the_thousand(
    running: Project, way: Way, capsys: pytest.CaptureFixture[str]
) -> None:
    host, port, count = way.host, way.port, way.count
    names = make_accounts(running, count)

    async def enter(some: list[str]) -> list[Session]:
        return await in_turns(lambda name: log_in(host, port, name), some)

    with all_descriptors():
        half = count // 2
        first = await enter(names[:half])
        before = running.pss_kb()
        rest = await enter(names[half:])
        after = running.pss_kb()
        [late] = await enter(["late"])
        for session in (late, first[0], rest[-1]):
            assert await is_empty(session)
        with running.admin() as admin:
            assert len(admin.listing("ALL_CONNEC")) >= count + 1
        for _, writer in (late, *first, *rest):
            writer.close()
    slope = (sum(after.values()) - sum(before.values())) / (count - half)
    kinds = running.processes()
    sizes = ", ".join(f"{kinds.get(pid, '?')} {kb} KiB" for pid, kb in after.items())
    with capsys.disabled():
        print(f"\n{count} sessions, {way.name}: {slope:.1f} KiB a session; {sizes}")

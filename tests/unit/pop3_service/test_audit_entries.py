"""What an act says of itself, and logins on their way."""

from __future__ import annotations

import asyncio

import pytest

from pop3_service.domain.audit import (
    MAX_TEXT,
    ActorKind,
    LoginEvent,
    describe,
    describe_actor,
    describing,
    host_of,
    printable,
)
from pop3_service.worker.login_reports import LARGEST_BATCH, LoginReports


def login(number: int) -> LoginEvent:
    return LoginEvent(float(number), "ana", "192.0.2.1:5", "PASS")


def test_what_is_said_within_a_call_is_collected() -> None:
    with describing() as said:
        describe(target="ana", before={"role": "user"})
        describe(before={"suspended": False}, after={"role": "admin"})
        describe_actor("eva")
    assert (said.target, said.actor, said.actor_kind) == ("ana", "eva", ActorKind.ACCOUNT)
    assert said.before == {"role": "user", "suspended": False}
    assert said.after == {"role": "admin"}


def test_outside_a_call_nothing_is_kept() -> None:
    with describing() as said:
        pass
    describe(target="ana")
    describe_actor("ana")
    assert said.target == said.actor == ""


async def test_what_a_task_of_the_call_says_is_the_calls() -> None:
    async def act(name: str) -> str:
        with describing() as said:
            await asyncio.create_task(inner(name))
            return said.target

    async def inner(name: str) -> None:
        await asyncio.sleep(0)
        describe(target=name)

    assert await asyncio.gather(act("ana"), act("eva")) == ["ana", "eva"]


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("192.0.2.1:5", "192.0.2.1"),
        ("[2001:db8::1]:5", "2001:db8::1"),
        ("[::ffff:192.0.2.1]:5", "192.0.2.1"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_an_address_is_kept_without_its_port(peer: str, host: str) -> None:
    assert host_of(peer) == host


def test_a_text_is_bounded_and_does_not_steer_a_terminal() -> None:
    assert printable("señor") == "señor"
    assert printable("a\x1b[2J\r\n\0") == r"a\x1b[2J\r\n\x00"
    assert printable("\ud800") == r"\ud800"
    assert len(printable("\0" * 1000)) == len(printable("x" * 1000)) == MAX_TEXT


async def test_logins_are_sent_together() -> None:
    sent: asyncio.Queue[list[LoginEvent]] = asyncio.Queue()
    reports = LoginReports(sent.put_nowait)
    for number in range(3):
        reports.add(login(number))
    assert sent.empty()
    async with asyncio.timeout(60):
        assert await sent.get() == [login(0), login(1), login(2)]
        reports.add(login(3))
        assert await sent.get() == [login(3)]


async def test_many_logins_do_not_wait_for_the_time_to_pass() -> None:
    sent: list[list[LoginEvent]] = []
    reports = LoginReports(sent.append)
    for number in range(LARGEST_BATCH):
        reports.add(login(number))
    assert [len(batch) for batch in sent] == [LARGEST_BATCH]
    reports.flush()
    assert len(sent) == 1


async def test_what_waits_is_sent_at_the_end() -> None:
    sent: list[list[LoginEvent]] = []
    reports = LoginReports(sent.append)
    reports.add(login(1))
    reports.flush()
    assert sent == [[login(1)]]

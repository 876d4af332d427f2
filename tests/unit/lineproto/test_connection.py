"""The connection loop: lines in, replies out, both bounded; a fault ends one connection alone."""

import asyncio
from itertools import pairwise

import pytest

from lineproto.connection import (
    COMMANDS_A_TURN,
    MAX_DROPPED,
    READ_HIGH,
    WRITE_HIGH,
)
from unit.lineproto.talks import BIG, Talks, turns, until

# --- lines and replies --------------------


async def test_replies_come_in_order_whether_a_command_takes_time_or_not(talks: Talks) -> None:
    client = await talks.connect()
    client.talk.go.set()
    await client.send(b"a\r\nwait\r\nnothing\r\nb\r\nwait\r\nc\r\n")
    assert [await client.line() for _ in range(5)] == [b"a", b"wait done", b"b", b"wait done", b"c"]


async def test_a_command_cut_into_octets_is_acted_on_once_it_is_complete(talks: Talks) -> None:
    client = await talks.connect()
    for octet in b"one\r":
        await client.send(bytes([octet]))
        await turns()
    assert client.talk.lines == []
    await client.send(b"\n")
    assert await client.line() == b"one"


async def test_while_a_command_is_in_progress_no_other_is_looked_at(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"wait\r\na\r\nb\r\n")
    await until(lambda: client.talk.lines)
    await turns()
    assert client.talk.lines == [b"wait"]
    client.talk.go.set()
    assert [await client.line() for _ in range(3)] == [b"wait done", b"a", b"b"]


async def test_octets_sent_are_counted_by_connection_and_by_listener(talks: Talks) -> None:
    first, second = await talks.connect(), await talks.connect()
    await first.ask(b"abc")
    assert first.talk.connection.sent_bytes == 12
    assert second.talk.connection.sent_bytes == 7
    assert talks.sent_bytes == 19


# --- back pressure --------------------


async def test_a_client_that_does_not_read_costs_no_more_than_the_write_buffer(
    talks: Talks,
) -> None:
    client = await talks.connect()
    count = 1000
    await client.send(b"big\r\n" * count)
    await turns(200)
    answered = len(client.talk.lines)
    assert 0 < answered < count
    assert client.transport.get_write_buffer_size() <= WRITE_HIGH + len(BIG)
    await turns(200)
    assert len(client.talk.lines) == answered
    for _ in range(count):
        assert await client.line() == BIG[:-2]
    assert len(client.talk.lines) == count


async def test_small_replies_stop_too_when_nobody_reads_them(talks: Talks) -> None:
    client = await talks.connect()
    line = b"y" * 90
    count = await client.fill(line)
    assert client.transport.get_write_buffer_size() <= WRITE_HIGH + COMMANDS_A_TURN * 92
    assert not client.transport.is_reading()
    assert [await client.line() for _ in range(count)] == [line] * count
    assert client.transport.is_reading()


async def test_reading_stops_when_enough_waits_behind_a_command_in_progress(talks: Talks) -> None:
    client = await talks.connect()
    line = b"z" * 62
    await client.send(b"wait\r\n")
    count = await client.fill(line)
    assert not client.transport.is_reading()
    # What the two sockets hold, what waits in the connection, and one more read of asyncio's.
    assert READ_HIGH < count * len(line) < READ_HIGH + 512 * 1024
    client.talk.go.set()
    assert await client.line() == b"wait done"
    assert [await client.line() for _ in range(count)] == [line] * count
    assert client.transport.is_reading()


async def test_a_dialogue_that_streams_waits_for_its_client(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"stream\r\nafter\r\n")
    await turns(200)
    assert client.transport.get_write_buffer_size() <= WRITE_HIGH + 3 * len(BIG)
    assert client.talk.lines == [b"stream"]
    for _ in range(300):
        assert await client.line() == BIG[:-2]
    assert await client.line() == b"end"
    assert await client.line() == b"after"


async def test_a_connection_that_goes_while_its_commands_wait_their_turn_is_no_fault(
    talks: Talks,
) -> None:
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    client = await talks.connect()
    client.socket.send(b"x\r\n" * 1000)
    await until(lambda: client.talk.lines)
    client.talk.connection.abort("gone")
    await turns()
    assert client.talk.lost_reasons == ["gone"]
    assert COMMANDS_A_TURN <= len(client.talk.lines) < 1000
    assert faults == []


async def test_a_client_with_many_commands_lets_others_have_their_turn(talks: Talks) -> None:
    many, one = await talks.connect(), await talks.connect()
    # Both are there before the loop goes round.
    many.socket.send(b"".join(b"%d\r\n" % number for number in range(1000)))
    one.socket.send(b"one\r\n")
    await until(lambda: len(talks.heard) == 1001)
    assert [line for _, line in talks.heard].index(b"one") <= 2 * COMMANDS_A_TURN
    assert many.talk.lines == [b"%d" % number for number in range(1000)]
    assert [await many.line() for _ in range(1000)] == many.talk.lines


async def test_a_client_that_never_stops_sending_has_no_more_than_its_turn(talks: Talks) -> None:
    client = await talks.connect()
    count = 20_000
    runs = [0]

    async def others() -> None:
        while len(talks.heard) < count:
            runs.append(len(talks.heard))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(others())
        group.create_task(client.send(b"nothing\r\n" * count))
    # What came in one segment may end in the round in which the next one comes.
    assert max(after - before for before, after in pairwise(runs)) <= 2 * COMMANDS_A_TURN


# --- long lines --------------------


async def test_a_line_too_long_is_answered_once_and_the_next_is_a_line_again(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"x" * talks.line_limit)
    await turns()
    assert client.talk.lines == []
    await client.send(b"x" * 500)
    assert await client.line() == b"too long"
    await client.send(b"x" * 5000 + b"\r\nnext\r\n")
    assert await client.line() == b"next"


async def test_a_line_of_just_the_limit_is_taken(talks: Talks) -> None:
    client = await talks.connect()
    longest = b"x" * (talks.line_limit - 2)
    assert await client.ask(longest) == longest
    assert await client.ask(longest + b"x") == b"too long"


@pytest.mark.attack(1)
async def test_an_endless_line_ends_the_connection(talks: Talks) -> None:
    client = await talks.connect()
    piece = b"x" * 65536
    for _ in range(MAX_DROPPED // len(piece)):
        await client.send(piece)
    await turns()
    assert not client.transport.is_closing()
    await client.send(b"x\n" + piece)
    assert await client.rest() == b"too long\r\ntoo long\r\n"
    client.half_close()
    await until(lambda: client.ended)
    assert client.ended == ["line too long"]


# --- faults of ours --------------------


@pytest.mark.parametrize(("command", "text"), [(b"fault", "at once"), (b"late fault", "later")])
async def test_a_fault_is_told_once_and_ends_this_connection_alone(
    talks: Talks, command: bytes, text: str
) -> None:
    client, other = await talks.connect(), await talks.connect()
    client.talk.go.set()
    await client.send(b"a\r\n" + command + b"\r\nb\r\n")
    assert await client.rest() == b"a\r\nfault\r\n"
    assert [str(fault) for fault in client.talk.faults] == [text]
    assert b"b" not in client.talk.lines
    client.half_close()
    await until(lambda: client.ended)
    assert client.ended == ["session ended"]
    assert await other.ask(b"still here") == b"still here"


async def test_a_reply_that_broke_under_way_drops_the_connection_without_a_word(
    talks: Talks,
) -> None:
    client = await talks.connect()
    await client.send(b"break\r\nmore\r\n")
    client.talk.go.set()
    assert await client.rest() == b""
    await until(lambda: client.ended)
    assert client.talk.lines == [b"break"]
    assert client.talk.faults == []

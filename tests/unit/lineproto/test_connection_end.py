"""How a connection ends: by either side, by silence, by an order, by the stop."""

import asyncio
import gc

import pytest

from lineproto.connection import (
    LINGER_S,
    WRITE_HIGH,
)
from unit.lineproto.talks import BIG, IDLE_S, Client, Talks, turns, until
from unit.pop3_service.clock import FakeClock

# --- the end --------------------


async def test_a_client_that_sends_no_more_is_answered_and_then_closed(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"a\r\nwait\r\nb\r\nhalf a line")
    client.half_close()
    assert await client.line() == b"a"
    assert not client.ended
    client.talk.go.set()
    assert await client.rest() == b"wait done\r\nb\r\n"
    await until(lambda: client.ended)
    assert client.ended == ["connection closed by client"]


async def test_a_client_that_sends_no_more_and_reads_slowly_gets_everything(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"big\r\n" * 200)
    client.half_close()
    await turns(200)
    assert not client.ended
    assert await client.rest() == BIG * 200


async def test_a_finished_dialogue_closes_after_its_last_reply(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"big\r\nquit\r\n")
    assert await client.rest() == BIG + b"bye\r\n"
    await until(lambda: client.ended)
    assert client.ended == ["session ended"]
    assert not talks.connections


async def test_what_must_end_is_answered_though_the_connection_is_told_to_close(
    talks: Talks,
) -> None:
    client = await talks.connect()
    await client.send(b"commit\r\nmore\r\n")
    await until(lambda: not client.talk.interruptible)
    client.talk.connection.close("ordered")
    await turns()
    assert not client.ended
    client.talk.go.set()
    assert await client.rest() == b"commit done\r\n"
    client.half_close()
    await until(lambda: client.ended)
    assert client.ended == ["ordered"]
    assert client.talk.faults == []
    assert client.talk.lines == [b"commit"]


@pytest.mark.attack(7, "after quit")
async def test_what_comes_behind_the_end_is_neither_answered_nor_in_the_replys_way(
    talks: Talks, clock: FakeClock
) -> None:
    client = await talks.connect()
    await client.send(b"quit\r\n" + b"more\r\n" * 3000)
    assert await client.rest() == b"bye\r\n"
    # It still takes in what comes, for a moment; else the socket would answer with a reset.
    await client.send(b"more\r\n" * 3000)
    clock.move(LINGER_S)
    client.talk.connection.sweep()
    await turns()
    assert not client.ended
    clock.move(0.1)
    client.talk.connection.sweep()
    await until(lambda: client.ended)
    assert client.ended == ["session ended"]
    assert client.talk.lines == [b"quit"]


async def test_the_moment_after_the_end_is_over_when_the_client_closes(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"quit\r\nmore\r\n")
    assert await client.rest() == b"bye\r\n"
    assert not client.ended
    client.half_close()
    await until(lambda: client.ended)


async def test_replies_still_unsent_at_the_end_are_waited_for_up_to_the_idle_limit(
    talks: Talks, clock: FakeClock
) -> None:
    reader, deaf = await talks.connect(), await talks.connect()
    for client in (reader, deaf):
        await client.send(b"big\r\n" * 7 + b"quit\r\nmore\r\n")
        await until(lambda: b"quit" in client.talk.lines)  # noqa: B023 - used within the round
        clock.move(LINGER_S + 1)
        client.talk.connection.sweep()
        await turns()
        assert not client.ended
    assert await reader.rest() == BIG * 7 + b"bye\r\n"
    clock.move(IDLE_S + 1)
    deaf.talk.connection.sweep()
    await until(lambda: deaf.ended)


async def test_a_connection_that_is_refused_gets_its_greeting_and_is_closed(talks: Talks) -> None:
    talks.refusing = True
    client = await talks.connect(greeted=False)
    assert await client.rest() == b"hello\r\n"
    await until(lambda: client.ended)
    assert client.ended == ["refused"]


async def test_an_order_to_close_lets_out_what_is_written_and_cancels_the_command(
    talks: Talks,
) -> None:
    client = await talks.connect()
    await client.send(b"big\r\n" * 5 + b"wait\r\nmore\r\n")
    await until(lambda: b"wait" in client.talk.lines)
    await turns()
    client.talk.connection.close("ordered")
    client.talk.connection.close("again")
    assert await client.rest() == BIG * 5
    assert not client.ended
    client.half_close()
    await until(lambda: client.ended)
    assert client.ended == ["ordered"]
    assert client.talk.outcomes == ["cancelled"]


async def test_at_the_end_a_client_that_still_sends_is_read_until_it_notices(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"wait\r\n")
    await client.fill(b"more")
    assert not client.transport.is_reading()
    client.talk.connection.close("ordered")
    client.talk.connection.close("again")
    assert await client.rest() == b""
    await client.send(b"more\r\n" * 10_000)
    assert not client.ended
    client.half_close()
    await until(lambda: client.ended)
    assert client.talk.lines == [b"wait"]


async def test_an_order_to_abort_closes_at_once(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"stream\r\n")
    await until(lambda: client.transport.get_write_buffer_size() >= WRITE_HIGH)
    client.talk.connection.abort("ordered")
    await until(lambda: client.ended)
    assert client.ended == ["ordered"]
    assert len(await client.rest()) < WRITE_HIGH


# --- a client that is gone --------------------


async def gone(client: Client) -> None:
    """Let the client go in a way that is seen at once: with octets unread, a close is a reset."""
    client.talk.connection.write(BIG)
    await turns()
    client.reset()
    await until(client.transport.is_closing)
    await turns()


async def test_the_command_of_a_client_that_is_gone_is_cancelled(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"wait\r\nmore\r\n")
    await until(lambda: client.talk.lines)
    await gone(client)
    assert client.ended == ["connection reset"]
    assert client.talk.outcomes == ["cancelled"]
    assert client.talk.lines == [b"wait"]
    assert not talks.connections


async def test_a_command_cancelled_before_it_began_lets_go_as_well(
    talks: Talks, recwarn: pytest.WarningsRecorder
) -> None:
    gc.collect()
    recwarn.clear()  # what other tests have left
    client = await talks.connect()
    await client.send(b"wait\r\n")
    await until(lambda: client.talk.lines)
    client.talk.connection.close("ordered")
    await until(lambda: client.ended)
    assert client.ended == ["ordered"]
    assert client.talk.outcomes == []
    assert not talks.connections
    gc.collect()
    assert recwarn.list == []  # such as "coroutine was never awaited"


async def test_a_client_that_closed_may_only_send_no_more_so_its_command_is_finished(
    talks: Talks,
) -> None:
    client = await talks.connect()
    await client.send(b"wait\r\nmore\r\n")
    client.socket.close()
    await until(lambda: client.talk.lines)
    await turns()
    assert not client.ended
    client.talk.go.set()
    await until(lambda: client.ended)
    assert client.talk.outcomes == ["done"]


async def test_a_command_that_must_end_does_so_though_the_client_is_gone(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"commit\r\n")
    await until(lambda: not client.talk.interruptible)
    await gone(client)
    # The dialogue is not told that the connection is lost before its command has ended.
    assert not client.ended
    assert talks.connections == {client.talk.connection}
    client.talk.go.set()
    await until(lambda: client.ended)
    assert client.talk.outcomes == ["done"]
    assert client.talk.faults == []
    assert not talks.connections


async def test_writing_to_a_connection_that_is_gone_is_silent_and_draining_is_not(
    talks: Talks,
) -> None:
    client = await talks.connect()
    connection = client.talk.connection
    client.reset()
    await until(lambda: client.ended)
    connection.write(b"late\r\n")
    assert connection.sent_bytes == len(b"hello\r\n")
    with pytest.raises(ConnectionResetError):
        await connection.drain()


@pytest.mark.parametrize(("interruptible", "outcomes"), [(True, ["cancelled"]), (False, ["reset"])])
async def test_a_stream_whose_client_goes_is_ended(
    talks: Talks, interruptible: bool, outcomes: list[str]
) -> None:
    client = await talks.connect()
    client.talk.interruptible = interruptible
    await client.send(b"stream\r\n")
    await until(lambda: client.transport.get_write_buffer_size() >= WRITE_HIGH)
    client.reset()
    await until(lambda: client.ended)
    assert client.talk.outcomes == outcomes
    assert client.talk.faults == []


# --- silence --------------------


async def test_a_silent_client_is_closed_after_the_limit_and_not_before(
    talks: Talks, clock: FakeClock
) -> None:
    client = await talks.connect()
    clock.move(IDLE_S)
    client.talk.connection.sweep()
    assert await client.ask(b"here") == b"here"
    clock.move(IDLE_S)
    client.talk.connection.sweep()
    await turns()
    assert not client.ended
    clock.move(1)
    client.talk.connection.sweep()
    assert await client.rest() == b""
    await until(lambda: client.ended)
    assert client.ended == ["idle"]


async def test_half_a_command_is_silence(talks: Talks, clock: FakeClock) -> None:
    client = await talks.connect()
    clock.move(IDLE_S)
    await client.send(b"half")
    await turns()
    clock.move(1)
    client.talk.connection.sweep()
    assert await client.rest() == b""
    client.half_close()
    await until(lambda: client.ended)
    assert client.ended == ["idle"]


async def test_a_command_in_progress_is_no_silence(talks: Talks, clock: FakeClock) -> None:
    client = await talks.connect()
    await client.send(b"wait\r\n")
    await until(lambda: client.talk.lines)
    clock.move(IDLE_S + 1)
    client.talk.connection.sweep()
    await turns()
    client.talk.go.set()
    assert await client.line() == b"wait done"
    # The silence begins with its end.
    clock.move(IDLE_S)
    client.talk.connection.sweep()
    assert await client.ask(b"here") == b"here"


async def test_a_client_that_does_not_read_for_the_limit_is_cut_off(
    talks: Talks, clock: FakeClock
) -> None:
    client = await talks.connect()
    await client.send(b"stream\r\n")
    await until(lambda: client.transport.get_write_buffer_size() >= WRITE_HIGH)
    clock.move(IDLE_S)
    for _ in range(7):
        await client.line()
    await turns()  # a little was read, and the buffer has room again: that is life
    clock.move(IDLE_S)
    client.talk.connection.sweep()
    await turns()
    assert not client.ended
    clock.move(1)
    client.talk.connection.sweep()
    await until(lambda: client.ended)
    assert client.ended == ["idle"]


# --- stopping --------------------


async def stopping(talks: Talks, grace_s: float) -> asyncio.Task[int]:
    """Begin to stop, and come back once every connection knows."""
    talks.clock.waits = True
    task = asyncio.create_task(talks.stop(grace_s))
    await turns()
    return task


async def test_at_the_stop_idle_connections_close_at_once(talks: Talks, clock: FakeClock) -> None:
    idle = await talks.connect()
    clock.move(LINGER_S)
    assert await talks.stop(10) == 0
    assert await idle.rest() == b""
    assert idle.ended == ["server is stopping"]


async def test_at_the_stop_a_client_that_was_just_answered_closes_first(
    talks: Talks, clock: FakeClock
) -> None:
    quick, silent = await talks.connect(), await talks.connect()
    await quick.send(b"a\r\n")
    assert await quick.line() == b"a"
    stop = await stopping(talks, 10)
    assert await quick.rest() == b""
    assert not quick.ended
    quick.half_close()
    await until(lambda: quick.ended)
    assert not silent.ended
    clock.move(LINGER_S + 0.1)
    silent.talk.connection.sweep()
    await until(lambda: silent.ended)
    clock.move(0.02)
    assert await stop == 0


async def test_at_the_stop_a_client_that_takes_its_time_for_a_reply_has_the_grace(
    talks: Talks, clock: FakeClock
) -> None:
    client = await talks.connect()
    await client.send(b"wait\r\n")
    await until(lambda: client.talk.lines)
    stop = await stopping(talks, 10)
    client.talk.go.set()
    await turns()
    clock.move(9.9)
    client.talk.connection.sweep()
    await turns()
    assert not client.ended
    assert await client.rest() == b"wait done\r\n"
    client.half_close()
    await until(lambda: client.ended)
    clock.move(0.02)
    assert await stop == 0


async def test_at_the_stop_a_command_is_finished_and_the_next_is_refused(
    talks: Talks, clock: FakeClock
) -> None:
    client = await talks.connect()
    await client.send(b"wait\r\nnext\r\nanother\r\n")
    await until(lambda: client.talk.lines)
    stop = await stopping(talks, 10)
    assert not client.transport.is_closing()
    client.talk.go.set()
    assert await client.rest() == b"wait done\r\nstopping\r\n"
    assert client.talk.lines == [b"wait"]
    client.half_close()
    await until(lambda: client.ended)
    clock.move(0.02)
    assert await stop == 0


async def test_at_the_stop_a_client_that_reads_slowly_gets_its_replies_and_a_word(
    talks: Talks, clock: FakeClock
) -> None:
    client = await talks.connect()
    await client.send(b"big\r\n" * 500)
    await turns(200)
    stop = await stopping(talks, 10)
    answered = len(client.talk.lines)
    assert await client.rest() == BIG * answered + b"stopping\r\n"
    assert len(client.talk.lines) == answered
    client.half_close()
    await until(lambda: client.ended)
    clock.move(0.02)
    assert await stop == 0


async def test_a_stop_waits_for_its_grace_and_cuts_what_takes_longer(
    talks: Talks, clock: FakeClock
) -> None:
    client = await talks.connect()
    await client.send(b"wait\r\n")
    await until(lambda: client.talk.lines)
    stop = await stopping(talks, 10)
    clock.move(9.9)
    await turns()
    assert not stop.done()
    clock.move(0.1)
    assert await stop == 1
    await until(lambda: client.ended)
    assert client.ended == ["server is stopping"]
    assert client.talk.outcomes == ["cancelled"]


async def test_a_command_that_must_end_does_so_though_the_stop_cuts_its_connection(
    talks: Talks, clock: FakeClock
) -> None:
    client = await talks.connect()
    await client.send(b"commit\r\n")
    await until(lambda: not client.talk.interruptible)
    stop = await stopping(talks, 10)
    clock.move(10)
    assert await stop == 1
    client.talk.go.set()
    await until(lambda: client.ended)
    assert client.talk.outcomes == ["done"]

"""The connection loop in TLS: from the first octet or after a line, however it is cut or ends."""

import asyncio
import os
import socket
import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scale
from lineproto.connection import (
    HANDSHAKE_S,
    LINGER_S,
    READ_HIGH,
    WRITE_HIGH,
    Connection,
)
from support.tls import client_context
from unit.lineproto.talks import BIG, IDLE_S, SERVER, Client, Talks, TlsClient, turns, until
from unit.pop3_service.clock import FakeClock

pytestmark = pytest.mark.filterwarnings("error")

VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)
LONGEST_RECORD = 5 + 16384 + 256


async def secured(
    client: Client, behind: bytes = b"", context: ssl.SSLContext | None = None
) -> TlsClient:
    """Go over to TLS by ``stls``, with octets behind it in the same segment."""
    await client.send(b"stls\r\n" + behind)
    assert await client.line() == b"go"
    above = TlsClient(client, context)
    await above.handshake()
    return above


# --- handshakes --------------------


@VERSIONS
async def test_the_greeting_comes_in_tls_after_the_handshake_and_replies_in_order(
    talks: Talks, version: ssl.TLSVersion
) -> None:
    client = await talks.connect_tls(client_context(version), greeted=False)
    await turns()
    assert client.talk.connection.sent_bytes == 0
    assert not client.talk.connection.is_tls
    await client.handshake()
    assert await client.line() == b"hello"
    assert client.talk.connection.is_tls
    client.talk.go.set()
    await client.send(b"a\r\nwait\r\nnothing\r\nb\r\n")
    assert [await client.line() for _ in range(3)] == [b"a", b"wait done", b"b"]
    assert client.end.tls.version() == version.name.replace("_", ".")
    # Octets are counted as the dialogue says them, not as TLS sends them.
    assert client.talk.connection.sent_bytes == talks.sent_bytes == len(b"helloawait doneb") + 8


async def test_a_handshake_octet_by_octet_is_one(talks: Talks) -> None:
    client = await talks.connect_tls(greeted=False)
    client.cuts = [1] * 2000
    await client.handshake()
    assert await client.line() == b"hello"
    assert await client.ask(b"one") == b"one"


@pytest.mark.attack(15, "stall")
async def test_a_handshake_that_stalls_is_ended_and_no_octet_prolongs_it(
    talks: Talks, clock: FakeClock
) -> None:
    silent = await talks.connect_tls(greeted=False)
    slow = await talks.connect_tls(greeted=False)
    hello = slow.end.handshake()
    for at in range(10):
        await slow.send_raw(hello[at : at + 1])
        await turns()
        clock.move(HANDSHAKE_S / 10)
    for client in (silent, slow):
        client.talk.connection.sweep()
        await turns()
        assert not client.ended
    clock.move(0.1)
    for client in (silent, slow):
        client.talk.connection.sweep()
        assert await client.rest() == b""
        await until(lambda: client.ended)  # noqa: B023 - used within the round
        assert client.ended == ["TLS handshake took too long"]
    assert not talks.connections


async def test_after_the_handshake_the_idle_limit_holds(talks: Talks, clock: FakeClock) -> None:
    client = await talks.connect_tls()
    clock.move(IDLE_S)
    client.talk.connection.sweep()
    assert await client.ask(b"here") == b"here"
    clock.move(IDLE_S + 1)
    client.talk.connection.sweep()
    assert await client.rest() == b""
    assert client.notified
    await until(lambda: client.ended)
    assert client.ended == ["idle"]


@pytest.mark.parametrize(
    "octets",
    [
        b"USER ana\r\nPASS secret\r\n",
        b"\r\n" * 20,
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\x01" * 1000,
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\0" * 100_000,
        bytes(range(256)) * 10,
    ],
    ids=["POP3", "lines", "HTTP", "long record", "no ClientHello", "NUL", "noise"],
)
async def test_what_is_no_handshake_ends_that_connection_alone_and_is_told(
    talks: Talks, octets: bytes
) -> None:
    """The fixture sees that the loop has no traceback to tell."""
    client, other = await talks.connect_tls(greeted=False), await talks.connect_tls()
    client.socket.send(octets)
    await until(lambda: client.ended)
    [reason] = client.ended
    assert reason.startswith("TLS failed: ")
    assert reason.isprintable()
    assert client.talk.lines == []
    assert client.talk.connection.sent_bytes == 0
    assert await other.ask(b"still here") == b"still here"


@VERSIONS
async def test_a_client_that_does_not_trust_the_certificate_is_told_as_the_reason(
    talks: Talks, version: ssl.TLSVersion
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = context.maximum_version = version
    client = await talks.connect_tls(context, greeted=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        await client.handshake()
    await client.send_raw(client.end.goodbye())
    await until(lambda: client.ended)
    assert client.ended == ["TLS failed: TLSV1_ALERT_UNKNOWN_CA"]
    assert client.talk.faults == []


@pytest.mark.attack(15)
@pytest.mark.parametrize("how", ["close", "half-close", "reset"])
@pytest.mark.parametrize("octets", [0, 1, 7, 150, None])
async def test_a_client_that_vanishes_within_the_handshake_leaves_nothing(
    talks: Talks, how: str, octets: int | None
) -> None:
    client = await talks.connect_tls(greeted=False)
    await client.send_raw(client.end.handshake()[:octets])
    await turns()
    if how == "half-close":
        client.half_close()
    elif how == "close":
        client.socket.close()
    else:
        client.reset()
    await until(lambda: client.ended)
    assert len(client.ended) == 1
    assert not talks.connections
    assert client.talk.faults == []


@pytest.mark.parametrize("octets", [b"", b"\x16", b"USER ana\r\n"])
async def test_a_client_that_reset_before_it_was_looked_at_leaves_nothing(
    talks: Talks, octets: bytes
) -> None:
    """Over TCP: such a socket is not connected any more, and the ssl module closes it itself."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        own, address = listening.accept()
        if octets:
            client.send(octets)
        Client(client, None, None).reset()  # type: ignore[arg-type]
    Connection(talks, own, address, SERVER)
    [talk] = talks.talks
    await until(lambda: talk.lost_reasons)
    assert len(talk.lost_reasons) == 1
    assert not talks.connections
    assert own.fileno() == -1


# --- the stop and orders --------------------


async def test_at_the_stop_a_handshake_is_not_waited_for(talks: Talks) -> None:
    silent, half = [await talks.connect_tls(greeted=False) for _ in range(2)]
    await half.send_raw(half.end.handshake()[:50])
    await turns()
    assert await talks.stop(10) == 0
    for client in (silent, half):
        assert await client.rest() == b""
        assert client.ended == ["server is stopping"]


async def test_at_the_stop_a_command_in_tls_is_finished_and_said_goodbye_to(
    talks: Talks, clock: FakeClock
) -> None:
    client = await talks.connect_tls()
    await client.send(b"wait\r\nnext\r\n")
    await until(lambda: client.talk.lines)
    clock.waits = True
    stop = asyncio.create_task(talks.stop(10))
    await turns()
    client.talk.go.set()
    assert await client.rest() == b"wait done\r\nstopping\r\n"
    assert client.notified
    assert not client.ended
    client.half_close()
    await until(lambda: client.ended)
    clock.move(0.02)
    assert await stop == 0


@pytest.mark.parametrize("within_handshake", [True, False])
async def test_an_order_to_abort_closes_at_once_and_without_goodbye(
    talks: Talks, within_handshake: bool
) -> None:
    client = await talks.connect_tls(greeted=not within_handshake)
    if not within_handshake:
        await client.send(b"stream\r\n")
        await until(lambda: client.transport.get_write_buffer_size() >= WRITE_HIGH)
    client.talk.connection.abort("ordered")
    await until(lambda: client.ended)
    assert client.ended == ["ordered"]
    await client.rest()
    assert not client.notified


# --- back pressure --------------------


@VERSIONS
async def test_a_client_that_reads_slowly_costs_no_more_than_the_write_buffer(
    talks: Talks, version: ssl.TLSVersion
) -> None:
    client = await talks.connect_tls(client_context(version))
    count = 500
    await client.send(b"big\r\n" * count)
    await turns(200)
    answered = len(client.talk.lines)
    assert 0 < answered < count
    for _ in range(count):
        assert client.transport.get_write_buffer_size() <= WRITE_HIGH + len(BIG)
        assert await client.line() == BIG[:-2]
    assert len(client.talk.lines) == count


async def test_small_replies_stop_too_and_reading_with_them(talks: Talks) -> None:
    client = await talks.connect_tls()
    line = b"y" * 90
    lines = (line + b"\r\n") * 178  # within a record
    count = quiet = 0
    left = b""
    while quiet < 100:
        if not left:
            left = client.end.encrypt(lines)
            count += 178
        try:
            left = left[client.socket.send(left) :]
            quiet = 0
        except BlockingIOError:
            quiet += 1
        await asyncio.sleep(0)
        assert count < 200_000, "the server reads without end"
    assert not client.transport.is_reading()
    assert client.transport.get_write_buffer_size() < 2 * WRITE_HIGH
    async with asyncio.TaskGroup() as group:
        group.create_task(client.send_raw(left))
        for _ in range(count):
            assert await client.line() == line
    assert client.transport.is_reading()


async def test_a_dialogue_that_streams_waits_for_its_client_and_all_arrives(talks: Talks) -> None:
    client = await talks.connect_tls()
    await client.send(b"stream\r\nafter\r\n")
    await turns(200)
    assert client.transport.get_write_buffer_size() <= WRITE_HIGH + 3 * len(BIG)
    assert client.talk.lines == [b"stream"]
    for _ in range(300):
        assert await client.line() == BIG[:-2]
    assert await client.line() == b"end"
    assert await client.line() == b"after"


async def test_behind_a_command_in_progress_only_so_much_is_taken_in(talks: Talks) -> None:
    client = await talks.connect_tls()
    await client.send(b"wait\r\n")
    records = b"".join(client.end.encrypt(b"z" * 62 + b"\r\n") for _ in range(20_000))
    sending = asyncio.create_task(client.send_raw(records))
    await until(lambda: not client.transport.is_reading())
    assert client.talk.connection._lines.waiting < READ_HIGH + LONGEST_RECORD
    assert client.talk.lines == [b"wait"]
    client.talk.go.set()
    assert await client.line() == b"wait done"
    assert [await client.line() for _ in range(20_000)] == [b"z" * 62] * 20_000
    await sending


async def test_octets_that_tls_had_taken_in_are_not_forgotten(talks: Talks) -> None:
    """Many commands in one record, and nothing after them that would wake the server up."""
    client = await talks.connect_tls()
    count = 16384 // 8
    await client.send(b"nothing\n" * (count - 1) + b"seven!!\n")
    assert await client.line() == b"seven!!"


async def test_a_reading_that_waits_for_room_to_write_does_not_spin(talks: Talks) -> None:
    """Some of what comes is answered by TLS itself, which may find the network full."""
    client = await talks.connect_tls()
    real = client.transport._socket
    calls = []

    class Full:
        def recv(self, size: int) -> bytes:
            calls.append(size)
            if len(calls) == 1:
                os.read(real.fileno(), size)
                raise ssl.SSLWantWriteError
            raise ssl.SSLWantReadError

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

    client.transport._socket = Full()
    await client.send(b"a\r\n")
    await until(lambda: len(calls) == 2)
    await turns(100)
    assert len(calls) == 2
    client.talk.connection.abort("enough")


# --- the end --------------------


async def test_a_finished_dialogue_says_goodbye_after_its_last_reply(talks: Talks) -> None:
    client = await talks.connect_tls()
    await client.send(b"big\r\nquit\r\n")
    assert await client.rest() == BIG + b"bye\r\n"
    assert client.notified
    await until(lambda: client.ended)
    assert client.ended == ["session ended"]


async def test_the_goodbye_waits_for_room_like_every_octet(talks: Talks) -> None:
    """However full the network is when the last reply has just gone out."""
    for count in range(1, 40):
        client = await talks.connect_tls()
        await client.send(b"big\r\n" * 4 + (b"y" * 95 + b"\r\n") * count * 5 + b"quit\r\n")
        await turns(50)
        assert (await client.rest()).endswith(b"\nbye\r\n")
        assert client.notified, count
        await until(lambda: client.ended)  # noqa: B023 - used within the round


@pytest.mark.attack(7, "after quit")
async def test_records_behind_the_end_do_not_destroy_the_last_reply(talks: Talks) -> None:
    """A socket closed with octets unread answers with a reset."""
    client = await talks.connect_tls()
    quit_, more = client.end.encrypt(b"quit\r\n"), client.end.encrypt(b"more\r\n")
    await client.send_raw(quit_ + more * 5)
    assert await client.rest() == b"bye\r\n"
    assert client.notified
    assert await Client.receive(client) == b""  # and no reset
    assert client.talk.lines == [b"quit"]
    client.half_close()
    await until(lambda: client.ended)


async def test_the_moment_after_the_end_is_bounded(talks: Talks, clock: FakeClock) -> None:
    client = await talks.connect_tls()
    await client.send(b"quit\r\n" + b"more\r\n" * 1000)
    assert await client.rest() == b"bye\r\n"
    await client.send_raw(b"whatever, it is not looked at")
    await turns()
    assert not client.ended
    clock.move(LINGER_S + 0.1)
    client.talk.connection.sweep()
    await until(lambda: client.ended)
    assert client.ended == ["session ended"]
    assert client.talk.faults == []


@VERSIONS
@pytest.mark.parametrize("notified", [True, False])
async def test_a_client_that_sends_no_more_is_answered_and_then_closed(
    talks: Talks, version: ssl.TLSVersion, notified: bool
) -> None:
    client = await talks.connect_tls(client_context(version))
    await client.send(b"big\r\n" * 100 + b"wait\r\nb\r\nhalf a line")
    if notified:
        await client.say_goodbye()
    else:
        client.half_close()
    client.talk.go.set()
    assert await client.rest() == BIG * 100 + b"wait done\r\nb\r\n"
    assert client.notified
    await until(lambda: client.ended)
    assert client.ended == ["connection closed by client"]


async def test_records_that_were_tampered_with_end_the_connection_unread(talks: Talks) -> None:
    client = await talks.connect_tls()
    record = bytearray(client.end.encrypt(b"secret\r\n"))
    record[-1] ^= 1
    await client.send_raw(bytes(record) + client.end.encrypt(b"more\r\n"))
    await until(lambda: client.ended)
    assert client.talk.lines == []
    [reason] = client.ended
    assert reason.startswith("TLS failed: ")


async def test_a_client_that_is_gone_cancels_its_command(talks: Talks) -> None:
    client = await talks.connect_tls()
    await client.send(b"stream\r\n")
    await until(lambda: client.transport.get_write_buffer_size() >= WRITE_HIGH)
    client.reset()
    await until(lambda: client.ended)
    assert client.talk.outcomes == ["cancelled"]
    assert client.talk.faults == []
    assert not talks.connections


# --- STLS --------------------


@VERSIONS
async def test_a_connection_goes_on_in_tls_and_is_not_greeted_again(
    talks: Talks, version: ssl.TLSVersion
) -> None:
    client = await talks.connect()
    assert await client.ask(b"clear") == b"clear"
    assert not client.talk.connection.is_tls
    above = await secured(client, context=client_context(version))
    assert await above.ask(b"hidden") == b"hidden"
    assert client.talk.connection.is_tls
    assert client.talk.lines == [b"clear", b"stls", b"hidden"]
    await above.send(b"quit\r\n")
    assert await above.rest() == b"bye\r\n"
    assert above.notified


@pytest.mark.attack(11)
@pytest.mark.parametrize(
    "behind",
    [
        b"injected\r\n",
        b"inj\r\nected\r\n" * 500,
        b"wait\r\nquit\r\n",
        b"x" * 5000 + b"\r\nquit\r\n",
    ],
)
async def test_what_was_sent_behind_stls_in_clear_text_is_never_executed(
    talks: Talks, behind: bytes
) -> None:
    client = await talks.connect()
    above = await secured(client, behind)
    assert await above.ask(b"a") == b"a"
    assert client.talk.lines == [b"stls", b"a"]


@pytest.mark.attack(12)
@pytest.mark.parametrize("behind", [b"inj", b"injected\r", b"x" * 99, b"x" * 5000])
async def test_a_partial_line_behind_stls_is_not_finished_in_tls(
    talks: Talks, behind: bytes
) -> None:
    client = await talks.connect()
    above = await secured(client, behind)
    assert await above.ask(b"\na") == b""
    assert await above.line() == b"a"
    assert client.talk.lines == [b"stls", b"", b"a"]


@pytest.mark.attack(11)
async def test_clear_text_that_comes_after_the_reply_to_stls_is_never_executed(
    talks: Talks,
) -> None:
    """In a segment of its own."""
    client = await talks.connect()
    await client.send(b"stls\r\n")
    assert await client.line() == b"go"
    client.socket.send(b"injected\r\nquit\r\n")
    await until(lambda: client.ended)
    assert client.talk.lines == [b"stls"]
    assert client.ended[0].startswith("TLS failed: ")


@pytest.mark.attack(11)
async def test_more_behind_stls_than_one_reading_holds_is_never_executed(talks: Talks) -> None:
    """What is still in the network's buffer is read by TLS, which refuses it."""
    client = await talks.connect()
    sending = asyncio.create_task(client.send(b"stls\r\n" + b"injected\r\n" * 20_000))
    await until(lambda: client.ended)
    with pytest.raises(ConnectionError):
        await sending
    assert client.talk.lines == [b"stls"]
    assert client.ended[0].startswith("TLS failed: ")


async def test_replies_before_stls_go_out_in_clear_text_first(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"big\r\n" * 6 + b"stls\r\ninjected\r\n")
    await until(lambda: b"stls" in client.talk.lines)
    assert client.transport.get_write_buffer_size() > 0
    assert not client.talk.connection.is_tls
    for _ in range(6):
        assert await client.line() == BIG[:-2]
    assert await client.line() == b"go"
    above = TlsClient(client)
    await above.handshake()
    assert await above.ask(b"a") == b"a"
    assert client.talk.lines == [b"big"] * 6 + [b"stls", b"a"]


async def test_a_client_that_never_reads_what_came_before_stls_is_ended(
    talks: Talks, clock: FakeClock
) -> None:
    client = await talks.connect()
    await client.send(b"big\r\n" * 6 + b"stls\r\n")
    await until(lambda: b"stls" in client.talk.lines)
    clock.move(HANDSHAKE_S + 0.1)
    client.talk.connection.sweep()
    await until(lambda: client.ended)
    assert client.ended == ["TLS handshake took too long"]


async def test_while_replies_before_stls_are_unsent_the_client_may_vanish(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"big\r\n" * 6 + b"stls\r\ninjected\r\n")
    await until(lambda: b"stls" in client.talk.lines)
    client.reset()
    await until(lambda: client.ended)
    assert client.ended == ["connection reset"]
    assert client.talk.lines[-1] == b"stls"


async def test_stls_and_no_more_to_come_is_the_end(talks: Talks) -> None:
    client = await talks.connect()
    await client.send(b"stls\r\n")
    client.half_close()
    assert (await client.rest()).startswith(b"go\r\n")
    await until(lambda: client.ended)
    assert len(client.ended) == 1
    assert client.talk.lines == [b"stls"]


async def test_a_stalled_handshake_after_stls_is_ended(talks: Talks, clock: FakeClock) -> None:
    client = await talks.connect()
    await client.send(b"stls\r\n")
    assert await client.line() == b"go"
    clock.move(HANDSHAKE_S + 0.1)
    client.talk.connection.sweep()
    assert await client.rest() == b""
    assert client.ended == ["TLS handshake took too long"]


async def test_a_client_too_many_that_begins_no_handshake_is_not_waited_for(
    talks: Talks, clock: FakeClock
) -> None:
    talks.refusing = True
    client = await talks.connect_tls(greeted=False)
    clock.move(LINGER_S + 0.1)
    client.talk.connection.sweep()
    assert await client.rest() == b""
    assert client.ended == ["TLS handshake took too long"]


# --- cut anywhere --------------------


@settings(max_examples=scale.EXAMPLES)
@given(
    cuts=st.lists(st.integers(1, 400), max_size=40),
    version=st.sampled_from([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]),
    by_stls=st.booleans(),
)
def test_a_dialogue_in_tls_is_the_same_however_its_octets_are_cut(
    cuts: list[int], version: ssl.TLSVersion, by_stls: bool
) -> None:
    async def dialogue() -> None:
        talks = Talks(FakeClock())
        context = client_context(version)
        if by_stls:
            client = TlsClient(await talks.connect(), context)
            await Client.send(client, b"stls\r\n")
            assert await Client.receive(client) == b"go\r\n"
            client.cuts = iter(cuts)
            await client.handshake()
        else:
            client = await talks.connect_tls(context, greeted=False)
            client.cuts = iter(cuts)
            await client.handshake()
            assert await client.line() == b"hello"
        client.talk.go.set()
        await client.send(b"a\r\nbi")
        await client.send(b"g\r\nwait\r\n")
        await client.send(b"quit\r\nnever\r\n")
        assert await client.rest() == b"a\r\n" + BIG + b"wait done\r\nbye\r\n"
        assert client.notified
        assert client.talk.faults == []
        await talks.close()

    asyncio.run(dialogue())

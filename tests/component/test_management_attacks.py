"""Attacks on management: SCMP before login and out of role, gRPC in bulk, either program gone."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import scale
from component.conftest import Service
from pop3_service.api.streams import MAX_A_CALLER, MAX_OF_NOBODY
from pop3mgmt.calls.base import Metadata
from pop3mgmt.client import ManagementClient
from pop3mgmt.v1 import accounts_pb2, accounts_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from scmp_gateway.verbs import VERBS
from support import gateway as gateways
from support.events import wait_for
from support.gateway import Gateway
from support.pop3 import Pop3

HUGE = 100 << 20
"""Octets of a message that nobody should send."""


@pytest.fixture(scope="module")
def gateway(service: Service) -> Iterator[Gateway]:
    target, secret = service.daemon.grpc_target, service.daemon.gateway_secret
    with gateways.running(target, secret=secret) as running:
        yield running


def state(service: Service) -> tuple[list[str], bytes]:
    """What an attack must not change."""
    accounts = service.manage(lambda admin: admin.list_accounts())
    settings = service.manage(lambda admin: admin.get_settings())
    return [f"{it.name} {it.role}" for it in accounts], settings.SerializeToString()


def command(name: str) -> str:
    """A command of a verb with as many arguments as it must have."""
    return " ".join((name, *["default"] * VERBS[name].least))


# --- 49: SCMP --------------------

PLAIN = {"ADD_USER", "DELETE_USER", "MAX_USERS", "RESET_USER_PASSWORD", "TRANSFORM", "USERS"}
"""Verbs of admins whose least form is a command already."""
GUARDED = sorted(name for name, verb in VERBS.items() if not verb.before_login)


@pytest.mark.attack(49, "before login", "pipelined")
def test_nothing_is_done_before_the_login_however_it_is_sent(
    gateway: Gateway, service: Service
) -> None:
    before = state(service)
    lines = "".join(f"{command(name)}\r\n" for name in GUARDED)
    with gateway.connect() as client:
        client.send(f"USER default\r\n{lines}PASS wrong\r\n{lines}".encode())
        assert client.line().startswith(b"+OK User name")
        for name in GUARDED:
            assert client.line().startswith(b"-ERR [AUTH] log in first"), name
        assert client.line() == b"-ERR [AUTH] wrong name or password\r\n"
        for name in GUARDED:
            assert client.line().startswith(b"-ERR [AUTH] log in first"), name
    assert state(service) == before


@pytest.mark.attack(49, "before login", "pipelined")
def test_commands_behind_a_login_wait_for_its_outcome(gateway: Gateway, service: Service) -> None:
    box = service.account()
    with gateway.connect() as client:
        client.send(
            f"USER {box.name}\r\nPASS secret\r\nADD_USER {box.name}x y\r\nUSERS\r\n"
            "CHANGE_PASSWORD secret other\r\nCURR_CONNEC\r\nQUIT\r\nUSER default\r\n".encode()
        )
        replies = client.file.read().decode().splitlines()
    assert replies[1] == f"+OK logged in as {box.name} (user)"
    assert [it[:13] for it in replies[2:4]] == ["-ERR [DENIED]"] * 2
    assert replies[4].startswith("+OK password changed")
    assert replies[5:] == [f"+OK 0 connections of {box.name} now", ".", "+OK bye"]


@pytest.mark.attack(49, "as non-admin")
def test_a_user_does_nothing_that_it_is_not_offered(gateway: Gateway, service: Service) -> None:
    name = service.account().name
    before = state(service)
    with gateway.log_in(name, "secret") as client:
        offered = {line.split()[0] for line in client.listing("CAPA")}
        hidden = [verb for verb in GUARDED if verb not in offered]
        assert PLAIN <= set(hidden)
        client.send("".join(f"{command(verb)}\r\n" for verb in hidden).encode())
        for verb in hidden:  # of verbs with several forms, "default" is none
            reply = client.line()
            assert reply.startswith(b"-ERR [DENIED] " if verb in PLAIN else b"-ERR "), (verb, reply)
    assert state(service) == before


@pytest.mark.attack(49, "crlf in names")
@pytest.mark.parametrize(
    "name",
    ["eve\rDELETE_USER", "eve\nx", "eve\0x", "eve\x1b[2J", "eve\x85x", "eve\u2028x", "eve\x7f",
     "e/ve", "../eve", ".eve", "eve\tx", "eve\u00a0x"],
)  # fmt: skip
def test_a_name_with_line_ends_or_controls_is_none(
    gateway: Gateway, service: Service, name: str
) -> None:
    before = state(service)
    with gateway.log_in() as client:
        for verb in ("ADD_USER", "DELETE_USER"):
            more = " secret" if verb == "ADD_USER" else ""
            client.send(f"{verb} {name}{more}\r\nNOOP\r\n".encode())
            replies = [client.line()]
            while replies[-1] != b"+OK\r\n":
                replies.append(client.line())
            assert all(it.startswith(b"-ERR ") for it in replies[:-1])
            assert replies[:-1]
            assert not any(octet < 32 for it in replies for octet in it[:-2])
    assert state(service) == before


@pytest.mark.attack(49, "crlf in names")
@pytest.mark.parametrize("name", ["a\r\nb", "a\r\n+OK", "a\nQUIT", "a\r", "a b", "a\0b", "\u2028"])
def test_no_account_gets_a_name_that_could_forge_a_reply(service: Service, name: str) -> None:
    before = state(service)

    async def create() -> None:
        async with ManagementClient(service.daemon.grpc_target) as client:
            admin = await client.login("default", "default")
            await admin.create_account(name, "secret")

    with pytest.raises(Exception, match="account name"):
        asyncio.run(create())
    assert state(service) == before


# --- 52: gRPC --------------------


@contextlib.asynccontextmanager
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(service.daemon.grpc_target, options=options) as made:
        yield made


async def token(service: Service) -> Metadata:
    async with ManagementClient(service.daemon.grpc_target) as client:
        return (("authorization", f"Bearer {(await client.login('default', 'default')).token}"),)


@pytest.mark.attack(52, "100 MiB", "no token")
@pytest.mark.parametrize("with_token", [False, True])
def test_a_message_of_100_mib_is_refused_and_held_nowhere(
    service: Service, with_token: bool
) -> None:
    request = accounts_pb2.CreateAccountRequest(name="x" * HUGE, password="secret")

    async def send() -> grpc.StatusCode:
        metadata = await token(service) if with_token else ()
        async with channel(service) as made:
            stub = accounts_pb2_grpc.AccountsServiceStub(made)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.CreateAccount(request, metadata=metadata, timeout=60)
            return refused.value.code()

    before_kb = service.memory_kb()
    codes = {grpc.StatusCode.RESOURCE_EXHAUSTED}
    if not with_token:  # which of the two is seen first is the network's affair
        codes.add(grpc.StatusCode.UNAUTHENTICATED)
    assert asyncio.run(send()) in codes
    assert service.memory_kb() - before_kb < 16 * 1024
    assert service.manage(lambda admin: admin.list_accounts())


BATCH = 200
"""Calls begun at once: of more than 1000 that wait, gRPC itself drops some."""


async def begun(
    stack: contextlib.AsyncExitStack, service: Service, begin: Callable[[Any], Any], count: int
) -> tuple[list[Any], Counter[grpc.StatusCode | None]]:
    """Begin streams over as many connections as it takes; give them, and how each began."""
    calls: list[Any] = []
    outcomes: Counter[grpc.StatusCode | None] = Counter()
    while len(calls) < count:
        made = await stack.enter_async_context(channel(service))
        batch = [begin(made) for _ in range(min(BATCH, count - len(calls)))]
        outcomes.update(await asyncio.gather(*map(first, batch)))
        calls += batch
    return calls, outcomes


def watching(metadata: Metadata = ()) -> Callable[[grpc.aio.Channel], Any]:
    return lambda made: sessions_pb2_grpc.SessionsServiceStub(made).WatchSessions(
        sessions_pb2.WatchSessionsRequest(), metadata=metadata
    )


@pytest.mark.attack(52, "10,000 streams")
def test_one_caller_has_so_many_streams_and_no_more(service: Service) -> None:
    async def open_all() -> Counter[grpc.StatusCode | None]:
        metadata = await token(service)
        async with contextlib.AsyncExitStack() as stack:
            calls, outcomes = await begun(stack, service, watching(metadata), scale.STREAMS)
            # Others are served meanwhile, and so are the same caller's other calls.
            async with ManagementClient(service.daemon.grpc_target) as client, asyncio.timeout(60):
                admin = await client.login("default", "default")
                assert await admin.get_status()
            for call in calls:
                call.cancel()
            return outcomes

    async def one_more() -> bool:
        metadata = await token(service)
        async with contextlib.AsyncExitStack() as stack:
            calls, outcomes = await begun(stack, service, watching(metadata), 1)
            calls[0].cancel()
            return outcomes[None] == 1

    before_kb = service.memory_kb()
    outcomes = asyncio.run(open_all())
    assert outcomes == {
        None: MAX_A_CALLER,
        grpc.StatusCode.RESOURCE_EXHAUSTED: scale.STREAMS - MAX_A_CALLER,
    }
    assert service.memory_kb() - before_kb < 48 * 1024
    wait_for(lambda: asyncio.run(one_more()))  # those that ended count no more


@pytest.mark.attack(52, "10,000 streams", "no token")
def test_who_has_no_token_opens_no_stream_but_some_of_health(service: Service) -> None:
    def health(made: grpc.aio.Channel) -> Any:
        return health_pb2_grpc.HealthStub(made).Watch(health_pb2.HealthCheckRequest())

    async def open_all() -> tuple[Counter[Any], Counter[Any]]:
        async with contextlib.AsyncExitStack() as stack:
            _, refused = await begun(stack, service, watching(), scale.STREAMS)
            calls, some = await begun(stack, service, health, MAX_OF_NOBODY + 50)
            for call in calls:
                call.cancel()
            return refused, some

    refused, some = asyncio.run(open_all())
    assert refused == {grpc.StatusCode.UNAUTHENTICATED: scale.STREAMS}
    assert some == {None: MAX_OF_NOBODY, grpc.StatusCode.RESOURCE_EXHAUSTED: 50}
    assert service.manage(lambda admin: admin.get_status())


@pytest.mark.attack(52, "pings")
def test_a_flood_of_pings_ends_that_connection_alone(service: Service) -> None:
    ping = b"\0\0\x08\x06\0\0\0\0\0" + bytes(8)
    with socket.create_connection(("127.0.0.1", service.daemon.grpc), 30) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(ping * 1000)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while octets := sock.recv(65536):
                received += octets
    assert b"too_many_pings" in received
    assert service.manage(lambda admin: admin.get_status())


async def first(call: grpc.aio.UnaryStreamCall) -> grpc.StatusCode | None:
    """Wait for a stream's first response, or why there is none."""
    try:
        await call.read()
        if call.done():
            return await call.code()
    except grpc.aio.AioRpcError as error:
        return error.code()
    return None


# --- 54: one of the two gone --------------------


@pytest.mark.attack(54, "gateway down")
def test_a_killed_gateway_takes_nothing_with_it(service: Service) -> None:
    box = service.account(b"one\n")
    target, secret = service.daemon.grpc_target, service.daemon.gateway_secret
    with gateways.running(target, secret=secret) as gateway, Pop3(service.daemon.pop3) as pop3:
        assert pop3.log_in(box.name).startswith("+OK")
        admin, user = gateway.log_in(), gateway.log_in(box.name, "secret")
        admin.send(b"MAX_USERS 99999\r\nUSERS\r\n")
        assert admin.line() == b"+OK 99999 accounts at most\r\n"
        gateway.process.send_signal(signal.SIGKILL)
        assert gateway.process.wait(60) == -signal.SIGKILL
        admin.file.read()
        assert user.at_end()
        assert pop3.ask("STAT") == "+OK 1 5"
        assert service.manage(lambda it: it.get_settings()).max_accounts == 99999
        service.change(max_accounts=100_000)
        with gateways.running(target, secret=secret) as again, again.log_in() as client:
            [session] = [it for it in client.listing("ALL_CONNEC") if f" {box.name} " in it]
            assert session
        assert pop3.ask("QUIT").startswith("+OK")
        admin.close()
        user.close()

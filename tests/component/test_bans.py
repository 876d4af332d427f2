"""Rules, bans and suspensions over the real service: in force at once, on open sessions too."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from component.conftest import Service, Start, starting
from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.access_pb2 import AddressRule
from support import stopwatch
from support.events import wait_for
from support.pop3 import Pop3

MAIL = b"Subject: hello\n\nbody\n"
HERE = "127.0.0.7"
"""Where the clients of these tests come from; the admin is at 127.0.0.1."""
TURNED_AWAY = b"-ERR [SYS/PERM] connections from your address are not allowed here\r\n"
DENIED = "-ERR [AUTH] this account may not log in from your address"
SUSPENDED = "-ERR [AUTH] this account is suspended"


def connect(service: Service, source: str = HERE) -> Pop3:
    return Pop3(service.daemon.pop3, source=source)


def rule(effect: str, network: str, subject: str = "everyone") -> AddressRule:
    value = AddressRule.Effect.Value(f"EFFECT_{effect.upper()}")
    return AddressRule(effect=value, network=network, subject=subject)


@contextlib.contextmanager
def in_force(service: Service, *wanted: AddressRule) -> Iterator[None]:
    """Rules, until the end of the block."""

    async def make(admin: Caller) -> list[int]:
        return [(await admin.create_rule(it))[0].id for it in wanted]

    async def remove(admin: Caller) -> None:
        for number in reversed(numbers):
            await admin.delete_rule(number)

    numbers = service.manage(make)
    try:
        yield
    finally:
        service.manage(remove)


@contextlib.contextmanager
def banned(service: Service, network: str) -> Iterator[None]:
    service.manage(lambda admin: admin.ban(network, "a test"))
    try:
        yield
    finally:
        service.manage(lambda admin: admin.lift_ban(network))


def test_a_ban_ends_open_sessions_and_refuses_new_ones(service: Service) -> None:
    box = service.account(MAIL)
    with (
        connect(service) as client,
        connect(service) as waiting,
        connect(service, "127.0.0.8") as other,
    ):
        assert client.log_in(box.name) == "+OK Logged in"
        client.ask("DELE 1")
        with banned(service, "127.0.0.4/30"):
            assert client.at_end()
            assert waiting.at_end()
            assert connect(service).greeting == TURNED_AWAY
            assert other.ask("NOOP").startswith("-ERR")  # not logged in; it lives on
            assert connect(service, "127.0.0.8").greeting.startswith(b"+OK")
        assert connect(service).greeting.startswith(b"+OK")
    assert box.files() == {"1001.M1P1.host"}


@pytest.mark.attack(58, "bans")
def test_a_ban_of_a_mapped_address_is_one_of_the_ipv4_address(service: Service) -> None:
    for network in (f"::ffff:{HERE}", "::ffff:7f00:7/128"):
        made, _ = service.manage(lambda admin, it=network: admin.ban(it))
        assert made.network == f"{HERE}/32"
        assert connect(service).greeting == TURNED_AWAY
        service.manage(lambda admin: admin.lift_ban(f"::ffff:{HERE}"))
        assert connect(service).greeting.startswith(b"+OK")


@pytest.mark.attack(58, "bans")
def test_a_client_that_comes_as_a_mapped_address_is_known_by_its_ipv4_one(
    service: Service,
) -> None:
    """The port for IPv6 takes IPv4 too where it is bound to ``::``."""
    with banned(service, f"{HERE}/32"):
        try:
            client = Pop3(service.daemon.pop3_ipv6, source=HERE)
        except OSError:  # this machine's port is on ::1 alone; the unit tests have the rest
            client = Pop3(service.daemon.pop3, source=HERE)
        assert client.greeting == TURNED_AWAY


@pytest.mark.attack(25, "suspended")
def test_a_suspended_account_is_out_at_once_and_its_mail_stays(service: Service) -> None:
    box, other = service.account(MAIL), service.account(MAIL)
    with connect(service) as client, connect(service) as bystander:
        assert client.log_in(box.name) == "+OK Logged in"
        assert bystander.log_in(other.name) == "+OK Logged in"
        client.ask("DELE 1")
        _, ended = service.manage(lambda admin: admin.suspend_account(box.name, "a test"))
        assert ended == 1
        assert client.at_end()
        assert bystander.ask("STAT").startswith("+OK 1 ")
    with connect(service) as client:
        assert client.log_in(box.name, "wrong").startswith("-ERR [AUTH] wrong name or password")
        assert client.log_in(box.name) == SUSPENDED
    service.manage(lambda admin: admin.resume_account(box.name))
    service.left(box.name)
    with connect(service) as client:
        assert client.log_in(box.name) == "+OK Logged in"
    assert box.files() == {"1001.M1P1.host"}


def test_a_login_that_is_remembered_counts_no_more(service: Service) -> None:
    box = service.account(MAIL)
    for _ in range(10):  # every worker knows it by now
        with connect(service) as client:
            assert client.log_in(box.name) == "+OK Logged in"
            client.ask("QUIT")
    service.manage(lambda admin: admin.suspend_account(box.name))
    for _ in range(10):
        with connect(service) as client:
            assert client.log_in(box.name) == SUSPENDED
    service.manage(lambda admin: admin.resume_account(box.name))
    for _ in range(10):
        with connect(service) as client:
            assert client.log_in(box.name) == "+OK Logged in"
            client.ask("QUIT")
    with in_force(service, rule("deny", HERE, f"account:{box.name}")):
        for _ in range(10):
            with connect(service) as client:
                assert client.log_in(box.name) == DENIED
        with connect(service, "127.0.0.8") as client:
            assert client.log_in(box.name) == "+OK Logged in"


def test_the_account_s_rule_goes_before_everyone_s(service: Service) -> None:
    box, other = service.account(MAIL), service.account(MAIL)
    with in_force(
        service,
        rule("allow", f"{HERE}/32", f"account:{box.name}"),
        rule("allow", "127.0.0.1"),
        rule("deny", "127.0.0.0/29"),
    ):
        with connect(service) as client:
            assert client.log_in(other.name) == DENIED
            assert client.log_in(box.name) == "+OK Logged in"
        assert connect(service, "127.0.0.6").greeting == TURNED_AWAY


def test_a_rule_for_a_role_is_about_those_who_have_it(service: Service) -> None:
    box = service.account(MAIL)
    with connect(service) as client:
        assert client.log_in(box.name) == "+OK Logged in"
        with in_force(service, rule("deny", HERE, "role:user")):
            assert client.at_end()
            with connect(service) as again:
                assert again.log_in(box.name) == DENIED
                assert again.log_in("default", "default") != DENIED


def test_a_ban_ends_by_itself_on_every_worker(service: Service) -> None:
    for duration_s in (1.0, 5.0, 25.0):  # on a busy machine a short one can be over too soon
        began_s = time.monotonic()
        service.manage(lambda admin, it=duration_s: admin.ban(HERE, duration_s=it))
        greetings = [connect(service).greeting for _ in range(4)]
        if time.monotonic() - began_s < duration_s:
            break
    assert greetings == [TURNED_AWAY] * 4
    wait_for(lambda: all(connect(service).greeting.startswith(b"+OK") for _ in range(8)))
    wait_for(lambda: not service.manage(lambda admin: admin.list_bans()))


def test_rules_and_bans_are_there_after_a_restart(own_service: Start) -> None:
    service = own_service()
    box = service.account(MAIL)
    service.manage(lambda admin: admin.ban(HERE))
    service.manage(lambda admin: admin.suspend_account(box.name))
    service.daemon.stop()
    service = own_service()
    assert connect(service).greeting == TURNED_AWAY
    with connect(service, "127.0.0.8") as client:
        assert client.log_in(box.name) == SUSPENDED


def test_a_worker_that_starts_later_knows_the_bans(with_workers: Start) -> None:
    service = with_workers()
    service.manage(lambda admin: admin.ban(HERE))
    assert service.manage(lambda admin: admin.restart_workers()) == 2
    for _ in range(8):
        assert connect(service).greeting == TURNED_AWAY


@pytest.mark.attack(59)
def test_a_banned_client_cannot_flood_the_log(service: Service) -> None:
    with banned(service, HERE):
        before = len(service.daemon.log)
        for _ in range(300):
            with socket.create_connection(
                ("127.0.0.1", service.daemon.pop3), 30, (HERE, 0)
            ) as client:
                assert client.recv(100).startswith(b"-ERR")
        wait_for(lambda: any("more connections" in it for it in service.daemon.log[before:]))
        told = [it for it in service.daemon.log[before:] if HERE in it or "turned away" in it]
        assert len(told) < 100  # some every two seconds


def test_management_is_refused_from_a_banned_address_on_open_logins_too(
    service: Service,
) -> None:
    """gRPC goes out from 127.0.0.1 here, so a user's own rule stands for the ban."""
    box = service.account(MAIL)

    async def run() -> float:
        async with ManagementClient(service.daemon.grpc_target, deadline_s=60) as client:
            admin = await client.login("default", "default")
            user = await client.login(box.name, "secret")
            watching = aiter(user.watch_sessions())
            assert await anext(watching) is None
            made, _ = await admin.create_rule(rule("deny", "127.0.0.1", f"account:{box.name}"))
            with stopwatch.running() as watch:
                for call in (user.list_sessions(), client.login(box.name, "secret")):
                    with pytest.raises(ManagementError) as refused:
                        await call
                    assert refused.value.reason is Reason.ADDRESS_DENIED
                with pytest.raises(ManagementError) as refused:
                    await anext(watching)
                assert refused.value.reason is Reason.ADDRESS_DENIED
                took_s = watch.seconds
            await admin.delete_rule(made.id)
            assert await user.list_sessions() == []
            return took_s

    assert stopwatch.in_time(1, lambda _: asyncio.run(run()))


Act = Callable[[Caller, str, str], Awaitable[object]]
"""What an admin does to the clients at an address, or to the account of a name."""
ACTS: dict[str, Act] = {
    "ban": lambda admin, here, _: admin.ban(here),
    "suspend": lambda admin, _, name: admin.suspend_account(name),
    "deny for the account": lambda admin, here, name: admin.create_rule(
        rule("deny", here, f"account:{name}")
    ),
    "deny for the role": lambda admin, here, _: admin.create_rule(rule("deny", here, "role:user")),
    "new password": lambda admin, _, name: admin.reset_password(name),
    "new role": lambda admin, _, name: admin.set_role(name, "operator"),
    "deletion": lambda admin, _, name: admin.delete_account(name),
}
FOR_ALL = ("ban", "deny for the role")
"""Those that are about every client of the test and not about one account."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of two workers, for acts each of which is about addresses of its own."""
    with starting(tmp_path_factory.mktemp("pair"), 2) as start:
        yield start()


@pytest.mark.parametrize("act", ACTS)
def test_open_sessions_on_two_workers_end_within_a_second(pair: Service, act: str) -> None:
    service, net = pair, 1 + list(ACTS).index(act)

    async def run(clients: list[Pop3], here: str, name: str) -> tuple[float, float]:
        async with ManagementClient(service.daemon.grpc_target, deadline_s=60) as client:
            admin = await client.login("default", "default")
            with stopwatch.running() as watch:
                await ACTS[act](admin, here, name)
                answered_s = watch.seconds
                ends = [asyncio.to_thread(it.at_end) for it in clients]
                assert all(await asyncio.gather(*ends))
                return answered_s, watch.seconds

    def attempt(number: int) -> float:
        here = f"127.0.{net}.{100 + number}"
        boxes = service.accounts(20)
        clients = [connect(service, here) for _ in boxes]
        for client, box in zip(clients, boxes, strict=True):
            assert client.log_in(box.name) == "+OK Logged in"
        hit = clients if act in FOR_ALL else clients[:1]
        answered_s, ended_s = asyncio.run(run(hit, here, boxes[0].name))
        print(f"{act}: answered after {answered_s:.3f} s, all ended after {ended_s:.3f} s")
        for client in clients[len(hit) :]:
            assert client.ask("NOOP") == "+OK"
        return ended_s

    assert stopwatch.in_time(1, attempt)

"""Own account on the real service: app passwords by every way in, preferences in force."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
from scramp import ScramClient

from component.conftest import Mailbox, Service
from component.test_scram import SCRAM, log_in
from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import own_account_pb2
from support import daemon, stopwatch
from support.events import wait_for
from support.pop3 import Pop3

T = TypeVar("T")
LOGGED_IN = "+OK Logged in"
WRONG = "-ERR [AUTH] wrong name or password"
DAY = 86_400


class Owner:
    """An account, and what its owner does with it over gRPC."""

    def __init__(self, service: Service, *messages: bytes) -> None:
        self.service = service
        self.box: Mailbox = service.account(*messages)

    def manage(self, act: Callable[[Caller], Awaitable[T]]) -> T:
        async def run() -> T:
            async with ManagementClient(self.service.daemon.grpc_target, deadline_s=60) as client:
                return await act(await client.login(self.box.name, "secret"))

        return asyncio.run(run())

    def add(self, name: str = "phone") -> str:
        return self.manage(lambda me: me.create_app_password(name)).password

    def choose(self, **values: object) -> None:
        wanted = own_account_pb2.Preferences(**values)  # type: ignore[arg-type]
        self.manage(lambda me: me.update_preferences(wanted, list(values)))


@pytest.fixture(scope="module", params=[0, 2], ids=["workers=0", "workers=2"])
def own(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Service]:
    settings = {
        "POP3_MIN_LOGIN_DELAY": "0",
        "POP3_MAX_LOGIN_DELAY": "0",
        "POP3_SCRAM": "on",
        "POP3_TRANSFORM_OPTIONAL": "on",
    }
    folder = tmp_path_factory.mktemp("own")
    with daemon.running(folder, workers=request.param, environment=settings) as running:
        yield Service(running)
    assert "Traceback" not in "".join(running.log)


def by_pass(client: Pop3, name: str, password: str) -> str:
    return client.log_in(name, password)


def by_plain(client: Pop3, name: str, password: str) -> str:
    response = b64encode(f"\0{name}\0{password}".encode()).decode()
    return client.ask(f"AUTH PLAIN {response}")


def by_scram(client: Pop3, name: str, password: str) -> str:
    return log_in(client, ScramClient([SCRAM], name, password))


WAYS = {"PASS": by_pass, "PLAIN": by_plain, SCRAM: by_scram}


@pytest.mark.parametrize("way", WAYS)
def test_an_app_password_lets_in_and_the_login_is_told_with_its_name(
    own: Service, way: str
) -> None:
    owner = Owner(own, b"one\n")
    password, name = owner.add(), owner.box.name
    for _ in range(2):  # the second is remembered, where the password is sent
        with own.connect() as client:
            assert WAYS[way](client, name, password) == LOGGED_IN
            assert client.ask("STAT") == "+OK 1 5"
            client.ask("QUIT")
    with own.connect() as client:
        assert WAYS[way](client, name, "abcd-efgh-jkmn-pqrs-tuvw-xyz2-3456") == WRONG
    logins: list[own_account_pb2.LoginRecord] = []

    def all_told() -> bool:
        logins[:] = owner.manage(lambda me: me.get_recent_logins())
        return len([it for it in logins if it.via == "pop3"]) == 3

    wait_for(all_told)
    [refused] = (it for it in logins if it.via == "pop3" and it.refusal_reason)
    admitted = [it for it in logins if it.via == "pop3" and not it.refusal_reason]
    assert {(it.mechanism, it.app_password_name, it.refusal_reason) for it in admitted} == {
        (way, "phone", "")
    }
    assert (refused.refusal_reason, refused.app_password_name) == ("INVALID_CREDENTIALS", "")
    assert refused.address == "127.0.0.1"

    def used() -> own_account_pb2.AppPassword:
        [phone] = owner.manage(lambda me: me.list_app_passwords())
        return phone

    wait_for(lambda: used().HasField("last_use_time"))
    phone = used()
    assert phone.last_use_peer.startswith("127.0.0.1:")


def test_the_own_password_lets_in_beside_it(own: Service) -> None:
    owner = Owner(own)
    owner.add()
    for way in WAYS.values():
        with own.connect() as client:
            assert way(client, owner.box.name, "secret") == LOGGED_IN
            client.ask("QUIT")


def test_it_opens_no_management_login(own: Service) -> None:
    owner = Owner(own)
    password = owner.add()

    async def log_in_with_it() -> None:
        async with ManagementClient(own.daemon.grpc_target) as client:
            await client.login(owner.box.name, password)

    with pytest.raises(ManagementError) as error:
        asyncio.run(log_in_with_it())
    assert error.value.reason is Reason.INVALID_CREDENTIALS


@pytest.mark.parametrize("way", WAYS)
def test_revoked_it_counts_no_more_within_a_second_on_open_sessions(own: Service, way: str) -> None:
    def revocation_takes_s(_: int) -> float:
        owner = Owner(own)
        password, other = owner.add(), owner.add("laptop")
        with own.connect() as client:
            assert WAYS[way](client, owner.box.name, password) == LOGGED_IN

            async def revoke(me: Caller) -> float:
                with stopwatch.running() as watch:
                    done = await me.revoke_app_password("phone")
                    assert done.ended_session_count == 1
                    assert await asyncio.to_thread(client.at_end)
                    return watch.seconds

            took_s = owner.manage(revoke)
        print(f"revoked {way}: in force on an open session after {took_s * 1000:.0f} ms")
        for _ in range(4):  # on every worker, sooner or later
            with own.connect() as client:
                assert WAYS[way](client, owner.box.name, password) == WRONG
        own.left(owner.box.name)
        with own.connect() as client:
            assert WAYS[way](client, owner.box.name, other) == LOGGED_IN
        return took_s

    assert stopwatch.in_time(1, revocation_takes_s)


def test_another_password_of_the_owner_leaves_them_and_a_reset_revokes_them(
    own: Service,
) -> None:
    owner = Owner(own)
    password = owner.add()
    owner.manage(lambda me: me.change_password("secret", "Quite-another-1-battery"))
    with own.connect() as client:
        assert client.log_in(owner.box.name, password) == LOGGED_IN
        own.manage(lambda admin: admin.reset_password(owner.box.name))
        assert client.at_end()
    for _ in range(4):
        with own.connect() as client:
            assert client.log_in(owner.box.name, password) == WRONG


def test_language_and_retention_are_in_force_at_the_next_login(own: Service) -> None:
    owner, other = Owner(own), Owner(own)
    name = owner.box.name
    with own.connect() as before:
        assert "EXPIRE NEVER" in before.listing("CAPA")
        assert before.log_in(name) == LOGGED_IN
        owner.choose(language="es", retention_days=20)
        assert before.ask("RETR 1").startswith("-ERR no such message")
        assert before.ask("QUIT") == "+OK bye"
    for _ in range(4):
        with own.connect() as client:
            assert "EXPIRE 20 USER" in client.listing("CAPA")
            assert client.log_in(name) == "+OK Sesion iniciada"
            assert "EXPIRE 20" in client.listing("CAPA")
            client.ask("QUIT")
    with own.connect() as client:
        client.ask("LANG en")
        assert client.log_in(name) == LOGGED_IN
        client.ask("QUIT")
    with own.connect() as client:
        assert client.log_in(other.box.name) == LOGGED_IN
        assert "EXPIRE NEVER" in client.listing("CAPA")
    owner.choose(language="", retention_days=0)
    with own.connect() as client:
        assert "EXPIRE NEVER" in client.listing("CAPA")
        assert client.log_in(name) == LOGGED_IN


def test_an_accounts_own_retention_removes_its_mail_and_nobody_elses(own: Service) -> None:
    owner, other = Owner(own), Owner(own)
    for box in (owner.box, other.box):
        for number, age_s in enumerate((3 * DAY, 60)):
            box.deliver(b"mail\n", f"{int(time.time()) - age_s}.M{number}P1.host")
    owner.choose(retention_days=2)
    try:
        own.change(expire_days=30_000)  # so that the next look is now and not in an hour
        wait_for(lambda: len(owner.box.files()) == 1)
        told = f"account={other.box.name} "
        assert not [it for it in own.daemon.log if "mail expired" in it and told in it]
        assert len(other.box.files()) == 2
    finally:
        own.change(expire_days=0)
        owner.choose(retention_days=0)


def test_the_transform_applies_to_whom_it_may_not_be_turned_off(own: Service) -> None:
    owner, other = Owner(own, b"one\n"), Owner(own, b"one\n")
    owner.choose(transform=False)
    try:
        own.transform("tr a-z A-Z")
        for box, body in ((owner.box, b"one\r\n"), (other.box, b"ONE\r\n")):
            with own.connect() as client:
                assert client.log_in(box.name) == LOGGED_IN
                assert client.ask_many("RETR 1")[1] == body
                client.ask("QUIT")
        with own.connect() as client:
            assert client.log_in(owner.box.name) == LOGGED_IN
            own.change(transform_optional=False)
            assert client.ask_many("RETR 1")[1] == b"one\r\n"  # as it began
            client.ask("QUIT")
        with own.connect() as client:
            assert client.log_in(owner.box.name) == LOGGED_IN
            assert client.ask_many("RETR 1")[1] == b"ONE\r\n"
    finally:
        own.transform()
        own.change(transform_optional=True)

"""Changes while it runs: accounts, settings and transforms, in force on open sessions too."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from component.conftest import Service
from pop3mgmt.client import ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from support import stopwatch
from support.events import wait_for

MAIL = b"Subject: hello\n\none two\nthree\n"
WC = b"      4       5      32\r\n"


def test_an_account_can_log_in_as_soon_as_it_is_there(service: Service) -> None:
    name = f"{service.account().name}.new@example.org"
    with service.connect() as client:
        assert client.log_in(name).startswith("-ERR [AUTH]")
        service.manage(lambda admin: admin.create_account(name, "secret"))
        assert client.log_in(name) == "+OK Logged in"
        assert client.ask("STAT") == "+OK 0 0"
    assert (service.daemon.mail / name / "new").is_dir()


@pytest.mark.attack(25, "deleted")
@pytest.mark.parametrize("act", ["delete", "reset", "disconnect"])
def test_an_open_session_ends_with_its_account_and_deletes_nothing(
    service: Service, act: str
) -> None:

    def end_takes_s(_: int) -> float:
        box, other = service.account(MAIL), service.account(MAIL)
        with service.connect() as client, service.connect() as bystander:
            client.log_in(box.name)
            bystander.log_in(other.name)
            client.ask("DELE 1")
            match act:
                case "delete":
                    ended = service.manage(lambda admin: admin.delete_account(box.name))
                    assert ended == 1
                case "reset":
                    service.manage(lambda admin: admin.reset_password(box.name))
                case "disconnect":
                    ended = service.manage(lambda admin: admin.disconnect(account_name=box.name))
                    assert ended == 1
            with stopwatch.running() as watch:
                assert client.at_end()
                taken_s = watch.seconds
            assert bystander.ask("STAT").startswith("+OK 1 ")
        assert box.files() == {"1001.M1P1.host"}
        if act != "disconnect":
            with service.connect() as client:
                assert client.log_in(box.name).startswith("-ERR [AUTH]")
        return taken_s

    assert stopwatch.in_time(1, end_takes_s)


def test_a_changed_password_counts_at_once(service: Service) -> None:
    box = service.account(MAIL)

    async def change() -> None:
        async with ManagementClient(service.daemon.grpc_target) as client:
            caller = await client.login(box.name, "secret")
            await caller.change_password("secret", "another")

    asyncio.run(change())
    with service.connect() as client:
        assert client.log_in(box.name, "secret").startswith("-ERR [AUTH]")
        assert client.log_in(box.name, "another") == "+OK Logged in"


def test_connections_above_a_lowered_maximum_stay_and_new_ones_are_refused(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    box = service.account(MAIL)
    clients = [service.connect() for _ in range(5)]
    with pytest.raises(ManagementError) as refused:
        service.change(max_connections=0)
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    service.change(max_connections=3)
    with service.connect() as client:
        assert client.greeting.startswith(b"-ERR [SYS/TEMP]")
    assert clients[4].log_in(box.name) == "+OK Logged in"
    service.change(max_connections=100)
    with service.connect() as client:
        assert client.greeting.startswith(b"+OK")
    for client in clients:  # whose ends a stop waits for
        client.close()


def test_the_counters_tell_what_happened(own_service: Callable[..., Service]) -> None:
    service = own_service(POP3_MIN_LOGIN_DELAY="0", POP3_MAX_LOGIN_DELAY="0")
    box = service.account(MAIL, MAIL)
    wire = 0
    with service.connect() as client:
        wire += len(client.greeting)
        client.log_in(box.name, "wrong")
        client.log_in(box.name)
        client.ask_many("RETR 1")
        client.ask("DELE 2")
        client.ask("QUIT")
        assert client.at_end()
    wait_for(lambda: not service.sessions())
    status = service.manage(lambda admin: admin.get_status())
    assert status.current_connection_count == 0
    assert status.total_connection_count == 1
    assert status.logged_in_session_count == 0
    assert status.refused_login_count == 1
    assert status.sent_message_count == 1
    assert status.deleted_message_count == 1
    assert status.sent_bytes > wire


# --- transforms --------------------


HANGS_S = 12
"""How long a transform may take that hangs; the others take a part of a second."""


def test_a_transform_is_in_force_from_the_next_login_on(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    service.transform("wc")
    box = service.account(MAIL)
    with service.connect() as client:
        client.log_in(box.name)
        first, body = client.ask_many("RETR 1")
        assert body.split() == b"4 5 30".split()
        assert first == f"+OK {len(body)} octets"
        service.transform("tr a-z A-Z")
        assert client.ask_many("RETR 1")[1] == body
        assert client.ask("LIST 1") == f"+OK 1 {len(body)}"
        assert client.ask_many("TOP 1 9")[1] == body
        client.ask("QUIT")
    with service.connect() as client:
        client.log_in(box.name)
        assert client.ask_many("RETR 1")[1] == MAIL.upper().replace(b"\n", b"\r\n")
        service.transform()
        assert client.ask("LIST 1") == "+OK 1 34"
        client.ask("QUIT")
    with service.connect() as client:
        client.log_in(box.name)
        assert client.ask_many("RETR 1") == ("+OK 34 octets", MAIL.replace(b"\n", b"\r\n"))


def test_a_transform_that_is_not_there_is_refused_and_mail_still_reads(service: Service) -> None:
    box = service.account(MAIL)
    with service.connect() as client:
        client.log_in(box.name)
        for command_line in ("/no/such", "no-such-program", "false", "cat 'open"):
            with pytest.raises(ManagementError):
                service.transform(command_line)
            assert client.ask_many("RETR 1")[1] == MAIL.replace(b"\n", b"\r\n")


FAULTS = {
    "hangs": "sleep 600",
    "fails": "exit 3",
    "crashes": "kill -9 $$",
    "floods": "yes",
    "never-ends": "trap '' TERM; while :; do sleep 1; done",
}


def test_transforms_that_go_wrong_leave_every_other_session_untouched(
    own_service: Callable[..., Service],
) -> None:
    """Attacks 39 to 41, all at once. The check at setting sees the sample's subject and passes."""
    cases = " ".join(f"*{fault}*) {act};;" for fault, act in FAULTS.items())
    service = own_service(POP3_TRANSFORM_TIMEOUT=str(HANGS_S))
    service.transform(f'sh -c "case $(cat) in {cases} *) echo fine;; esac"')
    good = service.account(*[MAIL] * 20)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(service.connect())
        client.log_in(good.name)
        victims = {}
        for fault in FAULTS:
            bad = service.account(f"Subject: {fault}\n\n".encode())
            victims[fault] = stack.enter_context(service.connect(120))
            victims[fault].log_in(bad.name)
        for victim in victims.values():
            victim.send(b"RETR 1\r\n")
        longest_s = 0.0
        for number in range(1, 21):
            with stopwatch.running() as watch:
                assert client.ask_many(f"RETR {number}")[1] == b"fine\r\n"
                assert client.ask("UIDL 1").startswith("+OK 1 ")
                longest_s = max(longest_s, watch.seconds)
        for fault, victim in victims.items():
            reply = victim.line()
            assert reply.startswith(b"-ERR [SYS/TEMP] "), (fault, reply[:100])
            assert victim.ask("NOOP") == "+OK"
        assert longest_s < HANGS_S / 2
    spool = service.daemon.mail.parent / "data/spool"
    # With workers it is tried ahead as well, which may be under way.
    wait_for(lambda: [it.name for it in spool.glob("**/*")] == ["scratch"], 120)

"""Transforms that are active in one way or another: what sessions get, and what is counted."""

from collections.abc import Iterator

import pytest

from component.conftest import Mailbox, Service, starting
from pop3mgmt.v1.transform_activations_pb2 import (
    TRANSFORM_MODE_ON,
    TRANSFORM_MODE_SHADOW,
    ActivateTransformRequest,
    TransformCounts,
    TransformMode,
)
from pop3mgmt.v1.transforms_pb2 import ON_FAILURE_ORIGINAL, ON_FAILURE_REFUSE, OnFailure
from support.events import wait_for
from support.pop3 import Pop3

GOOD, BAD = b"Subject: good\n\none line\n", b"Subject: bad\n\none line\n"
LARGE = b"Subject: large\n\n" + b"one line of many\n" * 20_000
UPPER = "tr a-z A-Z"
PICKY = """awk '/bad/ { exit 3 } { print } END { print "seen" }'"""
"""It changes every message, and fails on some in the middle of them."""


@pytest.fixture(scope="module", params=[0, 2], ids=["workers=0", "workers=2"])
def service(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Service]:
    with starting(tmp_path_factory.mktemp("modes"), request.param) as start:
        # Counts are of sessions alone where nothing runs ahead of them.
        yield start(POP3_TRANSFORM_AHEAD="off")


def make(
    service: Service,
    name: str,
    command_line: str,
    on_failure: OnFailure.ValueType = ON_FAILURE_REFUSE,
) -> None:
    service.manage(lambda admin: admin.set_transform(name, command_line, on_failure))


def activate(
    service: Service, name: str, box: Mailbox, mode: TransformMode.ValueType = TRANSFORM_MODE_ON
) -> None:
    request = ActivateTransformRequest(name=name, subject=f"account:{box.name}", mode=mode)
    service.manage(lambda admin: admin.activate_transform(request))


def counts(service: Service, box: Mailbox) -> TransformCounts:
    subject = f"account:{box.name}"
    [found] = service.manage(lambda admin: admin.list_transform_activations(subject))
    return found.counts


def logged_in(service: Service, box: Mailbox) -> Pop3:
    client = service.connect()
    assert client.log_in(box.name) == "+OK Logged in"
    return client


def test_a_message_that_fails_is_refused_or_sent_as_it_is(service: Service) -> None:
    box = service.account(GOOD, BAD)
    make(service, "refusing", PICKY)
    make(service, "lenient", PICKY, ON_FAILURE_ORIGINAL)
    activate(service, "refusing", box)
    with logged_in(service, box) as client:
        for command in ("RETR 2", "TOP 2 0", "RETR 2"):
            assert client.ask(command).startswith("-ERR [SYS/TEMP] ")
        assert client.ask_many("RETR 1")[1].endswith(b"one line\r\nseen\r\n")
        assert client.listing("LIST") == ["1 33", "2 26"]
        client.ask("QUIT")
    wait_for(lambda: counts(service, box).run_count == 2)
    assert counts(service, box).failure_count == 1
    assert counts(service, box).last_failure
    activate(service, "lenient", box)
    with logged_in(service, box) as client:
        assert client.listing("LIST") == ["1 33", "2 26"]
        assert client.ask_many("RETR 2") == ("+OK 26 octets", BAD.replace(b"\n", b"\r\n"))
        assert client.ask_many("RETR 1")[0] == "+OK 33 octets"


def test_a_rollback_is_for_sessions_that_begin_later(service: Service) -> None:
    box = service.account(GOOD)
    make(service, "upper", UPPER)
    make(service, "picky", PICKY)
    activate(service, "upper", box)
    activate(service, "picky", box)
    subject = f"account:{box.name}"
    with logged_in(service, box) as client:
        back = service.manage(lambda admin: admin.roll_back_transform(subject))
        assert [it.transform.name for it in back if it is not None] == ["picky", "upper"]
        assert client.ask("STAT") == "+OK 1 33"
        assert client.ask_many("RETR 1")[1].endswith(b"seen\r\n")
        client.ask("QUIT")
    with logged_in(service, box) as client:
        assert client.ask("STAT") == "+OK 1 27"
        service.manage(lambda admin: admin.deactivate_transform(subject))
        assert client.ask_many("RETR 1")[1] == GOOD.upper().replace(b"\n", b"\r\n")
        client.ask("QUIT")
    with logged_in(service, box) as client:
        assert client.ask_many("RETR 1")[1] == GOOD.replace(b"\n", b"\r\n")


def test_a_shadow_is_compared_with_what_went_out_and_nobody_gets_it(service: Service) -> None:
    box = service.account(GOOD, BAD, LARGE)
    make(service, "shadowed", PICKY)
    activate(service, "shadowed", box, TRANSFORM_MODE_SHADOW)
    with logged_in(service, box) as client:
        for number, message in enumerate((GOOD, BAD, LARGE), 1):
            wire = message.replace(b"\n", b"\r\n")
            assert client.ask_many(f"RETR {number}") == (f"+OK {len(wire)} octets", wire)
            assert client.ask(f"DELE {number}").startswith("+OK")
        # Its turn comes later; what is deleted before the disk's is left out.
        wait_for(lambda: counts(service, box).run_count + counts(service, box).skipped_count == 3)
        assert client.ask("QUIT") == "+OK 3 messages deleted, bye"
    found = counts(service, box)
    assert (found.run_count, found.failure_count, found.difference_count) == (3, 1, 2)


def test_a_shadow_that_changes_nothing_has_no_difference(service: Service) -> None:
    box = service.account(GOOD, BAD.replace(b"\n", b"\r\n"), LARGE)
    make(service, "copy", "cat")
    activate(service, "copy", box, TRANSFORM_MODE_SHADOW)
    with logged_in(service, box) as client:
        for number in (1, 2, 3):
            client.ask_many(f"RETR {number}")
    wait_for(lambda: counts(service, box).run_count == 3)
    assert (counts(service, box).failure_count, counts(service, box).difference_count) == (0, 0)


def test_the_log_says_through_what_a_session_s_mail_went(service: Service) -> None:
    box = service.account(GOOD)
    make(service, "logged", UPPER)
    activate(service, "logged", box)
    with logged_in(service, box) as client:
        client.ask("QUIT")
    daemon = service.daemon
    ended = ('event="session ended"', f"account={box.name}", "transform=logged@1")
    wait_for(lambda: any(all(it in line for it in ended) for line in daemon.log))

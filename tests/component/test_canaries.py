"""A canary that fails is given up by the service itself, and harms no session in progress."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest

from component.conftest import Mailbox, Service, starting
from pop3mgmt.client import ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.v1.audit_pb2 import AuditEntry, AuditFilter
from pop3mgmt.v1.sessions_pb2 import SessionEvent
from pop3mgmt.v1.transform_activations_pb2 import (
    TRANSFORM_END_REASON_GIVEN_UP,
    TRANSFORM_MODE_CANARY,
    TRANSFORM_MODE_ON,
    ActivateTransformRequest,
    TransformActivation,
)
from support.events import wait_for

FORMER = "sed 's/line/former/'"
CANARY = "awk '/^bad/ { exit 1 } { gsub(/line/, \"canary\"); print }'"
"""It fails on some of the mail, in the middle of it."""
COUNT = 15
FAILED = "-ERR [SYS/TEMP]"


class Watcher:
    """``sessions watch`` in a thread: what it was told, once it has begun."""

    def __init__(self, service: Service) -> None:
        self.events: list[SessionEvent] = []
        self._begun = threading.Event()
        service.in_thread(lambda: asyncio.run(self._watch(service.daemon.grpc_target)))
        assert self._begun.wait(90)

    async def _watch(self, target: str) -> None:
        async with ManagementClient(target) as client:
            admin = await client.login("default", "default")
            with contextlib.suppress(ManagementError):  # the service stops before the thread
                async for event in admin.watch_sessions():
                    self._begun.set()
                    if event is not None:
                        self.events.append(event)

    def given_up(self) -> list[str]:
        kind = SessionEvent.KIND_TRANSFORM_ROLLED_BACK
        return [it.text for it in self.events if it.kind == kind]


@pytest.fixture(params=["on", "off"], ids=["ahead", "when read"])
def ahead(request: pytest.FixtureRequest) -> str:
    """Mail is transformed as it arrives, or when somebody reads it."""
    return str(request.param)


@pytest.fixture
def service(ahead: str, tmp_path_factory) -> Iterator[Service]:
    with starting(tmp_path_factory.mktemp("canary"), 2) as start:
        yield start(POP3_TRANSFORM_AHEAD=ahead)


def mail(number: int) -> bytes:
    """One in five makes the canary fail."""
    return b"%b\nline %d\n" % (b"bad" if number % 5 == 4 else b"good", number)


def canary_of(service: Service) -> TransformActivation:
    (found,) = service.manage(
        lambda admin: admin.list_transform_activations("everyone", include_past=False)
    )
    return found


def begin(service: Service, boxes: list[Mailbox]) -> None:
    async def act(admin) -> None:  # type: ignore[no-untyped-def]
        await admin.set_transform("filter", FORMER)
        await admin.activate_transform(ActivateTransformRequest(name="filter"))
        await admin.set_transform("filter", CANARY)
        await admin.activate_transform(
            ActivateTransformRequest(
                name="filter",
                mode=TRANSFORM_MODE_CANARY,
                account_names=[box.name for box in boxes],
            )
        )

    service.manage(act)


def entries(service: Service, action: str) -> list[AuditEntry]:
    async def act(admin) -> list[AuditEntry]:  # type: ignore[no-untyped-def]
        return [it async for it in admin.list_audit_entries(AuditFilter(action=action))]

    return service.manage(act)


def word(number: int, name: str) -> bytes:
    return mail(number).replace(b"line", name.encode()).replace(b"\n", b"\r\n")


def test_a_canary_that_fails_one_in_five_is_given_up_by_itself(
    service: Service, ahead: str
) -> None:
    watcher = Watcher(service)
    *canaries, other = boxes = service.accounts(3)
    early = service.account(*map(mail, range(4)))
    begin(service, [*canaries, early])
    with service.connect() as in_progress, service.connect() as beside:
        assert in_progress.log_in(early.name) == "+OK Logged in"
        for box in boxes:
            for number in range(COUNT):
                box.deliver(mail(number), f"{1001 + number}.M1P1.host")
        assert beside.log_in(other.name) == "+OK Logged in"
        if ahead == "off":
            read(service, canaries)
        wait_for(watcher.given_up, 60)
        # Who has begun with a version reads on in it, canary or not.
        for number in range(4):
            assert in_progress.ask_many(f"RETR {number + 1}")[1] == word(number, "canary")
        for number in range(COUNT):
            assert beside.ask_many(f"RETR {number + 1}")[1] == word(number, "former")
    told_of(service, watcher)
    for box in boxes:
        with service.connect() as client:
            assert client.log_in(box.name) == "+OK Logged in"
            for number in range(COUNT):
                assert client.ask_many(f"RETR {number + 1}")[1] == word(number, "former")


def read(service: Service, boxes: list[Mailbox]) -> None:
    """Read all mail in sessions of one version, whatever becomes of the canary meanwhile."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(service.connect()) for _ in boxes]
        for client, box in zip(clients, boxes, strict=True):
            assert client.log_in(box.name) == "+OK Logged in"
        for number in range(COUNT):
            for client in clients:
                reply = client.ask(f"RETR {number + 1}")
                if number % 5 == 4:
                    assert reply.startswith(FAILED)
                else:
                    assert client.body() == word(number, "canary")
        for client in clients:
            assert client.ask("QUIT").startswith("+OK")


def told_of(service: Service, watcher: Watcher) -> None:
    """It is told in what is active, in the audit, in the state and to who watches sessions."""
    active = canary_of(service)
    assert (active.mode, active.transform.version) == (TRANSFORM_MODE_ON, 1)
    past = service.manage(
        lambda admin: admin.list_transform_activations("everyone", include_past=True)
    )
    (ended,) = (it for it in past if it.end_reason == TRANSFORM_END_REASON_GIVEN_UP)
    assert ended.transform.version == 2
    assert ended.counts.failure_count >= 3
    wait_for(lambda: entries(service, "transforms.roll_back"))
    (entry,) = entries(service, "transforms.roll_back")
    assert (entry.actor, entry.target) == ("", "everyone")
    (text,) = watcher.given_up()
    assert text.startswith("filter@2 for everyone was given up, back to filter@1: ")
    status = service.manage(lambda admin: admin.get_status())
    assert status.transforms.given_up_canary_count == 1

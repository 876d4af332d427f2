"""The seam between worker and supervisor: the same called directly and over a channel."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from contract.service import FakeWorker, event, session
from pop3_service.control import messages
from pop3_service.control.channel import MAX_FRAME, Channel
from pop3_service.control.messages import Ask, Count, Failed, Request, Result, Sessions
from pop3_service.control.plane import (
    Admitted,
    AuthOutcome,
    CertificatePair,
    Challenged,
    ControlPlane,
    Credentials,
    DisconnectOrder,
    Evidence,
    LoginOutcome,
    Refused,
    Worker,
)
from pop3_service.domain.account import AccountFacts, AccountName
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.errors import LoginTooSoon, ServiceUnavailable
from pop3_service.domain.preferences import Preferences
from pop3_service.domain.session import SessionEvent
from pop3_service.domain.settings import Settings
from pop3_service.domain.subject import Scope, Subject
from pop3_service.domain.transforms import (
    NOTHING_ACTIVE,
    Activation,
    Mode,
    OnFailure,
    Transform,
    TransformCount,
    TransformTable,
)
from pop3_service.supervisor.remote_worker import RemoteWorker, Slot
from pop3_service.worker.process import RemoteControl
from pop3mgmt.reasons import Reason

ASKED = Credentials(b"ana\xff", b"\0secret", "192.0.2.1:5")
SHOWN = Evidence("SCRAM-SHA-256", b"secret\xff\0", b"secret state", "192.0.2.1:5")
OUTCOMES: list[LoginOutcome] = [
    Admitted("señor"),
    Admitted(AccountName("ana")),
    Admitted("ana", 2.5, "phone"),
    Admitted("ana", 2.5, "phone", AccountFacts("auditor", Preferences("es", 30, False))),
    *(Refused(reason, 2.5) for reason in Reason),
]


@dataclass
class FakeControl:
    """Answers logins as told."""

    outcome: LoginOutcome = field(default_factory=lambda: Admitted("ana"))
    auth_outcome: AuthOutcome = field(default_factory=lambda: Admitted("ana"))
    asked: list[Credentials] = field(default_factory=list)
    shown: list[Evidence] = field(default_factory=list)
    events: list[SessionEvent] = field(default_factory=list)
    logins: list[LoginEvent] = field(default_factory=list)
    counts: list[TransformCount] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    failure: Exception | None = None
    reported: asyncio.Event = field(default_factory=asyncio.Event)

    async def login(self, credentials: Credentials) -> LoginOutcome:
        self.asked.append(credentials)
        if self.failure is not None:
            raise self.failure
        return self.outcome

    async def authenticate(self, evidence: Evidence) -> AuthOutcome:
        self.shown.append(evidence)
        if self.failure is not None:
            raise self.failure
        return self.auth_outcome

    async def note_login(self, account: str) -> None:
        self.noted.append(account)
        if self.failure is not None:
            raise self.failure

    def report(self, event: SessionEvent) -> None:
        self.events.append(event)
        self.reported.set()

    def report_logins(self, events: list[LoginEvent]) -> None:
        self.logins += events

    def report_transforms(self, counts: list[TransformCount]) -> None:
        self.counts += counts


@contextlib.asynccontextmanager
async def connected(
    one: Callable[[Request], Awaitable[Result]], other: Callable[[Request], Awaitable[Result]]
) -> AsyncIterator[tuple[Channel, Channel]]:
    """Connect two handlers by a socketpair."""
    ends = Channel(one), Channel(other)
    for end, sock in zip(ends, socket.socketpair(), strict=True):
        sock.setblocking(False)
        await end.start(sock)
    try:
        yield ends
    finally:
        for end in ends:
            await end.close()


async def nothing(_: Request) -> Result:
    return Failed("asked nothing")


def worker_handler(worker: Worker) -> Callable[[Request], Awaitable[Result]]:
    """Answer as a worker process does."""

    async def handle(request: Request) -> Result:
        match request:
            case messages.Configure(settings):
                await worker.configure(settings)
            case messages.ListSessions(account):
                return Sessions(await worker.list_sessions(account))
            case messages.Disconnect(order):
                return Count(await worker.disconnect(order))
            case messages.Watch(wanted):
                await worker.watch(wanted)
            case messages.SetTransforms(table):
                await worker.set_transforms(table)
            case messages.SetCertificates(pairs):
                await worker.set_certificates(pairs)
            case messages.SetLeastRetention(days):
                await worker.set_least_retention(days)
        return Count()

    return handle


@pytest.fixture(params=["direct", "channel"])
async def control(
    request: pytest.FixtureRequest,
) -> AsyncIterator[tuple[FakeControl, ControlPlane]]:
    """What a worker asks of, and the same as the worker sees it."""
    real = FakeControl()
    if request.param == "direct":
        yield real, real
        return
    supervisor = RemoteWorker(Slot(0, ()), real)
    async with connected(supervisor._handle, nothing) as (_, theirs):
        yield real, RemoteControl(theirs)


@pytest.fixture(params=["direct", "channel"])
async def worker(request: pytest.FixtureRequest) -> AsyncIterator[tuple[FakeWorker, Worker]]:
    """A worker, and the same as the supervisor sees it."""
    real = FakeWorker()
    if request.param == "direct":
        yield real, real
        return
    remote = RemoteWorker(Slot(0, ()), FakeControl())
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    end = Channel(worker_handler(real))
    await remote.channel.start(ours)
    await end.start(theirs)
    yield real, remote
    await remote.channel.close()
    await end.close()


Control = tuple[FakeControl, ControlPlane]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
async def test_a_login_has_the_outcome_that_the_supervisor_gave(
    control: Control, outcome: LoginOutcome
) -> None:
    real, seen = control
    real.outcome = outcome
    assert await seen.login(ASKED) == outcome
    assert real.asked == [ASKED]


@pytest.mark.parametrize(
    "outcome",
    [
        *OUTCOMES,
        Challenged(b"\0challenge\xff", b"\xffstate"),
        Challenged(b"no", b"x", 2.5),
        Challenged(b"", b""),
    ],
    ids=str,
)
async def test_a_message_of_auth_has_the_outcome_that_the_supervisor_gave(
    control: Control, outcome: AuthOutcome
) -> None:
    real, seen = control
    real.auth_outcome = outcome
    assert await seen.authenticate(SHOWN) == outcome
    assert real.shown == [SHOWN]


async def test_a_message_of_auth_that_fails_within_is_refused() -> None:
    real = FakeControl(failure=RuntimeError("secret of the house"))
    supervisor = RemoteWorker(Slot(0, ()), real)
    async with connected(supervisor._handle, nothing) as (_, theirs):
        outcome = await RemoteControl(theirs).authenticate(SHOWN)
    assert outcome == Refused(Reason.SERVICE_UNAVAILABLE)


async def test_many_logins_at_once_are_each_answered(control: Control) -> None:
    real, seen = control
    asked = [Credentials(b"%d" % number, b"x", "peer") for number in range(500)]
    outcomes = await asyncio.gather(*(seen.login(credentials) for credentials in asked))
    assert outcomes == [Admitted("ana")] * 500
    assert real.asked == asked


async def test_a_large_password_reaches_the_supervisor(control: Control) -> None:
    real, seen = control
    await seen.login(Credentials(b"a", b"x" * 2**20, "peer"))
    assert len(real.asked[0].password) == 2**20


async def test_events_arrive_in_order(control: Control) -> None:
    real, seen = control
    told = [event(number, "ana") for number in range(100)]
    for one in told:
        seen.report(one)
    await seen.login(ASKED)
    assert real.events == told


async def test_logins_arrive_as_they_were(control: Control) -> None:
    real, seen = control
    told = [
        LoginEvent(1.5, "señor", "[2001:db8::1]:5", "PLAIN", "TLSv1.3"),
        LoginEvent(2.25, "ana", "192.0.2.1:5", "PASS", "", Reason.MAILDROP_IN_USE.value, "phone"),
    ]
    seen.report_logins(told)
    await seen.login(ASKED)
    assert real.logins == told
    assert all(type(it) is LoginEvent for it in real.logins)


async def test_counts_of_transforms_arrive_as_they_were(control: Control) -> None:
    real, seen = control
    told = [TransformCount(7, 5, 4, 3, 2, 1.25, "transform took more than 1 s"), TransformCount(8)]
    seen.report_transforms(told)
    await seen.login(ASKED)
    assert real.counts == told


async def test_a_login_that_fails_within_is_refused_and_not_left_waiting() -> None:
    real = FakeControl(failure=RuntimeError("secret of the house"))
    supervisor = RemoteWorker(Slot(0, ()), real)
    async with connected(supervisor._handle, nothing) as (_, theirs):
        outcome = await RemoteControl(theirs).login(ASKED)
    assert outcome == Refused(Reason.SERVICE_UNAVAILABLE)


async def test_a_login_while_the_supervisor_dies_is_refused() -> None:
    asked = asyncio.Event()

    async def never(_: Request) -> Result:
        asked.set()
        await asyncio.Event().wait()
        return Count()

    async with connected(never, nothing) as (ours, theirs):
        login = asyncio.create_task(RemoteControl(theirs).login(ASKED))
        await asked.wait()
        await ours.close()
        outcome = await login
        assert isinstance(outcome, Refused)
        assert outcome.reason is Reason.SERVICE_UNAVAILABLE
        assert theirs.closed.is_set()
        later = await RemoteControl(theirs).login(ASKED)
        assert isinstance(later, Refused)
        RemoteControl(theirs).report(event(1))  # lost, and no error


Pair = tuple[FakeWorker, Worker]


async def test_settings_are_in_force_when_configure_comes_back(worker: Pair) -> None:
    real, seen = worker
    settings = Settings().changed({"oauth_scope": "'é' \"x\"", "idle_timeout_s": 1.5})
    await seen.configure(settings)
    assert real.settings == settings


async def test_sessions_are_told_as_they_are(worker: Pair) -> None:
    real, seen = worker
    real.sessions = [session(1, "señor"), session(2)]
    assert await seen.list_sessions("") == real.sessions
    assert await seen.list_sessions("señor") == real.sessions[:1]
    assert await seen.list_sessions(AccountName("señor")) == real.sessions[:1]


async def test_a_hundred_thousand_sessions_can_be_told(worker: Pair) -> None:
    real, seen = worker
    real.sessions = [session(number, "account-with-a-name") for number in range(100_000)]
    assert await seen.list_sessions("") == real.sessions


async def test_sessions_end_by_id_and_by_account(worker: Pair) -> None:
    real, seen = worker
    real.sessions = [session(1, "ana"), session(2, "ana"), session(3, "eva")]
    assert await seen.disconnect(DisconnectOrder(session_id="3")) == 1
    order = DisconnectOrder(account=AccountName("ana"), forget=True)
    assert await seen.disconnect(order) == 2
    assert real.orders[1] == order
    assert real.sessions == []


async def test_watching_is_begun_and_ended(worker: Pair) -> None:
    real, seen = worker
    await seen.watch(True)
    assert real.watched
    await seen.watch(False)
    assert not real.watched


async def test_certificates_are_in_force_when_the_call_comes_back(worker: Pair) -> None:
    real, seen = worker
    pairs = [CertificatePair(b"chain\xff", b"key", ("mail.example", "*.example"))]
    await seen.set_certificates(pairs)
    assert real.certificates == pairs
    await seen.set_certificates([])
    assert real.certificates == []


async def test_transforms_are_active_when_the_call_comes_back(worker: Pair) -> None:
    real, seen = worker
    first = Transform(1, "clean", 1, "cat", (("cat",),))
    chain = (("tr", "a", "é\xff"), ("cat",))
    second = Transform(2, "", 2, "tr a é | cat", chain, OnFailure.ORIGINAL, "a note", "ana", 2.5)
    canary = Activation(
        3, Subject(), second, Mode.CANARY, first, ("ana", "señor"), 20, 7, "eva", 4.5
    )
    table = TransformTable((canary, Activation(4, Subject(Scope.ROLE, "user"), None)))
    await seen.set_transforms(table)
    assert real.transforms == table
    await seen.set_transforms(NOTHING_ACTIVE)
    assert real.transforms == NOTHING_ACTIVE


async def test_the_shortest_retention_is_known_when_the_call_comes_back(worker: Pair) -> None:
    real, seen = worker
    await seen.set_least_retention(30)
    assert real.least_retention_days == 30


async def test_what_is_remembered_goes_and_no_session_ends(worker: Pair) -> None:
    real, seen = worker
    real.sessions = [session(1, "ana")]
    order = DisconnectOrder(account="ana", forget=True, keep_sessions=True)
    assert await seen.disconnect(order) == 0
    assert real.orders == [order]
    assert len(real.sessions) == 1


async def test_a_worker_that_is_gone_fails_every_open_request() -> None:
    asked = asyncio.Semaphore(0)

    async def never(_: Request) -> Result:
        asked.release()
        await asyncio.Event().wait()
        return Count()

    async with connected(nothing, never) as (ours, theirs):
        requests = [asyncio.create_task(ours.request(messages.Watch(True))) for _ in range(10)]
        for _ in requests:
            await asked.acquire()
        await theirs.close()
        for result in await asyncio.gather(*requests, return_exceptions=True):
            assert isinstance(result, ServiceUnavailable)
        with pytest.raises(ServiceUnavailable):
            await ours.request(messages.Watch(True))


async def test_an_answer_that_comes_too_late_disturbs_nobody() -> None:
    release = asyncio.Event()

    async def slow(request: Request) -> Result:
        if isinstance(request, messages.Watch):
            await release.wait()
            return Count(1)
        return Count(2)

    async with connected(nothing, slow) as (ours, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await ours.request(messages.Watch(True))
        release.set()
        assert await ours.request(messages.ListSessions("")) == Count(2)


async def test_a_request_to_the_wrong_side_is_answered_as_a_failure() -> None:
    supervisor = RemoteWorker(Slot(0, ()), FakeControl())
    async with connected(supervisor._handle, nothing) as (_, theirs):
        with pytest.raises(ServiceUnavailable, match="not a request to the supervisor"):
            await theirs.request(messages.Watch(True))


@pytest.mark.parametrize(
    "octets",
    [
        b"\0\0\0\4\xff\xff\xff\xff",
        b"\0\0\0\0",
        (MAX_FRAME + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
        b"\0\0\0\x10half",
        b"\0",
    ],
)
async def test_octets_that_are_no_message_close_the_channel(octets: bytes) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    end = Channel(nothing)
    await end.start(ours)
    theirs.sendall(octets)
    theirs.shutdown(socket.SHUT_WR)
    async with asyncio.timeout(60):
        await end.closed.wait()
    await end.close()
    theirs.close()


@pytest.mark.parametrize("octets", [b"", b"\xc0", b"\x81\xa4type\xa1X", b"x" * 100])
def test_octets_that_are_no_message_are_refused(octets: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.decode(octets)


def test_a_password_does_not_print() -> None:
    assert "secret" not in repr(Ask(1, messages.Login(ASKED)))
    assert "secret" not in repr(Ask(1, messages.Authenticate(SHOWN)))
    assert "secret" not in repr(messages.from_outcome(Challenged(b"", b"secret")))


def test_a_key_does_not_print() -> None:
    pairs = [CertificatePair(b"chain", b"secret", ("mail.example",))]
    assert "secret" not in repr(Ask(1, messages.SetCertificates(pairs)))


def test_only_known_kinds_travel() -> None:
    with pytest.raises(TypeError, match="does not travel"):
        messages.encode(Ask(1, messages.ListSessions(Path("/"))))  # type: ignore[arg-type]


async def test_a_login_is_noted_or_comes_too_soon(
    control: tuple[FakeControl, ControlPlane],
) -> None:
    real, seen = control
    await seen.note_login("señor")
    real.failure = LoginTooSoon()
    with pytest.raises(LoginTooSoon):
        await seen.note_login("ana")
    real.failure = ServiceUnavailable("gone")
    with pytest.raises(ServiceUnavailable):
        await seen.note_login("ana")
    assert real.noted == ["señor", "ana", "ana"]

"""Worker processes: real ones, killed and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lineproto.clock import SystemClock
from pop3_service.control.channel import Channel
from pop3_service.control.counters import CounterBoard
from pop3_service.control.messages import ListenerConfig, SetCertificates, Setup, WorkerConfig
from pop3_service.control.plane import (
    Admitted,
    CertificatePair,
    Credentials,
    DisconnectOrder,
    LoginOutcome,
)
from pop3_service.domain.account import AccountName
from pop3_service.domain.address_rules import AccessTable, Ban
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.errors import InvalidArgument, ServiceUnavailable, WorkersBusy
from pop3_service.domain.session import SessionEvent, SessionEventKind
from pop3_service.domain.settings import Settings
from pop3_service.domain.subject import EVERYONE
from pop3_service.domain.transforms import Activation, Transform, TransformCount, TransformTable
from pop3_service.maildir.paths import make_folder
from pop3_service.supervisor import remote_worker
from pop3_service.supervisor.remote_worker import CONFIRM_S, ListeningSocket, RemoteWorker, Slot
from pop3_service.supervisor.workers import COUNTERS_A_SLOT, LocalPool, WorkerPool
from support.certificates import authority

WAIT_S = 60
TABLE = AccessTable(bans=(Ban("192.0.2.0/24"),))
ACTIVE = TransformTable((Activation(1, EVERYONE, Transform(1, "clean", 1, "cat", (("cat",),))),))


class Control:
    """Lets everybody in."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[SessionEvent] = asyncio.Queue()
        self.logins: list[LoginEvent] = []

    async def login(self, credentials: Credentials) -> LoginOutcome:
        return Admitted(credentials.name.decode())

    def report(self, event: SessionEvent) -> None:
        self.events.put_nowait(event)

    def report_logins(self, events: list[LoginEvent]) -> None:
        self.logins.extend(events)

    def report_transforms(self, counts: list[TransformCount]) -> None:
        """Nobody counts them."""


class Pool:
    """A pool of real workers and what they share."""

    def __init__(self, folder: Path, count: int) -> None:
        self.root = folder / "mail"
        self.root.mkdir()
        self.folder = folder
        self.control = Control()
        self.board = CounterBoard.create(count * COUNTERS_A_SLOT)
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        slots = [
            Slot(index, (ListeningSocket(sock, False),)) for index, sock in enumerate(self.sockets)
        ]
        self.root_given = str(self.root)
        self.pool = WorkerPool(slots, self.board, self.control, self._config, SystemClock())

    def _config(self, slot: Slot, tag: str) -> WorkerConfig:
        return WorkerConfig(
            tag=tag,
            slot=slot.index,
            slots=self.board.slots,
            counters=self.board.fd,
            listeners=[ListenerConfig(it.sock.fileno(), it.implicit_tls) for it in slot.sockets],
            mail_root=self.root_given,
            mail_path="{user}",
            spool=str(self.folder / "spool"),
            results=str(self.folder / "transformed"),
            host_name="mail.example",
            version="1.2.3",
            log_level="error",
            log_format="logfmt",
        )

    @property
    def workers(self) -> list[RemoteWorker]:
        """Those that live, by slot."""
        live = [worker for worker in self.pool.workers() if isinstance(worker, RemoteWorker)]
        return sorted(live, key=lambda worker: worker.slot.index)

    async def client(self, slot: int = 0) -> Client:
        reader, writer = await asyncio.open_connection(*self.sockets[slot].getsockname())
        client = Client(reader, writer)
        assert (await client.line()).startswith("+OK")
        return client

    async def restarted(self, count: int = 1) -> None:
        """Wait until so many workers were replaced and all serve again."""
        async with asyncio.timeout(WAIT_S):
            while self.pool.restarts < count or len(self.workers) < len(self.sockets):
                await asyncio.sleep(0)
            for slot in range(len(self.sockets)):
                await (await self.client(slot)).close()


class Client:
    """A POP3 client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def line(self) -> str:
        async with asyncio.timeout(WAIT_S):
            return (await self.reader.readline()).decode()

    async def ask(self, command: str) -> str:
        self.writer.write(command.encode() + b"\r\n")
        return await self.line()

    async def login(self, name: str = "ana") -> None:
        await self.ask(f"USER {name}")
        assert (await self.ask("PASS x")).startswith("+OK")

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def started(folder: Path, count: int = 2) -> AsyncIterator[Pool]:
    made = Pool(folder, count)
    make_folder(made.root, (AccountName("ana"),))
    await made.pool.start(Settings())
    try:
        yield made
    finally:
        await made.pool.stop(1.0)
        for sock in made.sockets:
            sock.close()
        made.board.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a worker of a busy machine confirm later than it must."""
    monkeypatch.setattr(remote_worker, "CONFIRM_S", 30.0)


@pytest.fixture
def strict(_patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill a worker that does not confirm when the service would."""
    monkeypatch.setattr(remote_worker, "CONFIRM_S", CONFIRM_S)


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[Pool]:
    async with started(tmp_path) as made:
        yield made


async def test_workers_serve_what_comes_to_their_sockets(pool: Pool) -> None:
    clients = [await pool.client(slot) for slot in (0, 1, 0)]
    for client, name in zip(clients, ("ana", "eva", "zoe"), strict=True):
        make_folder(pool.root, (AccountName(name),))
        await client.login(name)
    listed = [it for worker in pool.workers for it in await worker.list_sessions("")]
    assert sorted(it.account for it in listed) == ["ana", "eva", "zoe"]
    assert len({it.id for it in listed}) == 3
    assert pool.board.totals().logged_in_sessions == 3
    for client in clients:
        assert (await client.ask("QUIT")).startswith("+OK")


async def test_a_killed_worker_is_replaced_and_its_counts_are_kept(pool: Pool) -> None:
    client = await pool.client(0)
    await client.login()
    before = pool.board.totals()
    victim, other = pool.workers[0].pid, pool.workers[1].pid
    os.kill(victim, signal.SIGKILL)
    assert await client.line() == ""
    await pool.restarted()
    assert victim not in {worker.pid for worker in pool.workers}
    assert other in {worker.pid for worker in pool.workers}
    totals = pool.board.totals()
    assert totals.opened_connections >= before.opened_connections
    assert totals.sent_bytes >= before.sent_bytes
    assert totals.logged_in_sessions == 0
    again = await pool.client(0)
    await again.login()
    [session] = await pool.workers[0].list_sessions("ana")
    assert session.id.startswith("0.2-")


@pytest.mark.usefixtures("strict")
async def test_a_worker_that_does_not_confirm_is_killed_and_the_change_is_a_fact(
    pool: Pool,
) -> None:
    client = await pool.client(0)
    await client.login()
    stopped = next(worker for worker in pool.workers if worker.slot.index == 0)
    os.kill(stopped.pid, signal.SIGSTOP)
    changed = Settings().changed({"max_connections": 5})
    began_s = asyncio.get_running_loop().time()
    await pool.pool.apply(changed)
    assert 0.9 < asyncio.get_running_loop().time() - began_s < 30
    assert await client.line() == ""
    await pool.restarted()
    assert {worker.settings.max_connections for worker in pool.workers if worker.settings} == {5}


@pytest.mark.usefixtures("strict")
async def test_sessions_of_a_worker_that_does_not_answer_end_with_it(pool: Pool) -> None:
    client = await pool.client(0)
    await client.login()
    stopped = next(worker for worker in pool.workers if worker.slot.index == 0)
    os.kill(stopped.pid, signal.SIGSTOP)
    order = DisconnectOrder(account="ana", forget=True)
    await asyncio.gather(*(worker.disconnect(order) for worker in pool.workers))
    assert await client.line() == ""
    await pool.restarted()


async def test_a_worker_that_is_replaced_goes_on_reporting(pool: Pool) -> None:
    pool.pool.watched = True
    for worker in pool.workers:
        await worker.watch(True)
    os.kill(pool.workers[0].pid, signal.SIGKILL)
    await pool.restarted()
    while not pool.control.events.empty():
        pool.control.events.get_nowait()
    client = await pool.client(0)
    async with asyncio.timeout(WAIT_S):
        kinds = [(await pool.control.events.get()).kind for _ in range(1)]
        await client.login()
        while kinds[-1] is not SessionEventKind.LOGGED_IN:
            kinds.append((await pool.control.events.get()).kind)
    assert SessionEventKind.CONNECTED in kinds


async def test_a_worker_that_is_replaced_has_the_certificates_of_now(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, object]] = []
    request = Channel.request

    async def noted(self: Channel, asked: object) -> object:
        answer = await request(self, asked)  # type: ignore[arg-type]
        if isinstance(asked, Setup | SetCertificates):
            told.append((pool.pool.restarts, list(asked.certificates)))
        return answer

    monkeypatch.setattr(Channel, "request", noted)
    pair = authority().issue("mail.example").pair
    await pool.pool.set_certificates([pair])
    os.kill(pool.workers[0].pid, signal.SIGKILL)
    await pool.restarted()
    assert told == [(0, [pair]), (0, [pair]), (1, [pair])]


async def test_stopping_ends_every_process(tmp_path: Path) -> None:
    async with started(tmp_path) as pool:
        client = await pool.client(1)
        pids = [worker.pid for worker in pool.workers]
    assert await client.line() == ""
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert pool.pool.restarts == 0


@pytest.mark.usefixtures("strict")
async def test_a_worker_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    async with started(tmp_path, 1) as pool:
        [worker] = pool.workers
        os.kill(worker.pid, signal.SIGSTOP)
        await worker.stop(0.0)
        with pytest.raises(ProcessLookupError):
            os.kill(worker.pid, 0)


async def test_signals_to_the_whole_group_do_not_end_a_worker(pool: Pool) -> None:
    for worker in pool.workers:
        os.kill(worker.pid, signal.SIGINT)
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.pid, signal.SIGHUP)
    client = await pool.client(0)
    assert (await client.ask("NOOP")).startswith("-ERR")
    await client.login()
    assert pool.pool.restarts == 0


async def test_workers_end_when_the_supervisor_is_gone(pool: Pool) -> None:
    fds = [os.pidfd_open(worker.pid) for worker in pool.workers]
    for worker in pool.workers:
        await worker.channel.close()
    for fd in fds:
        ended = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(fd, lambda it=ended: it.done() or it.set_result(None))
        async with asyncio.timeout(WAIT_S):
            await ended
        asyncio.get_running_loop().remove_reader(fd)
        os.close(fd)


async def test_a_worker_that_outlives_its_channel_is_killed_and_replaced(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pop3_service.supervisor.remote_worker.LINGER_S", 0.1)
    stuck = pool.workers[0]
    os.kill(stuck.pid, signal.SIGSTOP)
    await stuck.channel.close()
    await pool.restarted()
    assert stuck.pid not in {worker.pid for worker in pool.workers}


async def test_a_pool_whose_worker_cannot_serve_does_not_start(tmp_path: Path) -> None:
    pool = Pool(tmp_path, 1)
    pool.root_given = str(tmp_path / "nowhere")
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(ServiceUnavailable):
            await pool.pool.start(Settings())
        await pool.pool.stop(0.0)


async def test_a_pool_whose_process_cannot_be_made_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fail)
    pool = Pool(tmp_path, 1)
    gc.collect()  # what tests before this one left
    before = len(os.listdir("/proc/self/fd"))
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(ServiceUnavailable, match="Resource"):
            await pool.pool.start(Settings())
        await pool.pool.stop(0.0)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_replacement_that_cannot_be_made_at_first_is_made_later(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = asyncio.create_subprocess_exec
    failures = iter(range(2))

    async def sometimes(*words: object, **options: object) -> object:
        if next(failures, None) is not None:
            raise OSError(11, "Resource temporarily unavailable")
        return await create(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", sometimes)
    os.kill(pool.workers[0].pid, signal.SIGKILL)
    await pool.restarted()
    client = await pool.client(0)
    await client.login()


async def test_a_change_while_a_process_is_made_is_in_force_when_it_serves(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = asyncio.create_subprocess_exec
    making, go = asyncio.Event(), asyncio.Event()

    async def slowly(*words: object, **options: object) -> object:
        making.set()
        await go.wait()
        return await create(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    client = await pool.client(0)
    victim = next(worker for worker in pool.workers if worker.slot.index == 0)
    os.kill(victim.pid, signal.SIGKILL)
    async with asyncio.timeout(WAIT_S):
        await making.wait()
        await client.close()
        changed = Settings().changed({"max_connections": 5})
        await pool.pool.apply(changed)
        pool.pool.watched = True
        for worker in pool.workers:
            await worker.watch(True)
            assert await worker.disconnect(DisconnectOrder(account="ana")) == 0
            assert await worker.list_sessions("") == []
        go.set()
        await pool.restarted()
        assert pool.pool.restarts == 1
        assert {worker.settings for worker in pool.workers} == {changed}
        await pool.client(0)
        event = await pool.control.events.get()
    assert event.kind is SessionEventKind.CONNECTED


async def test_a_worker_that_is_slow_to_start_is_not_killed_for_a_change(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pool.workers[0]
    spawn = RemoteWorker.spawn
    changes: list[asyncio.Task[int]] = []

    async def spawn_and_change(*arguments: Any) -> RemoteWorker:
        worker = await spawn(*arguments)
        monkeypatch.setattr("pop3_service.supervisor.remote_worker.CONFIRM_S", 0.01)
        # It runs as soon as the worker is waited for: no process starts in ten milliseconds.
        changes.append(asyncio.create_task(worker.set_access(TABLE)))
        return worker

    monkeypatch.setattr(RemoteWorker, "spawn", spawn_and_change)
    os.kill(first.pid, signal.SIGKILL)
    async with asyncio.timeout(WAIT_S):
        while not changes:
            await asyncio.sleep(0)
        assert await changes[0] == 0
    await pool.restarted()
    assert pool.workers[0] is not first
    assert pool.pool.restarts == 1


async def test_a_worker_that_starts_later_knows_what_is_active(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[TransformTable] = []
    set_up = RemoteWorker.set_up

    async def noted(worker: RemoteWorker, *given: Any) -> None:
        known.append(given[-1])
        await set_up(worker, *given)

    monkeypatch.setattr(RemoteWorker, "set_up", noted)
    before = {worker.pid for worker in pool.workers}
    await pool.pool.set_transforms(ACTIVE)
    assert {worker.pid for worker in pool.workers} == before  # all have confirmed
    os.kill(pool.workers[0].pid, signal.SIGKILL)
    await pool.restarted()
    assert known == [ACTIVE]


async def test_one_process_is_a_pool_of_its_own() -> None:
    calls: list[object] = []

    class Worker:
        async def configure(self, settings: Settings) -> None:
            calls.append(settings)

        async def set_certificates(self, pairs: list[CertificatePair]) -> None:
            calls.append(pairs)

        async def set_transforms(self, table: TransformTable) -> None:
            calls.append(table)

    async def stop(grace_s: float) -> None:
        calls.append(grace_s)

    worker = Worker()
    pool = LocalPool(worker, stop)  # type: ignore[arg-type]
    assert pool.workers() == [worker]
    await pool.apply(Settings())
    await pool.set_certificates(())
    await pool.set_transforms(ACTIVE)
    await pool.stop(2.0)
    assert calls == [Settings(), [], ACTIVE, 2.0]
    assert (pool.restarts, pool.draining) == (0, 0)
    with pytest.raises(InvalidArgument, match="one process"):
        await pool.restart()


# --- replacing workers --------------------


def children() -> set[str]:
    """The processes that this one has started."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


async def ended(pool: Pool, pids: set[int]) -> None:
    """Wait until none of these processes is left."""
    async with asyncio.timeout(WAIT_S):
        while pids & {worker.pid for worker in pool.workers}:
            await asyncio.sleep(0)


async def test_workers_are_replaced_and_their_sessions_go_on_to_their_end(pool: Pool) -> None:
    client = await pool.client(0)
    await client.login()
    old = {worker.pid for worker in pool.workers}
    assert await pool.pool.restart() == 2
    # The worker with a session is there still, beside its successor; it hears of every change.
    await ended(pool, {it.pid for it in pool.workers if it.pid in old and it.slot.index == 1})
    assert len(pool.workers) == 3
    assert pool.pool.draining == 1
    changed = Settings().changed({"max_connections": 7})
    await pool.pool.apply(changed)
    assert [it.settings.max_connections for it in pool.workers if it.settings] == [7, 7, 7]
    assert (await client.ask("STAT")).startswith("+OK")
    another = await pool.client(0)
    assert (await another.ask("USER ana")).startswith("+OK")
    assert "IN-USE" in await another.ask("PASS x")
    assert pool.board.totals().current_connections == 2
    assert (await client.ask("QUIT")).startswith("+OK")
    await ended(pool, old)
    assert pool.pool.draining == 0
    await another.login()
    totals = pool.board.totals()
    assert (totals.current_connections, totals.logged_in_sessions) == (1, 1)
    assert pool.pool.restarts == 0


async def test_no_connection_is_reset_while_workers_are_replaced(pool: Pool) -> None:
    going = True
    sessions = 0

    async def poll(slot: int, name: str) -> None:
        nonlocal sessions
        make_folder(pool.root, (AccountName(name),))
        while going:
            client = await pool.client(slot)
            await client.login(name)
            assert (await client.ask("STAT")).startswith("+OK 0 0")
            assert (await client.ask("QUIT")).startswith("+OK")
            assert await client.line() == ""
            await client.close()
            sessions += 1

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(poll(number % 2, f"u{number}"))
        for _ in range(3):
            old = {worker.pid for worker in pool.workers}
            begun = sessions
            await pool.pool.restart()
            await ended(pool, old)
            while sessions < begun + 20:
                await asyncio.sleep(0)
        going = False
    assert pool.board.totals().opened_connections == sessions


async def test_workers_are_not_replaced_again_before_the_old_ones_have_ended(pool: Pool) -> None:
    client = await pool.client(0)
    await client.login()
    old = {worker.pid for worker in pool.workers}
    await pool.pool.restart()
    with pytest.raises(WorkersBusy, match="still have sessions"):
        await pool.pool.restart()
    await client.ask("QUIT")
    await ended(pool, old)
    assert await pool.pool.restart() == 2


async def test_of_two_restarts_at_a_time_the_second_is_refused(pool: Pool) -> None:
    first = asyncio.create_task(pool.pool.restart())
    await asyncio.sleep(0)
    with pytest.raises(WorkersBusy, match="already"):
        await pool.pool.restart()
    assert await first == 2


async def test_a_stop_in_the_middle_of_a_restart_leaves_no_process(tmp_path: Path) -> None:
    before = children()
    async with started(tmp_path) as pool:
        restart = asyncio.create_task(pool.pool.restart())
        async with asyncio.timeout(WAIT_S):
            while len(children() - before) < 3:
                await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable, match="stopping"):
        await restart
    assert children() == before


async def test_when_no_new_worker_comes_up_the_old_one_serves_on(pool: Pool) -> None:
    client = await pool.client(0)
    await client.login()
    before = {worker.pid for worker in pool.workers}
    pool.root_given = str(pool.folder / "nowhere")
    with pytest.raises(ServiceUnavailable, match="no new worker came up"):
        await pool.pool.restart()
    assert {worker.pid for worker in pool.workers} == before
    assert (await client.ask("STAT")).startswith("+OK")
    pool.root_given = str(pool.root)
    await client.ask("QUIT")
    assert await pool.pool.restart() == 2
    await ended(pool, before)


async def test_a_replaced_worker_that_dies_is_counted_out(pool: Pool) -> None:
    client = await pool.client(0)
    await client.login()
    [old] = [worker for worker in pool.workers if worker.slot.index == 0]
    await pool.pool.restart()
    os.kill(old.pid, signal.SIGKILL)
    assert await client.line() == ""
    await ended(pool, {old.pid})
    totals = pool.board.totals()
    assert (totals.current_connections, totals.logged_in_sessions) == (0, 0)
    assert pool.pool.restarts == 0
    again = await pool.client(0)
    await again.login()

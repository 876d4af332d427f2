"""Workers replaced by call while clients go on: no session fails, and nothing is left behind."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from component.conftest import Mailbox, Service
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.server_pb2 import RestartWorkersRequest, Status
from support import gateway
from support.events import wait_for

MAIL = b"Subject: hello\n\nsome mail\n"
OCTETS = len(MAIL) + MAIL.count(b"\n")
CLIENTS = 6
RESTARTS = 3
SESSIONS_EACH = 20
"""Whole sessions between two restarts, at least."""

Start = Callable[..., Service]


@dataclass
class Crowd:
    """Clients that poll without a pause, and what became of their sessions."""

    service: Service
    sessions: int = 0
    failures: list[str] = field(default_factory=list)
    going: bool = True

    def poll(self, box: Mailbox) -> None:
        while self.going:
            try:
                self._session(box)
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))
                return
            self.sessions += 1

    def _session(self, box: Mailbox) -> None:
        with self.service.connect() as client:
            assert client.greeting.startswith(b"+OK"), client.greeting
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.ask("STAT") == f"+OK 1 {OCTETS}"
            assert client.ask_many("RETR 1")[1] == MAIL.replace(b"\n", b"\r\n")
            assert client.ask("QUIT").startswith("+OK")
            assert client.line() == b""  # a reset would raise


@pytest.fixture
def workers(with_workers: Start) -> Service:
    return with_workers()


def service_status(service: Service) -> Status:
    return service.manage(lambda admin: admin.get_status())


def restart(service: Service) -> int:
    return service.manage(lambda admin: admin.restart_workers())


def test_no_session_fails_while_workers_are_replaced(workers: Service) -> None:
    service = workers
    boxes = service.accounts(CLIENTS, MAIL)
    first = service.daemon.pids()
    crowd = Crowd(service)
    threads = [service.in_thread(crowd.poll, box) for box in boxes]
    for _ in range(RESTARTS):
        old = service.daemon.pids().keys() - {service.daemon.process.pid}
        begun = crowd.sessions
        assert restart(service) == 2
        wait_for(lambda old=old: not old & service.daemon.pids().keys())
        wait_for(lambda begun=begun: crowd.failures or crowd.sessions >= begun + SESSIONS_EACH, 60)
        status = service_status(service)
        assert (status.worker_count, status.draining_worker_count) == (2, 0)
    crowd.going = False
    for thread in threads:
        thread.join(30)
    assert crowd.failures == []
    assert len(service.daemon.pids()) == len(first)
    assert service.daemon.pids().keys() & first.keys() == {service.daemon.process.pid}
    wait_for(lambda: not service.sessions())
    status = service_status(service)
    assert status.total_connection_count == status.sent_message_count == crowd.sessions
    assert (status.current_connection_count, status.logged_in_session_count) == (0, 0)
    assert (status.refused_login_count, status.worker_restart_count) == (0, 0)


def test_a_worker_with_a_session_drains_until_it_ends(workers: Service) -> None:
    service, box = workers, workers.account(MAIL)
    with service.connect() as client:
        client.log_in(box.name)
        assert restart(service) == 2
        wait_for(lambda: service_status(service).draining_worker_count == 1)
        assert service_status(service).worker_count == 2
        [session] = service.sessions(box.name)
        assert session.account_name == box.name
        with pytest.raises(ManagementError, match="still have sessions") as refused:
            restart(service)
        assert refused.value.reason is Reason.WORKERS_BUSY
        assert client.ask("DELE 1").startswith("+OK")
        assert client.ask("QUIT").startswith("+OK")
    assert box.files() == set()
    wait_for(lambda: service_status(service).draining_worker_count == 0)
    with gateway.running(service.daemon.grpc_target) as scmp, scmp.log_in() as admin:
        assert admin.ask("RESTART_WORKERS") == "+OK 2 workers replaced"


def test_who_asks_and_goes_away_gets_new_workers_nevertheless(workers: Service) -> None:
    service = workers
    old = service.daemon.pids().keys() - {service.daemon.process.pid}

    def logged(event: str) -> bool:
        lines = (line for line in service.daemon.log if f'event="{event}"' in line)
        return any("by=default" in line for line in lines)

    async def ask_and_leave(admin: Caller) -> None:
        request = RestartWorkersRequest()
        call = admin._server.RestartWorkers(request, metadata=admin._metadata)
        await asyncio.to_thread(wait_for, lambda: logged("workers are to be replaced"))
        call.cancel()

    service.manage(ask_and_leave)
    wait_for(lambda: logged("workers replaced"))
    wait_for(lambda: not old & service.daemon.pids().keys())
    assert len(service.daemon.pids()) == 3


def test_one_process_has_no_workers_to_replace(in_one_process: Start) -> None:
    service = in_one_process()
    with pytest.raises(ManagementError, match="one process") as refused:
        restart(service)
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    with gateway.running(service.daemon.grpc_target) as scmp, scmp.log_in() as admin:
        assert admin.ask("RESTART_WORKERS").startswith("-ERR [INVALID] everything runs in one")

"""Remembered logins in the real service: a worker that knows a login does not ask for it."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from component.conftest import Mailbox, Service


@contextlib.contextmanager
def without_supervisor(service: Service) -> Iterator[None]:
    """Nobody hashes a password meanwhile."""
    os.kill(service.daemon.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(service.daemon.process.pid, signal.SIGCONT)


def known_to_both_workers(service: Service, box: Mailbox) -> None:
    slots: set[str] = set()
    while len(slots) < 2:
        with service.connect() as client:
            assert client.log_in(box.name) == "+OK Logged in"
            slots.update(session.id.partition(".")[0] for session in service.sessions(box.name))
            assert client.ask("QUIT") == "+OK bye"


def test_a_known_login_asks_nobody_until_the_setting_says_so(
    with_workers: Callable[..., Service],
) -> None:
    service = with_workers()
    box = service.account()
    known_to_both_workers(service, box)
    with without_supervisor(service):
        for _ in range(5):
            with service.connect() as client:
                assert client.log_in(box.name) == "+OK Logged in"
                assert client.ask("QUIT") == "+OK bye"
    service.change(remember_login=timedelta(0))
    with service.connect() as client:
        with without_supervisor(service):
            client.ask(f"USER {box.name}")
            client.socket.settimeout(0.5)
            client.send(b"PASS secret\r\n")
            with pytest.raises(TimeoutError):
                client.socket.recv(1)
        client.socket.settimeout(30)
        assert client.socket.recv(64) == b"+OK Logged in\r\n"


def test_a_lifetime_above_an_hour_is_refused(own_service: Callable[..., Service]) -> None:
    with pytest.raises(RuntimeError, match="remember_login must be from 0 to 3600"):
        own_service(POP3_REMEMBER_LOGIN="3601")

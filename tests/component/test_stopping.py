"""Stopping in order, starting again, and starting wrong."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from component.conftest import Service
from pop3_service.supervisor.defence.throttle import FREE_FAILURES
from pop3mgmt.errors import ManagementError
from support import daemon
from support.events import wait_for

LARGE = b"line\n" * 2_000_000


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT])
def ask_to_stop(request: pytest.FixtureRequest) -> signal.Signals:
    return request.param


@pytest.mark.attack(60, "retr")
def test_the_command_in_progress_finishes_and_the_next_is_refused(
    own_service: Callable[..., Service], ask_to_stop: signal.Signals
) -> None:
    service = own_service()
    box, idle = service.account(LARGE), service.account(b"one\n")
    with service.connect() as client, service.connect() as waiting:
        client.log_in(box.name)
        waiting.log_in(idle.name)
        waiting.ask("DELE 1")
        client.ask("DELE 1")
        client.ask("RSET")
        client.send(b"RETR 1\r\nDELE 1\r\nQUIT\r\n")
        assert client.line() == b"+OK 12000000 octets\r\n"
        service.daemon.process.send_signal(ask_to_stop)
        assert waiting.file.read() == b""
        assert client.body() == LARGE.replace(b"\n", b"\r\n")
        assert client.line() == b"-ERR [SYS/TEMP] server is stopping\r\n"
        assert client.at_end()
    assert service.daemon.process.wait(60) == 0
    assert box.files() == idle.files() == {"1001.M1P1.host"}


@pytest.mark.attack(60, "quit")
def test_a_quit_in_progress_finishes(own_service: Callable[..., Service]) -> None:
    service = own_service()
    box = service.account(*[b"m\n"] * 2000)
    with service.connect() as client:
        client.log_in(box.name)
        client.send(b"".join(b"DELE %d\r\n" % number for number in range(1, 2001)))
        for _ in range(2000):
            assert client.line().startswith(b"+OK")
        client.send(b"QUIT\r\n")
        service.daemon.process.terminate()
        reply = client.line()
    assert service.daemon.process.wait(60) == 0
    assert reply in (
        b"+OK 2000 messages deleted, bye\r\n",
        b"-ERR [SYS/TEMP] server is stopping\r\n",
        b"",
    )
    assert len(box.files()) == (0 if reply.startswith(b"+OK") else 2000)


def test_a_stop_does_not_wait_for_the_delays_of_wrong_logins(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    box = service.account(b"one\n")
    service.change(min_login_delay=timedelta(seconds=60), max_login_delay=timedelta(seconds=60))
    with contextlib.ExitStack() as stack:
        # All wait for their answers but the last, who wait for their checks already.
        guessers = [stack.enter_context(service.connect()) for _ in range(FREE_FAILURES + 8)]
        for number, guesser in enumerate(guessers):
            guesser.ask(f"USER {box.name}")
            guesser.send(b"PASS wrong%d\r\n" % number)
        wait_for(lambda: len(service.lines('event="login refused"')) > FREE_FAILURES)
        began_s = time.monotonic()
        service.daemon.process.terminate()
        answers = [guesser.line() for guesser in guessers]
    assert service.daemon.process.wait(60) == 0
    assert time.monotonic() - began_s < 20  # a commit has 25 s
    assert set(answers) == {b"-ERR [AUTH] wrong name or password\r\n"}


def test_accounts_and_settings_are_there_after_a_restart(tmp_path: Path) -> None:
    with daemon.running(tmp_path) as running:
        service = Service(running)
        box = service.account(b"one\n")
        service.change(max_connections=77)
    with daemon.running(tmp_path) as running:
        service = Service(running)
        with service.connect() as client:
            assert client.log_in(box.name) == "+OK Logged in"
        settings = service.manage(lambda admin: admin.get_settings())
        assert settings.max_connections == 77


def test_what_was_committed_survives_a_kill_of_everything(tmp_path: Path) -> None:
    with daemon.running(tmp_path) as running:
        service = Service(running)
        box = service.account(b"one\n", b"two\n")
        with service.connect() as client:
            client.log_in(box.name)
            client.ask("DELE 1")
            assert client.ask("QUIT").startswith("+OK")
        held = service.connect()
        held.log_in(box.name)
        running.process.send_signal(signal.SIGKILL)
        assert held.at_end()
        running.process.wait()
    with daemon.running(tmp_path) as running, Service(running).connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        assert client.ask("STAT") == "+OK 1 5"


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start a service that is expected to end by itself."""
    own = {
        "POP3_PORT": "0", "POP3_PORT_IPV6": "0", "POP3_GRPC_LISTEN": "127.0.0.1:0",
        "POP3_BIND_IPV4": "127.0.0.1", "POP3_BIND_IPV6": daemon.IPV6_BIND,
        "POP3_MAIL_DIR": str(folder), "POP3_DATA_DIR": str(folder / "data"),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "pop3_service", *arguments],
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with daemon.running(tmp_path / "first") as running:
        told = start(tmp_path, POP3_PORT=str(running.pop3))
    assert told.returncode != 0
    assert str(running.pop3) in told.stderr
    assert "Traceback" not in told.stdout + told.stderr


def test_a_second_service_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with daemon.running(tmp_path) as running:
        told = start(running.mail, POP3_DATA_DIR=str(tmp_path / "data"))
    assert told.returncode != 0
    assert "Traceback" not in told.stdout + told.stderr
    assert "in use" in told.stderr or "another" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-p", "seventy"], "--port"),
        (["-p", "70000"], "--port"),
        (["--no-such"], "--no-such"),
        (["-d", "/no/such/folder/at/all"], "/no/such/folder/at/all"),
        (["-t", "/no/such/program"], "/no/such/program"),
        (["--mail-path", "../{user}"], "mail path '../{user}'"),
    ],
)
def test_a_wrong_start_is_told_in_one_line(
    tmp_path: Path, arguments: list[str], named: str
) -> None:
    told = start(tmp_path, *arguments)
    assert told.returncode != 0
    assert named in told.stderr
    assert "Traceback" not in told.stdout + told.stderr


@pytest.mark.attack(27)
def test_the_default_password_is_told_at_each_start_until_it_is_changed(tmp_path: Path) -> None:
    for _ in range(2):
        with daemon.running(tmp_path) as running:
            assert any("default password" in line for line in running.log)
            service = Service(running)
            status = service.manage(lambda admin: admin.get_status())
            assert any("default password" in warning for warning in status.warnings)
    with daemon.running(tmp_path) as running:
        Service(running).manage(lambda admin: admin.change_password("default", "my own"))
    with daemon.running(tmp_path) as running:
        wait_for(lambda: running.log)
        assert not any("default password" in line for line in running.log)


def test_a_given_password_of_the_admin_is_taken_from_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    environment = {"POP3_ADMIN_PASSWORD_FILE": str(secret)}
    with daemon.running(tmp_path, environment=environment) as running:
        assert not any("default password" in line for line in running.log)
        assert "from a file" not in "".join(running.log)
        arguments = Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
        assert b"from a file" not in arguments


def test_maildirs_by_domain_have_users_of_a_domain_and_an_admin_without_mail(
    tmp_path: Path,
) -> None:
    with daemon.running(tmp_path, "--mail-path", "{domain}/{local}/Maildir") as running:
        service = Service(running)
        create = lambda name: service.manage(lambda admin: admin.create_account(name, "secret"))  # noqa: E731
        create("ana@example.org")
        (running.mail / "example.org/ana/Maildir/new/1.a").write_bytes(b"one\n")
        with pytest.raises(ManagementError, match="needs a domain"):
            create("ana")
        with service.connect() as client:
            assert client.log_in("ana@example.org") == "+OK Logged in"
            assert client.ask("STAT") == "+OK 1 5"
        with service.connect() as client:
            assert client.log_in("default", "default").startswith("-ERR ")
            assert client.ask("QUIT") == "+OK bye"
    assert [path.name for path in running.mail.glob("[!.]*")] == ["example.org"]

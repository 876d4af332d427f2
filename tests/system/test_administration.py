"""SCMP through the published port, and what stays over restarts."""

import os
import signal

from support import stopwatch
from support.compose import Project
from support.events import wait_for
from support.pop3 import Pop3


def test_the_twelve_commands_as_an_admin(running: Project) -> None:
    with Pop3(running.scmp) as admin:
        # A telnet client's negotiation comes first, and is no part of it.
        admin.send(b"\xff\xfb\x18")
        assert admin.log_in("default", "default").startswith("+OK logged in as default")
        assert admin.ask("ADD_USER twelve secret").startswith("+OK")
        assert any(line.startswith("twelve ") for line in admin.listing("USERS"))
        assert admin.ask("RESET_USER_PASSWORD twelve").startswith("+OK")
        assert admin.ask("MAX_USERS").startswith("+OK")
        assert admin.ask("MAX_USERS 10000").startswith("+OK")
        assert admin.ask("TRANSFORM cat").startswith("+OK")
        assert admin.ask("TRANSFORM OFF").startswith("+OK")
        assert any("connection" in line for line in admin.listing("STATUS"))
        assert admin.ask("BYTES_TRANS").startswith("+OK ")
        assert admin.listing("CURR_CONNEC") is not None
        assert admin.listing("ALL_CONNEC") is not None
        assert admin.ask("DELETE_USER twelve").startswith("+OK")
        assert admin.ask("CHANGE_PASSWORD default another").startswith("+OK")
        assert admin.ask("CHANGE_PASSWORD another default").startswith("+OK")
        assert admin.ask("QUIT").startswith("+OK")


def test_a_user_has_its_own_commands_alone(running: Project) -> None:
    with running.admin("user1", "pass1") as user:
        for command in ("ADD_USER x y", "USERS", "MAX_USERS", "TRANSFORM wc", "DELETE_USER user2"):
            assert user.ask(command).startswith("-ERR [DENIED]"), command
        assert user.ask("CHANGE_PASSWORD pass1 pass1x").startswith("+OK")
        assert user.ask("CHANGE_PASSWORD pass1x pass1").startswith("+OK")
        assert user.ask("QUIT").startswith("+OK")


def test_a_new_account_is_there_at_once_and_after_a_restart_and_its_end_ends_it(
    running: Project,
) -> None:
    with running.admin() as admin:
        assert admin.ask("ADD_USER aeinstein physics").startswith("+OK")
    with running.connect() as client:
        assert client.log_in("aeinstein", "physics") == "+OK Logged in"
        assert client.ask("QUIT").startswith("+OK")
    running.compose("down")
    assert running.containers() == {}
    running.up()

    def end_takes_s(number: int) -> float:
        with running.connect() as client, running.admin() as admin:
            if number:
                assert admin.ask("ADD_USER aeinstein physics").startswith("+OK")
            assert client.log_in("aeinstein", "physics") == "+OK Logged in"
            assert admin.ask("DELETE_USER aeinstein").startswith("+OK")
            with stopwatch.running() as watch:
                assert client.at_end()
                return watch.seconds

    assert stopwatch.in_time(1, end_takes_s)


def test_a_stop_lets_the_command_in_progress_finish(running: Project) -> None:
    message = b"line\n" * 4_000_000
    with running.admin() as admin:
        assert admin.ask("ADD_USER slow secret").startswith("+OK")
    running.deliver("slow", [message])
    with running.connect(60) as client, running.connect() as idle:
        assert client.log_in("slow", "secret") == "+OK Logged in"
        client.send(b"RETR 1\r\nDELE 1\r\nQUIT\r\n")
        assert client.line() == b"+OK 24000000 octets\r\n"
        service = running.service()
        service.client.api.kill(service.id, "SIGTERM")
        assert idle.at_end()
        assert client.body() == message.replace(b"\n", b"\r\n")
        assert client.line() == b"-ERR [SYS/TEMP] server is stopping\r\n"
        assert client.at_end()
    assert (running.mail / "slow/new/1001.M1P1.host").exists()
    wait_for(lambda: running.service().status == "exited", 120)
    assert running.service().attrs["State"]["ExitCode"] == 0
    running.up()


def test_a_killed_worker_is_back_and_the_maildrop_is_free(running: Project) -> None:
    with running.connect() as client:
        assert client.log_in("user2", "pass2") == "+OK Logged in"
        client.ask("DELE 1")
        workers = {pid for pid, what in running.processes().items() if what == "worker"}
        assert workers
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        assert client.at_end()

    def back() -> bool:
        now = {pid for pid, what in running.processes().items() if what == "worker"}
        return len(now) == len(workers) and not now & workers

    wait_for(back)
    with running.connect() as client:
        wait_for(lambda: client.log_in("user2", "pass2") == "+OK Logged in")
        assert client.ask("STAT").startswith("+OK 4 ")
    with running.admin() as admin:
        assert any("restart" in line and " 2" in line for line in admin.listing("STATUS"))


def test_a_killed_service_comes_back_with_what_it_had(running: Project) -> None:
    with running.connect() as client:
        assert client.log_in("user3", "pass3") == "+OK Logged in"
        client.ask("DELE 2")
        assert client.ask("QUIT").startswith("+OK")
    [supervisor] = [pid for pid, what in running.processes().items() if what == "supervisor"]
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: supervisor not in running.processes(), 120)
    running.up()
    with running.connect() as client:
        assert client.log_in("user3", "pass3") == "+OK Logged in"
        assert client.ask("STAT").startswith("+OK 3 ")


def test_without_the_service_the_gateway_says_so_and_recovers(running: Project) -> None:
    with running.admin() as admin:
        running.compose("stop", "pop3-service")
        assert admin.ask("USERS").startswith("-ERR [UNAVAILABLE]")
        running.up()

    def recovered() -> bool:
        with Pop3(running.scmp, timeout=60) as again:
            return again.log_in("default", "default").startswith("+OK")

    wait_for(recovered, 120)
    with running.admin() as admin:
        assert admin.listing("USERS")

"""The real gateway before the real service: lines, logins, limits, and either one going away."""

import contextlib
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import scale
from component.conftest import Service
from lineproto.connection import MAX_DROPPED
from pop3_service.api.methods import open_to
from pop3_service.domain.account import AccountName, Principal
from pop3_service.domain.rights import BUILT_IN
from scmp_gateway.command import LINE_LIMIT
from scmp_gateway.verbs import VERBS, visible
from support import daemon
from support import gateway as gateways
from support.events import wait_for
from support.gateway import Gateway
from support.pop3 import Pop3
from support.ports import kept_port

DEADLINE_S = 60
"""Of what is told at once, half of it is not needed on a busy machine either."""


@pytest.fixture(scope="module")
def gateway(service: Service) -> Iterator[Gateway]:
    with gateways.running(service.daemon.grpc_target) as running:
        yield running


@contextlib.contextmanager
def own_gateway(service: Service, *arguments: str) -> Iterator[Gateway]:
    with gateways.running(service.daemon.grpc_target, *arguments) as running:
        yield running


def in_progress(client: Pop3, *commands: str) -> None:
    """Send commands, and come back when the gateway is at the first that waits for the service."""
    client.send("".join(f"{line}\r\n" for line in ("PASS x", *commands)).encode())
    assert client.line() == b"-ERR already logged in as default; send LOGOUT first\r\n"


# --- verbs --------------------

SAMPLES = {
    "USER": "USER default", "PASS": "PASS default", "CAPA": "CAPA", "HELP": "HELP", "NOOP": "NOOP",
    "ADD_USER": "ADD_USER sample secret", "USERS": "USERS",
    "RESET_USER_PASSWORD": "RESET_USER_PASSWORD sample", "SET_ROLE": "SET_ROLE sample user",
    "DELETE_USER": "DELETE_USER sample",
    "MAX_USERS": "MAX_USERS 100000", "TRANSFORM": "TRANSFORM OFF", "STATUS": "STATUS",
    "BYTES_TRANS": "BYTES_TRANS", "ALL_CONNEC": "ALL_CONNEC", "CURR_CONNEC": "CURR_CONNEC",
    "CHANGE_PASSWORD": "CHANGE_PASSWORD wrong other", "PASSWORD_POLICY": "PASSWORD_POLICY",
    "RELOAD_CERTIFICATES": "RELOAD_CERTIFICATES", "RESTART_WORKERS": "RESTART_WORKERS now",
    "APOP": "APOP OFF default", "AUDIT": "AUDIT 3", "AUDIT_VERIFY": "AUDIT_VERIFY",
    "STLS": "STLS", "ROLES": "ROLES",
    "IMPORT_UIDL": "IMPORT_UIDL default DOVECOT",
    "ADD_ROLE": "ADD_ROLE sample own", "CHANGE_ROLE": "CHANGE_ROLE sample own status.read",
    "DELETE_ROLE": "DELETE_ROLE sample", "BACKUP": "BACKUP", "BACKUPS": "BACKUPS",
    "RESTORE": "RESTORE gone.tar", "QUIT": "QUIT",
}  # fmt: skip
LISTINGS = {
    "CAPA", "HELP", "USERS", "ROLES", "STATUS", "ALL_CONNEC", "CURR_CONNEC", "PASSWORD_POLICY",
    "BACKUPS", "AUDIT",
}  # fmt: skip


def test_every_verb_of_the_table_is_answered(gateway: Gateway) -> None:
    assert SAMPLES.keys() <= VERBS.keys()
    with gateway.connect() as client:
        for verb, command in SAMPLES.items():
            reply = client.ask(command)
            if verb == "CHANGE_PASSWORD":
                assert reply == "-ERR [AUTH] the old password is wrong"
                continue
            if verb == "RELOAD_CERTIFICATES":
                assert reply == "-ERR [CERTIFICATE] TLS is off: no certificate is configured"
                continue
            if verb == "RESTORE":  # its tests are in test_backup.py
                assert reply == "-ERR [NOT-FOUND] there is no backup 'gone.tar'; BACKUPS lists them"
                continue
            if verb == "STLS":  # its tests are in test_scmp_tls.py
                assert reply == "-ERR STLS comes before the login; send LOGOUT first"
                continue
            if verb == "IMPORT_UIDL":
                assert reply == "-ERR [NOT-FOUND] the Maildir of default has no file of DOVECOT"
                continue
            if verb == "RESTART_WORKERS":  # its tests have a service of their own
                assert reply == "-ERR usage: RESTART_WORKERS"
                continue
            assert reply.startswith("+OK"), (command, reply)
            if verb in LISTINGS:
                client.body()
        assert client.at_end()


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - SAMPLES.keys()))
def test_a_verb_with_tests_elsewhere_is_answered_once_and_in_full(
    gateway: Gateway, verb: str
) -> None:
    """With the fewest words it takes, of which none stands for anything there is."""
    command = " ".join((verb, *["nothing"] * VERBS[verb].least))
    with gateway.log_in() as client:
        client.send(f"{command}\r\nNOOP\r\n".encode())
        first = client.line()
        assert first.startswith((b"+OK ", b"-ERR ")), first
        assert b"INTERNAL" not in first
        while (line := client.line()) != b"+OK\r\n":
            assert first.startswith(b"+OK "), (first, line)
        assert client.ask("QUIT") == "+OK bye"
        assert client.at_end()


@pytest.mark.parametrize("role", BUILT_IN)
def test_capa_and_help_show_what_a_role_may_use(
    role: str, gateway: Gateway, service: Service
) -> None:
    principal = Principal(AccountName("x"), role, BUILT_IN[role].rights)
    verbs = {name: it for name, it in visible(open_to(principal)).items() if name != "STLS"}
    name = f"a-{role}"
    service.manage(lambda admin: admin.create_account(name, "secret", role))
    with gateway.log_in(name, "secret") as client:
        assert client.listing("CAPA") == [*verbs, "PIPELINING", f"ROLE {role}"]
        usages = [verb.usage for verb in verbs.values()]
        told = [line for line in client.listing("HELP") if not line.startswith(" ")]
        assert [re.split("  +", line)[0] for line in told] == usages
    assert ("ADD_USER" in verbs) is (role == "admin")
    assert ("STATUS" in verbs) is (role != "user")


def test_a_session_over_ipv6_is_listed_with_its_address(gateway: Gateway, service: Service) -> None:
    box = service.account()
    host = daemon.IPV6_HOST
    with Pop3(service.daemon.pop3_ipv6, host) as pop3, gateway.log_in(box.name, "secret") as scmp:
        pop3.log_in(box.name)
        [session] = scmp.listing("CURR_CONNEC")
        port = pop3.socket.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        assert session.split()[1:3] == [f"{shown}:{port}", box.name]


def test_a_misspelt_variable_is_warned_of_at_the_start_without_its_value(
    in_one_process: Callable[..., Service],
) -> None:
    service = in_one_process(POP3_MAX_CONECTIONS="hidden")
    with gateways.running(service.daemon.grpc_target, SCMP_IDLE_TIMOUT="hidden") as gateway:
        for log, name, like in (
            (service.daemon.log, "POP3_MAX_CONECTIONS", "POP3_MAX_CONNECTIONS"),
            (gateway.log, "SCMP_IDLE_TIMOUT", "SCMP_IDLE_TIMEOUT"),
        ):
            told = [line for line in log if 'event="unknown variable"' in line]
            assert len(told) == 1
            assert "level=warning" in told[0]
            assert told[0].rstrip().endswith(f"name={name} like={like}")
            assert "hidden" not in "".join(log)


def test_unique_ids_of_another_server_are_taken_over(gateway: Gateway, service: Service) -> None:
    box = service.account()
    for name in ("1.a:2,S", "2.b:2,", "3.c:2,", "4.d:2,", "5.e:2,"):
        box.deliver(b"x", name, "cur")
    known = "3 V9 N30\n1 :1.a\n2 :2.b\n3 P3.c :3.c\n4 P%s :4.d\n" % ("x" * 71)
    (box.path / "dovecot-uidlist").write_text(known)
    with gateway.log_in() as client:
        reply = client.ask(f"IMPORT_UIDL {box.name} dovecot %v-%u")
        told = "3 messages keep their old id, 2 of them had another, 1 refused, 1 not in the file"
        assert reply == f"+OK {told}"
    with service.connect() as client:
        client.log_in(box.name, "secret")
        assert client.listing("UIDL") == ["1 9-1", "2 9-2", "3 3.c", "4 4.d", "5 5.e"]


# --- lines --------------------

DIALOGUE = (
    b"USER default\r\nPASS default\r\nCAPA\r\nMAX_USERS\r\nBAD\r\nUSERS 1\r\n"
    b"CHANGE_PASSWORD wrong other\r\nTRANSFORM\r\nQUIT\r\n"
)


def test_a_dialogue_cut_into_single_octets_has_the_same_replies(gateway: Gateway) -> None:
    seen = []
    for cut in (len(DIALOGUE), 1, 7):
        with gateway.connect() as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(DIALOGUE), cut):
                client.send(DIALOGUE[at : at + cut])
            seen.append(client.file.read())
    assert seen[0].endswith(b"+OK transform is off\r\n+OK bye\r\n")
    assert seen[1:] == [seen[0], seen[0]]


@pytest.mark.parametrize(
    "negotiation",
    [
        b"\xff\xfd\x03\xff\xfb\x18\xff\xfb\x1f\xff\xfb\x20",  # DO and WILL, at the start
        b"\xff\xf4\xff\xfd\x06",  # an interrupt key: IP, DO TIMING-MARK
        b"\xff\xf1",  # NOP
        b"\xff\xfe\x01\xff\xfc\x01",  # DONT and WONT ECHO
    ],
)
def test_telnets_negotiation_is_dropped_and_does_no_harm(
    gateway: Gateway, negotiation: bytes
) -> None:
    with gateway.connect() as client:
        for octet in negotiation + b"USER def" + negotiation + b"ault\r\n":
            client.send(bytes([octet]))
        assert client.line() == b"+OK User name accepted, send PASS command\r\n"
        client.send(b"PASS default" + negotiation + b"\r\n" + negotiation + b"USERS\r\n")
        assert client.line().startswith(b"+OK logged in as default (admin)")
        assert client.line().endswith(b" accounts\r\n")
        client.body()


def test_octets_that_are_no_text_are_an_error_and_nothing_more(gateway: Gateway) -> None:
    with gateway.log_in() as client:
        for line in (b"USERS \x80", b"\xc3", b"ADD_USER \xfe\xfe x", b"\xed\xa0\x80"):
            client.send(line + b"\r\n")
            assert client.line() == b"-ERR a command is UTF-8 text\r\n"
        for line in (b"NOOP\0", b"\x1b[2J", b"NO\x07OP", b"NOOP\r\r", b"\x7f"):
            client.send(line + b"\r\n")
            assert client.line() == b"-ERR a command holds no control characters\r\n"
            assert client.ask("NOOP") == "+OK"


def test_pipelined_commands_are_all_answered_in_order(gateway: Gateway) -> None:
    rounds = scale.PIPELINED // 10
    commands = b"MAX_USERS x\r\nNOOP\r\nMAX_USERS\r\nUSER x\r\n" * rounds
    with gateway.log_in() as client:
        sender = threading.Thread(target=client.send, args=(commands,), daemon=True)
        sender.start()
        for _ in range(rounds):
            assert client.line() == b"-ERR [INVALID] the maximum is a whole number\r\n"
            assert client.line() == b"+OK\r\n"
            assert client.line() == b"+OK 100000 accounts at most\r\n"
            assert client.line() == b"-ERR already logged in as default; send LOGOUT first\r\n"
        sender.join()


def test_a_line_of_the_longest_is_taken_and_one_octet_more_is_an_error(gateway: Gateway) -> None:
    longest = b"USER " + b"x" * (LINE_LIMIT - 7) + b"\r\n"
    with gateway.connect() as client:
        client.send(longest)
        assert client.line() == b"+OK User name accepted, send PASS command\r\n"
        client.send(b"x" + longest)
        assert client.line() == b"-ERR command line too long\r\n"
        client.send(longest * 20 + b"NOOP " + b"x" * 500_000 + b"\r\nCAPA\r\n")
        assert [client.line()[:3] for _ in range(20)] == [b"+OK"] * 20
        assert client.line() == b"-ERR command line too long\r\n"
        assert client.line() == b"+OK capabilities follow\r\n"


@pytest.mark.parametrize(
    ("command", "reply"),
    [("DELETE_USER " + "é" * 2000, "-ERR ["), ("TRANSFORM /" + "é" * 2000, "-ERR [")],
)
def test_what_a_long_argument_is_refused_for_is_told_in_short(
    gateway: Gateway, command: str, reply: str
) -> None:
    with gateway.log_in() as client:
        told = client.ask(command)
        assert told.startswith(reply)
        assert len(told) < 400
        assert "metadata" not in told


def test_an_endless_line_is_cut_off(gateway: Gateway) -> None:
    with gateway.connect() as client:
        sent, began_s = 0, time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - began_s < 30:
                client.send(b"x" * 65536)
                sent += 65536
        assert sent > MAX_DROPPED
        assert time.monotonic() - began_s < 30


# --- logins --------------------


@pytest.mark.parametrize("change", ["reset", "changed elsewhere", "deleted and made again"])
def test_a_login_that_has_ended_is_told_and_the_next_one_works(
    gateway: Gateway, service: Service, change: str
) -> None:
    name = service.account().name
    with gateway.log_in(name, "secret") as client, gateway.log_in() as other:
        assert client.listing("CURR_CONNEC") == []
        password = "secret"
        match change:
            case "reset":
                password = other.ask(f"RESET_USER_PASSWORD {name}").rpartition(" ")[2]
            case "changed elsewhere":
                with gateway.log_in(name, "secret") as own:
                    assert own.ask("CHANGE_PASSWORD secret other").startswith("+OK")
                password = "other"
            case "deleted and made again":
                assert other.ask(f"DELETE_USER {name}").startswith("+OK")
                assert other.ask(f"ADD_USER {name} secret").startswith("+OK")
        assert client.ask("CURR_CONNEC") == "-ERR [AUTH] session ended, log in again"
        assert client.ask("CURR_CONNEC") == "-ERR [AUTH] log in first, with USER and PASS"
        assert client.log_in(name, password) == f"+OK logged in as {name} (user)"
        assert client.listing("CURR_CONNEC") == []


def test_a_wrong_old_password_ends_no_login(gateway: Gateway, service: Service) -> None:
    with gateway.log_in(service.account().name, "secret") as client:
        for _ in range(3):
            reply = client.ask("CHANGE_PASSWORD wrong other")
            assert reply == "-ERR [AUTH] the old password is wrong"
        assert client.listing("CURR_CONNEC") == []


def test_a_wrong_logins_delay_holds_up_nobody_else(tmp_path: Path) -> None:
    slow = {"POP3_MIN_LOGIN_DELAY": "60", "POP3_MAX_LOGIN_DELAY": "60"}
    with (
        daemon.running(tmp_path, environment=slow) as service,
        gateways.running(service.grpc_target) as gateway,
        gateway.connect() as wrong,
    ):
        wrong.send(b"USER default\r\nPASS wrong\r\n")
        assert wrong.line().startswith(b"+OK")
        with gateway.log_in() as client:
            assert client.ask("NOOP") == "+OK"
        assert select.select([wrong.socket], [], [], 0)[0] == []
        assert service.stop() == 0  # which ends the delay: the gateway waits for its answer


def test_the_log_tells_every_session_and_never_a_password(service: Service) -> None:
    name = service.account().name
    with own_gateway(service) as gateway:
        with gateway.connect() as client:
            client.log_in(name, "hushA")
            client.ask("PASS hushB")
            client.ask("PASSWORD hushC")
            client.ask("hushD")
            client.ask("USER a hushE")
            client.ask("PASS hushF" + "\x01")
            client.ask("PASS hushG" + "x" * LINE_LIMIT)
            client.log_in(name, "secret")
            client.ask("CHANGE_PASSWORD hushH hushI")
            client.ask("CHANGE_PASSWORD secret hushJ hushK")
            assert client.ask("CHANGE_PASSWORD secret hushL").startswith("+OK")
            host, port = client.socket.getsockname()
        with gateway.log_in() as client:
            client.ask(f"ADD_USER {name} hushM")
            reply = client.ask(f"RESET_USER_PASSWORD {name}")
            assert reply.startswith(f"+OK new password of {name}: ")
            client.ask("QUIT")
        assert gateway.stop() == 0
        wait_for(lambda: 'event="gateway stopped"' in gateway.log[-1])
        log = "".join(gateway.log)
    assert "hush" not in log
    assert reply.rpartition(" ")[2] not in log
    ended = [line for line in gateway.log if 'event="session ended"' in line]
    assert len(ended) == 2
    assert f"peer={host}:{port} account={name} " in ended[0]


# --- limits --------------------


def test_many_connections_at_once_are_served_each_with_its_own_login(
    gateway: Gateway, service: Service
) -> None:
    names = [service.account().name for _ in range(5)]
    clients = [(names[number % 5], gateway.connect()) for number in range(300)]
    for name, client in clients:
        client.send(f"USER {name}\r\nPASS secret\r\n".encode())
    for name, client in clients:
        assert client.line().startswith(b"+OK User name accepted")
        assert client.line() == f"+OK logged in as {name} (user)\r\n".encode()
        client.send(b"CURR_CONNEC\r\nUSERS\r\nQUIT\r\n")
    for name, client in clients:
        assert client.line() == f"+OK 0 connections of {name} now\r\n".encode()
        assert client.body() == b""
        assert (
            client.line()
            == b"-ERR [DENIED] your role does not allow this; WHOAMI lists your rights\r\n"
        )
        assert client.line() == b"+OK bye\r\n"
        assert client.at_end()
        client.close()


def test_one_connection_too_many_is_told_so_until_another_leaves(service: Service) -> None:
    with own_gateway(service, "--max-connections", "2") as gateway:
        first, second = gateway.connect(), gateway.connect()
        with gateway.connect() as third:
            assert third.greeting == b"-ERR [LIMIT] too many connections, try again later\r\n"
            assert third.at_end()
        assert second.ask("QUIT") == "+OK bye"
        assert second.at_end()
        ready = b"+OK SCMP scmp.test Valija v0.1.0 ready\r\n"

        def third_is_served() -> bool:
            with gateway.connect() as third:
                return third.greeting == ready and third.ask("NOOP") == "+OK"

        wait_for(third_is_served)
        assert first.ask("NOOP") == "+OK"
        first.close()
        second.close()


def test_an_admin_that_does_not_read_stops_nobody(gateway: Gateway) -> None:
    with gateway.log_in() as deaf, gateway.log_in() as client:
        deaf.socket.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while True:  # until nobody takes it any more
                deaf.send(b"STATUS\r\n" * 1000)
        assert client.ask("BYTES_TRANS").startswith("+OK ")


def test_a_silent_client_is_closed(service: Service) -> None:
    with own_gateway(service, "--idle-timeout", "2") as gateway:
        with gateway.connect() as silent:
            silent.send(b"NOO")  # half a command is silence too
            assert silent.at_end()
        told = 1

        def silent_after_login() -> bool:
            """Log in and be silent; a busy machine can be silent before that."""
            nonlocal told
            with gateway.connect() as admin, contextlib.suppress(OSError, AssertionError):
                told += 1
                logged_in = admin.log_in("default", "default").startswith("+OK")
                return admin.at_end() and logged_in
            return False

        wait_for(silent_after_login)
        wait_for(lambda: sum(" reason=idle " in line for line in gateway.log) == told)


# --- either one going away --------------------


@pytest.mark.attack(54, "service down")
def test_a_service_that_is_away_is_told_at_once_and_found_when_it_is_back(tmp_path: Path) -> None:
    unavailable = "-ERR [UNAVAILABLE] the service cannot be reached"
    target = f"127.0.0.1:{kept_port()}"
    port = {"POP3_GRPC_LISTEN": target}
    with daemon.running(tmp_path, environment=port):
        pass  # what it makes at its first start is there

    def login_works(client: Pop3) -> bool:
        reply = client.log_in("default", "default")
        assert reply == unavailable or reply.startswith("+OK logged in"), reply
        return reply != unavailable

    with (
        gateways.running(target, "--deadline", str(DEADLINE_S)) as gateway,
        gateway.connect(2 * DEADLINE_S) as client,
    ):
        # It was not there when the gateway began.
        began_s = time.monotonic()
        assert client.log_in("default", "default") == unavailable
        assert client.ask("USERS") == "-ERR [AUTH] log in first, with USER and PASS"
        assert time.monotonic() - began_s < DEADLINE_S / 2
        with daemon.running(tmp_path, environment=port):
            wait_for(lambda: login_works(client))
            assert client.listing("USERS") == ["default admin sessions=0"]
        # It has gone while somebody is logged in.
        began_s = time.monotonic()
        for command in ("USERS", "STATUS", "ADD_USER a b", "CURR_CONNEC"):
            assert client.ask(command) == unavailable
        assert time.monotonic() - began_s < DEADLINE_S / 2
        assert client.ask("NOOP") == "+OK"
        # It is back, and knows of no login from before.
        with daemon.running(tmp_path, environment=port):
            wait_for(lambda: client.ask("USERS") != unavailable)
            assert client.ask("USERS") == "-ERR [AUTH] log in first, with USER and PASS"
            assert login_works(client)
            assert client.listing("USERS") == ["default admin sessions=0"]


def test_a_service_that_does_not_answer_is_told_after_the_deadline(tmp_path: Path) -> None:
    with (
        daemon.running(tmp_path) as service,
        gateways.running(service.grpc_target, "--deadline", "0.5") as gateway,
        gateway.log_in() as client,
        gateway.connect() as other,
    ):
        service.process.send_signal(signal.SIGSTOP)
        try:
            in_progress(client, "USERS")
            assert other.ask("NOOP") == "+OK"
            assert client.line().startswith(b"-ERR [UNAVAILABLE] ")
        finally:
            service.process.send_signal(signal.SIGCONT)
        wait_for(lambda: client.ask("USERS") == "+OK 1 accounts")
        assert client.body() == b"default admin sessions=0\r\n"


def test_sigterm_lets_the_command_in_progress_finish_and_exits_with_0(tmp_path: Path) -> None:
    with (
        daemon.running(tmp_path) as service,
        gateways.running(service.grpc_target) as gateway,
        gateway.log_in() as busy,
        gateway.connect() as idle,
    ):
        service.process.send_signal(signal.SIGSTOP)
        try:
            in_progress(busy, "USERS", "ADD_USER ana secret")
            gateway.terminate()
            assert idle.at_end()
            with pytest.raises(ConnectionRefusedError):
                gateway.connect()
            gateway.terminate()  # once more does no harm
        finally:
            service.process.send_signal(signal.SIGCONT)
        assert busy.line() == b"+OK 1 accounts\r\n"
        assert busy.body() == b"default admin sessions=0\r\n"
        assert busy.line() == b"-ERR [UNAVAILABLE] gateway is stopping\r\n"
        assert busy.at_end()
        for client in (busy, idle):  # whose ends it would wait for
            client.close()
        assert gateway.process.wait(60) == 0
        wait_for(lambda: 'event="gateway stopped"' in gateway.log[-1])
        assert "Traceback" not in "".join(gateway.log)


# --- the command line --------------------


def scmp_gateway(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("scmp-gateway")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)


def test_check_tells_whether_a_gateway_is_there(service: Service) -> None:
    with own_gateway(service) as gateway:
        assert scmp_gateway("--check", "--port", str(gateway.port)).returncode == 0
        assert gateway.stop() == 0
        assert scmp_gateway("--check", "--port", str(gateway.port)).returncode == 1
    # A POP3 server is no gateway.
    assert scmp_gateway("--check", "--port", str(service.daemon.pop3)).returncode == 1


def test_a_port_that_is_taken_is_told_in_one_line(gateway: Gateway) -> None:
    ended = scmp_gateway("--port", str(gateway.port))
    assert ended.returncode == 1
    assert ended.stderr == "scmp-gateway: cannot listen: Address already in use\n"


@pytest.mark.parametrize(
    "arguments",
    [("--port", "65536"), ("--port", "²"), ("--idle-timeout", "0"), ("--max-connections", "-1"),
     ("--deadline", "nan"), ("--log-format", "xml"), ("--no-such",), ("argument",)],
)  # fmt: skip
def test_an_option_that_cannot_be_used_is_told(arguments: tuple[str, ...]) -> None:
    ended = scmp_gateway(*arguments)
    assert ended.returncode == 2
    told = ended.stderr.splitlines()[-1]
    assert told.startswith("scmp-gateway: error: ")
    assert arguments[0].strip("-").replace("-", "_") in told.replace("-", "_")

"""kill -9 of a worker at any point: what was answered stays true, and nothing else is lost."""

import contextlib
import os
import random
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import scale
from component.conftest import Mailbox, Service
from support import daemon
from support.events import wait_for
from support.pop3 import Pop3

MESSAGES = 40


@pytest.fixture
def pair(tmp_path: Path):
    """A service of two workers, without delays."""
    settings = {"POP3_MIN_LOGIN_DELAY": "0", "POP3_MAX_LOGIN_DELAY": "0"}
    with daemon.running(tmp_path, workers=2, environment=settings, measured=True) as running:
        yield Service(running)


def restarts(service: Service) -> int:
    return service.manage(lambda admin: admin.get_status()).worker_restart_count


def workers(service: Service) -> set[int]:
    return {pid for pid, what in service.daemon.pids().items() if what == "worker"}


def worker_of(service: Service, client: Pop3) -> int:
    """The worker that has a connection's other end."""
    ends = service.daemon.pop3, client.socket.getsockname()[1]
    [inode] = (
        words[9]
        for words in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if tuple(int(word.rpartition(":")[2], 16) for word in words[1:3]) == ends
    )
    [worker] = (pid for pid in workers(service) if f"socket:[{inode}]" in descriptors(pid))
    return worker


def descriptors(pid: int) -> Iterator[str]:
    """What a process has open; nothing if it has just ended."""
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                yield os.readlink(path)


def log_in_again(service: Service, box: Mailbox) -> Pop3:
    """Log in to a maildrop whose worker was killed: its lock is free once that one is gone."""

    def attempt() -> bool:
        nonlocal client
        client.close()
        client = service.connect()
        return client.log_in(box.name) == "+OK Logged in"

    client = service.connect()
    wait_for(attempt)
    return client


# A worker that dies again and again is kept waiting for its next start, and the test with it.
@pytest.mark.attack(35, "kill")
@pytest.mark.timeout(300 + 10 * scale.KILLS)
def test_no_deletion_is_lost_or_made_up_wherever_a_worker_is_killed(pair: Service) -> None:
    """A message goes only if DELE and QUIT were sent; what was answered +OK is gone."""
    random_ = random.Random(35)
    wire = {number: b"message %d\r\n" % number * 3000 for number in range(1, MESSAGES + 1)}
    answered = unanswered = 0
    for round_ in range(scale.KILLS):
        box = pair.account(*(body.replace(b"\r\n", b"\n") for body in wire.values()))
        marked = random_.sample(range(1, MESSAGES + 1), 20)
        with pair.connect() as client:
            assert client.log_in(box.name) == "+OK Logged in"
            victim = worker_of(pair, client)
            commands = [b"DELE %d\r\n" % number for number in marked]
            commands.append(b"RETR %d\r\n" % random_.choice(sorted(set(wire) - set(marked))))
            with_quit = round_ % 3 != 0
            client.send(b"".join(commands) + (b"QUIT\r\n" if with_quit else b""))
            received = read_then_kill(client, victim, random_)
        bye = b"messages deleted, bye" in received
        answered += bye
        unanswered += not bye
        with log_in_again(pair, box) as again:
            kept = {int(line.split()[1].split("M")[1].split("P")[0])
                    for line in again.listing("UIDL")}  # fmt: skip
            gone = set(wire) - kept
            if bye:
                assert gone == set(marked)
            elif with_quit:
                assert gone <= set(marked)  # how far it came is not known, but no further
            else:
                assert gone == set()
            for place, number in enumerate(sorted(kept), 1):
                assert again.ask_many(f"RETR {place}")[1] == wire[number]
            again.ask("QUIT")
    print(f"\n{scale.KILLS} kills: {answered} after the answer to QUIT, {unanswered} before it")
    wait_for(lambda: restarts(pair) == scale.KILLS)
    wait_for(lambda: not pair.sessions())
    status = pair.manage(lambda admin: admin.get_status())
    assert status.current_connection_count == 0
    assert status.logged_in_session_count == 0
    assert status.deleted_message_count >= 0


def read_then_kill(client: Pop3, victim: int, random_: random.Random) -> bytes:
    """Read up to a random octet, or to the very end, kill, and give all that came."""
    wanted = random_.choice((0, random_.randrange(1000), random_.randrange(50_000), 10**9))
    received = b""
    client.socket.settimeout(60)
    try:
        while len(received) < wanted:
            ready, _, _ = select.select([client.socket], [], [], 0.5)
            octets = client.socket.recv(min(65536, wanted - len(received))) if ready else b""
            if not octets:
                break
            received += octets
        os.kill(victim, signal.SIGKILL)
        while octets := client.socket.recv(65536):
            received += octets
    except ConnectionResetError:
        pass
    return received


def test_a_killed_worker_comes_back_and_the_other_ones_sessions_go_on(pair: Service) -> None:
    boxes, clients, owners = [], [], []
    before = workers(pair)
    while set(owners) != before:  # until both have sessions
        boxes.append(pair.account(b"one\n"))
        clients.append(pair.connect())
        assert clients[-1].log_in(boxes[-1].name) == "+OK Logged in"
        owners.append(worker_of(pair, clients[-1]))
    victim = owners[0]
    os.kill(victim, signal.SIGKILL)
    for client, owner in zip(clients, owners, strict=True):
        if owner == victim:
            assert client.at_end()
        else:
            assert client.ask("STAT") == "+OK 1 5"
    wait_for(lambda: len(workers(pair)) == 2 and victim not in workers(pair))
    wait_for(lambda: restarts(pair) == 1)
    status = pair.manage(lambda admin: admin.get_status())
    assert 0 <= status.current_connection_count <= len(clients)
    with log_in_again(pair, boxes[0]) as client:
        assert client.ask("STAT") == "+OK 1 5"


def test_no_connection_that_waits_is_reset_when_its_worker_is_killed(pair: Service) -> None:
    """The listening sockets outlive a worker: what waits in their queues is served later."""
    stopped = sorted(workers(pair))
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    waiting = []
    for _ in range(50):
        sock = socket.create_connection(("127.0.0.1", pair.daemon.pop3), 60)
        waiting.append(sock)
    for pid in stopped:
        os.kill(pid, signal.SIGKILL)
    for sock in waiting:
        assert sock.recv(100).startswith(b"+OK POP3")
        sock.close()
    wait_for(lambda: restarts(pair) == 2)


def test_workers_end_when_the_supervisor_is_killed(pair: Service) -> None:
    box = pair.account(b"one\n")
    with pair.connect() as client:
        client.log_in(box.name)
        fds = [os.pidfd_open(pid) for pid in workers(pair)]
        pair.daemon.process.kill()
        assert client.at_end()
    for fd in fds:
        assert select.select([fd], [], [], 60)[0] == [fd]
        os.close(fd)
    assert box.files() == {"1001.M1P1.host"}


def test_a_worker_knows_neither_grpc_nor_sql() -> None:
    """The data plane stays small: what it imports, it has in memory."""
    told = os.popen(
        f"{sys.executable} -c 'import sys, pop3_service.worker.process;"
        "print(*sorted({name.split(chr(46))[0] for name in sys.modules}))'"
    ).read()
    assert "pop3_service" in told.split()
    assert not {"grpc", "google", "sqlalchemy", "alembic", "argon2", "scramp"} & set(told.split())

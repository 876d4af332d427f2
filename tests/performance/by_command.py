"""A very large mailbox, command by command. It takes minutes, and so is measured when asked for."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from statistics import median

from performance.bench import LOGIN, Bench
from performance.figures import Case, Metric
from performance.mailboxes import message, user_name
from performance.native import PASSWORD, Play

COMMANDS = ("PASS", "STAT", "LIST", "UIDL")
WARM_SESSIONS = 5
VARIED = 100
"""Messages that are made; the mailbox has each of them many times."""


def mailbox_by_command(bench: Bench) -> None:
    """Time to the end of each reply: a server's first session in the mailbox, and later ones.

    The account has logged in before, while its mailbox was empty, so that its password is known.
    """
    count = bench.sizes.huge_messages
    varied = [message(2_000 + n * 37 % 2_000, n) for n in range(VARIED)]
    messages = [varied[n % VARIED] for n in range(count)]
    about = f"{count:,} messages of 2-4 KB, by command; cold: a just started server"
    login = Play(LOGIN, 1, 1, once=True)
    with bench.case("mailbox-100k", about) as case, bench.mailboxes(messages, 1) as mail:
        for _ in range(min(bench.sizes.rounds, 3)):
            for server in (*bench.ours(), bench.dovecot(), bench.tuned()):
                mail.clear()
                mail.forget_indexes()
                with ExitStack() as stack:
                    for name, running in bench.start(stack, case, [server], mail).items():
                        bench.play(case, name, running, mail, login, tls=False)
                        mail.deliver_anew(seen=True)
                        _note(bench, case, name, running.port, count)


def _note(bench: Bench, case: Case, name: str, port: int, count: int) -> None:
    try:
        cold = _session(port, count)
        warm = [_session(port, count) for _ in range(WARM_SESSIONS)]
    except (OSError, ValueError) as error:
        case.wrong(name, [str(error)])
        return
    for command in COMMANDS:
        case.add(Metric(f"{command}, cold", "ms", less=True), name, cold[command])
        value = median(it[command] for it in warm)
        case.add(Metric(f"{command}, warm", "ms", less=True), name, value)
    told = ", ".join(f"{command} {took:,.1f}" for command, took in cold.items())
    bench.say(f"  {name:16} cold, ms: {told}")


def _session(port: int, count: int) -> dict[str, float]:
    """Milliseconds by command.

    Raises:
        ValueError: a reply was not right.
    """
    took = {}
    with socket.create_connection(("127.0.0.1", port), 600) as client:
        _reply(client, b"\r\n")
        client.sendall(f"USER {user_name(0)}\r\n".encode())
        _reply(client, b"\r\n")
        for command in COMMANDS:
            line = f"PASS {PASSWORD}" if command == "PASS" else command
            began_s = time.perf_counter()
            client.sendall(f"{line}\r\n".encode())
            reply = _reply(client, b"\r\n.\r\n" if command in ("LIST", "UIDL") else b"\r\n")
            took[command] = (time.perf_counter() - began_s) * 1000
            if command == "STAT" and int(reply.split()[1]) != count:
                raise ValueError(f"not {count} messages: {reply!r}")
            if command in ("LIST", "UIDL") and reply.count(b"\r\n") != count + 2:
                raise ValueError(f"{command} has not {count} lines")
        client.sendall(b"QUIT\r\n")
        _reply(client, b"\r\n")
    return took


def _reply(client: socket.socket, end: bytes) -> bytes:
    """Read up to the end of a positive reply."""
    pieces = [client.recv(1 << 20)]
    tail = pieces[0][-8:]
    while not tail.endswith(end) and pieces[-1]:
        pieces.append(client.recv(1 << 20))
        tail = (tail + pieces[-1])[-8:]
    reply = b"".join(pieces)
    if not reply.startswith(b"+OK") or not reply.endswith(end):
        raise ValueError(f"a wrong reply: {reply[:80]!r}")
    return reply

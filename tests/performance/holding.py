"""Modes that hold sessions: what an idle one costs, and what it costs the others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import linear_regression

from performance.bench import LOGIN, WARMING_S, Bench, sessions_per_s
from performance.figures import FIXED, LOSS, SESSIONS, SLOPE, Case
from performance.mailboxes import Mailboxes, message
from performance.native import Play, RunFailed
from performance.servers import CannotStart, Running, Server
from performance.work import ELEVEN_KB, POLL

SMALL_MAILBOX = [message(1_000, n) for n in range(5)]
MIDDLING = 100
"""Sessions from which the slope is taken: first ones fill what is shared."""


def idle(bench: Bench, *, tls: bool) -> None:
    """Log in session after session, and read the memory of all processes on the way."""
    ours, peers = bench.sizes.idle_points, bench.sizes.peer_idle_points
    limit = peers[-1] + 100
    points: list[tuple[Server, Sequence[int]]] = [
        *((server, ours) for server in bench.ours(cheap_passwords=True)),
        (bench.dovecot("dovecot-tuned", tuned=True, sessions=limit), peers),
        (bench.shared(sessions=limit), peers),
    ]
    if not tls:
        points.append((bench.dovecot(sessions=limit), peers))
    about = f"PSS of all processes up to {ours[-1]:,} sessions (Dovecot: {peers[-1]:,})"
    name, about = ("idle-tls", f"in TLS; {about}") if tls else ("idle", about)
    with bench.case(name, about) as case, bench.mailboxes(SMALL_MAILBOX, ours[-1]) as mail:
        case.note("our accounts have passwords of low cost here, and the peers' are PLAIN")
        for server, stages in points:
            try:
                with server.running(mail, bench.server_cores) as running:
                    _read_memory(bench, case, server.name, running, mail, stages, tls=tls)
            except CannotStart as error:
                case.absent(server.name, str(error))


def _read_memory(
    bench: Bench,
    case: Case,
    name: str,
    running: Running,
    mailboxes: Mailboxes,
    stages: Sequence[int],
    *,
    tls: bool,
) -> None:
    port = running.tls_port if tls else running.port
    if port is None:
        case.without_tls(name, certificate=bench.certificate is not None)
        return
    play = Play(LOGIN, stages[-1], stages[-1])
    held = bench.load.hold(port, mailboxes, play, tls=tls)
    pss_kb = {}
    try:
        for sessions in stages:
            held.grow(sessions)
            running.settle()
            pss_kb[sessions] = running.pss_kb()
        result = held.end()
    except RunFailed as error:
        case.wrong(name, [str(error)])
        return
    finally:
        held.kill()
    if result.errors:
        case.wrong(name, result.first_errors)
        return
    several = {n: kb for n, kb in pss_kb.items() if n >= MIDDLING}
    line = linear_regression(*zip(*(several if len(several) > 1 else pss_kb).items(), strict=True))
    case.add(SLOPE, name, line.slope)
    case.add(FIXED, name, pss_kb[0] / 1000)
    bench.say(f"  {name:16} {line.slope:.1f} KB a session, {pss_kb[0] / 1000:.0f} MB without any")


def idle_while_others_work(bench: Bench) -> None:
    """Poll with and without very many idle sessions, in turns; how much slower is it with them?"""
    idle_ones, clients = bench.sizes.held_sessions, bench.sizes.crowds[0]
    users = bench.sizes.polled_users
    play = Play(POLL, clients, users, first_user=idle_ones, seconds=bench.sizes.seconds)
    warming = Play(POLL, clients, users, first_user=idle_ones, seconds=WARMING_S, once=True, sums=1)
    about = f"{idle_ones:,} idle sessions while {clients} clients poll"
    with (
        bench.case("idle-work", about) as case,
        bench.mailboxes([], idle_ones) as idle_mail,
        bench.mailboxes(ELEVEN_KB, users, idle_ones, idle_mail) as mail,
        ExitStack() as stack,
    ):
        case.note("our accounts have passwords of low cost here")
        # One with as many accounts as both sets have users.
        everyone = Mailboxes(idle_mail.folder, [], idle_ones + users)
        servers = bench.ours(cheap_passwords=True)
        for name, running in bench.start(stack, case, servers, everyone).items():
            for _ in range(min(bench.sizes.rounds, 3)):
                if name in case.errors:
                    break
                bench.play(case, name, running, mail, warming, tls=False)
                alone = bench.play(case, name, running, mail, play, tls=False)
                bench.note(case, name, alone, {SESSIONS: sessions_per_s})
                held = bench.load.hold(running.port, idle_mail, Play(LOGIN, idle_ones, idle_ones))
                try:
                    held.grow(idle_ones)
                    running.settle()
                    bench.play(case, name, running, mail, warming, tls=False)
                    crowded = bench.play(case, name, running, mail, play, tls=False)
                    if (ended := held.end()).errors:
                        case.wrong(name, ended.first_errors)
                except RunFailed as error:
                    case.wrong(name, [str(error)])
                    break
                finally:
                    held.kill()
                if alone and crowded:
                    lost = 1 - sessions_per_s(crowded) / sessions_per_s(alone)
                    case.add(LOSS, name, lost * 100)
                    bench.say(f"  {name:16} {lost:.1%} lost")

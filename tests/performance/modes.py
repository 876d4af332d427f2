"""The modes: what clients do, against whom, and what is measured. ``MODES`` names them all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

import argon2

from performance import holding
from performance.bench import (
    LOGIN,
    WARMING_S,
    Bench,
    commands_per_s,
    megabytes_per_s,
    p99_ms,
    sessions_per_s,
)
from performance.by_command import mailbox_by_command
from performance.figures import (
    COLD,
    COMMANDS,
    FIRST_READING,
    P99,
    READ_AGAIN,
    SESSIONS,
    THROUGHPUT,
    WARM,
)
from performance.mailboxes import message
from performance.native import PASSWORD, Play, Result
from performance.transforming import transform
from performance.work import ELEVEN_KB, POLL

ARGON2 = "{ARGON2ID}"
AUTH_CACHE = "auth_cache_size = 100 M\nauth_cache_ttl = 1 hour\n"
FSYNC = "mail_fsync = always\n"


def sessions(bench: Bench) -> None:
    """Poll: log in, STAT, UIDL, five RETR of about 11 KB, QUIT; by crowds of clients."""
    fewest = bench.sizes.crowds[0]
    for clients in bench.sizes.crowds:
        users = max(bench.sizes.polled_users, clients)
        servers = [*bench.ours(), bench.tuned()]
        if clients == fewest:
            servers.append(bench.dovecot())
        servers += [bench.shared(), bench.ceiling()]
        name = "sessions" if clients == fewest else f"sessions-{clients}"
        about = f"10 commands, 5 RETR of 11 KB; {clients} clients"
        with bench.case(name, about) as case, bench.mailboxes(ELEVEN_KB, users) as mail:
            play = Play(POLL, clients, users, seconds=bench.sizes.seconds)
            bench.compare(case, servers, mail, play, {SESSIONS: sessions_per_s, P99: p99_ms})


def sessions_argon2(bench: Bench) -> None:
    """The same with passwords as argon2id hashes on both sides, and Dovecot's cache on."""
    cost = argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
    peer = bench.dovecot(
        "dovecot-argon2", tuned=True, extra=AUTH_CACHE, password=ARGON2 + cost.hash(PASSWORD)
    )
    clients, users = bench.sizes.crowds[0], bench.sizes.polled_users
    about = f"the same users again and again, argon2id (19 MiB, 2 passes) everywhere; {clients}"
    with (
        bench.case("sessions-argon2", about + " clients") as case,
        bench.mailboxes(ELEVEN_KB, users) as mail,
    ):
        play = Play(POLL, clients, users, seconds=bench.sizes.seconds)
        bench.compare(case, [*bench.ours(), peer], mail, play, {SESSIONS: sessions_per_s})


def sessions_tls(bench: Bench) -> None:
    """The same in TLS, with a full handshake each."""
    clients, users = bench.sizes.crowds[0], bench.sizes.polled_users
    about = f"in TLS, a full handshake each, ECDSA P-256; {clients} clients"
    with (
        bench.case("sessions-tls", about) as case,
        bench.mailboxes(ELEVEN_KB, users) as mail,
    ):
        play = Play(POLL, clients, users, seconds=bench.sizes.seconds)
        servers = [*bench.ours(), bench.tuned(), bench.shared(), bench.dovecot()]
        metrics = {SESSIONS: sessions_per_s, P99: p99_ms}
        bench.compare(case, servers, mail, play, metrics, tls=True)


def both_cores(bench: Bench) -> None:
    """Two workers; servers and load share both cores."""
    bench = bench.on_both_cores()
    clients, users = bench.sizes.crowds[0], bench.sizes.polled_users
    about = f"two workers, servers and load on both cores; {clients} clients"
    with (
        bench.case("both-cores", about) as case,
        bench.mailboxes(ELEVEN_KB, users) as mail,
    ):
        play = Play(POLL, clients, users, seconds=bench.sizes.seconds)
        servers = [*bench.ours(workers=2), bench.tuned(), bench.shared(), bench.ceiling()]
        metrics = {SESSIONS: sessions_per_s, P99: p99_ms}
        bench.compare(case, servers, mail, play, metrics)


def drain(bench: Bench) -> None:
    """Read and delete 20 fresh messages of 4 KB, QUIT; until the supply is used up."""
    count, users = 20, bench.sizes.drained_users
    pairs = itertools.chain.from_iterable((f"RETR {n}", f"DELE {n}") for n in range(1, count + 1))
    play = Play(("USER", "PASS", "STAT", *pairs, "QUIT"), bench.sizes.crowds[0], users,
                seconds=10 * WARMING_S, once=True)  # fmt: skip
    servers = [
        *bench.ours(),
        bench.tuned(),
        bench.dovecot("dovecot-fsync", tuned=True, extra=FSYNC),
        bench.shared(),
        bench.dovecot(),
    ]
    about = f"20 messages of 4 KB, RETR and DELE each; {play.clients} clients, {users} maildrops"
    messages = [message(4_000, n) for n in range(count)]
    with bench.case("drain", about) as case, bench.mailboxes(messages, users) as mail:
        plays = {SESSIONS: (play, sessions_per_s)}
        bench.compare_new_mail(case, servers, mail, plays, drained=True)


def retr_5k(bench: Bench) -> None:
    """RETR of 5 KB, a hundred a session."""
    messages = [message(5_000, n) for n in range(20)]
    script = ("USER", "PASS", *(f"RETR {1 + n % 20}" for n in range(100)), "QUIT")
    clients, users = bench.sizes.crowds[0], bench.sizes.polled_users
    about = f"RETR of 5 KB, 100 a session; {clients} clients"
    with bench.case("retr-5k", about) as case, bench.mailboxes(messages, users) as mail:
        servers = [*bench.ours(), bench.tuned(), bench.shared(), bench.ceiling()]
        play = Play(script, clients, users, seconds=bench.sizes.seconds)
        bench.compare(case, servers, mail, play, {THROUGHPUT: megabytes_per_s})


def retr_large(bench: Bench, *, size: str, tls: bool) -> None:
    """RETR of large messages, stored with LF: new mail for the first time, then again."""
    if size == "1m":
        octets, count, clients, users = 1_000_000, 4, 8, bench.sizes.megabyte_users
    else:
        octets, count = bench.sizes.fifty_megabytes, 1
        clients, users = 2, bench.sizes.fifty_megabyte_users
    clients = min(clients, users)
    script = ("USER", "PASS", *(f"RETR {n}" for n in range(1, count + 1)), "QUIT")
    first = Play(script, clients, users, seconds=WARMING_S, once=True, sums=4)
    again = Play(script, clients, users, seconds=bench.sizes.seconds, sums=0)
    about = f"RETR of {octets / 1e6:g} MB, stored with LF{', in TLS' if tls else ''}"
    with (
        bench.case(f"retr-{size}{'-tls' if tls else ''}", f"{about}; {clients} clients") as case,
        bench.mailboxes([message(octets, n) for n in range(count)], users) as mail,
    ):
        servers = [*bench.ours(), bench.tuned(), *([] if tls else [bench.ceiling()])]
        plays = {FIRST_READING: (first, megabytes_per_s), READ_AGAIN: (again, megabytes_per_s)}
        bench.compare_new_mail(case, servers, mail, plays, tls=tls)


def small(bench: Bench, *, depth: int) -> None:
    """NOOP, STAT, LIST n and UIDL n in turn, one by one or so many in one write."""
    mix = [("NOOP", "STAT", f"LIST {n}", f"UIDL {n}") for n in range(1, len(ELEVEN_KB) + 1)]
    commands = itertools.chain.from_iterable(itertools.cycle(mix))
    script = ("USER", "PASS", *itertools.islice(commands, bench.sizes.small_commands), "QUIT")
    clients, users = bench.sizes.crowds[0], bench.sizes.polled_users
    how = "one by one" if depth == 1 else f"{depth} in one write"
    about = f"NOOP, STAT, LIST n, UIDL n, {how}; {clients} clients"
    name = "small" if depth == 1 else f"small-{depth}"
    with bench.case(name, about) as case, bench.mailboxes(ELEVEN_KB, users) as mail:
        servers = [*bench.ours(), bench.tuned(), bench.shared(), bench.ceiling()]
        play = Play(script, clients, users, seconds=bench.sizes.seconds, depth=depth)
        bench.compare(case, servers, mail, play, {COMMANDS: commands_per_s})


def mailbox(bench: Bench) -> None:
    """A whole session in a large mailbox, as a server's first in it and when it knows the mailbox.

    The account has logged in before, while its mailbox was empty, so that its password is known.
    """
    count = bench.sizes.large_messages
    script = ("USER", "PASS", "STAT", "LIST", "UIDL", "RETR 1", "QUIT")
    login = Play(LOGIN, 1, 1, once=True)
    cold = Play(script, 1, 1, seconds=WARMING_S, once=True, sums=1)
    warm = Play(script, 1, 1, seconds=bench.sizes.seconds / 2)
    messages = [message(2_000 + n * 37 % 2_000, n) for n in range(count)]
    about = f"{count:,} messages of 2-4 KB; cold: a just started server, nothing of it is known"
    with bench.case("mailbox", about) as case, bench.mailboxes(messages, 1) as mail:
        for _ in range(bench.sizes.rounds):
            for server in (*bench.ours(), bench.dovecot(), bench.tuned()):
                mail.clear()
                mail.forget_indexes()
                with ExitStack() as stack:
                    for name, running in bench.start(stack, case, [server], mail).items():
                        bench.play(case, name, running, mail, login, tls=False)
                        mail.deliver_anew(seen=True)
                        for metric, play in ((COLD, cold), (WARM, warm)):
                            result = bench.play(case, name, running, mail, play, tls=False)
                            bench.note(case, name, result, {metric: _median_ms})


def _median_ms(result: Result) -> float:
    return result.latency_ms["p50"]


MODES: dict[str, Callable[[Bench], None]] = {
    "sessions": sessions,
    "sessions-argon2": sessions_argon2,
    "sessions-tls": sessions_tls,
    "drain": drain,
    "retr-5k": retr_5k,
    "retr-1m": partial(retr_large, size="1m", tls=False),
    "retr-50m": partial(retr_large, size="50m", tls=False),
    "retr-1m-tls": partial(retr_large, size="1m", tls=True),
    "retr-50m-tls": partial(retr_large, size="50m", tls=True),
    "small": partial(small, depth=1),
    "small-20": partial(small, depth=20),
    "idle": partial(holding.idle, tls=False),
    "idle-tls": partial(holding.idle, tls=True),
    "idle-work": holding.idle_while_others_work,
    "mailbox": mailbox,
    "both-cores": both_cores,
    "transform": transform,
}
BY_NAME: dict[str, Callable[[Bench], None]] = {"mailbox-100k": mailbox_by_command}
"""Modes that take long, and are measured when they are named."""


def chosen(names: str, *, smoke: bool = False) -> Sequence[str]:
    """The modes of a list such as ``sessions,retr``; a name that is none stands for a family.

    Without names they are all there are but the long ones, which ``smoke`` makes short.

    Raises:
        ValueError: a name that no mode has or begins with.
    """
    if not names:
        return [*MODES, *(BY_NAME if smoke else ())]
    found: list[str] = []
    for name in names.split(","):
        family = [mode for mode in MODES if mode.startswith(f"{name}-")]
        meant = [name] if name in MODES | BY_NAME else family
        if not meant:
            every = ", ".join(MODES | BY_NAME)
            raise ValueError(f"there is no mode {name!r}; there are {every}")
        found.extend(mode for mode in meant if mode not in found)
    return found

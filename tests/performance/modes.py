"""The modes: what clients do, against whom, and what is measured. ``MODES`` names them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from performance.bench import Bench, p99_ms, sessions_per_s
from performance.figures import P99, SESSIONS
from performance.mailboxes import message
from performance.native import Play

ELEVEN_KB = [message(11_000 + 100 * n, n) for n in range(10)]
POLL = ("USER", "PASS", "STAT", "UIDL", *(f"RETR {n}" for n in range(1, 6)), "QUIT")

SHARED_PROCESSES = "service pop3 {\n  client_limit = 20\n  process_min_avail = 1\n}\n"
"""Beyond what Dovecot advises: many sessions in one process, where each waits for the others' disk.
It is faster so when nothing waits, and is shown beside the usual tuning."""


def sessions(bench: Bench) -> None:
    """Poll: log in, STAT, UIDL, five RETR of about 11 KB, QUIT; by crowds of clients."""
    for clients in bench.sizes.crowds:
        users = max(bench.sizes.polled_users, clients)
        first = clients == bench.sizes.crowds[0]
        servers = [*bench.ours(), bench.dovecot("dovecot-tuned", tuned=True)]
        if first:
            servers.append(bench.dovecot())
        servers += [
            bench.dovecot("dovecot-shared", tuned=True, extra=SHARED_PROCESSES),
            bench.ceiling(),
        ]
        name = "sessions" if first else f"sessions-{clients}"
        about = f"10 commands, 5 RETR of 11 KB; {clients} clients"
        with bench.case(name, about) as case, bench.mailboxes("polled", ELEVEN_KB, users) as mail:
            play = Play(POLL, clients, users, seconds=bench.sizes.seconds)
            bench.compare(case, servers, mail, play, {SESSIONS: sessions_per_s, P99: p99_ms})


MODES: dict[str, Callable[[Bench], None]] = {
    "sessions": sessions,
}


def chosen(names: str) -> Sequence[str]:
    """The modes of a list such as ``sessions,retr``; a name stands for all that begin with it.

    Raises:
        ValueError: a name that no mode has.
    """
    if not names:
        return list(MODES)
    found: list[str] = []
    for name in names.split(","):
        several = [mode for mode in MODES if mode == name or mode.startswith(f"{name}-")]
        exact = [name] if name in MODES else several
        if not exact:
            raise ValueError(f"there is no mode {name!r}; there are {', '.join(MODES)}")
        found.extend(mode for mode in exact if mode not in found)
    return found

"""What transforms cost: RETR without one, through ``cat``, and through a program in Python."""

from __future__ import annotations

from performance.bench import WARMING_S, Bench
from performance.figures import FIRST_RETR, SECOND_RETR
from performance.native import Play, Result
from performance.valija import Valija
from performance.work import ELEVEN_KB

TRANSFORMS = {"cat": "cat", "python": "valija-transform defang"}
"""Both give this mail as it is, so that every octet can be checked."""
CLIENTS = 10


def transform(bench: Bench) -> None:
    """New mail for the first time, when every message is a run, and then again."""
    users = bench.sizes.transformed_users
    script = ("USER", "PASS", *(f"RETR {n}" for n in range(1, len(ELEVEN_KB) + 1)), "QUIT")
    clients = min(CLIENTS, users)
    first = Play(script, clients, users, seconds=10 * WARMING_S, once=True, sums=1)
    second = Play(script, clients, users, seconds=bench.sizes.seconds)
    about = f"RETR of 11 KB, nothing is transformed ahead; {clients} clients"
    servers = [
        *bench.ours(),
        *(Valija(bench.folder, f"valija-{name}", accounts=users, transform=command_line)
          for name, command_line in TRANSFORMS.items()),
    ]  # fmt: skip
    plays = {FIRST_RETR: (first, _retr_per_s), SECOND_RETR: (second, _retr_per_s)}
    with bench.case("transform", about) as case, bench.mailboxes(ELEVEN_KB, users) as mail:
        bench.compare_new_mail(case, servers, mail, plays)


def _retr_per_s(result: Result) -> float:
    return result.sessions * len(ELEVEN_KB) / result.seconds

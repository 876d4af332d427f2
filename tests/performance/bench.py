"""The bench: what a mode works with, and the ways in which servers are compared.

Runs are interleaved: each round takes every server once, so that what the machine does meanwhile
meets them all, and ratios are of one round.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from performance.certificate import Certificate
from performance.dovecot import Dovecot
from performance.figures import Case, Metric
from performance.mailboxes import Mailboxes
from performance.native import PASSWORD, Load, Play, Result, RunFailed
from performance.responder import Ceiling
from performance.servers import CannotStart, Running, Server
from performance.sizes import Sizes
from performance.valija import Valija

WARMING_S = 60.0
"""The longest time for a pass over all users."""
BUSY = 0.9
"""From this share of its core on the load generator may be what is slow."""
LOGIN = ("USER", "PASS", "QUIT")
AT_ONCE = 10

SHARED_PROCESSES = "service pop3 {\n  client_limit = 20\n  process_min_avail = 1\n}\n"
"""Beyond what Dovecot advises: many sessions in a process, where each waits for the others' disk.
It is the faster one where nothing waits, so it is shown beside the usual tuning."""

Value = Callable[[Result], float]


def sessions_per_s(result: Result) -> float:
    """Whole sessions."""
    return result.sessions / result.seconds


def commands_per_s(result: Result) -> float:
    """Answered commands."""
    return result.commands / result.seconds


def megabytes_per_s(result: Result) -> float:
    """Octets of messages, in millions."""
    return result.octets / 1e6 / result.seconds


def p99_ms(result: Result) -> float:
    """The 99th percentile of a session's time, from connecting to the server's closing."""
    return result.latency_ms["p99"]


@dataclass
class Bench:
    """One run of the benchmark."""

    sizes: Sizes
    folder: Path
    load: Load
    ceiling_program: Path
    certificate: Certificate | None
    server_cores: Sequence[int]
    before_checkout: Path | None
    say: Callable[[str], None]
    cases: list[Case] = field(default_factory=list)

    # --- servers --------------------

    def ours(self, *, cheap_passwords: bool = False, workers: int = 0) -> list[Server]:
        """Our service, and the other version of it where one was named."""
        versions = [("valija", None)]
        if self.before_checkout:
            versions.append(("before", self.before_checkout))
        needed = max(self.sizes.polled_users, self.sizes.drained_users)
        return [
            Valija(
                self.folder,
                name,
                checkout,
                workers=workers,
                cheap_passwords=cheap_passwords,
                certificate=self.certificate,
                accounts=0 if cheap_passwords else needed,
            )
            for name, checkout in versions
        ]

    def dovecot(
        self,
        name: str = "dovecot",
        *,
        tuned: bool = False,
        extra: str = "",
        sessions: int = 0,
        password: str = "{PLAIN}" + PASSWORD,
    ) -> Server:
        """A Dovecot set-up."""
        return Dovecot(
            self.folder,
            name,
            tuned=tuned,
            extra=extra,
            sessions=sessions,
            password=password,
            certificate=self.certificate,
        )

    def tuned(self) -> Server:
        """Dovecot tuned as its own documentation advises."""
        return self.dovecot("dovecot-tuned", tuned=True)

    def shared(self, *, sessions: int = 0) -> Server:
        """The same with many sessions in one process."""
        return self.dovecot("dovecot-shared", tuned=True, extra=SHARED_PROCESSES, sessions=sessions)

    def ceiling(self) -> Server:
        """The responder that only echoes."""
        return Ceiling(self.ceiling_program, self.folder)

    # --- cases --------------------

    @contextlib.contextmanager
    def case(self, name: str, about: str) -> Iterator[Case]:
        """A comparison that takes its place in the report, whatever comes of it."""
        case = Case(name, about)
        self.cases.append(case)
        self.say(f"{name}: {about}")
        yield case

    def on_both_cores(self) -> Bench:
        """The same bench, where servers and load may use both cores."""
        both = [*self.server_cores, *self.load.cores]
        return replace(self, server_cores=both, load=replace(self.load, cores=both))

    @contextlib.contextmanager
    def mailboxes(
        self,
        messages: Sequence[bytes],
        users: int,
        first_user: int = 0,
        beside: Mailboxes | None = None,
    ) -> Iterator[Mailboxes]:
        """A set of mailboxes that goes with the block."""
        folder = self.folder / f"mailboxes-{first_user}"
        made = Mailboxes(folder, messages, users, first_user, beside).make()
        try:
            yield made
        finally:
            made.remove()

    def start(
        self,
        stack: ExitStack,
        case: Case,
        servers: Sequence[Server],
        mailboxes: Mailboxes,
        *,
        tls: bool = False,
    ) -> dict[str, Running]:
        """Start what can be started; the case says what is missing."""
        started: dict[str, Running] = {}
        for server in servers:
            try:
                running = stack.enter_context(server.running(mailboxes, self.server_cores))
            except CannotStart as error:
                case.absent(server.name, str(error))
                continue
            if tls and running.tls_port is None:
                case.without_tls(server.name, certificate=self.certificate is not None)
                continue
            started[server.name] = running
        # Told to end all at once, they end at the same time, and not one after another.
        stack.callback(lambda: [running.process.terminate() for running in started.values()])
        return started

    def play(
        self,
        case: Case,
        name: str,
        running: Running,
        mailboxes: Mailboxes,
        play: Play,
        *,
        tls: bool,
    ) -> Result | None:
        """Play a script; None when a reply was wrong, which the case then says."""
        port = running.tls_port if tls else running.port
        assert port is not None
        try:
            result = self.load.run(port, mailboxes, play, tls=tls)
        except RunFailed as error:
            case.wrong(name, [str(error)])
            return None
        if result.errors:
            case.wrong(name, [f"{result.errors} errors", *result.first_errors])
            return None
        if result.busy > BUSY and not play.once:
            case.note(f"{name}: the load generator had no time left, so this may be more")
        if tls:
            case.note(f"{name}: {result.tls}")
        return result

    def compare(
        self,
        case: Case,
        servers: Sequence[Server],
        mailboxes: Mailboxes,
        play: Play,
        metrics: dict[Metric, Value],
        *,
        tls: bool = False,
    ) -> None:
        """Play a script to each server in each round, after a checked pass over all users.

        That pass warms what a server remembers: credentials, indexes, sizes.
        """
        warming = replace(play, once=True, sums=1, seconds=WARMING_S)
        with ExitStack() as stack:
            started = self.start(stack, case, servers, mailboxes, tls=tls)
            for _ in range(self.sizes.rounds):
                for name, running in started.items():
                    if name in case.errors:
                        continue
                    result = None
                    if self.play(case, name, running, mailboxes, warming, tls=tls):
                        result = self.play(case, name, running, mailboxes, play, tls=tls)
                    self.note(case, name, result, metrics)
                    running.settle()

    def compare_new_mail(
        self,
        case: Case,
        servers: Sequence[Server],
        mailboxes: Mailboxes,
        plays: dict[Metric, tuple[Play, Value]],
        *,
        tls: bool = False,
        drained: bool = False,
    ) -> None:
        """Each round, deliver all mail anew for each server, then play one script after another.

        Before the mail comes, every user has logged in, so that credentials are known. Where the
        mail is ``drained``, none may be left.
        """
        login = Play(LOGIN, AT_ONCE, mailboxes.users, once=True, seconds=WARMING_S)
        with ExitStack() as stack:
            started = self.start(stack, case, servers, mailboxes, tls=tls)
            for _ in range(self.sizes.rounds):
                for name, running in started.items():
                    if name in case.errors:
                        continue
                    self.play(case, name, running, mailboxes, login, tls=tls)
                    mailboxes.deliver_anew()
                    for metric, (play, value) in plays.items():
                        result = self.play(case, name, running, mailboxes, play, tls=tls)
                        self.note(case, name, result, {metric: value})
                    running.settle()
                    if drained and (left := mailboxes.left()):
                        case.wrong(name, [f"{left} messages are there after their deletion"])

    def note(
        self, case: Case, name: str, result: Result | None, metrics: dict[Metric, Value]
    ) -> None:
        """Add a round's figures, and say them as they come."""
        for metric, value in metrics.items():
            number = value(result) if result else None
            case.add(metric, name, number)
            shown = "wrong replies" if number is None else f"{number:,.1f} {metric.unit}"
            self.say(f"  {name:16} {metric.name:18} {shown}")

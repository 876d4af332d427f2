"""Attacks by transforms, and on them, in the real container: whatever a program does, others read
their mail meanwhile, and nothing of it is left. The programs are in ``filters/attack``."""

from __future__ import annotations

import itertools
import select
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest

from support.compose import FILES, Project, project
from support.events import wait_for
from support.pop3 import Pop3

FILTERS = Path(__file__).parent / "filters"
ATTACK = b"From: ana@example.org\nSubject: attack\n\nline\n"
PLAIN = b"From: ana@example.org\nSubject: plain\n\nline\n.\n..dots\n"
FAILED = b"-ERR [SYS/TEMP]"
AT_ONCE = 50


class Attacked:
    """A service whose transforms attack it."""

    def __init__(self, running: Project, admin: Pop3) -> None:
        self.project = running
        self._admin = admin
        self._numbers = itertools.count(1)

    def transform(self, command_line: str) -> str:
        """Make a command line the transform of all; give the reply."""
        return self._admin.ask(f"TRANSFORM {command_line}")

    def attack_by(self, how: str) -> None:
        reply = self.transform(f"/opt/filters/attack {how}")
        assert reply.startswith("+OK"), reply

    def account(self, *messages: bytes) -> str:
        name = f"u{next(self._numbers)}"
        assert self._admin.ask(f"ADD_USER {name} secret").startswith("+OK")
        self.project.deliver(name, list(messages))
        return name

    def session(self, *messages: bytes) -> Pop3:
        """A session of a new account."""
        return self.log_in(self.account(*messages))

    def log_in(self, name: str) -> Pop3:
        client = self.project.connect()
        assert client.log_in(name) == "+OK Logged in"
        return client

    def programs(self) -> list[str]:
        """Processes that have come of transforms."""
        listed = self.project.service().top(ps_args="-eo pid,args")["Processes"] or []
        return [words[-1] for words in listed if "/opt/filters/" in words[-1]]

    def answer_beside_others(self, client: Pop3, command: bytes) -> bytes:
        """Give the first line of the reply; meanwhile another client reads mail all the time."""
        with self.session(PLAIN) as other:
            client.send(command + b"\r\n")
            while True:
                assert unstuffed(other.ask_many("RETR 1")[1]) == crlf(PLAIN)
                assert other.ask("NOOP").startswith("+OK")
                if select.select([client.socket], [], [], 0)[0]:
                    return client.line()

    def nothing_is_left(self) -> None:
        wait_for(lambda: not self.programs())


@pytest.fixture(scope="module")
def attacked(
    engine: docker.DockerClient, running: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Attacked]:
    mail = tmp_path_factory.mktemp("attacked")
    files = (*FILES, FILTERS / "compose.yml")
    with project(mail, engine, files=files, VALIJA_FILTERS=str(FILTERS)) as made:
        made.up()
        with made.admin() as admin:
            yield Attacked(made, admin)
        assert "Traceback" not in made.logs("pop3-service")


def crlf(message: bytes) -> bytes:
    return message.replace(b"\n", b"\r\n")


def unstuffed(body: bytes) -> bytes:
    return (b"\r\n" + body).replace(b"\r\n.", b"\r\n").removeprefix(b"\r\n")


def sizes(client: Pop3) -> list[int]:
    return [int(line.split()[1]) for line in client.listing("LIST")]


@pytest.mark.attack(39, "hangs", "ignores SIGTERM", "fork bomb")
@pytest.mark.attack(40, "output bomb", "part and exit 1")
@pytest.mark.attack(48)
@pytest.mark.parametrize("how", ["hang", "ignore", "bomb", "endless", "part", "unpack"])
def test_what_fails_costs_its_own_message_alone(attacked: Attacked, how: str) -> None:
    attacked.attack_by(how)
    with attacked.session(ATTACK, PLAIN) as client:
        assert attacked.answer_beside_others(client, b"RETR 1").startswith(FAILED)
        assert unstuffed(client.ask_many("RETR 2")[1]) == crlf(PLAIN)
        assert client.ask("QUIT").startswith("+OK")
    attacked.nothing_is_left()


@pytest.mark.attack(39, "daemonises")
def test_what_a_program_leaves_behind_writes_no_more(attacked: Attacked) -> None:
    attacked.attack_by("daemon")
    with attacked.session(ATTACK) as client:
        reply = attacked.answer_beside_others(client, b"RETR 1")
        assert reply.startswith(b"+OK"), reply
        body = unstuffed(client.body())
        attacked.nothing_is_left()
        assert body.startswith(crlf(ATTACK))
        assert unstuffed(client.ask_many("RETR 1")[1]) == body


@pytest.mark.attack(40, "no output")
@pytest.mark.attack(42)
@pytest.mark.parametrize("how", ["nothing", "passed-off"])
def test_framing_holds_whatever_is_printed(attacked: Attacked, how: str) -> None:
    attacked.attack_by(how)
    with attacked.session(ATTACK, PLAIN) as client:
        octets = sizes(client)
        first, body = client.ask_many("RETR 1")
        assert first == f"+OK {octets[0]} octets"
        assert len(unstuffed(body)) == octets[0]
        if how == "passed-off":
            assert unstuffed(body).split() == b"first . +OK 9 octets .. .b c last line .".split()
        assert unstuffed(client.ask_many("RETR 2")[1]) == crlf(PLAIN)
        assert client.ask("NOOP").startswith("+OK")


@pytest.mark.attack(41)
def test_input_that_is_not_read_holds_nobody_up(attacked: Attacked) -> None:
    assert attacked.transform("seq 3 | seq 5").startswith("+OK")
    large = PLAIN + b"a line that nobody reads\n" * 500_000
    with attacked.session(large) as client:
        assert client.ask_many("RETR 1")[1].split() == [b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.attack(43)
def test_nothing_can_be_seen_or_reached_but_the_message(attacked: Attacked) -> None:
    attacked.attack_by("look")
    with attacked.session(ATTACK) as client:
        told = unstuffed(client.ask_many("RETR 1")[1]).decode().splitlines()
    assert len(told) >= 18
    assert [line for line in told if not line.endswith(": refused")] == []


@pytest.mark.attack(43)
def test_a_program_that_kills_whom_it_can_can_kill_nobody(attacked: Attacked) -> None:
    attacked.attack_by("kill")
    with attacked.session(PLAIN, ATTACK) as client:
        client.ask_many("RETR 1")
        before = attacked.project.processes()
        assert unstuffed(client.ask_many("RETR 2")[1]) == crlf(ATTACK)
        assert attacked.project.processes() == before


@pytest.mark.attack(44)
@pytest.mark.parametrize(
    "line",
    ["cat ; id", "cat && id", "cat $(id)", "cat `id`", "cat > /tmp/x", "cat < /etc/passwd",
     'cat "', "cat '", "cat |", "| cat", "cat || id", "cat & id", "(cat)"],
)  # fmt: skip
def test_what_would_mean_something_to_a_shell_is_refused(attacked: Attacked, line: str) -> None:
    assert attacked.transform("OFF").startswith("+OK")
    assert attacked.transform(line).startswith("-ERR ["), line
    with attacked.session(PLAIN) as client:
        assert unstuffed(client.ask_many("RETR 1")[1]) == crlf(PLAIN)


@pytest.mark.attack(44)
def test_quoted_words_reach_the_program_as_they_are(attacked: Attacked) -> None:
    words = "; $(id) `id` | $HOME * ~"
    assert attacked.transform(f"printf '%s' \"{words}\"").startswith("+OK")
    with attacked.session(PLAIN) as client:
        assert client.ask_many("RETR 1")[1] == f"{words}\r\n".encode()


@pytest.mark.attack(44)
def test_a_command_line_of_two_lines_is_refused(attacked: Attacked) -> None:
    told = attacked.project.compose(
        "run", "--build", "--rm", "-T", "admin-cli", "transform", "use", "cat\nid",
        check=False, POP3CTL_USER="default", POP3CTL_PASSWORD="default",
    )  # fmt: skip
    assert told.returncode
    assert "control characters" in told.stderr


@pytest.mark.attack(45)
def test_a_change_in_the_middle_of_fifty_retrs_changes_none_of_them(attacked: Attacked) -> None:
    assert attacked.transform("tr a-z A-Z").startswith("+OK")
    names = [attacked.account(PLAIN) for _ in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        clients = list(threads.map(attacked.log_in, names))
        for client in clients:
            client.send(b"RETR 1\r\n")
        assert attacked.transform("tr A-Z a-z").startswith("+OK")
        for client in clients:
            assert client.line().startswith(b"+OK")
            assert unstuffed(client.body()) == crlf(PLAIN).upper()
            assert client.ask_many("RETR 1")[0].startswith("+OK")
            assert client.ask("QUIT").startswith("+OK")
            client.close()
    with attacked.log_in(names[0]) as client:
        assert unstuffed(client.ask_many("RETR 1")[1]) == crlf(PLAIN).lower()


@pytest.mark.attack(46)
@pytest.mark.attack(47)
@pytest.mark.parametrize("command", ["wc", "cat", "/opt/filters/attack grow"])
def test_what_was_told_of_sizes_is_what_is_sent(attacked: Attacked, command: str) -> None:
    """Also of a program whose output is another each time."""
    assert attacked.transform(command).startswith("+OK")
    with attacked.session(ATTACK, PLAIN, ATTACK + b"more\n") as client:
        octets = sizes(client)
        assert client.ask("STAT") == f"+OK {len(octets)} {sum(octets)}"
        for _ in range(2):
            for number, size in enumerate(octets, 1):
                first, body = client.ask_many(f"RETR {number}")
                assert first == f"+OK {size} octets"
                assert len(unstuffed(body)) == size
        assert sizes(client) == octets

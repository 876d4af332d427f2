"""The load generator sees what is wrong with a reply; nothing is measured here."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from performance.mailboxes import Mailboxes, canned_replies
from performance.native import Load, NothingToBuildWith, Play, Result, build
from performance.responder import Ceiling

MESSAGES = [
    b"Subject: one\n\n.a dot at a line's start\n..and two\n.\nend\n",
    b"Subject: two\n\n" + b"x" * 70_000 + b"\n",
    b"\n.\n",
]
SCRIPT = ("USER", "PASS", "STAT", "LIST", "UIDL", "LIST 2", "UIDL 2", "NOOP")
SCRIPT += ("RETR 1", "RETR 2", "RETR 3", "DELE 1", "QUIT")
ONE = Play(SCRIPT, clients=1, users=1, once=True, sums=1, grace_s=0.2)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("programs")
    try:
        return {name: build(name, folder) for name in ("load", "ceiling")}
    except NothingToBuildWith as missing:
        pytest.skip(f"gcc and libssl-dev are needed for this alone: {missing}")


@pytest.fixture
def mailboxes(tmp_path: Path) -> Mailboxes:
    return Mailboxes(tmp_path / "mailboxes", MESSAGES, 4).make()


@pytest.fixture
def play(programs: dict[str, Path], mailboxes: Mailboxes, tmp_path: Path) -> Callable[..., Result]:
    """Play a script to a responder, whose replies may be changed before."""

    def run(old: bytes = b"", new: bytes = b"", what: Play = ONE) -> Result:
        responder = _Changed(programs["ceiling"], tmp_path, old, new)
        with responder.running(mailboxes, ()) as running:
            return Load(programs["load"], tmp_path).run(running.port, mailboxes, what)

    return run


class _Changed(Ceiling):
    """A responder, one of whose replies is not as it should be."""

    def __init__(self, program: Path, folder: Path, old: bytes, new: bytes) -> None:
        super().__init__(program, folder)
        self.old, self.new = old, new

    def canned(self, mailboxes: Mailboxes) -> dict[str, bytes]:
        replies = super().canned(mailboxes)
        if self.old:
            assert any(self.old in reply for reply in replies.values())
        return {line: reply.replace(self.old, self.new) for line, reply in replies.items()}


def test_right_replies_have_no_errors_and_are_all_counted(play) -> None:
    result = play()
    assert (result.errors, result.sessions, result.commands) == (0, 1, len(SCRIPT))
    assert result.checked_sums == 3
    assert result.octets == sum(len(m) + m.count(b"\n") for m in MESSAGES)


def test_many_clients_twenty_deep_are_counted(play) -> None:
    script = ("USER", "PASS", *("NOOP", "STAT", "LIST 1", "UIDL 3") * 15, "RETR 1", "QUIT")
    result = play(what=Play(script, clients=4, users=4, depth=20, once=True, sums=1))
    assert (result.errors, result.sessions, result.commands) == (0, 4, 4 * len(script))


def test_clients_go_on_until_the_time_is_over(play) -> None:
    result = play(what=Play(SCRIPT, clients=2, users=4, seconds=0.2))
    assert result.errors == 0
    assert result.sessions > 4
    assert 0.2 <= result.seconds < 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"+OK Logged in", b"-ERR [AUTH] no", "reply to PASS"),
        (b"+OK ready", b"-ERR not ready", "reply to greeting"),
        (b"+OK 3 ", b"+OK 4 ", "STAT says"),
        (b"+OK 61 octets", b"+OK 60 octets", "announces 60 octets, it has 61"),
        (b"..a dot", b".a dot", "a dot that was not stuffed"),
        (b"...and two", b"..and two", "sent 60 octets of 61"),
        (b"a dot at", b"a dog at", "another content"),
        (b"\r\n..\r\nend", b"\r\n.\r\nend", "sent"),
        (b"xx\r\n.\r\n", b"xx\n.\r\n", "a line ends without CR"),
        (b"xx\r\n.\r\n", b"x\r\n.\r\n", "octets of"),
        (b"xx\r\n.\r\n", b"xx\r\n", "no end within"),
        (b"end\r\n.\r\n", b"end\r\n.\r\n.\r\n", "octets that nothing asked for"),
        (b"\r\n2 id2\r\n", b"\r\n", "UIDL lists 3 id3 as entry 2"),
        (b"\r\n3 id3\r\n.", b"\r\n.", "UIDL lists 2 messages of 3"),
        (b"2 id2\r\n", b"2 i d\r\n", "UIDL lists"),
        (b"+OK bye\r\n", b"+OK bye\r\nmore", "octets that nothing asked for"),
        (b"+OK deleted\r\n", b"+OK deleted\n", "without CR"),
    ],
)
def test_a_wrong_reply_is_an_error(play, old: bytes, new: bytes, said: str) -> None:
    result = play(old, new)
    assert result.errors == 1
    assert said in result.first_errors[0]
    assert result.sessions == 0


def test_replies_are_the_same_however_they_are_cut(
    programs: dict[str, Path], mailboxes: Mailboxes, tmp_path: Path
) -> None:
    replies = canned_replies(MESSAGES)
    script = ("USER", "PASS", "UIDL", "RETR 1", "RETR 3", "QUIT")
    with _octet_by_octet(replies) as port:
        what = Play(script, clients=1, users=1, once=True, sums=1)
        result = Load(programs["load"], tmp_path).run(port, mailboxes, what)
    assert (result.errors, result.checked_sums) == (0, 2)


@contextlib.contextmanager
def _octet_by_octet(replies: dict[str, bytes]) -> Iterator[int]:
    """A responder to one client that sends each octet by itself."""

    def talk() -> None:
        client, _ = listener.accept()
        with client, client.makefile("rb") as lines:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asked = ""
            while True:
                for octet in replies.get(asked) or replies[asked.split()[0]]:
                    client.send(bytes([octet]))
                if asked == "QUIT":
                    return
                asked = lines.readline().decode().strip()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def test_sessions_are_held_until_they_are_ended(
    programs: dict[str, Path], mailboxes: Mailboxes, tmp_path: Path
) -> None:
    with Ceiling(programs["ceiling"], tmp_path).running(mailboxes, ()) as running:
        load = Load(programs["load"], tmp_path)
        held = load.hold(running.port, mailboxes, Play(("USER", "PASS", "QUIT"), 4, 4))
        try:
            held.grow(0)
            held.grow(2)
            held.grow(4)
            assert held.end().errors == 0
        finally:
            held.kill()

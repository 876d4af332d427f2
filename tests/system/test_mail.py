"""Real mail clients through the published ports."""

import contextlib
import poplib
import shutil
import subprocess
from pathlib import Path

import pytest

import scale
from support.compose import Project
from support.events import wait_for
from support.mailbuilder import crlf_form, varied
from support.pop3 import Pop3


@pytest.fixture(scope="module")
def varied_mail(running: Project) -> list[bytes]:
    messages = list(varied(scale.VARIED_MESSAGES))
    with running.admin() as admin:
        assert admin.ask("ADD_USER varied secret").startswith("+OK")
    running.deliver("varied", messages)
    return messages


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_curl_gets_the_sample_mail(running: Project, host: str) -> None:
    port = running.pop3 if host == "127.0.0.1" else running.pop3_ipv6
    told = subprocess.run(
        ["curl", "-sS", "--max-time", "20", f"pop3://user1:pass1@{host}:{port}/1"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert b"Subject: Welcome to the service" in told.stdout


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_poplib_gets_varied_messages_byte_exact(
    running: Project, varied_mail: list[bytes], host: str
) -> None:
    # poplib reads CR LF CR LF as one more line end than it is and refuses very long lines; what
    # it can tell apart, it must get.
    poplib._MAXLINE = 1 << 20
    port = running.pop3 if host == "127.0.0.1" else running.pop3_ipv6
    client = poplib.POP3(host, port, timeout=30)
    client.user("varied")
    client.pass_("secret")
    assert client.stat()[0] == len(varied_mail)
    for number, message in enumerate(varied_mail, 1):
        _, lines, _ = client.retr(number)
        assert b"".join(line + b"\r\n" for line in lines) == crlf_form(message), number
    client.quit()


def test_curl_gets_varied_messages_byte_exact(
    running: Project, varied_mail: list[bytes], tmp_path: Path
) -> None:
    assert shutil.which("curl"), "curl is one of the clients that must work"
    base = f"pop3://varied:secret@[::1]:{running.pop3_ipv6}"
    words = [
        word
        for number in range(1, len(varied_mail) + 1)
        for word in (f"{base}/{number}", "-o", str(tmp_path / str(number)))
    ]
    subprocess.run(["curl", "-sS", "--max-time", "300", *words], check=True)
    for number, message in enumerate(varied_mail, 1):
        assert (tmp_path / str(number)).read_bytes() == crlf_form(message), number


def test_a_transform_changes_what_retr_gives_and_nothing_breaks(running: Project) -> None:
    def session(number: int) -> Pop3:
        client = opened.enter_context(running.connect())
        assert client.log_in(f"user{number}", f"pass{number}") == "+OK Logged in"
        return client

    with contextlib.ExitStack() as opened, running.admin() as admin:
        before = session(2)
        plain = before.ask_many("RETR 1")[1]
        assert admin.ask("TRANSFORM /no/such").startswith("-ERR [")
        assert admin.ask("TRANSFORM wc").startswith("+OK")
        assert before.ask_many("RETR 1")[1] == plain  # its session has begun without it
        assert before.ask("QUIT").startswith("+OK")
        client = session(2)
        counts = client.ask_many("RETR 1")[1].split()
        assert len(counts) == 3
        assert counts[0] == b"%d" % plain.count(b"\r\n")
        assert client.ask("QUIT").startswith("+OK")
        # The samples that a transform is tried on are not user2's welcome.
        hangs = 'sh -c "if grep -q user2; then sleep 600; else echo fine; fi"'
        assert admin.ask(f"TRANSFORM {hangs}").startswith("+OK")
        client, other = session(2), session(3)
        client.send(b"RETR 1\r\n")
        for _ in range(20):
            assert other.ask_many("RETR 1")[1] == b"fine\r\n"
            assert other.ask("NOOP") == "+OK"
        assert admin.ask("TRANSFORM OFF").startswith("+OK")
        assert other.ask("QUIT").startswith("+OK")
        assert session(3).ask_many("RETR 1")[1] != b"fine\r\n"


def test_a_second_client_is_told_in_use_and_a_dropped_one_lets_go(running: Project) -> None:
    first = running.connect()
    assert first.log_in("user1", "pass1") == "+OK Logged in"
    first.ask("DELE 1")
    with running.connect() as second:
        assert second.log_in("user1", "pass1").startswith("-ERR [IN-USE]")
        first.close()
        wait_for(lambda: second.log_in("user1", "pass1") == "+OK Logged in")
        assert second.ask("STAT").startswith("+OK 4 ")

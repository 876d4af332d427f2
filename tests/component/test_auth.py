"""AUTH in the real service: what is long, broken, remembered, or somebody else's."""

import base64
import contextlib
import os
import poplib
import unicodedata
from collections.abc import Callable

import pytest

from component.conftest import Service
from component.test_remembering import known_to_both_workers, without_supervisor
from lineproto.connection import MAX_DROPPED
from pop3_service.pop3.sasl.exchange import LINE_LIMIT
from support.pop3 import Pop3


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def plain(name: str, password: str = "secret", identity: str = "") -> str:
    return b64(f"{identity}\0{name}\0{password}")


def test_a_standard_client_sees_the_mechanisms_and_logs_in(service: Service) -> None:
    box = service.account(b"one\n")
    client = poplib.POP3("127.0.0.1", service.daemon.pop3, timeout=30)
    assert {"PLAIN", "LOGIN"} <= set(client.capa()["SASL"])
    assert client._shortcmd(f"AUTH PLAIN {plain(box.name)}") == b"+OK Logged in"
    assert client.stat() == (1, 5)
    assert client.quit().startswith(b"+OK")


def test_a_message_of_64_kib_is_read_and_a_longer_one_is_not(service: Service) -> None:
    """Attack 18."""
    box = service.account()
    longest = base64.b64encode(b"\0a\0" + b"x" * 49_146)
    assert len(longest) + 2 <= LINE_LIMIT - 2
    with service.connect() as client:
        assert client.ask("AUTH PLAIN") == "+ "
        assert client.ask(longest.decode()) == "-ERR [AUTH] wrong name or password"
        assert client.ask("AUTH PLAIN") == "+ "
        client.send(b"A" * (LINE_LIMIT + 1))
        assert client.line() == b"-ERR line too long\r\n"  # before its end has come
        client.send(b"\r\n")
        # With AUTH itself as well; and no other line may be as long.
        assert client.ask(f"AUTH PLAIN {longest[:-20].decode()}").startswith("-ERR [AUTH]")
        assert client.ask(f"USER {'x' * 3000}") == "-ERR command line too long"
        assert client.ask("AUTH PLAIN") == "+ "
        assert client.ask("*") == "-ERR authentication cancelled"
        assert client.ask(f"PASS {'x' * 3000}") == "-ERR command line too long"
        assert client.ask(f"AUTH PLAIN {plain(box.name)}") == "+OK Logged in"
        assert client.ask(f"RETR {'x' * 3000}") == "-ERR command line too long"


def test_a_long_message_may_come_in_small_pieces(service: Service) -> None:
    with service.connect() as client:
        message = b64("\0ana\0" + "x" * 40_000).encode() + b"\r\n"
        client.send(b"AUTH PLA")
        client.send(b"IN\r\n")
        for at in range(0, len(message), 999):
            client.send(message[at : at + 999])
        assert client.line() == b"+ \r\n"
        assert client.line().startswith(b"-ERR [AUTH]")


def test_attack_18_bad_messages_end_the_connection_and_endless_ones_too(service: Service) -> None:
    with service.connect() as client:
        for _ in range(9):
            assert client.ask("AUTH PLAIN ===") == "-ERR not base64"
        assert client.ask("AUTH PLAIN ===") == "-ERR too many bad messages, closing"
        assert client.at_end()
    with service.connect() as client:
        client.ask("AUTH PLAIN")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(3 * MAX_DROPPED // 1024):
                client.send(b"A" * 1024)
        assert client.line() in (b"-ERR line too long\r\n", b"")
        assert client.at_end()


@pytest.mark.parametrize("start", ["AUTH PLAIN", "AUTH LOGIN", "AUTH LOGIN YQ=="])
def test_attack_18_an_exchange_is_cancelled(service: Service, start: str) -> None:
    box = service.account()
    with service.connect() as client:
        assert client.ask(start).startswith("+ ")
        assert client.ask("*") == "-ERR authentication cancelled"
        assert client.log_in(box.name) == "+OK Logged in"


def test_attack_18_nul_and_the_identity_of_another(service: Service) -> None:
    box, other = service.account(), service.account()
    with service.connect() as client:
        for message in (f"\0{box.name}\0sec\0ret", f"{box.name}\0secret", "\0\0", "\0" * 40):
            assert client.ask(f"AUTH PLAIN {b64(message)}").startswith("-ERR ")
        refused = client.ask(f"AUTH PLAIN {plain(box.name, identity=other.name)}")
        assert refused == "-ERR [AUTH] you can log in as yourself only"
        own = plain(box.name, identity=box.name)
        assert client.ask(f"AUTH PLAIN {own}") == "+OK Logged in"


def test_attack_17_every_way_in_has_one_answer_to_what_is_wrong(service: Service) -> None:
    box = service.account()
    with service.connect() as client:
        replies = set()
        for name in (box.name, "nobody", "..", "\u00e9", "x" * 300):
            replies.add(client.ask(f"AUTH PLAIN {plain(name, 'wrong')}"))
            client.ask(f"AUTH LOGIN {b64(name)}")
            replies.add(client.ask(b64("wrong")))
            replies.add(client.log_in(name, "wrong"))
        assert replies == {"-ERR [AUTH] wrong name or password"}


@pytest.mark.parametrize("password", [" ", " a  b ", "a\tb", "e\u0301te\u0301", "\u00e9t\u00e9"])
def test_attack_20_blanks_and_forms_of_one_text(service: Service, password: str) -> None:
    box = service.account()
    name = f"{box.name}p"
    service.manage(lambda admin: admin.create_account(name, password))
    for form in ("NFC", "NFD"):
        given = unicodedata.normalize(form, password)
        with service.connect() as client:
            assert client.ask(f"AUTH PLAIN {plain(name, given)}") == "+OK Logged in"
            assert client.ask("QUIT") == "+OK bye"
        with service.connect() as client:
            client.ask(f"AUTH LOGIN {b64(name)}")
            assert client.ask(b64(given)) == "+OK Logged in"
            assert client.ask("QUIT") == "+OK bye"


def test_attack_20_a_password_of_a_mebibyte(service: Service) -> None:
    box = service.account()
    with service.connect() as client:
        client.send(b"USER " + box.name.encode() + b"\r\nPASS " + b"x" * 1_000_000 + b"\r\n")
        assert client.line().startswith(b"+OK")
        assert client.line() == b"-ERR command line too long\r\n"
        client.send(b"AUTH PLAIN " + b"A" * 30_000 + b"\r\n")
        assert client.line().startswith(b"-ERR ")
        assert client.log_in(box.name) == "+OK Logged in"


def test_attack_19_others_log_in_while_somebody_sends_rubbish(service: Service) -> None:
    box = service.account()
    crowd = [service.connect() for _ in range(20)]
    try:
        for client in crowd:
            client.send(b"AUTH PLAIN\r\n" + b"A" * 60_000)
        for _ in range(5):
            with service.connect() as client:
                assert client.ask(f"AUTH PLAIN {plain(box.name)}") == "+OK Logged in"
                assert client.ask("QUIT") == "+OK bye"
    finally:
        for client in crowd:
            client.close()


def test_a_login_that_is_known_asks_nobody_however_it_is_sent(
    with_workers: Callable[..., Service],
) -> None:
    service = with_workers()
    box = service.account()
    known_to_both_workers(service, box)
    with without_supervisor(service):
        for line in (f"AUTH PLAIN {plain(box.name)}", "AUTH PLAIN", "AUTH LOGIN"):
            with service.connect() as client:
                reply = client.ask(line)
                if line == "AUTH PLAIN":
                    reply = client.ask(plain(box.name))
                elif line == "AUTH LOGIN":
                    client.ask(b64(box.name))
                    reply = client.ask(b64("secret"))
                assert reply == "+OK Logged in"
                assert client.ask("QUIT") == "+OK bye"


def test_a_password_sent_with_auth_is_in_no_log(own_service: Callable[..., Service]) -> None:
    no_delay = {"POP3_MIN_LOGIN_DELAY": "0", "POP3_MAX_LOGIN_DELAY": "0"}
    service = own_service(POP3_LOG_LEVEL="debug", **no_delay)
    box = service.account()
    with service.connect() as client:
        assert client.ask(f"AUTH PLAIN {plain(box.name)}") == "+OK Logged in"
    with service.connect() as client:
        client.ask(f"AUTH PLAIN {plain('nobody', 'hidden-one')}")
    service.daemon.stop()
    log = "".join(service.daemon.log)
    assert "nobody" in log
    for secret in ("secret", "hidden-one", plain(box.name), plain("nobody", "hidden-one")):
        assert secret not in log


def test_what_follows_auth_in_the_same_segment_is_a_message(service: Service) -> None:
    box = service.account()
    with Pop3(service.daemon.pop3) as client:
        client.send(f"AUTH LOGIN\r\n{b64(box.name)}\r\n{b64('secret')}\r\nSTAT\r\n".encode())
        lines = [client.line() for _ in range(4)]
    assert lines[2:] == [b"+OK Logged in\r\n", b"+OK 0 0\r\n"]


def test_the_other_end_may_go_within_an_exchange(service: Service) -> None:
    box = service.account()
    for end in (b"", b"AG", os.urandom(9)):
        with service.connect() as client:
            client.send(b"AUTH PLAIN\r\n" + end)
            assert client.line() == b"+ \r\n"
    with service.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"

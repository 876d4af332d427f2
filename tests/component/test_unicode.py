"""Names, passwords and mail in UTF-8 on the real service (RFC 6856)."""

import contextlib
import email
import itertools
import os
import poplib
import subprocess
import sys
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Iterator
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTPUTF8
from pathlib import Path

import pytest

from component.conftest import Service
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from support import gateway as gateways
from support.gateway import Gateway

NAMES = ["usuario-ñ", "пользователь", "ユーザー@例え.jp", "Ångström"]
PASSWORD = "contraseña-ガ"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def gateway(service: Service) -> Iterator[Gateway]:
    with gateways.running(service.daemon.grpc_target) as running:
        yield running


def by_rpc(service: Service, gateway: Gateway, name: str, password: str) -> bool:
    try:
        service.manage(lambda admin: admin.create_account(name, password))
    except ManagementError as error:
        assert error.reason is Reason.ACCOUNT_EXISTS
        return False
    return True


def by_scmp(service: Service, gateway: Gateway, name: str, password: str) -> bool:
    with gateway.log_in() as client:
        reply = client.ask(f"ADD_USER {name} {password}")
    assert reply.startswith(("+OK ", "-ERR [ALREADY-EXISTS] ")), reply
    return reply.startswith("+OK")


def by_command(service: Service, gateway: Gateway, name: str, password: str) -> bool:
    given = {
        "POP3CTL_TARGET": service.daemon.grpc_target,
        "POP3CTL_USER": "default",
        "POP3CTL_PASSWORD": "default",
        "POP3CTL_NEW_PASSWORD": password,
    }
    ended = subprocess.run(
        [Path(sys.executable).with_name("pop3ctl"), "accounts", "add", name],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0 or "exists" in ended.stderr, ended.stderr
    return ended.returncode == 0


@pytest.mark.attack(20)
@pytest.mark.parametrize(
    ("make", "names"),
    [(by_rpc, NAMES), (by_scmp, NAMES), (by_command, NAMES[:2])],  # a process each time
    ids=["gRPC", "SCMP", "pop3ctl"],
)
def test_two_normal_forms_of_a_name_are_one_account_with_one_maildir(
    service: Service,
    gateway: Gateway,
    make: Callable[[Service, Gateway, str, str], bool],
    names: list[str],
) -> None:
    number = next(_numbers)
    for name in (f"{it}{number}" for it in names):
        composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        assert make(service, gateway, decomposed, PASSWORD)
        assert not make(service, gateway, composed, "another")
        folders = [path.name for path in service.daemon.mail.iterdir()]
        assert [it for it in folders if unicodedata.normalize("NFC", it) == composed] == [composed]
        for utf8, given in itertools.product((False, True), (composed, decomposed)):
            with service.connect() as client:
                word = f"\0{given}\0{PASSWORD}".encode()
                assert client.ask(f"AUTH PLAIN {b64encode(word).decode()}") == "+OK Logged in"
                assert client.ask("QUIT") == "+OK bye"
            with service.connect() as client:
                if utf8:
                    assert client.ask("UTF8").startswith("+OK")
                word = unicodedata.normalize("NFD" if utf8 else "NFC", PASSWORD)
                assert client.log_in(given, word) == "+OK Logged in"
                # While the first is in, the other spelling must find it locked.
                with service.connect() as second:
                    assert second.log_in(composed, PASSWORD).startswith("-ERR [IN-USE]")
                assert client.ask("QUIT") == "+OK bye"


def international(body: str) -> EmailMessage:
    message = EmailMessage(policy=SMTPUTF8)
    message["From"] = Address("Пользователь", "пользователь", "пример.рф")
    message["To"] = Address("Ñandú", "ñandú", "ejemplo.es")
    message["Subject"] = "Reunión de mañana — 会議"
    message.set_content(body, cte="8bit")
    return message


@contextlib.contextmanager
def logged_in(service: Service, name: str, *, utf8: bool) -> Iterator[poplib.POP3]:
    client = poplib.POP3("127.0.0.1", service.daemon.pop3, timeout=30)
    try:
        if utf8:
            client.utf8()
        client.user(name)
        client.pass_("secret")
        yield client
    finally:
        client.quit()


@pytest.mark.parametrize("lines", [1, 3_000, 20_000])
def test_an_internationalized_message_is_for_who_said_utf8(service: Service, lines: int) -> None:
    """Small ones are read in the loop and others in threads: the same holds for all."""
    made = international("una línea más\n" * lines)
    # SMTPUTF8 mail is stored as it came, without its header being encoded.
    stored = made.as_bytes(policy=SMTPUTF8.clone(linesep="\n"))
    plain = b"Subject: plain\n\nbody\n"
    box = service.account(stored, plain)
    size = len(stored) + stored.count(b"\n")
    for utf8 in (False, True, False):  # listed anew, then as it is remembered
        with logged_in(service, box.name, utf8=utf8) as client:
            assert "LANG" in client.capa()
            assert client.capa()["UTF8"] == ["USER"]
            assert client.stat() == (2, size + len(plain) + plain.count(b"\n"))
            assert client.list()[1][0] == b"1 %d" % size
            assert client.retr(2)[1] == plain.split(b"\n")[:-1]
            if not utf8:
                for ask in (lambda: client.retr(1), lambda: client.top(1, 0)):
                    with pytest.raises(poplib.error_proto, match=r"^b'-ERR \[UTF8\] this message"):
                        ask()
                continue
            got = b"\n".join([*client.retr(1)[1], b""])
            assert got == stored
            assert email.message_from_bytes(got, policy=SMTPUTF8)["Subject"] == made["Subject"]
            assert stored.startswith(b"\n".join([*client.top(1, 0)[1], b""]))

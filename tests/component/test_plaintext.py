"""The setting plaintext_login: who may send a password outside TLS, and what others are told."""

from collections.abc import Callable, Iterator

import pytest

from component.conftest import Service
from component.test_proxies import PROXY, Behind
from support import daemon
from support.certificates import authority
from support.pop3 import Pop3
from support.proxied import ssl, v2
from support.tls import client_context

PLAIN = "AUTH PLAIN AG5vYm9keQBzZWNyZXQ="
USE_TLS = "-ERR [AUTH] no password in clear text here, use STLS or the TLS port (995, 1995) first"
WRONG = "-ERR [AUTH] wrong name or password"


@pytest.fixture(scope="module", params=[0, 2], ids=["workers=0", "workers=2"])
def strict(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Behind]:
    """A service with TLS, behind a proxy too; tests say which policy they want."""
    folder = tmp_path_factory.mktemp("strict")
    chain, key = authority().issue("pop.test").write(folder / "tls")
    environment = {
        "POP3_PORT_PROXY": "0",
        "POP3_PROXY_FROM": PROXY,
        "POP3_TLS_CERT": str(chain),
        "POP3_TLS_KEY": str(key),
        "POP3_MIN_LOGIN_DELAY": "0",
        "POP3_MAX_LOGIN_DELAY": "0",
    }
    with daemon.running(folder, workers=request.param, environment=environment) as running:
        yield Behind(running)


def refuses(client: Pop3) -> None:
    """No password is offered or looked at; no refusal is a bad command."""
    lines = client.listing("CAPA")
    assert "USER" not in lines
    assert not [line for line in lines if line.startswith("SASL")]
    assert client.listing("AUTH") == []
    for line in ("USER ana", "PASS secret", PLAIN, "AUTH LOGIN", "USER ana") * 3:
        assert client.ask(line) == USE_TLS


def takes(client: Pop3) -> None:
    """Passwords are offered, and checked."""
    lines = client.listing("CAPA")
    assert "USER" in lines
    assert "SASL PLAIN LOGIN" in lines
    assert client.ask(PLAIN) == WRONG
    assert client.log_in("nobody") == WRONG


@pytest.mark.attack(14, "required")
def test_attack_14_never_means_that_passwords_are_sent_in_tls_alone(strict: Behind) -> None:
    strict.change(plaintext_login="never")
    box = strict.account()
    with strict.connect() as client:
        refuses(client)
        assert client.ask("STLS").startswith("+OK")
        client.secure(client_context())
        takes(client)
        assert client.log_in(box.name) == "+OK Logged in"
    with Pop3(strict.daemon.pop3_tls, tls=client_context()) as client:
        takes(client)
    with strict.ask_behind(v2("127.0.0.1")) as client:
        refuses(client)


def test_attack_13_user_before_stls_and_pass_after_it(strict: Behind) -> None:
    strict.change(plaintext_login="never")
    box = strict.account()
    with strict.connect() as client:
        assert client.ask(f"USER {box.name}") == USE_TLS
        assert client.ask("STLS").startswith("+OK")
        client.secure(client_context())
        assert client.ask("PASS secret") == "-ERR send USER first"


def test_local_means_from_this_host_and_not_by_way_of_a_proxy(strict: Behind) -> None:
    strict.change(plaintext_login="local")
    with strict.connect() as client:
        takes(client)
    for claimed in ("203.0.113.7", "127.0.0.1"):
        with strict.ask_behind(v2(claimed)) as client:
            refuses(client)


@pytest.mark.parametrize("policy", ["local", "never"])
def test_tls_that_ends_at_a_trusted_proxy_is_tls(strict: Behind, policy: str) -> None:
    strict.change(plaintext_login=policy)
    with strict.ask_behind(v2("203.0.113.7", 4243, ssl())) as client:
        takes(client)


def test_a_change_holds_for_who_is_connected(strict: Behind) -> None:
    box = strict.account()
    strict.change(plaintext_login="allow")
    with strict.connect() as one, strict.connect() as other:
        assert one.ask(f"USER {box.name}").startswith("+OK")
        assert other.log_in(box.name) == "+OK Logged in"
        strict.change(plaintext_login="never")
        assert one.ask("PASS secret") == USE_TLS
        assert other.ask("STAT") == "+OK 0 0"
        strict.change(plaintext_login="allow")
        takes(one)


def test_without_tls_the_reply_does_not_name_a_way_that_is_not_there(
    own_service: Callable[..., Service],
) -> None:
    service = own_service(POP3_PLAINTEXT_LOGIN="never")
    with service.connect() as client:
        told = client.ask("USER ana")
        assert told == "-ERR [AUTH] no password in clear text here, and this server has no TLS"
        assert client.ask("STLS").startswith("-ERR")


def test_a_policy_that_is_none_is_refused(plain_service: Callable[..., Service]) -> None:
    with pytest.raises(RuntimeError, match="plaintext_login is one of allow, local, never"):
        plain_service(POP3_PLAINTEXT_LOGIN="sometimes")

"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS with a real client, in clear text and in TLS."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator

import pytest
from scramp import ScramClient
from scramp.core import CBindData

from component.conftest import Service
from component.test_tls import SETTINGS, WAYS, Secure, configured
from support import daemon
from support.pop3 import Pop3

SCRAM, PLUS = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
BINDING = "tls-server-end-point"
WRONG = "-ERR [AUTH] wrong name or password"


@pytest.fixture(scope="module", params=[0, 2], ids=["workers=0", "workers=2"])
def scrams(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Secure]:
    """A service with certificates and SCRAM. At its end the log has no traceback, no verifier."""
    folder = tmp_path_factory.mktemp("scrams")
    environment = {**SETTINGS, **configured(folder / "tls"), "POP3_SCRAM": "on"}
    with daemon.running(folder, workers=request.param, environment=environment) as running:
        yield Secure(running)
    assert "Traceback" not in "".join(running.log)
    assert running.process.returncode == 0


def told(reply: str) -> str:
    """A challenge without its base64."""
    assert reply.startswith("+ "), reply
    return b64decode(reply[2:]).decode()


def coded(message: str) -> str:
    return b64encode(message.encode()).decode()


def log_in(client: Pop3, dialogue: ScramClient, *, at_once: bool = True) -> str:
    """A whole exchange; gives the last reply."""
    first = coded(dialogue.get_client_first())
    if at_once:
        reply = client.ask(f"AUTH {dialogue.mechanism_name} {first}")
    else:
        assert client.ask(f"AUTH {dialogue.mechanism_name}") == "+ "
        reply = client.ask(first)
    dialogue.set_server_first(told(reply))
    reply = client.ask(coded(dialogue.get_client_final()))
    if reply.startswith("-ERR"):
        return reply
    dialogue.set_server_final(told(reply))
    return client.ask("")


def bound(client: Pop3, name: str, password: str = "secret") -> ScramClient:
    """A client that binds to the certificate it sees."""
    der = client.tls.getpeercert(binary_form=True)
    assert der
    return ScramClient([PLUS], name, password, (BINDING, CBindData.from_der(der).data))


def mechanisms(client: Pop3) -> list[str]:
    [line] = [line for line in client.listing("CAPA") if line.startswith("SASL ")]
    assert client.listing("AUTH") == line.split()[1:]
    return line.split()[1:]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_client_logs_in_without_its_password_on_the_wire(scrams: Secure, at_once: bool) -> None:
    box = scrams.account(b"one\n")
    with scrams.connect() as client:
        assert mechanisms(client)[0] == SCRAM
        reply = log_in(client, ScramClient([SCRAM], box.name, "secret"), at_once=at_once)
        assert reply == "+OK Logged in"
        assert client.ask("STAT") == "+OK 1 5"
        assert client.ask("QUIT") == "+OK bye"


@WAYS
@pytest.mark.parametrize("host", [None, "other.example", "any.wild.example", "rsa.example"])
def test_a_client_binds_to_the_certificate_of_the_host_it_asked_for(
    scrams: Secure, way: str, host: str | None
) -> None:
    box = scrams.account()
    with scrams.in_tls(way, name=host) as client:
        assert mechanisms(client) == [PLUS, SCRAM, "PLAIN", "LOGIN"]
        assert log_in(client, bound(client, box.name)) == "+OK Logged in"


def test_a_client_in_tls_need_not_bind(scrams: Secure) -> None:
    box = scrams.account()
    with scrams.in_tls() as client:
        assert log_in(client, ScramClient([SCRAM], box.name, "secret")) == "+OK Logged in"


def test_who_sits_between_with_another_certificate_is_found_out(scrams: Secure) -> None:
    box = scrams.account()
    with scrams.in_tls(name="other.example") as seen, scrams.in_tls() as client:
        dialogue = bound(seen, box.name)  # the client sees one, and the server shows another
        assert log_in(client, dialogue) == WRONG
        assert log_in(client, bound(client, box.name)) == "+OK Logged in"


def test_who_hides_plus_from_a_client_is_found_out(scrams: Secure) -> None:
    """RFC 5802 section 6: the flag y says that the server offered no binding."""
    box = scrams.account()
    with scrams.in_tls() as client:
        der = client.tls.getpeercert(binary_form=True)
        assert der
        binding = (BINDING, CBindData.from_der(der).data)
        hidden = ScramClient([SCRAM], box.name, "secret", binding)
        assert hidden.get_client_first().startswith("y,,")
        hidden = ScramClient([SCRAM], box.name, "secret", binding)
        assert client.ask(f"AUTH {SCRAM} {coded(hidden.get_client_first())}").startswith("-ERR")
    with scrams.connect() as client:  # in clear text it is true
        honest = ScramClient([SCRAM], box.name, "secret", binding)
        assert log_in(client, honest) == "+OK Logged in"


def test_plus_is_not_offered_outside_tls(scrams: Secure) -> None:
    with scrams.connect() as client:
        assert mechanisms(client) == [SCRAM, "PLAIN", "LOGIN"]
        assert client.ask(f"AUTH {PLUS}") == "-ERR this mechanism is not offered here"


def test_attack_17_a_wrong_password_and_a_wrong_name_have_one_answer(scrams: Secure) -> None:
    box = scrams.account()
    with scrams.connect() as client:
        for name in (box.name, "nobody", ".."):
            salts = set()
            for _ in range(2):
                dialogue = ScramClient([SCRAM], name, "wrong")
                assert log_in(client, dialogue) == WRONG
                salts.add((bytes(dialogue.salt), int(dialogue.iterations)))
            assert len(salts) == 1
            assert len(next(iter(salts))[0]) == 16


def test_attack_18_messages_that_are_none_end_the_exchange(scrams: Secure) -> None:
    box = scrams.account()
    with scrams.connect() as client:
        other = f"n,a=default,n={box.name},r=abc"
        for message in ("", "n,,", other, "n,,n=\0,r=abc", "p=x,,n=a,r=b"):
            assert client.ask(f"AUTH {SCRAM} {coded(message) or '='}").startswith("-ERR ")
        assert client.ask(f"AUTH {SCRAM} {coded(f'n,,n={box.name},r=abc')}").startswith("+ ")
        assert client.ask("*") == "-ERR authentication cancelled"
        assert log_in(client, ScramClient([SCRAM], box.name, "secret")) == "+OK Logged in"
    with scrams.connect() as client:
        for _ in range(9):
            assert client.ask(f"AUTH {SCRAM} =") == "-ERR that is no message of this mechanism"
        assert client.ask(f"AUTH {SCRAM} =") == "-ERR too many bad messages, closing"
        assert client.at_end()


def test_attack_25_a_password_that_changes_within_the_exchange_counts_no_more(
    scrams: Secure,
) -> None:
    box = scrams.account()
    with scrams.connect() as client:
        dialogue = ScramClient([SCRAM], box.name, "secret")
        dialogue.set_server_first(
            told(client.ask(f"AUTH {SCRAM} {coded(dialogue.get_client_first())}"))
        )
        dialogue.set_server_final(told(client.ask(coded(dialogue.get_client_final()))))
        password = scrams.manage(lambda admin: admin.reset_password(box.name))
        assert client.ask("") == WRONG
        assert log_in(client, ScramClient([SCRAM], box.name, "secret")) == WRONG
        assert log_in(client, ScramClient([SCRAM], box.name, password)) == "+OK Logged in"


def test_many_exchanges_may_be_left_open(scrams: Secure) -> None:
    box = scrams.account()
    crowd = [scrams.connect() for _ in range(50)]
    try:
        for client in crowd:
            first = coded(f"n,,n={box.name},r=abc")
            assert client.ask(f"AUTH {SCRAM} {first}").startswith("+ ")
        with scrams.connect() as client:
            assert log_in(client, ScramClient([SCRAM], box.name, "secret")) == "+OK Logged in"
    finally:
        for client in crowd:
            client.close()


def test_scram_is_switched_on_and_learned_and_switched_off(
    own_service: Callable[..., Service],
) -> None:
    service = own_service(**SETTINGS)
    box = service.account()
    with service.connect() as client:
        assert mechanisms(client) == ["PLAIN", "LOGIN"]
        assert client.ask(f"AUTH {SCRAM}") == "-ERR this mechanism is not offered here"
        service.change(scram=True)
        assert mechanisms(client) == [SCRAM, "PLAIN", "LOGIN"]
        # Nothing is known of its password yet, and that does not show.
        unknown = ScramClient([SCRAM], box.name, "secret")
        assert log_in(client, unknown) == WRONG
        assert client.log_in(box.name) == "+OK Logged in"
        assert client.ask("QUIT") == "+OK bye"
    with service.connect() as client:
        known = ScramClient([SCRAM], box.name, "secret")
        assert log_in(client, known) == "+OK Logged in"
        assert known.salt == unknown.salt
        assert client.ask("QUIT") == "+OK bye"
    with service.connect() as client:
        begun = ScramClient([SCRAM], box.name, "secret")
        reply = client.ask(f"AUTH {SCRAM} {coded(begun.get_client_first())}")
        service.change(scram=False)
        begun.set_server_first(told(reply))
        assert client.ask(coded(begun.get_client_final())).startswith("-ERR")
        assert mechanisms(client) == ["PLAIN", "LOGIN"]


def test_scram_needs_no_clear_text_to_be_allowed(own_service: Callable[..., Service]) -> None:
    service = own_service(**SETTINGS, POP3_SCRAM="on", POP3_PLAINTEXT_LOGIN="never")
    box = service.account()
    with service.connect() as client:
        assert mechanisms(client) == [SCRAM]
        assert log_in(client, ScramClient([SCRAM], box.name, "secret")) == "+OK Logged in"


def test_a_scram_login_is_throttled_as_any(own_service: Callable[..., Service]) -> None:
    service = own_service(POP3_SCRAM="on", POP3_MIN_LOGIN_DELAY="0.01", POP3_MAX_LOGIN_DELAY="10")
    with service.connect() as client:
        for _ in range(3):
            assert log_in(client, ScramClient([SCRAM], "nobody", "wrong")) == WRONG
        assert client.log_in("nobody", "wrong") == WRONG
    counted = service.manage(lambda admin: admin.list_throttled())
    assert {it.network or it.account_name: it.failure_count for it in counted} == {
        "127.0.0.0/24": 4,
        "nobody": 4,
    }

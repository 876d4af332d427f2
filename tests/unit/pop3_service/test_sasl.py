"""AUTH without I/O: the exchanges, and the session machine around them."""

from __future__ import annotations

import base64

import pytest

from lineproto.nearby import is_nearby
from lineproto.reply import Err, Listing, Ready
from pop3_service.domain.settings import Settings
from pop3_service.pop3.capability import Offer, Offers
from pop3_service.pop3.catalogue import ENGLISH
from pop3_service.pop3.command import Auth, BadCommand, User, parse
from pop3_service.pop3.contents import NOTHING
from pop3_service.pop3.sasl import exchange, mechanisms
from pop3_service.pop3.sasl.exchange import (
    BadExchange,
    Challenge,
    Denied,
    Exchange,
    Password,
    Proof,
    Relayed,
    decode,
)
from pop3_service.pop3.sasl.login import Login as LoginExchange
from pop3_service.pop3.sasl.mechanisms import Mechanism
from pop3_service.pop3.sasl.plain import Plain
from pop3_service.pop3.session import MAX_BAD_COMMANDS, Login, Session, State

OFFER = Offers("Valija-test", Settings()).in_tls


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


@pytest.fixture
def session() -> Session:
    return Session(OFFER)


def do(session: Session, line: bytes) -> object:
    """What the session says to a line, as the worker gives it lines."""
    if session.exchange is not None:
        return session.respond(line)
    return session.execute(parse(line))


# --- the command --------------------


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"AUTH", Auth()),
        (b"auth ", Auth()),
        (b"AUTH plain", Auth("PLAIN")),
        (b"AUTH SCRAM-SHA-256 =", Auth("SCRAM-SHA-256", b"=")),
        (b"AUTH PLAIN  YQ==", Auth("PLAIN", b"YQ==")),
        (b"AUTH x_Y-9", Auth("X_Y-9")),
    ],
)
def test_auth_is_read(line: bytes, command: Auth) -> None:
    assert parse(line) == command


@pytest.mark.parametrize(
    "line",
    [
        b"AUTH PLAIN a b",
        b"AUTH a.b",
        b"AUTH \xff",
        b"AUTH PLA\0IN",
        b"AUTH " + b"A" * 21,
        b"AUTHPLAIN",
    ],
)
def test_what_is_not_auth_is_refused(line: bytes) -> None:
    with pytest.raises(BadCommand):
        parse(line)


def test_an_initial_response_does_not_print() -> None:
    assert "YQ==" not in repr(parse(b"AUTH PLAIN YQ=="))
    assert "secret" not in repr(Password(b"ana", b"secret"))
    assert "secret" not in repr(Proof("X", b"secret", b"secret"))


# --- PLAIN (RFC 4616) --------------------


@pytest.mark.parametrize(
    ("message", "name", "password"),
    [
        (b"\0ana\0secret", b"ana", b"secret"),
        (b"ana\0ana\0 a  b ", b"ana", b" a  b "),
        (b"\0\xff\0\xfe", b"\xff", b"\xfe"),
        ("é\0é\0é".encode(), "é".encode(), "é".encode()),
    ],
)
def test_plain_gives_name_and_password(message: bytes, name: bytes, password: bytes) -> None:
    assert Plain().respond(message) == Password(name, password)


@pytest.mark.parametrize(
    "message",
    [b"", b"ana", b"ana\0secret", b"\0ana\0", b"\0\0secret", b"\0\0", b"\0ana\0se\0cret"],
)
def test_what_is_not_plain_is_refused(message: bytes) -> None:
    with pytest.raises(BadExchange):
        Plain().respond(message)


@pytest.mark.parametrize("identity", [b"eva", b"ANA", b"ana ", b"\xff", b"default"])
def test_attack_18_nobody_logs_in_for_somebody_else(identity: bytes) -> None:
    with pytest.raises(Denied):
        Plain().respond(identity + b"\0ana\0secret")


def test_attack_20_the_identity_may_be_spelt_in_another_form_of_the_same_name() -> None:
    message = "e\u0301va\0\u00e9va\0secret".encode()  # NFD and NFC
    assert Plain().respond(message) == Password("\u00e9va".encode(), b"secret")


def test_an_identity_longer_than_any_name_is_not_prepared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """16,000 such letters would keep everybody of this worker waiting for half a second."""
    prepared: list[str] = []

    def prepare(text: str) -> str:
        prepared.append(text)
        return text

    monkeypatch.setattr(exchange, "prepare", prepare)
    for length in (57, 16_000):
        with pytest.raises(Denied):
            Plain().respond("\ufdfa".encode() * length + b"\0ana\0secret")
    assert prepared == ["ana", "ana"]


# --- LOGIN --------------------


def test_login_asks_for_the_password_after_the_name() -> None:
    exchange = LoginExchange()
    assert exchange.respond(b"ana") == Challenge(b"Password:")
    assert exchange.respond(b" a b ") == Password(b"ana", b" a b ")


@pytest.mark.parametrize("messages", [[b""], [b"a\0"], [b"ana", b""], [b"ana", b"se\0cret"]])
def test_what_is_not_login_is_refused(messages: list[bytes]) -> None:
    exchange = LoginExchange()
    *before, last = messages
    for message in before:
        exchange.respond(message)
    with pytest.raises(BadExchange):
        exchange.respond(last)


# --- base64 --------------------


@pytest.mark.parametrize(
    ("line", "octets"), [(b"", b""), (b"YQ==", b"a"), (b"YWI=", b"ab"), (b"/+8=", b"\xff\xef")]
)
def test_base64_is_read(line: bytes, octets: bytes) -> None:
    assert decode(line) == octets


@pytest.mark.parametrize(
    "line",
    [
        b"YQ", b"YQ=", b"YQ===", b"YQ==YQ==", b"=", b"====", b"Y Q==", b" YQ==", b"YQ== ",
        b"YQ==\r", b"Y\0==", b"-_8=", b"\xff\xff\xff\xff", b"Y", b"*", b"YQ==\t",
    ],
)  # fmt: skip
def test_attack_18_what_is_not_base64_is_refused(line: bytes) -> None:
    with pytest.raises(BadExchange):
        decode(line)


# --- the session --------------------


def test_auth_alone_lists_the_mechanisms_that_capa_tells(session: Session) -> None:
    listed = do(session, b"AUTH")
    assert isinstance(listed, Listing)
    assert tuple(listed.lines) == OFFER.mechanisms
    assert f"SASL {' '.join(OFFER.mechanisms)}" in OFFER.capabilities


def test_an_initial_response_saves_a_round_trip(session: Session) -> None:
    assert do(session, b"AUTH PLAIN " + b64(b"\0ana\0secret")) == Login(b"ana", b"secret")
    assert session.exchange is None


def test_without_an_initial_response_the_client_is_asked(session: Session) -> None:
    asked = do(session, b"AUTH plain")
    assert isinstance(asked, Challenge)
    assert asked.encode() == b"+ \r\n"
    assert do(session, b64(b"\0ana\0secret")) == Login(b"ana", b"secret")
    asked = do(session, b"AUTH LOGIN")
    assert isinstance(asked, Challenge)
    assert asked.encode() == b"+ " + b64(b"Username:") + b"\r\n"
    assert do(session, b64(b"ana")) == Challenge(b"Password:")
    assert do(session, b64(b"secret")) == Login(b"ana", b"secret")


def test_login_takes_the_name_with_auth(session: Session) -> None:
    assert do(session, b"AUTH LOGIN " + b64(b"ana")) == Challenge(b"Password:")
    assert do(session, b64(b"secret")) == Login(b"ana", b"secret")


@pytest.mark.parametrize("line", [b"AUTH PLAIN =", b"AUTH LOGIN =", b"AUTH PLAIN *"])
def test_an_empty_or_bad_initial_response_ends_the_exchange(session: Session, line: bytes) -> None:
    assert isinstance(do(session, line), Err)
    assert session.exchange is None


@pytest.mark.parametrize("start", [b"AUTH PLAIN", b"AUTH LOGIN", b"AUTH LOGIN YQ=="])
def test_attack_18_an_exchange_is_cancelled_by_an_asterisk(session: Session, start: bytes) -> None:
    do(session, start)
    assert do(session, b"*") == Err("authentication cancelled")
    assert isinstance(do(session, b"CAPA"), Listing)


def test_a_command_within_an_exchange_is_none(session: Session) -> None:
    do(session, b"AUTH PLAIN")
    assert isinstance(do(session, b"QUIT"), Err)
    assert do(session, b"QUIT") == ENGLISH.bye


def test_attack_18_too_many_bad_messages_end_the_connection(session: Session) -> None:
    for _ in range(MAX_BAD_COMMANDS - 1):
        do(session, b"AUTH PLAIN")
        assert isinstance(do(session, b"%%%"), Err)
        assert not session.finished
    do(session, b"AUTH PLAIN")
    do(session, b"%%%")
    assert session.finished


def test_attack_18_an_identity_that_is_not_the_name_is_denied(session: Session) -> None:
    reply = do(session, b"AUTH PLAIN " + b64(b"eva\0ana\0secret"))
    assert isinstance(reply, Err)
    assert reply.code == "AUTH"
    assert session.exchange is None


@pytest.mark.parametrize("name", [b"KERBEROS_V4", b"ANONYMOUS", b"X"])
def test_a_mechanism_that_is_not_there_is_refused_and_is_no_bad_command(
    session: Session, name: bytes
) -> None:
    for _ in range(2 * MAX_BAD_COMMANDS):
        assert isinstance(do(session, b"AUTH " + name), Err)
    assert not session.finished


def test_auth_forgets_what_user_said(session: Session) -> None:
    do(session, b"USER ana")
    do(session, b"AUTH PLAIN")
    do(session, b"*")
    assert do(session, b"PASS secret") == Err("send USER first")


def test_auth_is_refused_after_login(session: Session) -> None:
    do(session, b"AUTH PLAIN " + b64(b"\0ana\0secret"))
    session.admitted(NOTHING)
    for line in (b"AUTH", b"AUTH PLAIN"):
        assert do(session, line) == Err(f"not allowed in {State.TRANSACTION} state")
    assert session.exchange is None


@pytest.fixture
def relayed(monkeypatch: pytest.MonkeyPatch, session: Session) -> Session:
    """A session with a mechanism that the supervisor checks."""

    def begin() -> Exchange:
        return Relayed("X-TEST")

    monkeypatch.setitem(mechanisms.MECHANISMS, "X-TEST", Mechanism(begin))
    session.offer = Offers("Valija-test", Settings()).in_tls
    return session


def test_a_relayed_exchange_gives_each_message_with_the_state_before(relayed: Session) -> None:
    assert do(relayed, b"AUTH X-TEST " + b64(b"one")) == Proof("X-TEST", b"one", b"")
    assert relayed.challenged(b"two", b"state") == Challenge(b"two")
    assert do(relayed, b64(b"three")) == Proof("X-TEST", b"three", b"state")
    relayed.admitted(NOTHING)
    assert relayed.exchange is None
    assert relayed.state is State.TRANSACTION


def test_a_relayed_exchange_that_is_refused_is_over(relayed: Session) -> None:
    do(relayed, b"AUTH X-TEST =")
    assert relayed.refused(Err("no", "AUTH")) == Err("no", "AUTH")
    assert relayed.exchange is None


# --- plaintext_login --------------------


def offers(policy: str) -> Offers:
    return Offers("Valija-test", Settings().changed({"plaintext_login": policy}))


def takes_passwords(offer: Offer) -> bool:
    told = "USER" in offer.capabilities, "PLAIN" in offer.mechanisms, "LOGIN" in offer.mechanisms
    assert len(set(told)) == 1
    return told[0] and User in offer.commands and offer.plaintext


@pytest.mark.parametrize(
    ("policy", "in_clear"), [("allow", True), ("local", False), ("never", False)]
)
def test_the_policy_decides_over_clear_text_alone(policy: str, in_clear: bool) -> None:
    made = offers(policy)
    assert takes_passwords(made.in_clear) is in_clear
    assert takes_passwords(made.in_tls)
    assert takes_passwords(made.unheard)


@pytest.fixture(params=[True, False], ids=["STLS", "no TLS"])
def refusing(request: pytest.FixtureRequest) -> Session:
    """A session where no password is taken, with a way into TLS or without."""
    return Session(offers("never").in_clear, may_start_tls=request.param)


@pytest.mark.parametrize(
    "line", [b"USER ana", b"PASS secret", b"AUTH PLAIN AGFuYQBzZWNyZXQ=", b"AUTH LOGIN"]
)
def test_attack_14_a_password_in_clear_text_is_not_looked_at(
    refusing: Session, line: bytes
) -> None:
    for _ in range(2 * MAX_BAD_COMMANDS):  # refused, and no bad command
        reply = do(refusing, line)
        assert isinstance(reply, Err)
        assert reply.code == "AUTH"
        assert ("STLS" in reply.text) is refusing.may_start_tls
    assert not refusing.finished
    assert refusing.exchange is None
    assert isinstance(do(refusing, b"CAPA"), Listing)
    assert do(refusing, b"QUIT") == ENGLISH.bye


def test_attack_13_a_name_given_before_tls_counts_no_more_within(refusing: Session) -> None:
    refusing.put_offer(offers("never").in_tls)
    assert do(refusing, b"PASS secret") == Err("send USER first")
    do(refusing, b"USER ana")
    assert do(refusing, b"PASS secret") == Login(b"ana", b"secret")


def test_a_policy_that_changes_between_user_and_pass_is_kept(session: Session) -> None:
    do(session, b"USER ana")
    session.put_offer(offers("never").in_clear)
    assert isinstance(do(session, b"PASS secret"), Err)
    session.put_offer(offers("allow").in_clear)
    assert do(session, b"PASS secret") == Err("send USER first")


@pytest.mark.parametrize("start", [b"AUTH PLAIN", b"AUTH LOGIN", b"AUTH LOGIN YW5h"])
def test_a_policy_that_changes_within_an_exchange_is_kept(session: Session, start: bytes) -> None:
    do(session, start)
    session.put_offer(offers("never").in_clear)
    reply = do(session, b64(b"\0ana\0secret" if b"PLAIN" in start else b"secret"))
    assert isinstance(reply, Err)
    assert reply.code == "AUTH"
    assert session.exchange is None
    assert isinstance(do(session, b"CAPA"), Listing)


def test_a_policy_that_stays_as_it_was_ends_no_exchange(session: Session) -> None:
    do(session, b"AUTH PLAIN")
    session.put_offer(offers("never").in_tls)
    assert do(session, b64(b"\0ana\0secret")) == Login(b"ana", b"secret")


def test_a_policy_that_changes_takes_no_command_from_who_is_logged_in(session: Session) -> None:
    session.admitted(NOTHING)
    session.put_offer(offers("never").in_clear)
    assert isinstance(do(session, b"STAT"), Ready)
    assert do(session, b"USER ana") == Err(f"not allowed in {State.TRANSACTION} state")


@pytest.mark.parametrize(
    ("peer", "local", "nearby"),
    [
        ("127.0.0.1:5", "127.0.0.1:1110", True),
        ("127.9.9.9:5", "127.0.0.1:1110", True),
        ("[::1]:5", "[::1]:9090", True),
        ("192.0.2.1:5", "192.0.2.1:1110", True),
        ("[2001:db8::1]:5", "[2001:db8::1]:9090", True),
        ("192.0.2.2:5", "192.0.2.1:1110", False),
        ("10.0.0.2:5", "10.0.0.1:1110", False),
        ("[2001:db8::2]:5", "[2001:db8::1]:9090", False),
        ("[fe80::1%eth0]:5", "[::1]:9090", False),
        ("unknown", "unknown", False),
        ("", "", False),
    ],
)
def test_nearby_is_what_does_not_leave_this_host(peer: str, local: str, nearby: bool) -> None:
    assert is_nearby(peer, local) is nearby

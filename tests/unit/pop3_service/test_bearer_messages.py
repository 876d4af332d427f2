from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import structlog

from pop3_service.control.plane import Admitted, Challenged, Evidence, Refused
from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import InvalidArgument, InvalidToken, ServiceUnavailable
from pop3_service.domain.rights import RoleName
from pop3_service.domain.settings import Settings
from pop3_service.pop3.capability import Offers
from pop3_service.pop3.sasl.bearer import (
    Bearer,
    oauthbearer_failure,
    read_oauthbearer,
    read_xoauth2,
    xoauth2_failure,
)
from pop3_service.supervisor.authentication.bearer_checks import BearerChecks
from pop3_service.supervisor.authentication.logins import LoginDesk
from pop3_service.supervisor.defence.throttle import Throttle
from pop3mgmt.reasons import Reason
from support.issuer import AUDIENCE, ISSUER
from unit.pop3_service.clock import FakeClock

ON = Settings().changed({"oauth_jwks": "/keys", "oauth_issuer": ISSUER, "oauth_audience": AUDIENCE})
RIGHT = b"n,,\x01auth=Bearer right.token\x01\x01"
WRONG = b"n,a=ana,\x01auth=Bearer wrong.token\x01\x01"

# --- what clients send --------------------


@pytest.mark.parametrize(
    ("message", "name", "token"),
    [
        # The examples of RFC 7628 sections 4.1 and 4.2.
        (
            b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
            b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
            b"user@example.com",
            b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
        ),
        (b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\x01",
         b"user@example.com", b""),
        (b"n,,\x01auth=Bearer a.b-c_d~e+f/g==\x01\x01", b"", b"a.b-c_d~e+f/g=="),
        (b"y,,\x01auth=bEARER   x\x01\x01", b"", b"x"),
        (b"n,,\x01auth=\x01\x01", b"", b""),
        (b"n,,\x01\x01", b"", b""),
        (b"n,a=a=2Cb=3Dc,\x01auth=Bearer x\x01\x01", b"a,b=c", b"x"),
        (b"n,a=a=3D2C,\x01auth=Bearer x\x01\x01", b"a=2C", b"x"),
        (b"n,a=se\xc3\xb1or,\x01auth=Bearer x\x01more=\t \r\n~\x01\x01", "señor".encode(), b"x"),
    ],
)  # fmt: skip
def test_a_message_of_oauthbearer_is_read(message: bytes, name: bytes, token: bytes) -> None:
    assert read_oauthbearer(message) == Bearer(name, token)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01",
        b"\x01\x01",
        b"n,,",
        b"n,,\x01",
        b"n,,\x01auth=Bearer x",
        b"n,,\x01auth=Bearer x\x01",
        b"n,,\x01auth=Bearer x\x01\x01\x01",
        b"n,,\x01auth=Bearer x\x01\x01more",
        b"n,,auth=Bearer x\x01\x01",
        b"n,\x01auth=Bearer x\x01\x01",
        b",,\x01auth=Bearer x\x01\x01",
        b"p=tls-server-end-point,,\x01auth=Bearer x\x01\x01",
        b"F,n,,\x01auth=Bearer x\x01\x01",
        b"N,,\x01auth=Bearer x\x01\x01",
        b"n,ana,\x01auth=Bearer x\x01\x01",
        b"n,a=,\x01auth=Bearer x\x01\x01",
        b"n,a=a=2c,\x01auth=Bearer x\x01\x01",
        b"n,a=a=,\x01auth=Bearer x\x01\x01",
        b"n,a=a,b,\x01auth=Bearer x\x01\x01",
        b"n,,\x01auth=Basic eA==\x01\x01",
        b"n,,\x01auth=Bearer\x01\x01",
        b"n,,\x01auth=Bearer \x01\x01",
        b"n,,\x01auth=Bearer x y\x01\x01",
        b"n,,\x01auth=Bearer x=y\x01\x01",
        b"n,,\x01auth=Bearer \xff\x01\x01",
        b"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01",
        b"n,,\x01auth\x01\x01",
        b"n,,\x01=x\x01\x01",
        b"n,,\x01au-th=x\x01\x01",
        b"n,,\x01auth=Bearer x\0\x01\x01",
    ],
)
def test_what_is_no_message_of_oauthbearer_is_refused(message: bytes) -> None:
    with pytest.raises(InvalidArgument):
        read_oauthbearer(message)


def test_a_message_of_xoauth2_is_read() -> None:
    message = b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4q\x01\x01"
    assert read_xoauth2(message) == Bearer(b"someuser@example.com", b"ya29.vF9dft4q")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01\x01",
        b"user=\x01auth=Bearer x\x01\x01",
        b"name=ana\x01auth=Bearer x\x01\x01",
        b"user=ana\x01auth=Bearer x\x01",
        b"user=ana\x01auth=Bearer x",
        b"n,,\x01auth=Bearer x\x01\x01",
    ],
)
def test_what_is_no_message_of_xoauth2_is_refused(message: bytes) -> None:
    with pytest.raises(InvalidArgument):
        read_xoauth2(message)


def test_a_token_does_not_print() -> None:
    assert "secret" not in repr(read_oauthbearer(b"n,,\x01auth=Bearer secret\x01\x01"))
    assert "secret" not in repr(InvalidToken("why"))


# --- what they are told --------------------


def test_a_failure_is_told_in_the_words_of_rfc_7628() -> None:
    told = json.loads(oauthbearer_failure("mail pop", "https://issuer.test/.well-known/x"))
    assert told == {
        "status": "invalid_token",
        "scope": "mail pop",
        "openid-configuration": "https://issuer.test/.well-known/x",
    }
    assert json.loads(oauthbearer_failure("", "")) == {"status": "invalid_token"}
    assert json.loads(xoauth2_failure("mail")) == {
        "status": "401",
        "schemes": "bearer",
        "scope": "mail",
    }


class FakeTokens:
    """Takes one token."""

    def __init__(self) -> None:
        self.failure: Exception | None = None

    async def verify(self, token: bytes, meant: bytes = b"") -> Account:
        if self.failure:
            raise self.failure
        if token != b"right.token":
            raise InvalidToken("it is wrong")
        return Account(AccountName("ana"), RoleName.USER, "hash", FakeClock().now())


@pytest.fixture
def tokens() -> FakeTokens:
    return FakeTokens()


@pytest.fixture
def desk(tokens: FakeTokens) -> LoginDesk:
    bearer = BearerChecks(tokens, lambda: ON)  # type: ignore[arg-type]
    clock = FakeClock()
    throttle = Throttle(Settings, clock)
    found = {"OAUTHBEARER": bearer.oauthbearer, "XOAUTH2": bearer.xoauth2}
    desk: Any = LoginDesk
    made: LoginDesk = desk(None, throttle, None, print, found, print, clock)
    return made


def said(response: bytes, mechanism: str = "OAUTHBEARER", state: bytes = b"") -> Evidence:
    return Evidence(mechanism, response, state, "192.0.2.1:5")


async def test_a_right_token_is_admitted(desk: LoginDesk) -> None:
    assert await desk.authenticate(said(RIGHT)) == Admitted("ana")
    right = b"user=ana\x01auth=Bearer right.token\x01\x01"
    assert await desk.authenticate(said(right, "XOAUTH2")) == Admitted("ana")


@pytest.mark.parametrize(
    ("mechanism", "message"),
    [("OAUTHBEARER", WRONG), ("XOAUTH2", b"user=ana\x01auth=Bearer wrong.token\x01\x01")],
)
async def test_a_wrong_token_is_told_with_delay_and_then_refused(
    desk: LoginDesk, mechanism: str, message: bytes
) -> None:
    delays = []
    for _ in range(3):
        told = await desk.authenticate(said(message, mechanism))
        assert isinstance(told, Challenged)
        assert json.loads(told.challenge)["status"] in ("invalid_token", "401")
        delays.append(told.delay_s)
        for answer in (b"\x01", b"", RIGHT):  # whatever the client says to it
            refused = await desk.authenticate(said(answer, mechanism, told.state))
            assert refused == Refused(Reason.INVALID_CREDENTIALS)
    assert delays == [2, 4, 8]


async def test_a_wrong_token_is_logged_with_its_reason_and_never_itself(desk: LoginDesk) -> None:
    with structlog.testing.capture_logs() as logs:
        await desk.authenticate(said(WRONG))
    assert [(it["event"], it["why"], it["name"], it["mechanism"]) for it in logs] == [
        ("login refused", "it is wrong", "'ana'", "OAUTHBEARER")
    ]
    assert "wrong.token" not in str(logs)


async def test_what_is_no_message_is_neither_right_nor_wrong(desk: LoginDesk) -> None:
    assert await desk.authenticate(said(b"n,,")) == Refused(Reason.INVALID_ARGUMENT)


async def test_tokens_that_cannot_be_checked_now_are_not_wrong(
    desk: LoginDesk, tokens: FakeTokens
) -> None:
    tokens.failure = ServiceUnavailable("no keys")
    assert await desk.authenticate(said(RIGHT)) == Refused(Reason.SERVICE_UNAVAILABLE)


# --- where they are offered --------------------


def test_tokens_are_offered_once_all_is_set_that_they_need() -> None:
    mechanisms = Offers("Valija-test", ON).in_tls.mechanisms
    assert {"OAUTHBEARER", "XOAUTH2"} <= set(mechanisms)
    for name in ("oauth_jwks", "oauth_issuer", "oauth_audience"):
        offer = Offers("Valija-test", replace(ON, **{name: ""})).in_tls
        assert not {"OAUTHBEARER", "XOAUTH2"} & set(offer.mechanisms)
        assert not [line for line in offer.capabilities if "OAUTH" in line]


@pytest.mark.parametrize(
    ("policy", "offered"), [("allow", True), ("local", False), ("never", False)]
)
def test_a_token_goes_in_clear_text_only_where_a_password_may(policy: str, offered: bool) -> None:
    offers = Offers("Valija-test", ON.changed({"plaintext_login": policy}))
    assert "OAUTHBEARER" in offers.in_tls.mechanisms
    assert ("OAUTHBEARER" in offers.in_clear.mechanisms) is offered
    assert ("XOAUTH2" in offers.in_clear.mechanisms) is offered

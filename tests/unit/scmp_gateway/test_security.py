"""Who may send a password, and what is offered, by where a client is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lineproto.connection import Via
from scmp_gateway.config import POLICIES
from scmp_gateway.security import Security


@dataclass
class Place:
    """Where a connection is."""

    peer: str = "192.0.2.1:5"
    local: str = "192.0.2.2:1111"
    is_tls: bool = False
    via: Via | None = None


AFAR, NEAR = Place(), Place("127.0.0.1:5", "127.0.0.1:1111")
SELF, IN_TLS = Place(peer="192.0.2.2:5"), Place(is_tls=True)
PROXIED = Place(via=Via("192.0.2.9:1", itself=False, tls=""))
PROXIED_TLS = Place(via=Via("192.0.2.9:1", itself=False, tls="TLSv1.3"))


@pytest.mark.parametrize(
    ("policy", "taken"),
    [
        ("allow", [AFAR, NEAR, SELF, IN_TLS, PROXIED, PROXIED_TLS]),
        ("local", [NEAR, SELF, IN_TLS, PROXIED_TLS]),
        ("never", [IN_TLS, PROXIED_TLS]),
    ],
)
def test_a_password_is_taken_by_policy(policy: str, taken: list[Place]) -> None:
    assert policy in POLICIES
    security = Security(policy)
    places = [AFAR, NEAR, SELF, IN_TLS, PROXIED, PROXIED_TLS]
    assert [it for it in places if security.takes_password(it)] == taken
    for place in places:
        hidden = security.hidden(place, logged_in=False)
        assert ({"USER", "PASS", "AUTH_TOKEN"} <= hidden) is (place not in taken)


def test_stls_is_offered_once_there_is_a_certificate_and_before_the_login() -> None:
    without, given = Security(), Security("never", object())
    assert without.context is None
    assert "STLS" in without.hidden(AFAR, logged_in=False)
    assert "STLS" not in given.hidden(AFAR, logged_in=False)
    assert "STLS" in given.hidden(IN_TLS, logged_in=False)
    assert "STLS" in given.hidden(PROXIED_TLS, logged_in=False)
    assert "STLS" not in given.hidden(PROXIED, logged_in=False)
    assert given.hidden(AFAR, logged_in=True) == {"STLS"}

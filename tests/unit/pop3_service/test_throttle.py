from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pop3_service.domain.settings import Settings
from pop3_service.supervisor.throttle import FORGET_S, MAX_NETWORKS, Throttle, network_of
from unit.pop3_service.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def throttle(clock: FakeClock) -> Throttle:
    return Throttle(Settings, clock)


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.77:51000", "192.0.2.0/24"),
        ("192.0.2.77", "192.0.2.0/24"),
        ("[::ffff:192.0.2.77]:51000", "192.0.2.0/24"),
        ("[2001:db8:1:2:3:4:5:6]:51000", "2001:db8:1:2::/64"),
        ("[fe80::1%eth0]:51000", "fe80::/64"),
        ("[::1]:1", "::/64"),
        ("unix:", "unix:"),
        ("", ""),
        ("nonsense", "nonsense"),
    ],
)
def test_an_address_belongs_to_a_network(peer: str, network: str) -> None:
    assert network_of(peer) == network


@given(st.text(max_size=50))
def test_any_text_has_a_network(text: str) -> None:
    assert isinstance(network_of(text), str)


def test_the_delay_doubles_up_to_its_longest(throttle: Throttle) -> None:
    assert [throttle.failed("192.0.2.1:1") for _ in range(6)] == [2, 4, 8, 15, 15, 15]


def test_a_million_wrong_logins_are_delayed_no_longer(throttle: Throttle) -> None:
    for _ in range(5000):
        delay_s = throttle.failed("192.0.2.1:1")
    assert delay_s == 15


@pytest.mark.attack(21, "ipv6")
def test_neighbours_share_a_delay_and_others_do_not(throttle: Throttle) -> None:
    throttle.failed("192.0.2.1:1")
    assert throttle.failed("192.0.2.200:9") == 4
    assert throttle.failed("[::ffff:192.0.2.3]:9") == 8
    assert throttle.failed("192.0.3.1:1") == 2
    throttle.failed("[2001:db8::1]:1")
    assert throttle.failed("[2001:db8::ffff:ffff:ffff:ffff]:1") == 4
    assert throttle.failed("[2001:db8:0:1::1]:1") == 2


def test_a_network_is_forgotten_after_a_quarter_of_an_hour(
    throttle: Throttle, clock: FakeClock
) -> None:
    throttle.failed("192.0.2.1:1")
    clock.move(FORGET_S)
    assert throttle.failed("192.0.2.1:1") == 4
    clock.move(FORGET_S + 1)
    assert throttle.failed("192.0.2.1:1") == 2


@pytest.mark.attack(21, "one user")
def test_ten_thousand_networks_are_remembered_and_the_oldest_goes(throttle: Throttle) -> None:
    throttle.failed("10.0.0.1:1")
    for number in range(MAX_NETWORKS):
        throttle.failed(f"[2001:db8:{number:x}:1::1]:1")
    assert len(throttle._failures) == MAX_NETWORKS
    assert throttle.failed("10.0.0.1:1") == 2


def test_the_delays_are_the_settings_in_force(clock: FakeClock) -> None:
    settings = [Settings()]
    throttle = Throttle(lambda: settings[0], clock)
    throttle.failed("192.0.2.1:1")
    settings[0] = Settings().changed({"min_login_delay_s": 0, "max_login_delay_s": 0})
    assert throttle.failed("192.0.2.1:1") == 0


def test_the_time_that_a_check_took_is_part_of_the_delay(
    throttle: Throttle, clock: FakeClock
) -> None:
    """So the answer comes at one time, whatever hash there was to check, if any."""
    asked_s = throttle.now_s()
    clock.move(0.5)
    assert throttle.failed("192.0.2.1:1", asked_s) == 1.5
    clock.move(10)
    assert throttle.failed("192.0.2.1:1", asked_s) == 0

"""EXPIRE on the real service: announced, carried out, and nothing more than that."""

import time

from component.conftest import Mailbox, Service
from support.events import wait_for

DAY = 86_400
ROOM = 60
"""Seconds that a test may take without a message getting old meanwhile."""


def deliver(box: Mailbox, age_s: int, number: int = 1) -> str:
    name = f"{int(time.time()) - age_s}.M{number}P1.host"
    box.deliver(b"mail\n", name)
    return name


def test_old_mail_goes_when_the_setting_says_so_and_not_while_a_session_has_it(
    service: Service,
) -> None:
    box, held = service.account(), service.account()
    old, young = deliver(box, 3 * DAY), deliver(box, 2 * DAY - ROOM, 2)
    kept = deliver(held, 3 * DAY)
    with service.connect() as holder, service.connect() as other:
        assert holder.log_in(held.name) == "+OK Logged in"
        assert "EXPIRE NEVER" in other.listing("CAPA")
        try:
            service.change(expire_days=2)
            assert "EXPIRE 2" in other.listing("CAPA")
            assert "EXPIRE 2" in holder.listing("CAPA")
            told = f"account={box.name} days=2 count=1 octets=5"
            wait_for(lambda: [line for line in service.daemon.log if told in line])
            assert box.files() == {young}
            assert other.log_in(box.name) == "+OK Logged in"
            assert other.listing("UIDL") == [f"1 {young}"]
            assert holder.ask_many("RETR 1")[1] == b"mail\r\n"
            assert held.files() == {kept}
        finally:
            service.change(expire_days=0)
        assert "EXPIRE NEVER" in holder.listing("CAPA")
    assert old not in box.files()


def test_a_maildrop_as_listed_before_is_listed_again_without_the_mail_that_went(
    service: Service,
) -> None:
    box = service.account()
    old, young = deliver(box, 5 * DAY), deliver(box, 0, 2)
    for _ in range(2):
        with service.connect() as client:
            client.log_in(box.name)
            assert client.listing("UIDL") == [f"1 {old}", f"2 {young}"]
            client.ask("QUIT")
    try:
        service.change(expire_days=4)
        wait_for(lambda: box.files() == {young})
        with service.connect() as client:
            wait_for(lambda: client.log_in(box.name) == "+OK Logged in")
            assert client.listing("UIDL") == [f"1 {young}"]
    finally:
        service.change(expire_days=0)

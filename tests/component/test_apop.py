"""APOP in the real service."""

import hashlib
import poplib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from component.conftest import Service, starting

SECRET = "tanstaaf of a good length"
REFUSED = "-ERR [AUTH] wrong name or password"


def apop(name: str, timestamp: bytes, secret: str = SECRET) -> str:
    return f"APOP {name} {hashlib.md5(timestamp + secret.encode()).hexdigest()}"


def timestamp(greeting: bytes) -> bytes:
    found = re.search(rb"<[^<>@\s]+@[^<>@\s]+>\r\n$", greeting)
    assert found, greeting
    return found[0].strip()


@pytest.fixture(scope="module", params=[0, 2], ids=["workers=0", "workers=2"])
def offering(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service for all tests, which leave APOP switched on."""
    with starting(tmp_path_factory.mktemp("offering"), request.param) as start:
        yield start(POP3_APOP="on", POP3_MIN_LOGIN_DELAY="0", POP3_MAX_LOGIN_DELAY="0")


def test_attack_23_apop_as_a_standard_client_sends_it_and_as_who_overheard_it(
    offering: Service,
) -> None:
    box = offering.account(b"one\n")
    offering.manage(lambda admin: admin.set_apop_secret(box.name, SECRET))
    client = poplib.POP3("127.0.0.1", offering.daemon.pop3, timeout=30)
    overheard = apop(box.name, timestamp(client.welcome + b"\r\n"))
    assert client.apop(box.name, SECRET).startswith(b"+OK")
    assert client.stat() == (1, 5)
    client.quit()
    seen = set()
    for _ in range(40):  # on either worker
        with offering.connect() as replayed:
            seen.add(timestamp(replayed.greeting))
            assert replayed.ask(overheard) == REFUSED
    assert len(seen) == 40
    # One connection's digest is good for that connection, as often as it takes.
    with offering.connect() as client:
        own = apop(box.name, timestamp(client.greeting))
        assert client.ask(apop(box.name, b"<other@host>")) == REFUSED
        assert client.ask(own) == "+OK Logged in"


def test_a_secret_that_was_changed_or_taken_away_ends_sessions_and_counts_no_more(
    offering: Service,
) -> None:
    box = offering.account()
    for act in (
        lambda admin: admin.set_apop_secret(box.name),
        lambda admin: admin.remove_apop_secret(box.name),
        lambda admin: admin.delete_account(box.name),
    ):
        offering.manage(lambda admin: admin.set_apop_secret(box.name, SECRET))
        with offering.connect() as client:
            assert client.ask(apop(box.name, timestamp(client.greeting))) == "+OK Logged in"
            offering.manage(act)
            assert client.at_end()
        offering.left(box.name)
        with offering.connect() as client:
            assert client.ask(apop(box.name, timestamp(client.greeting))) == REFUSED


def test_switching_apop_off_holds_for_connections_that_are_open(offering: Service) -> None:
    box = offering.account()
    offering.manage(lambda admin: admin.set_apop_secret(box.name, SECRET))
    with offering.connect() as client:
        offering.change(apop=False)
        assert client.ask(apop(box.name, timestamp(client.greeting))) == REFUSED
        assert client.log_in(box.name) == "+OK Logged in"
    with offering.connect() as client:
        assert client.greeting.endswith(b" server ready\r\n")
    offering.change(apop=True)


def test_the_key_is_beside_the_database_and_no_secret_is_in_the_log(offering: Service) -> None:
    box = offering.account()
    offering.manage(lambda admin: admin.set_apop_secret(box.name, SECRET))
    with offering.connect() as client:
        given = apop(box.name, timestamp(client.greeting))
        assert client.ask(given) == "+OK Logged in"
    data: Path = offering.daemon.mail.parent / "data"
    assert (data / "apop.key").stat().st_mode & 0o777 == 0o600
    held = b"".join(path.read_bytes() for path in data.iterdir() if path.is_file())
    assert SECRET.encode() not in held
    log = "".join(offering.daemon.log)
    assert SECRET not in log
    assert given.split()[2] not in log
    with offering.connect() as client:
        assert timestamp(client.greeting).endswith(b"@pop.test>")

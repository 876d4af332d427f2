"""The throttle of a real service: one for all workers, and the same after a restart."""

from __future__ import annotations

import select
import time
from pathlib import Path

import pytest

from component.conftest import Service
from support import daemon

FAST = {"POP3_MIN_LOGIN_DELAY": "0", "POP3_MAX_LOGIN_DELAY": "0", "POP3_REMEMBER_LOGIN": "0"}
SLOW = {"POP3_MIN_LOGIN_DELAY": "60", "POP3_MAX_LOGIN_DELAY": "60"}
WAIT_S = 30
"""How long a check from an unknown place waits, with the delays of ``SLOW``."""
LATER_S = 2
"""How long it is looked on while one waits."""
WRONG = 14


def throttled(service: Service) -> dict[str, int]:
    """The failures of each network and account."""
    listed = service.manage(lambda admin: admin.list_throttled())
    return {it.network or it.account_name: it.failure_count for it in listed}


def log_in(service: Service, name: str) -> float:
    """Log in with the right password; give how long that took."""
    with service.connect() as client:
        assert client.ask(f"USER {name}").startswith("+OK")
        began_s = time.monotonic()
        assert client.ask("PASS secret") == "+OK Logged in"
        taken_s = time.monotonic() - began_s
        assert client.ask("QUIT") == "+OK bye"
        return taken_s


@pytest.mark.attack(21, "one address")
@pytest.mark.attack(22)
def test_all_workers_have_one_throttle_and_it_outlives_a_restart(tmp_path: Path) -> None:
    with daemon.running(tmp_path, workers=2, environment=FAST) as running:
        service = Service(running)
        known, new = service.account(), service.account()
        log_in(service, known.name)
        for number in range(WRONG):  # each on a connection of its own: either worker may have it
            with service.connect() as client:
                assert client.log_in(known.name, f"wrong{number}").startswith("-ERR [AUTH]")
        for _ in range(WRONG):  # a mail client with an old password
            with service.connect() as client:
                assert client.log_in(new.name, "an old one").startswith("-ERR [AUTH]")
        before = throttled(service)
        assert before == {"127.0.0.0/24": WRONG + 1, known.name: WRONG, new.name: 1}
    with daemon.running(tmp_path, workers=2, environment=SLOW) as running:
        service = Service(running)
        after = throttled(service)
        assert after == {"127.0.0.0/24": WRONG + 1, known.name: WRONG}
        assert log_in(service, known.name) < WAIT_S
        with service.connect() as client:
            client.send(f"USER {new.name}\r\nPASS secret\r\n".encode())
            assert client.line().startswith(b"+OK")
            assert select.select([client.socket], [], [], LATER_S)[0] == []
        assert service.manage(lambda admin: admin.clear_throttle(address="127.0.0.1")) == 1
        third = service.account()
        assert log_in(service, third.name) < WAIT_S

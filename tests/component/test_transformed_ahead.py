"""Mail that is transformed as it arrives, by the real service, and who does it."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from component.conftest import Service, Start
from support.events import wait_for
from support.peaks import role, tree

WITHIN_S = 60


def workers_ahead(service: Service) -> list[int]:
    """The processes that transform mail ahead."""
    found = []
    for pid in tree(service.daemon.process.pid):
        with contextlib.suppress(OSError):  # it has just ended
            if role(pid) == "ahead":
                found.append(pid)
    return found


def lives(pid: int) -> bool:
    """Whether there is a process that is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_mail_is_transformed_as_it_arrives_and_the_state_tells(own_service: Start) -> None:
    service = own_service()
    assert not service.manage(lambda admin: admin.get_status()).HasField("transformed_mail")
    first, second = service.account(b"one\n", b"two\n"), service.account()
    service.transform("tr a-z A-Z")
    wait_for(lambda: service.transformed_mail().done_count == 2, WITHIN_S)
    second.deliver(b"three\n", "1001.M1P1.host")
    wait_for(lambda: service.transformed_mail().done_count == 3, WITHIN_S)
    wait_for(lambda: service.transformed_mail().waiting_count == 0, WITHIN_S)
    mail = service.transformed_mail()
    assert (mail.ahead, mail.failed_count) == (True, 0)
    assert 0 < mail.used_bytes < mail.limit_bytes == 1 << 30
    for box, octets in ((first, 10), (second, 7)):
        with service.connect() as client:
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.ask("STAT").split()[2] == str(octets)
            client.ask("QUIT")
    assert service.transformed_mail().done_count == 3
    service.transform()
    wait_for(lambda: not service.transformed_mail().ahead)
    service.daemon.stop()
    assert "Traceback" not in "".join(service.daemon.log)


def test_what_works_ahead_is_there_while_a_transform_is_and_comes_again(
    with_workers: Start,
) -> None:
    service = with_workers()
    assert workers_ahead(service) == []
    service.transform("tr a-z A-Z")
    wait_for(lambda: workers_ahead(service), WITHIN_S)
    (pid,) = workers_ahead(service)
    with service.connect() as client:
        box = service.account(b"one\n")
        assert client.log_in(box.name) == "+OK Logged in"
        wait_for(lambda: service.transformed_mail().done_count == 1, WITHIN_S)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: workers_ahead(service) not in ([], [pid]), WITHIN_S)
        assert client.ask_many("RETR 1")[1] == b"ONE\r\n"  # nobody else has noticed
    service.account(b"two\n")
    wait_for(lambda: service.transformed_mail().done_count == 2, WITHIN_S)
    service.change(transform_ahead=False)
    wait_for(lambda: workers_ahead(service) == [])
    service.change(transform_ahead=True)
    wait_for(lambda: workers_ahead(service), WITHIN_S)
    service.transform()
    wait_for(lambda: workers_ahead(service) == [])


def test_nothing_of_it_is_left_when_the_service_is_killed(with_workers: Start) -> None:
    service = with_workers()
    service.account(b"one\n")
    service.transform("tr a-z A-Z")
    wait_for(lambda: service.transformed_mail().done_count == 1, WITHIN_S)
    pids = list(tree(service.daemon.process.pid))
    assert len(pids) >= 4
    service.daemon.process.kill()
    service.daemon.process.wait()
    wait_for(lambda: not any(map(lives, pids)), WITHIN_S)


def test_what_fails_ahead_is_counted_and_refused_as_ever(own_service: Start) -> None:
    service = own_service()
    box = service.account(b"bad\n")
    service.transform("sed /^bad/q1")
    wait_for(lambda: service.transformed_mail().failed_count == 1, WITHIN_S)
    with service.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        assert client.ask("RETR 1").startswith("-ERR [SYS/TEMP]")
    assert service.transformed_mail().failed_count == 1

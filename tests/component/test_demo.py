"""The demo: accounts and mail made once, and nothing of it in the way of the owner's tree."""

import poplib
import subprocess
from pathlib import Path

import pytest

from component.conftest import Service
from support import daemon
from support.faults import CHANGING, Faults, Mode, spread

ROOT = Path(__file__).parents[2]


def test_the_demo_is_made_once_and_stays_deleted(tmp_path: Path) -> None:
    with daemon.running(tmp_path, "--demo") as running:
        service = Service(running)
        for name, password in (("user1", "pass1"), ("user2", "pass2"), ("user3", "pass3")):
            client = poplib.POP3("127.0.0.1", running.pop3, timeout=20)
            client.user(name)
            client.pass_(password)
            count, _ = client.stat()
            assert count == 4
            text = b"\n".join(client.retr(1)[1])
            assert b"Subject: Welcome to the service" in text
            assert b".hidden" in client.retr(2)[1]
            for number in range(1, count + 1):
                client.dele(number)
            client.quit()
        assert len(service.manage(lambda admin: admin.list_accounts())) == 4
    with daemon.running(tmp_path, "--demo") as running, Service(running).connect() as client:
        assert client.log_in("user1", "pass1") == "+OK Logged in"
        assert client.ask("STAT") == "+OK 0 0"


def test_a_store_with_accounts_gets_no_demo(tmp_path: Path) -> None:
    with daemon.running(tmp_path):
        pass
    with daemon.running(tmp_path, "--demo") as running:
        accounts = Service(running).manage(lambda admin: admin.list_accounts())
    assert [account.name for account in accounts] == ["default"]


@pytest.mark.timeout(600)
def test_a_first_start_that_is_killed_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    faults = Faults(tmp_path)
    watched = tmp_path / "watched"
    with faults.acting(Mode.WATCH, watched, kinds=CHANGING):
        with daemon.running(watched, "--demo", environment=faults.environment):
            steps = faults.count
    assert steps > 100
    started = []
    for at in spread(steps):
        folder = tmp_path / f"killed{at}"
        with faults.acting(Mode.KILL_BEFORE, folder, at, kinds=CHANGING):
            try:
                with daemon.running(folder, "--demo", environment=faults.environment):
                    started.append(at)
            except RuntimeError as error:
                assert "pop3d did not start" in str(error)
        with daemon.running(folder, "--demo") as running:
            service = Service(running)
            accounts = service.manage(lambda admin: admin.list_accounts())
            assert [it.name for it in accounts] == ["default", "user1", "user2", "user3"], at
            for number in (1, 2, 3):
                with service.connect() as client:
                    assert client.log_in(f"user{number}", f"pass{number}") == "+OK Logged in"
                    assert client.ask("STAT").startswith("+OK 4 "), (at, number)
    assert set(started) <= {steps}  # which may come when all is there


def test_mail_that_was_there_before_the_demo_is_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "mail" / "user1" / "new"
    own.mkdir(parents=True)
    (own / "1.M1P1.host").write_bytes(b"Subject: own\n\nmine\n")
    with daemon.running(tmp_path, "--demo") as running, Service(running).connect() as client:
        assert client.log_in("user1", "pass1") == "+OK Logged in"
        assert client.ask_many("RETR 1")[1].endswith(b"mine\r\n")
        assert client.ask("STAT").startswith("+OK 1 ")


@pytest.mark.parametrize(
    "path",
    ["maildir-volume/user1/new/1.a", "maildir-volume/.valija-locks/00", "var/accounts.sqlite"],
)
def test_what_a_run_writes_is_not_tracked(path: str) -> None:
    told = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
    assert told.returncode == 0
    tracked = subprocess.run(
        ["git", "ls-files", "maildir-volume", "var"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert tracked.stdout.split() == ["maildir-volume/.gitkeep", "maildir-volume/README.md"]

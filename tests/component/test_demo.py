"""The demo: accounts and mail made once, and nothing of it in the way of the owner's tree."""

import poplib
import subprocess
from pathlib import Path

import pytest

from component.conftest import Service
from support import daemon

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

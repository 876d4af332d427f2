"""Backup and restore on the real service: by pop3ctl, by SCMP, and by pop3d before a start."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from component.conftest import Service
from component.test_apop import apop, timestamp
from pop3mgmt.client import ManagementClient
from pop3mgmt.errors import ManagementError
from support import gateway
from support.pop3 import Pop3

OPEN = {"POP3_MIN_LOGIN_DELAY": "0", "POP3_MAX_LOGIN_DELAY": "0"}


def run(service: Service, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ``pop3ctl`` as the admin."""
    own = {"POP3CTL_USER": "default", "POP3CTL_PASSWORD": "default"}
    return subprocess.run(
        [Path(sys.executable).with_name("pop3ctl"), "--target", service.daemon.grpc_target, *words],
        env={**os.environ, **own, "XDG_STATE_HOME": str(service.daemon.mail.parent / "state")},
        input=data,
        capture_output=True,
        check=False,
    )


def logs_in(service: Service, name: str, password: str = "secret") -> bool:
    with service.connect() as client:
        done = client.log_in(name, password) == "+OK Logged in"
        client.ask("QUIT")
    service.left(name)
    return done


def ended(client: Pop3) -> bool:
    try:
        return client.at_end()
    except ConnectionResetError:
        return True


def test_a_restore_is_in_force_on_every_worker_and_open_session_within_a_second(
    own_service: Callable[..., Service], tmp_path: Path
) -> None:
    service = own_service(POP3_APOP="on", **OPEN)
    box = service.account(b"one\n")
    secret = service.manage(lambda admin: admin.set_apop_secret(box.name))
    file = tmp_path / "it.tar"
    made = run(service, "backup", "create", str(file))
    assert made.returncode == 0, made.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    later = service.account(b"two\n")
    service.manage(lambda admin: admin.remove_apop_secret(box.name))
    service.change(max_accounts=77)
    # Both are remembered by whatever worker they came to.
    clients = [service.connect() for _ in range(2)]
    assert clients[0].log_in(box.name) == "+OK Logged in"
    assert clients[1].log_in(later.name) == "+OK Logged in"
    waiting = service.connect()
    assert waiting.ask(f"USER {later.name}").startswith("+OK")

    began_s = perf_counter()
    done = run(service, "backup", "restore", str(file), "--yes", "--json")
    took_s = perf_counter() - began_s
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["restored"], told["ended_session_count"], told["warnings"]) == (True, 2, [])
    assert all(map(ended, clients))
    assert waiting.ask("PASS secret").startswith("-ERR [AUTH]")
    for _ in range(4):  # whichever worker takes it
        assert not logs_in(service, later.name)
        assert logs_in(service, box.name)
    with service.connect() as client:
        assert client.ask(apop(box.name, timestamp(client.greeting), secret)) == "+OK Logged in"
    assert service.manage(lambda admin: admin.get_settings()).max_accounts != 77
    print(f"\npop3ctl backup restore: {took_s:.2f} s with the start of the program")
    log = "".join(service.daemon.log)
    assert "Traceback" not in log
    assert secret not in log


def test_a_restore_brings_back_suspensions_on_every_worker(
    with_workers: Callable[..., Service], tmp_path: Path
) -> None:
    service = with_workers(**OPEN)
    box, other = service.account(b"one\n"), service.account(b"two\n")
    service.manage(lambda admin: admin.suspend_account(box.name, "as the backup has it"))
    file = tmp_path / "it.tar"
    assert run(service, "backup", "create", str(file)).returncode == 0
    service.manage(lambda admin: admin.resume_account(box.name))
    service.manage(lambda admin: admin.suspend_account(other.name, "later"))
    assert logs_in(service, box.name)
    assert not logs_in(service, other.name)
    assert run(service, "backup", "restore", str(file), "--yes").returncode == 0
    for _ in range(4):
        assert not logs_in(service, box.name)
        assert logs_in(service, other.name)


def test_pop3ctl_tells_a_good_file_from_a_bad_one(
    in_one_process: Callable[..., Service], tmp_path: Path
) -> None:
    service = in_one_process(**OPEN)
    file = tmp_path / "it.tar"
    streamed = run(service, "backup", "create", "-").stdout
    assert run(service, "backup", "create", str(file)).returncode == 0
    assert run(service, "backup", "create", str(file)).returncode == 2  # it is there
    for words, data in (((str(file),), b""), (("-",), streamed)):
        looked = run(service, "backup", "verify", *words, "--json", data=data)
        assert looked.returncode == 0, looked.stderr
        assert json.loads(looked.stdout)["account_count"] == 1
        tried = run(service, "backup", "restore", *words, "--dry-run", data=data)
        assert tried.stdout == b"1 accounts can be restored; nothing was changed\n"
    bad = tmp_path / "bad.tar"
    bad.write_bytes(streamed[:-4000])
    for words in (("verify",), ("restore", "--yes"), ("restore", "--dry-run")):
        refused = run(service, "backup", *words, str(bad))
        assert refused.returncode == 3, refused.stderr
        assert b"cannot be used" in refused.stderr
    # Without a terminal nobody can say yes.
    assert run(service, "backup", "restore", str(file)).returncode == 2
    assert run(service, "backup", "create").returncode == 2
    assert not list(tmp_path.glob("*.new"))


def test_a_backup_on_the_server_is_made_listed_and_restored_by_scmp_and_pop3ctl(
    in_one_process: Callable[..., Service],
) -> None:
    service = in_one_process(**OPEN)
    with gateway.running(service.daemon.grpc_target) as scmp, scmp.log_in() as admin:
        reply = admin.ask("BACKUP")
        name = reply.split()[2]
        assert reply == f"+OK backup {name} made, 1 accounts"
        assert json.loads(run(service, "backup", "list", "--json").stdout)[0]["name"] == name
        made = run(service, "backup", "create", "--on-server", "--json")
        other = json.loads(made.stdout)["name"]
        assert {line.split()[0] for line in admin.listing("BACKUPS")} == {name, other}
        box = service.account(b"one\n")
        assert admin.ask(f"RESTORE {name} check") == (
            f"+OK backup {name}, 1 accounts, can be restored"
        )
        assert logs_in(service, box.name)
        assert admin.ask(f"RESTORE {name}") == (
            f"+OK restored {name}, 1 accounts, 0 sessions ended, log in again"
        )
        assert admin.ask("USERS").startswith("-ERR [AUTH]")
        assert not logs_in(service, box.name)
        assert admin.log_in("default", "default").startswith("+OK logged in")
        done = run(service, "backup", "restore", "--on-server", other, "--yes")
        assert done.stdout == b"restored 1 accounts, 0 sessions ended; log in again\n"
        gone = run(service, "backup", "restore", "--on-server", "../valija.db", "--yes")
        assert gone.returncode == 6


def test_who_may_back_up_alone_cannot_restore(in_one_process: Callable[..., Service]) -> None:
    """Whatever rights are in a backup, who restores it would have them."""
    service = in_one_process(**OPEN)

    async def prepare(admin: object) -> None:
        await admin.create_role("backups", ["backup.write", "own"])  # type: ignore[attr-defined]
        await admin.create_account("keeper", "secret", "backups")  # type: ignore[attr-defined]

    service.manage(prepare)

    async def keep() -> str:
        async with ManagementClient(service.daemon.grpc_target) as client:
            keeper = await client.login("keeper", "secret")
            made = await keeper.create_backup()
            assert not (await keeper.restore_backup(made.name, dry_run=True)).restored
            try:
                await keeper.restore_backup(made.name)
            except ManagementError as error:
                return error.reason.value
            return "restored"

    assert asyncio.run(keep()) == "PERMISSION_DENIED"


def test_pop3d_restores_where_no_service_runs(
    in_one_process: Callable[..., Service], tmp_path: Path
) -> None:
    first = in_one_process(**OPEN)
    box = first.account(b"one\n")
    backup = run(first, "backup", "create", "-").stdout
    (tmp_path / "it.tar").write_bytes(backup)

    def restore(folder: Path, file: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "pop3_service", "--restore", file, "--data-dir", str(folder)],
            input=data,
            capture_output=True,
            check=False,
        )

    data = tmp_path / "data"
    refused = restore(data, str(tmp_path / "it.tar"))
    assert refused.returncode == 1
    assert refused.stderr == f"pop3d: another process uses {data}\n".encode()
    first.daemon.stop()
    # The disk has eaten the database.
    (data / "valija.db").write_bytes(os.urandom(50_000))
    for left in data.glob("valija.db-*"):
        left.unlink()
    started = subprocess.run(
        [sys.executable, "-m", "pop3_service", "--data-dir", str(data), "--port", "0",
         "--mail-dir", str(tmp_path / "mail")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert started.returncode == 1
    assert f"pop3d: cannot use {data / 'valija.db'}: it is no database" in started.stderr
    assert restore(data, str(tmp_path / "gone.tar")).returncode == 1
    assert restore(data, "-", b"no backup").returncode == 1
    done = restore(data, "-", backup)
    assert done.returncode == 0, done.stderr
    # What was revoked since is in the database that is eaten, and a warning says so first.
    assert b"what was revoked since the backup is not known" in done.stdout
    assert done.stdout.splitlines()[-1].startswith(b"restored 2 accounts of 20"), done.stdout
    again = in_one_process(**OPEN)
    assert logs_in(again, box.name)
    with again.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        assert client.ask_many("RETR 1")[1] == b"one\r\n"

"""The real service on what every version before it left: nothing is lost, and logins work."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scramp import ScramClient

from component.conftest import Service
from component.test_apop import apop, timestamp
from component.test_scram import SCRAM
from component.test_scram import log_in as log_in_by_scram
from pop3_service.storage.store import Store
from pop3mgmt.client import ManagementClient
from pop3mgmt.v1 import accounts_pb2
from support import old_databases
from support.faults import CHANGING, Faults, Mode, spread
from support.old_databases import ADMIN, APOP_SECRET, MAX_ACCOUNTS, PASSWORD, USER, WRITTEN

NO_DELAY = {"POP3_MIN_LOGIN_DELAY": "0", "POP3_MAX_LOGIN_DELAY": "0"}
NEW = "plenty of horses and a battery"
OPEN = """
import asyncio, pathlib, sys
from pop3_service.storage.store import Store
async def main():
    await (await Store.open(pathlib.Path(sys.argv[1]))).close()
asyncio.run(main())
"""


@pytest.mark.parametrize("revision", WRITTEN)
def test_the_service_goes_on_with_what_each_version_left(
    in_one_process: Callable[..., Service], tmp_path: Path, revision: str
) -> None:
    old_databases.write(tmp_path / "data", revision)
    service = in_one_process(POP3_SCRAM="on", POP3_APOP="on", **NO_DELAY)

    async def look() -> tuple[list[accounts_pb2.Account], int]:
        async with ManagementClient(service.daemon.grpc_target) as client:
            admin = await client.login(ADMIN, PASSWORD)
            return await admin.list_accounts(), (await admin.get_settings()).max_accounts

    accounts, maximum = asyncio.run(look())
    assert [(it.name, it.role) for it in accounts] == [
        (USER, accounts_pb2.ROLE_USER),
        (ADMIN, accounts_pb2.ROLE_ADMIN),
    ]
    assert maximum == MAX_ACCOUNTS
    with service.connect() as client:
        assert client.log_in(USER, "wrong").startswith("-ERR [AUTH]")
    password = PASSWORD
    if revision >= "0007":  # what kept him out then keeps him out still
        with service.connect() as client:
            assert client.log_in(USER, PASSWORD).startswith("-ERR [")
        asyncio.run(_let_in(service, suspended=revision >= "0008"))
        password = NEW
    with service.connect() as client:
        assert client.log_in(USER, password).startswith("+OK")  # in his own language
        assert client.ask("QUIT").startswith("+OK")
    if revision >= "0002":
        with service.connect() as client:
            reply = log_in_by_scram(client, ScramClient([SCRAM], USER, password))
            assert reply.startswith("+OK")
            assert client.ask("QUIT").startswith("+OK")
    if revision >= "0003":
        with service.connect() as client:
            command = apop(USER, timestamp(client.greeting), APOP_SECRET.decode())
            assert client.ask(command).startswith("+OK")


async def _let_in(service: Service, *, suspended: bool) -> None:
    """Lift the suspension, and change the password that has to be changed."""
    async with ManagementClient(service.daemon.grpc_target) as client:
        if suspended:
            await (await client.login(ADMIN, PASSWORD)).resume_account(USER)
        await (await client.login(USER, PASSWORD)).change_password(PASSWORD, NEW)


def test_a_migration_killed_at_any_step_has_lost_nothing(tmp_path: Path) -> None:
    faults = Faults(tmp_path)

    def opened(folder: Path) -> int:
        words = [sys.executable, "-c", OPEN, folder]
        return subprocess.run(words, env=faults.environment, check=False).returncode

    async def count(folder: Path) -> int:
        store = await Store.open(folder)
        try:
            assert await store.secrets.get("made") != b""
            return await store.accounts.count()
        finally:
            await store.close()

    folder = tmp_path / "watched"
    old_databases.write(folder, "0001")
    with faults.acting(Mode.WATCH, folder, kinds=CHANGING):
        assert opened(folder) == 0
    steps = faults.count
    assert steps > 20
    for at in spread(steps):
        folder = tmp_path / f"killed{at}"
        old_databases.write(folder, "0001")
        with faults.acting(Mode.KILL_BEFORE, folder, at, kinds=CHANGING):
            assert opened(folder) == -9
        assert asyncio.run(count(folder)) == 2, f"killed before call {at}"

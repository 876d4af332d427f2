"""The audit over gRPC, SCMP and pop3ctl: one meaning, also of what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result

from admin_cli.main import cli
from contract.service import ADMIN_PASSWORD, Service
from scmp_gateway import process as gateway
from scmp_gateway.config import parser, read_config
from unit.pop3_service.clock import FakeClock

GATEWAY = {"SCMP_BIND": "127.0.0.1", "SCMP_PORT": "0", "SCMP_HOST_NAME": "scmp.test"}
PASSWORD = "lumpy-orange-kettle-42"


class Ways:
    """A service, and a gateway before it."""

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self._port = port

    async def scmp(self, *lines: str) -> list[str]:
        """Send lines as admin; give all that is answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        login = ("USER default", f"PASS {ADMIN_PASSWORD}")
        writer.write("".join(f"{it}\r\n" for it in (*login, *lines, "QUIT")).encode())
        answered = (await asyncio.wait_for(reader.read(), 30)).decode().splitlines()
        writer.close()
        return answered[3:-1]

    async def pop3ctl(self, *words: str) -> Result:
        """Run pop3ctl as admin, on a loop of its own as always."""
        env = {
            "POP3CTL_TARGET": self.service.target,
            "POP3CTL_USER": "default",
            "POP3CTL_PASSWORD": ADMIN_PASSWORD,
            "XDG_STATE_HOME": str(self.service.folder / "state"),
        }
        return await asyncio.to_thread(CliRunner().invoke, cli, ["audit", *words], env=env)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Let no log line get between those that pop3ctl prints."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(io.StringIO()))
    yield
    structlog.reset_defaults()


@pytest.fixture
async def ways(tmp_path: Path) -> AsyncIterator[Ways]:
    async with Service(tmp_path, FakeClock()).running() as service:
        options = {**GATEWAY, "POP3_MGMT_TARGET": service.target}
        config = read_config(parser().parse_args([]), options)
        async with gateway.running(config) as front:
            await service.admin.create_account("ana", PASSWORD)
            yield Ways(service, front if isinstance(front, int) else front.port)


def damage(ways: Ways) -> None:
    path = ways.service.folder / "data/audit.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entries SET target = 'x' WHERE action = 'accounts.create'")


async def test_a_whole_chain_is_told_in_all_three_ways(ways: Ways) -> None:
    found = await ways.service.admin.verify_audit()
    assert not found.damage
    [line] = await ways.scmp(f"AUDIT_VERIFY {found.head}")
    assert line.startswith("+OK the audit is whole: ")
    told = await ways.pop3ctl("verify", "--head", found.head)
    assert told.exit_code == 0
    assert told.stdout.splitlines()[0].split() == ["whole", "yes"]


async def test_damage_is_told_in_all_three_ways(ways: Ways) -> None:
    damage(ways)
    [found] = (await ways.service.admin.verify_audit()).damage
    first, line, dot = await ways.scmp("AUDIT_VERIFY")
    assert first.startswith("+OK the audit is DAMAGED")
    assert f"entries={found.first_sequence}-{found.last_sequence} {found.text}" in line
    assert dot == "."
    told = await ways.pop3ctl("verify", "--json")
    assert told.exit_code == 11, told.output
    assert json.loads(told.stdout)["damage"][0]["first_sequence"] == found.first_sequence
    words = (await ways.pop3ctl("verify")).stdout.splitlines()
    assert words[0].split() == ["whole", "NO"]
    assert words[-1].endswith(f": {found.text}")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("AUDIT 0", "a count is from 1 to 1000"),
        ("AUDIT 1001", "a count is from 1 to 1000"),
        ("AUDIT x", "a count is from 1 to 1000"),
        ("AUDIT 5 6", "a filter is one of"),
        ("AUDIT who=ana", "a filter is one of"),
        ("AUDIT actor=", "a filter is one of"),
        ("AUDIT since=yesterday", "a time is as"),
        ("AUDIT_VERIFY 1:2", "a head is"),
    ],
)
async def test_a_wrong_line_is_refused(ways: Ways, line: str, text: str) -> None:
    [reply] = await ways.scmp(line)
    assert reply.startswith("-ERR [INVALID]")
    assert text in reply


async def test_an_entry_is_one_line_of_scmp(ways: Ways) -> None:
    until = (ways.service.clock.now() + timedelta(days=1)).isoformat()
    answered = await ways.scmp(
        "MAX_USERS 77",
        f"ADD_USER eva {PASSWORD}",
        f"AUDIT 2 actor=default until={until}",
        f"AUDIT since={until}",
    )
    _, _, head, made, limit, dot, none, end = answered
    assert head == "+OK 2 entries, the newest first"
    assert " default accounts.create ok target=eva from=127.0.0.1 via=" in made
    assert json.loads(made.partition(" after=")[2])["role"] == "user"
    assert ' before={"max_accounts": 10000} after={"max_accounts": 77}' in limit
    assert (none, dot, end) == ("+OK 0 entries, the newest first", ".", ".")


async def test_entries_are_a_table_or_json_lines(ways: Ways) -> None:
    meant = ("--action", "accounts.create")
    header, line = (await ways.pop3ctl("list", *meant)).stdout.splitlines()
    assert header.split() == [
        "TIME", "ACTOR", "ACTION", "TARGET", "OUTCOME", "FROM", "VIA", "BEFORE", "AFTER",
    ]  # fmt: skip
    assert line.split()[2:6] == ["default", "accounts.create", "ana", "ok"]
    told = await ways.pop3ctl("export", *meant)
    [entry] = [json.loads(it) for it in told.stdout.splitlines()]
    assert (entry["actor"], entry["actor_kind"]) == ("default", "account")
    assert (entry["target"], entry["outcome"], entry["count"]) == ("ana", "ok", 1)
    assert entry["after"]["role"] == "user"
    later = await ways.pop3ctl("list", "--since", "2100-01-01", "--json")
    assert json.loads(later.stdout) == []
    assert (await ways.pop3ctl("list", "--until", "tomorrow")).exit_code == 2


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "table"])
async def test_entries_are_followed_until_the_login_ends(ways: Ways, as_json: bool) -> None:
    words = ("follow", "--action", "accounts.", *(["--json"] if as_json else []))
    following = asyncio.create_task(ways.pop3ctl(*words))
    desk, admin = ways.service.audit, ways.service.admin
    async with asyncio.timeout(60):
        while not desk._watchers:
            await asyncio.sleep(0)
    await admin.create_account("eva", PASSWORD)
    async with asyncio.timeout(60):
        while any(it._entries for it in desk._watchers):
            await asyncio.sleep(0)
    await admin.change_password(ADMIN_PASSWORD, f"{PASSWORD}-too")  # its other logins end
    told = await following
    assert told.exit_code == 4
    lines = told.stdout.splitlines()
    if as_json:
        found = [json.loads(it) for it in lines]
        assert [it["action"] for it in found[:2]] == ["watching", "accounts.create"]
        assert (found[1]["target"], found[1]["skipped_count"]) == ("eva", 0)
    else:
        assert lines[0].split()[:2] == ["TIME", "ACTOR"]
        assert lines[1].split()[2:6] == ["default", "accounts.create", "eva", "ok"]
        assert "following the audit; Ctrl-C ends it" in told.stderr

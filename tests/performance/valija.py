"""Our service as a server under measurement, out of this checkout or of another."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from performance.certificate import Certificate
from performance.mailboxes import Mailboxes, user_name
from performance.native import PASSWORD, pinned
from performance.servers import CannotStart, Running, process, wait_for_line
from pop3mgmt.client import ManagementClient
from pop3mgmt.v1.access_pb2 import AddressRule

RULES = 20
"""Bans, and address rules of each kind, that our service has."""
NO_SETTINGS: Mapping[str, str] = {}
AT_ONCE = 16
"""Accounts that are being made at a time."""


@dataclass
class Valija:
    """Our service. ``cheap_passwords`` is for thousands of accounts: no cost worth the name."""

    folder: Path
    name: str = "valija"
    checkout: Path | None = None
    workers: int = 0
    cheap_passwords: bool = False
    certificate: Certificate | None = None
    accounts: int = 0  # made at once, so that later sets find theirs
    transform: str = ""  # a command line

    @contextmanager
    def running(self, mailboxes: Mailboxes, cores: Sequence[int]) -> Iterator[Running]:
        """Run it with accounts for all users of the set."""
        accounts = self._accounts(max(mailboxes.users, self.accounts))
        data = self.folder / self.name / "data"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(accounts, data)
        with self._process(mailboxes.mail, data, cores, self._transforming()) as running:
            yield running
        shutil.rmtree(data, ignore_errors=True)

    def _transforming(self) -> dict[str, str]:
        """Settings for a transform: a first reading is to be one, and finds nothing done ahead."""
        if not self.transform:
            return {}
        return {"POP3_TRANSFORM": self.transform, "POP3_TRANSFORM_AHEAD": "off"}

    def _accounts(self, users: int) -> Path:
        """A data folder with at least so many accounts; made once, as each costs a hash."""
        base = self.folder / self.name / f"accounts-cheap-{self.cheap_passwords}"
        mail, data, count = base / "mail", base / "data", base / "count"
        if count.exists() and int(count.read_text()) >= users:
            return data
        shutil.rmtree(base, ignore_errors=True)
        mail.mkdir(parents=True)
        with self._process(mail, data, ()) as running:
            asyncio.run(_make_accounts(running.management, users))
            if self.checkout is None:  # another may be from before there were rules
                asyncio.run(_make_rules(running.management))
        shutil.rmtree(mail)
        count.write_text(str(users))
        return data

    @contextmanager
    def _process(
        self,
        mail: Path,
        data: Path,
        cores: Sequence[int],
        settings: Mapping[str, str] = NO_SETTINGS,
    ) -> Iterator[_Service]:
        environment = {
            **settings,
            "POP3_PORT": "0",
            "POP3_PORT_IPV6": "0",
            "POP3_PORT_TLS": "0",
            "POP3_BIND_IPV4": "127.0.0.1",
            "POP3_BIND_IPV6": "::",
            "POP3_MAIL_DIR": str(mail),
            "POP3_DATA_DIR": str(data),
            "POP3_GRPC_LISTEN": "127.0.0.1:0",
            "POP3_HOST_NAME": "pop.test",
            "POP3_WORKERS": str(self.workers),
            "POP3_MAX_ACCOUNTS": "100000",
            "POP3_MAX_CONNECTIONS": "15000",
        }
        if self.cheap_passwords:
            environment |= {"POP3_PASSWORD_MEMORY_KIB": "8", "POP3_PASSWORD_PASSES": "1"}
        if self.certificate:
            environment |= {
                "POP3_TLS_CERT": str(self.certificate.certificate),
                "POP3_TLS_KEY": str(self.certificate.key),
            }
        python = self.checkout / ".venv/bin/python" if self.checkout else Path(sys.executable)
        if not python.exists():
            raise CannotStart(f"{self.name}: {python} is missing; run `make test` there first")
        log = self.folder / self.name / "log"
        log.parent.mkdir(parents=True, exist_ok=True)
        words = [*pinned(cores), str(python), "-m", "pop3_service"]
        with process(words, log, environment) as started:
            line = wait_for_line(started, log, 'event="service started"')
            facts = dict(word.split("=", 1) for word in line.split() if "=" in word)
            tls = facts.get("pop3_tls", "")
            yield _Service(
                started,
                int(facts["pop3"]),
                int(tls or 0) or None,
                f"127.0.0.1:{facts['grpc']}",
            )


@dataclass
class _Service(Running):
    """A started service of ours, with its management address."""

    management: str = ""

    def __init__(
        self, process: subprocess.Popen[bytes], port: int, tls_port: int | None, management: str
    ) -> None:
        super().__init__(process, port, tls_port)
        self.management = management


async def _make_accounts(management: str, users: int) -> None:
    gate = asyncio.Semaphore(AT_ONCE)
    async with ManagementClient(management, deadline_s=60) as client:
        admin = await client.login("default", "default")

        async def make(number: int) -> None:
            async with gate:
                await admin.create_account(user_name(number), PASSWORD)

        await asyncio.gather(*(make(number) for number in range(users)))


async def _make_rules(management: str) -> None:
    """Keep others out, so that every connection and every login is looked at."""
    deny = AddressRule.Effect.Value("EFFECT_DENY")
    async with ManagementClient(management, deadline_s=60) as client:
        admin = await client.login("default", "default")
        for number in range(RULES):
            await admin.ban(f"198.51.{number}.0/24")
            for subject in ("everyone", "role:user", f"account:{user_name(0)}"):
                network = f"203.0.{number}.0/24"
                await admin.create_rule(AddressRule(effect=deny, network=network, subject=subject))

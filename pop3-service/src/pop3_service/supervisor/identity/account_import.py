"""Taking over accounts with their password hashes: a file in one transaction, told by line."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

import structlog

from lineproto.clock import Clock
from pop3_service.domain.account import NAME_MAX_OCTETS, Account, AccountName
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.passwords import check_new_password
from pop3_service.domain.rights import RoleName
from pop3_service.domain.settings import Settings
from pop3_service.storage.accounts import AccountStore
from pop3_service.supervisor.authentication.authenticator import Authenticator
from pop3_service.supervisor.identity.passwd_file import PasswdLine, read_passwd_file
from pop3_service.supervisor.mail.maildrops import Maildrops

AT_A_TIME = 100
"""Passwords in clear that are handed on to be hashed; other checks get their turn between them."""

log = structlog.get_logger()


class Outcome(Enum):
    """What became of a line."""

    IMPORTED = "imported"
    EXISTS = "exists"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ImportedLine:
    """A line of the file, the account's name, its password's scheme, and why it is refused."""

    number: int
    name: str
    outcome: Outcome
    scheme: str = ""
    why: str = ""


class AccountImport:
    """The use case of moving accounts in."""

    def __init__(
        self,
        accounts: AccountStore,
        authenticator: Authenticator,
        maildrops: Maildrops,
        settings: Callable[[], Settings],
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._authenticator = authenticator
        self._maildrops = maildrops
        self._settings = settings
        self._clock = clock

    async def run(
        self, data: bytes, by: str, *, domain: str = "", dry_run: bool = False
    ) -> list[ImportedLine]:
        """Make an account of each line of a passwd-file that can be one; ``dry_run`` only tells.

        ``domain`` is added to names without one. Their Maildirs are made at the first login, where
        they did not move over.

        Raises:
            AccountLimit: with these accounts there would be too many; none is made.
            StoreUnavailable: none is made.
        """
        lines = await asyncio.to_thread(lambda: list(read_passwd_file(data)))
        wanted: dict[AccountName, PasswdLine] = {}
        outcomes: dict[int, ImportedLine] = {}
        for line in lines:
            try:
                name = self._name(line, domain)
                if name in wanted:
                    raise InvalidArgument(f"line {wanted[name].number} has this name already")
                wanted[name] = line
            except InvalidArgument as error:
                outcomes[line.number] = ImportedLine(
                    line.number, line.name[:NAME_MAX_OCTETS], Outcome.REFUSED, why=str(error)
                )
        maximum = self._settings().max_accounts
        if dry_run:
            existing = await self._accounts.would_insert(wanted, maximum)
        else:
            there = await self._accounts.existing(wanted)
            made = await self._hashed(it for it in wanted.items() if it[0] not in there)
            existing = there | await self._accounts.insert_all(made, maximum)
        for name, line in wanted.items():
            outcome = Outcome.EXISTS if name in existing else Outcome.IMPORTED
            scheme = line.password.scheme if line.password else ""
            outcomes[line.number] = ImportedLine(line.number, name, outcome, scheme)
        if not dry_run:
            self._log(outcomes.values(), by)
        counts = Counter(it.outcome.value for it in outcomes.values())
        describe(target=f"{len(lines)} accounts", after={"dry_run": dry_run, **counts})
        return [outcomes[line.number] for line in lines]

    def _name(self, line: PasswdLine, domain: str) -> AccountName:
        """Give the account's name, or raise InvalidArgument with what is wrong in the line."""
        if line.password is None:
            raise InvalidArgument(line.why)
        at_domain = f"@{domain}" if domain and "@" not in line.name else ""
        name = AccountName.parse(line.name + at_domain)
        self._maildrops.check_name(name)
        if not line.password.stored:
            check_new_password(line.password.clear)
        return name

    async def _hashed(self, wanted: Iterable[tuple[AccountName, PasswdLine]]) -> list[Account]:
        """Give the accounts to be stored; what is in clear is hashed."""
        now = self._clock.now()
        made: list[Account] = []
        in_clear: list[tuple[AccountName, bytes]] = []
        for name, line in wanted:
            if line.password is None:
                continue
            if line.password.stored:
                made.append(Account(name, RoleName.USER, line.password.stored, now))
            else:
                in_clear.append((name, line.password.clear))
        for at in range(0, len(in_clear), AT_A_TIME):
            some = in_clear[at : at + AT_A_TIME]
            hashes = await asyncio.gather(*(self._authenticator.hash(it) for _, it in some))
            made += (
                Account(name, RoleName.USER, hashed, now)
                for (name, _), hashed in zip(some, hashes, strict=True)
            )
        return made

    def _log(self, outcomes: Iterable[ImportedLine], by: str) -> None:
        counts = dict.fromkeys(Outcome, 0)
        for line in outcomes:
            counts[line.outcome] += 1
        log.info("accounts imported", by=by, **{it.value: count for it, count in counts.items()})

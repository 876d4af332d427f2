"""The management API in this process: all is real but the workers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

from pop3_service.api.auditing import Auditing
from pop3_service.api.server import ManagementServer
from pop3_service.api.servicers.access import AccessServicer
from pop3_service.api.servicers.accounts import AccountsServicer
from pop3_service.api.servicers.audit import AuditServicer
from pop3_service.api.servicers.auth import AuthServicer
from pop3_service.api.servicers.backups import BackupServicer
from pop3_service.api.servicers.maildrop import MaildropServicer
from pop3_service.api.servicers.own_account import OwnAccountServicer
from pop3_service.api.servicers.roles import RolesServicer
from pop3_service.api.servicers.server import ServerServicer
from pop3_service.api.servicers.sessions import SessionsServicer
from pop3_service.api.servicers.throttle import ThrottleServicer
from pop3_service.api.servicers.tokens import TokensServicer
from pop3_service.api.servicers.transform_activations import TransformActivationsServicer
from pop3_service.api.servicers.transforms import TransformsServicer
from pop3_service.control.counters import CounterBoard
from pop3_service.control.plane import CertificatePair, DisconnectOrder
from pop3_service.domain.access import Access, Visit
from pop3_service.domain.address_rules import AccessTable
from pop3_service.domain.address_rules import Service as Service_
from pop3_service.domain.ahead import TransformedMail
from pop3_service.domain.audit import Via
from pop3_service.domain.reach import Reach
from pop3_service.domain.scram import MadeUp
from pop3_service.domain.session import SessionEvent, SessionEventKind, SessionInfo
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import NOTHING_ACTIVE, TransformTable
from pop3_service.maildir.paths import MailPaths
from pop3_service.storage.store import Store
from pop3_service.supervisor.authentication.apop import Apop
from pop3_service.supervisor.authentication.authenticator import Authenticator
from pop3_service.supervisor.authentication.scram import ScramDesk
from pop3_service.supervisor.authentication.token_key_source import TokenKeySource
from pop3_service.supervisor.authentication.token_keys import TokenKeys
from pop3_service.supervisor.backups import BackupDesk
from pop3_service.supervisor.defence.access import AccessGate
from pop3_service.supervisor.defence.address_rules import RulesDesk
from pop3_service.supervisor.defence.audit import AuditDesk
from pop3_service.supervisor.defence.bans import BansDesk
from pop3_service.supervisor.defence.gateway_address import SharedAddresses
from pop3_service.supervisor.defence.throttle import Throttle
from pop3_service.supervisor.defence.why import WhyDesk
from pop3_service.supervisor.identity.account_import import AccountImport
from pop3_service.supervisor.identity.accounts import AccountsDesk
from pop3_service.supervisor.identity.app_passwords import AppPasswordDesk
from pop3_service.supervisor.identity.automation import AutomationTokens
from pop3_service.supervisor.identity.estimator import Estimator
from pop3_service.supervisor.identity.first_start import FirstStart
from pop3_service.supervisor.identity.password_rules import PasswordRules
from pop3_service.supervisor.identity.preferences import PreferencesDesk
from pop3_service.supervisor.identity.roles import RolesDesk
from pop3_service.supervisor.identity.tokens import Tokens
from pop3_service.supervisor.mail.maildir_store import MaildirStore
from pop3_service.supervisor.reloading import Reloading
from pop3_service.supervisor.sessions import SessionsDesk
from pop3_service.supervisor.settings import SettingsDesk
from pop3_service.supervisor.status import StatusDesk, WorkerCounts
from pop3_service.supervisor.tls.certificates import CertificatesDesk
from pop3_service.supervisor.tls.files import CertificateFiles
from pop3_service.supervisor.tls.reader import CertificateReader
from pop3_service.supervisor.transforms.trials import TransformTrials
from pop3_service.supervisor.transforms.versions import TransformsDesk
from pop3_service.transform.runner import Runner
from pop3_service.worker.tls import server_context
from pop3mgmt.client import Caller, ManagementClient
from support import database
from unit.pop3_service.clock import FakeClock

ADMIN_PASSWORD = "the admin's own"
GATEWAY_SECRET = "5e" * 32


def session(number: int, account: str = "") -> SessionInfo:
    return SessionInfo(str(number), f"192.0.2.1:{number}", account, 1000.0 + number, 10, 1, 3.5)


def event(number: int, account: str = "") -> SessionEvent:
    return SessionEvent(SessionEventKind.LOGGED_IN, session(number, account), 2000.0 + number)


class FakeWorker:
    """Sessions in a list."""

    def __init__(self) -> None:
        self.sessions: list[SessionInfo] = []
        self.settings = Settings()
        self.orders: list[DisconnectOrder] = []
        self.watched = False
        self.access = AccessTable()
        self.transforms = NOTHING_ACTIVE
        self._told_access = asyncio.Event()
        self.certificates: list[CertificatePair] = []
        self.failure: Exception | None = None
        self.least_retention_days = 0

    async def configure(self, settings: Settings) -> None:
        self._fail()
        self.settings = settings

    async def list_sessions(self, account: str) -> list[SessionInfo]:
        self._fail()
        return [it for it in self.sessions if not account or it.account == account]

    async def disconnect(self, order: DisconnectOrder) -> int:
        self._fail()
        self.orders.append(order)
        if order.keep_sessions:
            return 0
        before = len(self.sessions)
        self.sessions = [
            it
            for it in self.sessions
            if it.id != order.session_id
            and not (it.account and (order.everybody or it.account == order.account))
        ]
        return before - len(self.sessions)

    async def set_access(self, table: AccessTable) -> int:
        self._fail()
        self.access = table
        self._told_access.set()
        rules, before = Access(table), len(self.sessions)
        self.sessions = [
            it
            for it in self.sessions
            if rules.refuses(Visit(Service_.POP3, it.peer, it.account, "user"), 0.0) is None
        ]
        return before - len(self.sessions)

    async def until_access(self, fact: Callable[[AccessTable], bool]) -> None:
        """Wait for a table of which a fact holds."""
        async with asyncio.timeout(60):
            while not fact(self.access):
                self._told_access.clear()
                await self._told_access.wait()

    async def set_transforms(self, table: TransformTable) -> None:
        self._fail()
        self.transforms = table

    async def watch(self, wanted: bool) -> None:
        self._fail()
        self.watched = wanted

    async def set_certificates(self, pairs: list[CertificatePair]) -> None:
        self._fail()
        self.certificates = pairs

    async def set_least_retention(self, days: int) -> None:
        self._fail()
        self.least_retention_days = days

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class FakePool:
    """Workers that were not started."""

    def __init__(self, workers: Sequence[FakeWorker]) -> None:
        self.watched = False
        self._workers = list(workers)

    def workers(self) -> list[FakeWorker]:
        return self._workers


class Service:
    """A running service. ``admin`` is logged in."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.folder = folder
        self.clock = clock
        self.management_certificate_end: datetime | None = None
        self.workers = [FakeWorker(), FakeWorker()]
        self.tls = folder / "tls"
        self.certificates: CertificatesDesk
        self.board = CounterBoard.create(2)
        self.sessions = SessionsDesk()
        self.sessions.pool = FakePool(self.workers)
        self.apop: Apop
        self.audit: AuditDesk
        self.authenticator: Authenticator
        self.backups: BackupDesk
        self.token_keys: TokenKeys
        self.store: Store
        self.scram: ScramDesk
        self.transformed_mail: TransformedMail | None = None
        self.client: ManagementClient
        self.admin: Caller
        self.target = ""
        self.rules: PasswordRules
        self.transforms: TransformsDesk
        self.restart: Callable[[], Awaitable[int]]

    @contextlib.asynccontextmanager
    async def running(
        self, *, password: str | None = ADMIN_PASSWORD, with_reflection: bool = False
    ) -> AsyncIterator[Service]:
        clock = self.clock
        (self.folder / "mail").mkdir(exist_ok=True)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self.board.close)
            store = await database.opened(self.folder / "data")
            stack.push_async_callback(store.close)
            self.authenticator = Authenticator(
                store.accounts,
                clock,
                lambda: settings.current.remember_login_s,
                memory_kib=8,
                passes=1,
            )
            stack.callback(self.authenticator.close)
            roles = RolesDesk(store.roles)
            await roles.load()
            automation = AutomationTokens(store.tokens, roles, clock)
            await automation.load()
            tokens = Tokens(clock, roles.rights, automation)
            self.audit = AuditDesk(
                self.folder / "data", self.folder / "data/audit.key", lambda: 0, clock
            )
            await stack.enter_async_context(self.audit.running())
            maildrops = MaildirStore(MailPaths(self.folder / "mail"), clock)
            runner = Runner(
                self.folder / "spool", clock, reach=Reach((str(self.folder / "programs"),))
            )
            stack.push_async_callback(runner.close)
            settings = SettingsDesk(store.settings, store.accounts, self._apply)
            throttle = Throttle(lambda: settings.current, clock)
            scram = ScramDesk(
                store.accounts,
                self.authenticator,
                MadeUp(bytes(32)),
                lambda: settings.current,
                clock,
                app_verifiers=store.app_passwords.verifiers,
            )
            self.authenticator.on_verified = scram.learn
            self.apop = Apop(
                store.accounts,
                self.folder / "data" / "apop.key",
                lambda: settings.current,
                lambda: self.authenticator.changes,
            )
            self.rules = PasswordRules(
                store.accounts,
                self.authenticator,
                lambda: settings.current,
                clock,
                Estimator().strength,
            )
            self.authenticator.hindrance = self.rules.hindrance
            self.authenticator.has_expired = self.rules.has_expired
            accounts = AccountsDesk(
                store.accounts,
                self.authenticator,
                tokens,
                roles,
                self.sessions,
                maildrops,
                lambda: settings.current,
                clock,
                scram.make,
                self.apop.seal,
                self.rules,
            )
            self.store, self.scram, self.desk = store, scram, accounts
            app_passwords = AppPasswordDesk(
                store.app_passwords, scram.make_for_app, accounts.end_pop3, clock
            )
            self.authenticator.find_app_password = app_passwords.find
            preferences = PreferencesDesk(
                store.preferences,
                lambda: settings.current,
                accounts.forget_logins,
                self._apply_retention,
            )
            accounts.on_retention_gone = self._apply_retention
            access = AccessGate(
                store.access, store.accounts, self._apply_access, roles.rights, clock
            )
            await access.load()
            self.transforms = TransformsDesk(
                store.transforms,
                store.accounts,
                lambda: settings.current,
                runner.check,
                self._apply_transforms,
                clock,
            )
            await self.transforms.load()
            self.transforms.publish = self.sessions.publish
            self.transforms.telling = lambda: self.audit.acting("transforms.roll_back", Via.SERVICE)
            await stack.enter_async_context(self.transforms.running())
            roles.on_deleted = self.transforms.role_deleted
            accounts.on_deleted = [access.account_deleted, self.transforms.account_deleted]
            access.on_ended = self.audit.note_end
            await stack.enter_async_context(access.running())
            imports = AccountImport(
                store.accounts, self.authenticator, maildrops, lambda: settings.current, clock
            )
            reader = CertificateReader()
            self.certificates = CertificatesDesk(
                CertificateFiles(None, None, self.tls) if self.tls.exists() else None,
                "mail.example",
                reader,
                server_context,
                self._certify,
                clock,
            )
            reloading = Reloading(
                self.authenticator,
                tokens,
                self.apop,
                scram,
                store.secrets,
                self.sessions,
                [
                    roles.load,
                    automation.load,
                    settings.reload,
                    access.reload,
                    self.transforms.reload,
                ],
            )
            self.backups = BackupDesk(
                store,
                self.folder / "data",
                {"apop.key": self.folder / "data" / "apop.key"},
                "1.2.3",
                clock,
                reloading.forget,
                reloading.apply,
                lambda: settings.current.backups_kept,
            )
            stack.push_async_callback(self.backups.close)
            await self.certificates.load()
            await settings.load()
            await FirstStart(admin_password=password).make(accounts, maildrops)
            self.token_keys = TokenKeys(
                lambda: settings.current.token_key_source, TokenKeySource(None).load, clock
            )
            status = StatusDesk(
                "1.2.3",
                self.board.totals,
                lambda: WorkerCounts(2, 1, 3),
                store.accounts,
                accounts,
                self.transforms,
                self.certificates,
                self.token_keys,
                clock,
                self._transformed_mail,
                lambda: "as these tests say",
                lambda: self.management_certificate_end,
            )
            server = ManagementServer(
                tokens,
                [
                    AuthServicer(self.authenticator, throttle, tokens, accounts, access),
                    AccountsServicer(accounts, self.sessions, imports, throttle),
                    SessionsServicer(self.sessions),
                    ServerServicer(status, settings, self.certificates, self._restart, clock),
                    MaildropServicer(maildrops, accounts),
                    OwnAccountServicer(
                        accounts, app_passwords, preferences, self.audit.logins_of, tokens
                    ),
                    RolesServicer(roles),
                    AuditServicer(self.audit),
                    ThrottleServicer(throttle, clock),
                    BackupServicer(self.backups),
                    AccessServicer(
                        RulesDesk(access, store.access, roles.rights),
                        BansDesk(
                            access,
                            store.access,
                            accounts.end,
                            SharedAddresses(named=["192.0.2.0/24"]),
                        ),
                        WhyDesk(access, store.accounts, throttle),
                    ),
                    TokensServicer(automation),
                    TransformsServicer(
                        self.transforms,
                        TransformTrials(
                            runner, maildrops, lambda: settings.current, self.folder / "spool"
                        ),
                        accounts,
                    ),
                    TransformActivationsServicer(self.transforms),
                ],
                Auditing(self.audit, clock),
                access.check,
                with_reflection=with_reflection,
                gateway_secret=GATEWAY_SECRET,
            )
            port = await server.start("127.0.0.1:0")
            stack.push_async_callback(server.stop, 0.0)
            self.target = f"127.0.0.1:{port}"
            self.client = await stack.enter_async_context(ManagementClient(self.target))
            self.admin = await self.client.login("default", password or "default")
            yield self

    async def user(self, name: str = "ana", password: str = "secret") -> Caller:
        """Make an account and log in to it."""
        await self.admin.create_account(name, password)
        return await self.client.login(name, password)

    async def _apply_retention(self) -> None:
        days = await self.store.preferences.least_retention_days()
        for worker in self.workers:
            await worker.set_least_retention(days)

    async def _transformed_mail(self) -> TransformedMail | None:
        return self.transformed_mail

    async def _restart(self) -> int:
        return await self.restart()

    async def _apply_access(self, table: AccessTable) -> int:
        return sum([await worker.set_access(table) for worker in self.workers])

    async def _apply_transforms(self, table: TransformTable) -> None:
        for worker in self.workers:
            await worker.set_transforms(table)

    async def _certify(self, pairs: list[CertificatePair]) -> None:
        for worker in self.workers:
            await worker.set_certificates(pairs)

    async def _apply(self, settings: Settings) -> None:
        for worker in self.workers:
            await worker.configure(settings)

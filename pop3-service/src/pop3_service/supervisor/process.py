"""The composition root: everything is built, connected, started and stopped here."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import structlog

from lineproto.clock import Clock, SystemClock
from lineproto.followed import FollowedPair
from lineproto.networks import Networks
from lineproto.stopping import stop_signals
from lineproto.tls import BadCertificate
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
from pop3_service.config import Config
from pop3_service.control.counters import CounterBoard
from pop3_service.control.messages import AheadConfig, ListenerConfig, WorkerConfig
from pop3_service.control.plane import CertificatePair, ControlPlane
from pop3_service.domain.access import Access
from pop3_service.domain.account import AccountName
from pop3_service.domain.address_rules import AccessTable
from pop3_service.domain.ahead import TransformedMail
from pop3_service.domain.audit import LoginEvent, Via
from pop3_service.domain.errors import CertificateInvalid, InvalidArgument, ServiceUnavailable
from pop3_service.domain.reach import Reach
from pop3_service.domain.scram import MadeUp
from pop3_service.domain.settings import RFC_IDLE_S, Settings
from pop3_service.domain.transforms import ActiveTransforms, TransformTable
from pop3_service.maildir.access import check_mail_root
from pop3_service.maildir.paths import MailPaths
from pop3_service.storage.store import Store
from pop3_service.supervisor.authentication.apop import Apop
from pop3_service.supervisor.authentication.authenticator import Authenticator
from pop3_service.supervisor.authentication.bearer import BearerTokens
from pop3_service.supervisor.authentication.bearer_checks import BearerChecks
from pop3_service.supervisor.authentication.login_times import LoginTimes
from pop3_service.supervisor.authentication.logins import LoginDesk
from pop3_service.supervisor.authentication.sasl import checks, claims
from pop3_service.supervisor.authentication.scram import SALT_KEY, ScramDesk
from pop3_service.supervisor.authentication.token_key_source import TokenKeySource
from pop3_service.supervisor.authentication.token_keys import TokenKeys
from pop3_service.supervisor.backups import BackupDesk
from pop3_service.supervisor.defence.access import AccessGate
from pop3_service.supervisor.defence.address_rules import RulesDesk
from pop3_service.supervisor.defence.audit import AuditDesk
from pop3_service.supervisor.defence.bans import BansDesk
from pop3_service.supervisor.defence.gateway_address import find_shared_addresses
from pop3_service.supervisor.defence.throttle import Throttle
from pop3_service.supervisor.defence.throttle_keeping import ThrottleKeeping
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
from pop3_service.supervisor.key_file import BadKey, load_key
from pop3_service.supervisor.listening import Ports, listen
from pop3_service.supervisor.mail.expiry import Expiry
from pop3_service.supervisor.mail.maildir_store import MaildirStore
from pop3_service.supervisor.reloading import Reloading
from pop3_service.supervisor.remote_worker import Slot
from pop3_service.supervisor.sessions import SessionsDesk
from pop3_service.supervisor.settings import SettingsDesk
from pop3_service.supervisor.status import StatusDesk, WorkerCounts
from pop3_service.supervisor.tls.certificates import SIGHUP, CertificatesDesk
from pop3_service.supervisor.tls.demo import DemoCertificate
from pop3_service.supervisor.tls.files import CertificateFiles
from pop3_service.supervisor.tls.reader import CertificateReader
from pop3_service.supervisor.transforms.ahead import AheadDesk
from pop3_service.supervisor.transforms.ahead_lives import LocalAhead, RemoteAhead
from pop3_service.supervisor.transforms.sandbox import SandboxLook
from pop3_service.supervisor.transforms.trials import TransformTrials
from pop3_service.supervisor.transforms.versions import TransformsDesk
from pop3_service.supervisor.workers import COUNTERS_A_SLOT, LocalPool, WorkerPool
from pop3_service.transform.cache import Cache
from pop3_service.transform.runner import MIB, Runner
from pop3_service.worker.ahead import Ahead
from pop3_service.worker.ahead_results import AheadResults
from pop3_service.worker.context import Greeting, WorkerContext
from pop3_service.worker.listener import Pop3Listener
from pop3_service.worker.tls import server_context

GRACE_S = 25.0
"""How long a command in progress may go on after SIGTERM; compose waits 30 s."""

log = structlog.get_logger()


class Supervisor:
    """The whole service. Use ``running`` to start and stop it in order."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.ports = Ports()
        self._config = config
        self._clock = clock or SystemClock()
        self._version = version("pop3-service")
        self._spool = config.spool_dir or config.data_dir / "spool"
        self._results = config.data_dir / "transformed"
        self._reach = _reach(config)
        self._paths = MailPaths(config.mail_dir.absolute(), config.mail_path)
        self._sessions = SessionsDesk()
        self._certificates = self._certificates_desk()
        self._settings: SettingsDesk
        self._access: AccessGate
        self._transforms: TransformsDesk
        self._runner: Runner
        self._expiry: Expiry | None = None
        self._ahead: AheadDesk | None = None
        self._grpc: FollowedPair | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Ports]:
        """Start the service, and stop it at the end: no new mail, then no new calls.

        Raises:
            ServiceError: a part cannot start; what had started is stopped.
        """
        config, clock = self._config, self._clock
        check_mail_root(self._paths.root)
        async with contextlib.AsyncExitStack() as stack:
            store = await Store.open(config.data_dir)
            stack.push_async_callback(store.close)
            authenticator = Authenticator(
                store.accounts,
                clock,
                lambda: self._settings.current.remember_login_s,
                memory_kib=config.password_memory_kib,
                passes=config.password_passes,
            )
            stack.callback(authenticator.close)
            roles = RolesDesk(store.roles)
            await roles.load()
            automation = AutomationTokens(store.tokens, roles, clock)
            await automation.load()
            tokens = Tokens(clock, roles.rights, automation)
            maildrops = MaildirStore(self._paths, clock)
            audit = AuditDesk(
                config.data_dir,
                keys(config)["audit.key"],
                lambda: self._settings.current.audit_retention_days,
                clock,
            )
            await stack.enter_async_context(audit.running())
            runner = self._runner = Runner(self._spool, clock, reach=self._reach)
            stack.push_async_callback(runner.close)
            settings = self._settings = SettingsDesk(store.settings, store.accounts, self._apply)
            shared = find_shared_addresses(config.shared_addresses)
            throttle = Throttle(lambda: settings.current, clock, shared)
            scram = ScramDesk(
                store.accounts,
                authenticator,
                MadeUp(await store.secrets.get(SALT_KEY)),
                lambda: settings.current,
                clock,
                app_verifiers=store.app_passwords.verifiers,
            )
            authenticator.on_verified = scram.learn
            authenticator.on_deleted = throttle.places.forget
            apop = Apop(
                store.accounts,
                keys(config)["apop.key"],
                lambda: settings.current,
                lambda: authenticator.changes,
            )
            rules = PasswordRules(
                store.accounts, authenticator, lambda: settings.current, clock, Estimator().strength
            )
            authenticator.hindrance = rules.hindrance
            authenticator.has_expired = rules.has_expired
            accounts = AccountsDesk(
                store.accounts,
                authenticator,
                tokens,
                roles,
                self._sessions,
                maildrops,
                lambda: settings.current,
                clock,
                scram.make,
                apop.seal,
                rules,
            )
            access = self._access = AccessGate(
                store.access, store.accounts, self._apply_access, roles.rights, clock
            )
            await access.load()
            access.on_ended = audit.note_end
            transforms = self._transforms = TransformsDesk(
                store.transforms,
                store.accounts,
                lambda: settings.current,
                runner.check,
                self._apply_transforms,
                clock,
            )
            await transforms.load()
            transforms.publish = self._sessions.publish
            transforms.telling = lambda: audit.acting("transforms.roll_back", Via.SERVICE)
            roles.on_deleted = transforms.role_deleted
            accounts.on_deleted = [access.account_deleted, transforms.account_deleted]
            await stack.enter_async_context(access.running())
            app_passwords = AppPasswordDesk(
                store.app_passwords, scram.make_for_app, accounts.end_pop3, clock
            )
            authenticator.find_app_password = app_passwords.find
            preferences = PreferencesDesk(
                store.preferences,
                lambda: settings.current,
                accounts.forget_logins,
                lambda: self._apply_retention(store),
            )
            accounts.on_retention_gone = lambda: self._apply_retention(store)
            imports = AccountImport(
                store.accounts, authenticator, maildrops, lambda: settings.current, clock
            )
            reloading = Reloading(
                authenticator,
                tokens,
                apop,
                scram,
                store.secrets,
                self._sessions,
                [
                    roles.load,
                    automation.load,
                    settings.reload,
                    lambda: self._apply_retention(store),
                    access.reload,
                    transforms.reload,
                ],
            )
            backups = BackupDesk(
                store,
                config.data_dir,
                keys(config),
                self._version,
                clock,
                reloading.forget,
                reloading.apply,
                lambda: settings.current.backups_kept,
            )
            stack.push_async_callback(backups.close)
            await settings.load()
            if config.settings:
                async with audit.acting("server.update_settings", Via.COMMAND_LINE):
                    await settings.update(config.settings, "command line")
            if config.transform is not None:
                async with audit.acting("transforms.use_command_line", Via.COMMAND_LINE):
                    await transforms.use_command_line(config.transform, "command line")
            first_start = FirstStart(config.admin_bootstrap, config.admin_password, config.demo)
            async with audit.acting("accounts.bootstrap", Via.START):
                await first_start.make(accounts, maildrops)
            await self._warn(accounts)
            self._certificates.telling = lambda by: audit.acting(
                "server.reload_certificates", Via.SIGNAL if by == SIGHUP else Via.SERVICE
            )
            await self._certificates.load()
            keeping = ThrottleKeeping(
                throttle, store.throttle, lambda: settings.current.known_place_days, clock
            )
            await keeping.load()
            await stack.enter_async_context(keeping.running())
            token_keys = TokenKeys(
                lambda: settings.current.token_key_source,
                TokenKeySource(config.oauth_ca).load,
                clock,
            )
            await stack.enter_async_context(token_keys.following())
            bearer_tokens = BearerTokens(
                token_keys, store.accounts, lambda: settings.current, clock
            )
            await stack.enter_async_context(app_passwords.storing())

            ahead = AheadDesk(
                store.accounts,
                lambda: settings.current,
                self._start_ahead,
                transforms.note,
                clock,
            )

            def note_logins(events: list[LoginEvent]) -> None:
                audit.note_logins(events)
                app_passwords.note_logins(events)
                ahead.note_logins(events)

            control = LoginDesk(
                authenticator,
                throttle,
                LoginTimes(clock, lambda: settings.current.login_delay_s),
                self._sessions.publish,
                checks(scram, BearerChecks(bearer_tokens, lambda: settings.current), apop),
                note_logins,
                clock,
                claims(scram),
            )
            control.on_transforms = transforms.note
            board = CounterBoard.create(max(config.workers * COUNTERS_A_SLOT, 1))
            stack.callback(board.close)
            pool, ports = await self._start_workers(control, board)
            # With the workers there, none of them misses that a canary is given up.
            await stack.enter_async_context(transforms.running())
            await self._apply_retention(store)
            results = self._cache(lambda: settings.current)
            stack.callback(results.close)
            sandbox = SandboxLook(runner.launcher.look)
            await stack.enter_async_context(sandbox.running())

            async def forget_results(name: AccountName) -> None:
                await results.in_thread(partial(results.forget, name))

            accounts.on_deleted.append(forget_results)
            status = StatusDesk(
                self._version,
                board.totals,
                lambda: WorkerCounts(config.workers, pool.draining, pool.restarts),
                store.accounts,
                accounts,
                transforms,
                self._certificates,
                token_keys,
                clock,
                partial(_transformed_mail, ahead, results, lambda: settings.current),
                lambda: sandbox.text,
                lambda: self._grpc.pair.not_after if self._grpc else None,
            )
            server = ManagementServer(
                tokens,
                [
                    AuthServicer(authenticator, throttle, tokens, accounts, access),
                    AccountsServicer(accounts, self._sessions, imports, throttle),
                    SessionsServicer(self._sessions),
                    ServerServicer(status, settings, self._certificates, pool.restart, clock),
                    MaildropServicer(maildrops, accounts),
                    OwnAccountServicer(
                        accounts, app_passwords, preferences, audit.logins_of, tokens
                    ),
                    RolesServicer(roles),
                    AuditServicer(audit),
                    ThrottleServicer(throttle, clock),
                    BackupServicer(backups),
                    AccessServicer(
                        RulesDesk(access, store.access, roles.rights),
                        BansDesk(access, store.access, accounts.end, shared),
                        WhyDesk(access, store.accounts, throttle),
                    ),
                    TokensServicer(automation),
                    TransformsServicer(
                        transforms,
                        TransformTrials(runner, maildrops, lambda: settings.current, self._spool),
                        accounts,
                    ),
                    TransformActivationsServicer(transforms),
                ],
                Auditing(audit, clock),
                access.check,
                with_reflection=config.grpc_reflection,
                gateway_secret=await self._gateway_secret(),
            )
            self._expiry = Expiry(
                store.accounts, self._paths, lambda: settings.current, clock, audit.note_expiry
            )
            await stack.enter_async_context(self._expiry.running())
            await stack.enter_async_context(audit.looked_after())
            stack.push_async_callback(server.stop, 1.0)
            stack.push_async_callback(pool.stop, GRACE_S)
            stack.callback(throttle.delays.end)
            stack.push_async_callback(server.drain)
            await stack.enter_async_context(self._certificates.watching())
            self._ahead = ahead
            ahead.set_transforms(transforms.current)
            await stack.enter_async_context(ahead.running())
            certificate = await self._grpc_certificate(stack)
            grpc_port = await server.start(
                config.grpc_listen, certificate, config.data_dir if certificate else None
            )
            self.ports = replace(ports, grpc=grpc_port)
            await audit.record_own("service.start", Via.START, version=self._version)
            log.info(
                "service started",
                version=self._version,
                **self.ports.told(),
                grpc=self.ports.grpc,
                workers=config.workers,
                mail=str(self._paths.root),
                transform=transforms.command_line or None,
            )
            gc.collect()
            gc.freeze()
            yield self.ports
            await audit.record_own("service.stop")
            log.info("service stopping")
        log.info("service stopped")

    def reload_certificates(self) -> None:
        """Read the certificates again, soon."""
        self._certificates.reload_soon()
        if self._grpc is not None:
            self._grpc.reload_soon()

    def _certificates_desk(self) -> CertificatesDesk:
        config, reader = self._config, CertificateReader()
        if config.tls_key and not config.tls_cert:
            raise InvalidArgument("--tls-key is given without --tls-cert")
        files = demo = None
        if config.tls_cert or config.tls_dir:
            files = CertificateFiles(config.tls_cert, config.tls_key, config.tls_dir)
        elif config.demo:
            demo = DemoCertificate(config.data_dir / "tls", config.host_name, reader, self._clock)
        return CertificatesDesk(
            files,
            config.host_name,
            reader,
            server_context,
            self._apply_certificates,
            self._clock,
            demo,
        )

    async def _grpc_certificate(self, stack: contextlib.AsyncExitStack) -> FollowedPair | None:
        config = self._config
        if config.grpc_tls_cert is None:
            if config.grpc_tls_key or config.grpc_client_ca:
                raise InvalidArgument("--grpc-tls-key and --grpc-client-ca need --grpc-tls-cert")
            return None
        self._grpc = FollowedPair(
            "grpc", config.grpc_tls_cert, config.grpc_tls_key, self._clock, config.grpc_client_ca
        )
        try:
            await self._grpc.load()
        except BadCertificate as error:
            raise CertificateInvalid(error.why, error.file) from None
        await stack.enter_async_context(self._grpc.following())
        return self._grpc

    async def _gateway_secret(self) -> str:
        path = self._config.gateway_secret_file or self._config.data_dir / "gateway.secret"
        try:
            return (await asyncio.to_thread(load_key, path, for_group=True)).hex()
        except BadKey as error:
            raise ServiceUnavailable(f"the gateway's secret cannot be used: {error}") from None

    async def _apply_certificates(self, pairs: list[CertificatePair]) -> None:
        pool = getattr(self._sessions, "pool", None)
        if isinstance(pool, WorkerPool | LocalPool):
            await pool.set_certificates(pairs)

    async def _apply_access(self, table: AccessTable) -> int:
        pool = getattr(self._sessions, "pool", None)
        if isinstance(pool, WorkerPool | LocalPool):
            return await pool.set_access(table)
        return 0

    async def _apply_transforms(self, table: TransformTable) -> None:
        if self._ahead is not None:
            self._ahead.set_transforms(table)
        pool = getattr(self._sessions, "pool", None)
        if isinstance(pool, WorkerPool | LocalPool):
            await pool.set_transforms(table)

    async def _apply(self, settings: Settings) -> None:
        if self._expiry is not None:
            self._expiry.settings_changed()
        if self._ahead is not None:
            self._ahead.settings_changed()
        pool = getattr(self._sessions, "pool", None)
        if isinstance(pool, WorkerPool | LocalPool):
            await pool.apply(settings)

    async def _apply_retention(self, store: Store) -> None:
        """Tell who has to know that an account has another retention of its own."""
        if self._expiry is not None:
            self._expiry.retention_changed()
        pool = getattr(self._sessions, "pool", None)
        if isinstance(pool, WorkerPool | LocalPool):
            await pool.set_least_retention(await store.preferences.least_retention_days())

    async def _warn(self, accounts: AccountsDesk) -> None:
        for warning in await accounts.warnings():
            log.warning("default password in place", warning=warning)
        settings = self._settings.current
        if settings.idle_timeout_s < RFC_IDLE_S:
            log.warning("idle_timeout is below the 10 minutes of RFC 1939 section 3")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard < settings.max_connections + 100:
            log.warning("max_connections is more than the descriptors allow", nofile=hard)

    async def _start_workers(
        self, control: ControlPlane, board: CounterBoard
    ) -> tuple[WorkerPool | LocalPool, Ports]:
        count = self._config.workers
        settings, certificates = self._settings.current, self._certificates.pairs
        slots, ports = listen(
            self._config, max(count, 1), shared=count > 0, with_tls=bool(certificates)
        )
        pool: WorkerPool | LocalPool
        if count:
            pool = WorkerPool(slots, board, control, self._worker_config(board), self._clock)
            self._sessions.pool = pool
            await pool.start(
                settings, certificates, self._access.current.table, self._transforms.current
            )
        else:
            greeting = Greeting(self._config.host_name, self._version)
            context = WorkerContext(
                control,
                self._paths,
                settings,
                greeting,
                board,
                0,
                self._spool,
                self._clock,
                self._results,
                self._reach,
            )
            context.access = Access(self._access.current.table)
            context.transforms = ActiveTransforms(self._transforms.current)
            listener = Pop3Listener(context)
            await listener.set_certificates(certificates)
            await listener.start(
                [it.sock for it in slots[0].sockets if not it.implicit_tls],
                [it.sock for it in slots[0].sockets if it.implicit_tls],
                proxied={it.sock for it in slots[0].sockets if it.proxied},
                proxies=Networks(self._config.proxy_from),
            )
            pool = LocalPool(listener, listener.stop)
            self._sessions.pool = pool
        return pool, ports

    async def _start_ahead(
        self, desk: AheadDesk, settings: Settings, table: TransformTable
    ) -> RemoteAhead | LocalAhead:
        """Start what transforms mail ahead: a process, or with ``workers=0`` a task."""
        config = self._config
        if not config.workers:
            return await LocalAhead.start(self._make_ahead, desk, settings, table)
        made = AheadConfig(
            mail_root=str(self._paths.root),
            mail_path=config.mail_path,
            spool=str(self._spool.absolute()),
            results=str(self._results.absolute()),
            log_level=config.log_level,
            log_format=config.log_format,
            reach=self._reach,
        )
        return await RemoteAhead.start(made, desk, settings, table)

    def _make_ahead(self, desk: AheadDesk, settings: Settings) -> Ahead:
        def current() -> Settings:
            return self._settings.current

        results = AheadResults(self._runner, self._cache(current), current)
        return Ahead(desk, self._paths, results, settings, self._clock)

    def _cache(self, settings: Callable[[], Settings]) -> Cache:
        def quota() -> int:
            return settings().transform_cache_mib * MIB

        return Cache(self._results, self._spool, quota, self._clock)

    def _worker_config(self, board: CounterBoard) -> Callable[[Slot, str], WorkerConfig]:
        config = self._config

        def make(slot: Slot, tag: str) -> WorkerConfig:
            return WorkerConfig(
                tag=tag,
                slot=slot.index,
                slots=board.slots,
                counters=board.fd,
                listeners=[
                    ListenerConfig(it.sock.fileno(), it.implicit_tls, it.proxied)
                    for it in slot.sockets
                ],
                mail_root=str(self._paths.root),
                mail_path=config.mail_path,
                spool=str(self._spool.absolute()),
                results=str(self._results.absolute()),
                host_name=config.host_name,
                version=self._version,
                log_level=config.log_level,
                log_format=config.log_format,
                proxy_from=config.proxy_from,
                reach=self._reach,
            )

        return make


def _reach(config: Config) -> Reach:
    """Say what transforms may read, and what lies where they must not."""
    private = (
        config.mail_dir, config.data_dir, config.apop_key_file, config.audit_key_file,
        config.gateway_secret_file, config.tls_key, config.grpc_tls_key,
    )  # fmt: skip
    return Reach(
        tuple(str(path) for path in config.transform_path),
        tuple(str(path.absolute()) for path in private if path is not None),
    )


async def _transformed_mail(
    ahead: AheadDesk, results: Cache, settings: Callable[[], Settings]
) -> TransformedMail | None:
    """Say what is kept of transformed mail; None where none is kept and none is to be."""
    used = await results.in_thread(results.used)
    if not used and not ahead.is_wanted:
        return None
    limit = settings().transform_cache_mib * MIB
    return TransformedMail(ahead.is_wanted, ahead.progress, used, limit)


def keys(config: Config) -> dict[str, Path]:
    """Give the files of the service's keys, by the names that they have in a backup."""
    return {
        "apop.key": config.apop_key_file or config.data_dir / "apop.key",
        "audit.key": config.audit_key_file or config.data_dir / "audit.key",
    }


async def serve(config: Config) -> None:
    """Run the service until SIGTERM or SIGINT."""
    supervisor = Supervisor(config)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, supervisor.reload_certificates)
    with stop_signals() as stop:
        async with supervisor.running():
            await stop.wait()

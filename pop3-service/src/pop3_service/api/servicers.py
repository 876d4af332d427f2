"""The servicers: messages of the contract to use cases and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import grpc
import structlog

from lineproto.clock import Clock
from pop3_service.api.access import caller, caller_token, own_or_admin
from pop3_service.api.translate import (
    SETTING_FIELDS,
    account_message,
    certificate_message,
    event_message,
    id_import_message,
    id_source_of,
    imported_line_message,
    offset_page,
    read_settings,
    role_of,
    session_message,
    settings_message,
    status_message,
    timestamp,
)
from pop3_service.control.plane import DisconnectOrder
from pop3_service.domain.account import Principal
from pop3_service.domain.errors import (
    InvalidArgument,
    InvalidCredentials,
    SessionNotFound,
)
from pop3_service.supervisor.account_import import AccountImport
from pop3_service.supervisor.accounts import AccountsDesk
from pop3_service.supervisor.authenticator import Authenticator
from pop3_service.supervisor.certificates import CertificatesDesk
from pop3_service.supervisor.maildrops import Maildrops
from pop3_service.supervisor.sessions import SessionsDesk
from pop3_service.supervisor.settings import SettingsDesk
from pop3_service.supervisor.status import StatusDesk
from pop3_service.supervisor.throttle import Throttle
from pop3_service.supervisor.tokens import Tokens
from pop3mgmt.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    maildrop_pb2,
    maildrop_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
)

PAGE = 1000
MAX_CHUNK = 1024 * 1024
MAX_ACCOUNTS_FILE = 64 * 1024 * 1024
TOKEN_CHECK_S = 5.0
"""How often a stream looks whether its token still lives."""
LONGEST_INTERVAL_S = 86_400.0

Context = grpc.aio.ServicerContext[Any, Any]
log = structlog.get_logger()


class AuthServicer(auth_pb2_grpc.AuthServiceServicer):
    """Logins."""

    def __init__(
        self,
        authenticator: Authenticator,
        throttle: Throttle,
        tokens: Tokens,
        accounts: AccountsDesk,
        clock: Clock,
    ) -> None:
        self._authenticator = authenticator
        self._throttle = throttle
        self._tokens = tokens
        self._accounts = accounts
        self._clock = clock

    async def Login(
        self, request: auth_pb2.LoginRequest, context: Context
    ) -> auth_pb2.LoginResponse:
        """Check a password and give a token; a wrong one is answered with delay."""
        peer = context.peer().partition(":")[2].replace("%5B", "[").replace("%5D", "]")
        name, password = request.name.encode(), request.password.encode()
        asked_s = self._throttle.now_s()
        account = await self._authenticator.verify(name, password)
        if account is None:
            delay_s = self._throttle.failed(peer, asked_s)
            log.info("management login refused", peer=peer, name=ascii(request.name[:64]))
            await self._clock.sleep(delay_s)
            raise InvalidCredentials
        token, expire_time = self._tokens.issue(Principal(account.name, account.role))
        warnings: list[str] = []
        if account.has_default_password:
            warnings.append("your password is the default one; change it")
            log.warning("login with a default password", name=account.name, peer=peer)
        if account.role.value == "admin":
            warnings += await self._accounts.warnings()
        log.info("management login", name=account.name, peer=peer)
        return auth_pb2.LoginResponse(
            token=token,
            expire_time=timestamp(expire_time),
            account=account_message(account, 0),
            warnings=warnings,
        )

    async def RenewToken(
        self, request: auth_pb2.RenewTokenRequest, context: Context
    ) -> auth_pb2.RenewTokenResponse:
        """Move the token's end."""
        expire_time = self._tokens.renew(caller_token())
        return auth_pb2.RenewTokenResponse(expire_time=timestamp(expire_time))

    async def Logout(
        self, request: auth_pb2.LogoutRequest, context: Context
    ) -> auth_pb2.LogoutResponse:
        """End the token."""
        self._tokens.end(caller_token())
        return auth_pb2.LogoutResponse()


class AccountsServicer(accounts_pb2_grpc.AccountsServiceServicer):
    """Accounts."""

    def __init__(
        self, accounts: AccountsDesk, sessions: SessionsDesk, imports: AccountImport
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._imports = imports

    async def ListAccounts(
        self, request: accounts_pb2.ListAccountsRequest, context: Context
    ) -> accounts_pb2.ListAccountsResponse:
        """Give a page of accounts; the page token is the last name."""
        size = min(request.page_size or PAGE, PAGE)
        if size < 0:
            raise InvalidArgument("page_size cannot be negative")
        page, total = await self._accounts.page(request.page_token, size)
        counts: dict[str, int] = {}
        for session in await self._sessions.list():
            counts[session.account] = counts.get(session.account, 0) + 1
        return accounts_pb2.ListAccountsResponse(
            accounts=[account_message(account, counts.get(account.name, 0)) for account in page],
            next_page_token=page[-1].name if len(page) == size else "",
            total_count=total,
        )

    async def GetAccount(
        self, request: accounts_pb2.GetAccountRequest, context: Context
    ) -> accounts_pb2.GetAccountResponse:
        """Give one account."""
        account = await self._accounts.get(own_or_admin(request.name))
        count = len(await self._sessions.list(account.name))
        return accounts_pb2.GetAccountResponse(account=account_message(account, count))

    async def CreateAccount(
        self, request: accounts_pb2.CreateAccountRequest, context: Context
    ) -> accounts_pb2.CreateAccountResponse:
        """Make an account."""
        account = await self._accounts.create(
            request.name, request.password.encode(), role_of(request.role), caller().name
        )
        return accounts_pb2.CreateAccountResponse(account=account_message(account, 0))

    async def ImportAccounts(
        self,
        request_iterator: AsyncIterator[accounts_pb2.ImportAccountsRequest],
        context: Context,
    ) -> AsyncIterator[accounts_pb2.ImportAccountsResponse]:
        """Take a whole file, make its accounts, and tell of each line."""
        by = caller().name
        first = await anext(request_iterator, None)
        if first is None or first.source != accounts_pb2.ACCOUNT_SOURCE_DOVECOT_PASSWD:
            raise InvalidArgument("accounts come from a dovecot-passwd file")
        data = bytearray()
        async for chunk in _chunks(first, request_iterator):
            data += chunk
            if len(data) > MAX_ACCOUNTS_FILE:
                raise InvalidArgument("the file has more than 64 MiB")
        lines = await self._imports.run(
            bytes(data), by, domain=first.default_domain, dry_run=first.dry_run
        )
        for at in range(0, len(lines), PAGE):
            some = map(imported_line_message, lines[at : at + PAGE])
            yield accounts_pb2.ImportAccountsResponse(lines=some)

    async def DeleteAccount(
        self, request: accounts_pb2.DeleteAccountRequest, context: Context
    ) -> accounts_pb2.DeleteAccountResponse:
        """Remove an account."""
        ended = await self._accounts.delete(
            request.name, caller().name, delete_mail=request.delete_mail
        )
        return accounts_pb2.DeleteAccountResponse(ended_session_count=ended)

    async def ResetPassword(
        self, request: accounts_pb2.ResetPasswordRequest, context: Context
    ) -> accounts_pb2.ResetPasswordResponse:
        """Set a random password."""
        password, ended = await self._accounts.reset_password(request.name, caller().name)
        return accounts_pb2.ResetPasswordResponse(new_password=password, ended_session_count=ended)

    async def ChangePassword(
        self, request: accounts_pb2.ChangePasswordRequest, context: Context
    ) -> accounts_pb2.ChangePasswordResponse:
        """Change the caller's own password."""
        ended = await self._accounts.change_password(
            caller(), request.old_password.encode(), request.new_password.encode(), caller_token()
        )
        return accounts_pb2.ChangePasswordResponse(ended_session_count=ended)

    async def SetApopSecret(
        self, request: accounts_pb2.SetApopSecretRequest, context: Context
    ) -> accounts_pb2.SetApopSecretResponse:
        """Give an account a secret for APOP."""
        secret, ended = await self._accounts.set_apop_secret(
            request.name, request.secret, caller().name
        )
        return accounts_pb2.SetApopSecretResponse(secret=secret, ended_session_count=ended)

    async def RemoveApopSecret(
        self, request: accounts_pb2.RemoveApopSecretRequest, context: Context
    ) -> accounts_pb2.RemoveApopSecretResponse:
        """Take an account's secret for APOP away."""
        ended = await self._accounts.remove_apop_secret(request.name, caller().name)
        return accounts_pb2.RemoveApopSecretResponse(ended_session_count=ended)


class SessionsServicer(sessions_pb2_grpc.SessionsServiceServicer):
    """Sessions."""

    def __init__(self, sessions: SessionsDesk, tokens: Tokens) -> None:
        self._sessions = sessions
        self._tokens = tokens

    async def ListSessions(
        self, request: sessions_pb2.ListSessionsRequest, context: Context
    ) -> sessions_pb2.ListSessionsResponse:
        """Give a page of the sessions that the caller may see."""
        found = await self._sessions.list(_account_seen(request.account_name))
        page, next_token = offset_page(found, request.page_size, request.page_token)
        return sessions_pb2.ListSessionsResponse(
            sessions=[session_message(session) for session in page],
            next_page_token=next_token,
            total_count=len(found),
        )

    async def WatchSessions(
        self, request: sessions_pb2.WatchSessionsRequest, context: Context
    ) -> AsyncIterator[sessions_pb2.WatchSessionsResponse]:
        """Send events until the client or its token is gone."""
        token = caller_token()
        events = self._sessions.watch(_account_seen(request.account_name))
        waiting: asyncio.Future[Any] | None = None
        try:
            while True:
                waiting = waiting or asyncio.ensure_future(anext(events))
                await asyncio.wait({waiting}, timeout=TOKEN_CHECK_S)
                self._tokens.principal(token)
                if not waiting.done():
                    continue
                item, waiting = waiting.result(), None
                if item is None:
                    yield sessions_pb2.WatchSessionsResponse()
                else:
                    yield sessions_pb2.WatchSessionsResponse(event=event_message(*item))
        finally:
            if waiting is not None:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            await events.aclose()  # type: ignore[attr-defined]

    async def DisconnectSession(
        self, request: sessions_pb2.DisconnectSessionRequest, context: Context
    ) -> sessions_pb2.DisconnectSessionResponse:
        """End sessions; a user its own."""
        if bool(request.session_id) is bool(request.account_name):
            raise InvalidArgument("give either session_id or account_name")
        if request.account_name:
            order = DisconnectOrder(account=own_or_admin(request.account_name))
            ended = await self._sessions.disconnect(order)
        else:
            if not caller().is_admin:
                own = await self._sessions.list(caller().name)
                if request.session_id not in {session.id for session in own}:
                    raise SessionNotFound(request.session_id)
            ended = await self._sessions.disconnect_one(request.session_id)
        log.info("sessions disconnected", by=caller().name, count=ended)
        return sessions_pb2.DisconnectSessionResponse(ended_session_count=ended)


class ServerServicer(server_pb2_grpc.ServerServiceServicer):
    """The service as a whole."""

    def __init__(
        self,
        status: StatusDesk,
        settings: SettingsDesk,
        certificates: CertificatesDesk,
        restart_workers: Callable[[], Awaitable[int]],
        tokens: Tokens,
        clock: Clock,
    ) -> None:
        self._status = status
        self._settings = settings
        self._certificates = certificates
        self._restart_workers = restart_workers
        self._tokens = tokens
        self._clock = clock

    async def ListCertificates(
        self, request: server_pb2.ListCertificatesRequest, context: Context
    ) -> server_pb2.ListCertificatesResponse:
        """Give a page of the certificates."""
        found = self._certificates.in_force()
        page, next_token = offset_page(found, request.page_size, request.page_token)
        return server_pb2.ListCertificatesResponse(
            certificates=map(certificate_message, page),
            next_page_token=next_token,
            total_count=len(found),
        )

    async def GetStatus(
        self, request: server_pb2.GetStatusRequest, context: Context
    ) -> server_pb2.GetStatusResponse:
        """Give the state."""
        return server_pb2.GetStatusResponse(status=status_message(await self._status.status()))

    async def WatchStatus(
        self, request: server_pb2.WatchStatusRequest, context: Context
    ) -> AsyncIterator[server_pb2.WatchStatusResponse]:
        """Give the state again and again."""
        token = caller_token()
        interval_s = request.interval.ToMilliseconds() / 1000 or 1.0
        if not 0.1 <= interval_s <= LONGEST_INTERVAL_S:
            raise InvalidArgument("the interval is from 0.1 seconds to a day")
        while True:
            self._tokens.principal(token)
            status = status_message(await self._status.status())
            yield server_pb2.WatchStatusResponse(status=status)
            await self._clock.sleep(interval_s)

    async def GetSettings(
        self, request: server_pb2.GetSettingsRequest, context: Context
    ) -> server_pb2.GetSettingsResponse:
        """Give the settings."""
        return server_pb2.GetSettingsResponse(settings=settings_message(self._settings.current))

    async def UpdateSettings(
        self, request: server_pb2.UpdateSettingsRequest, context: Context
    ) -> server_pb2.UpdateSettingsResponse:
        """Change the settings that the mask names."""
        paths = list(request.update_mask.paths)
        if not paths:
            raise InvalidArgument("update_mask names no setting")
        unknown = [path for path in paths if path not in SETTING_FIELDS]
        if unknown:
            known = ", ".join(SETTING_FIELDS)
            raise InvalidArgument(f"there is no setting {unknown[0]!r}; there are {known}")
        values = read_settings(request.settings, paths)
        settings = await self._settings.update(values, caller().name)
        return server_pb2.UpdateSettingsResponse(settings=settings_message(settings))

    async def ReloadCertificates(
        self, request: server_pb2.ReloadCertificatesRequest, context: Context
    ) -> server_pb2.ReloadCertificatesResponse:
        """Read the certificates again."""
        found = await self._certificates.reload(caller().name)
        return server_pb2.ReloadCertificatesResponse(certificates=map(certificate_message, found))

    async def RestartWorkers(
        self, request: server_pb2.RestartWorkersRequest, context: Context
    ) -> server_pb2.RestartWorkersResponse:
        """Replace the worker processes."""
        log.info("workers are to be replaced", by=caller().name)
        count = await self._restart_workers()
        log.info("workers replaced", by=caller().name, count=count)
        return server_pb2.RestartWorkersResponse(worker_count=count)


class MaildropServicer(maildrop_pb2_grpc.MaildropServiceServicer):
    """Maildrops."""

    def __init__(self, maildrops: Maildrops, accounts: AccountsDesk) -> None:
        self._maildrops = maildrops
        self._accounts = accounts

    async def ListMessages(
        self, request: maildrop_pb2.ListMessagesRequest, context: Context
    ) -> maildrop_pb2.ListMessagesResponse:
        """Give a page of an account's messages."""
        account = await self._accounts.get(own_or_admin(request.account_name))
        found = await self._maildrops.list(account.name)
        page, next_token = offset_page(found, request.page_size, request.page_token)
        return maildrop_pb2.ListMessagesResponse(
            messages=[
                maildrop_pb2.MessageInfo(
                    number=message.number,
                    uidl=message.uidl,
                    size_bytes=message.octets,
                    deliver_time=timestamp(datetime.fromtimestamp(message.deliver_time_s, UTC)),
                )
                for message in page
            ],
            next_page_token=next_token,
            total_count=len(found),
            total_bytes=sum(message.octets for message in found),
        )

    async def PutMessage(
        self, request_iterator: AsyncIterator[maildrop_pb2.PutMessageRequest], context: Context
    ) -> maildrop_pb2.PutMessageResponse:
        """Store a message as it comes, without holding it in memory."""
        try:
            first = await anext(request_iterator)
        except StopAsyncIteration:
            raise InvalidArgument("the stream is empty") from None
        account = await self._accounts.get(own_or_admin(first.account_name))
        uidl, octets = await self._maildrops.put(account.name, _chunks(first, request_iterator))
        log.info("message stored", account=account.name, by=caller().name, octets=octets)
        return maildrop_pb2.PutMessageResponse(uidl=uidl, stored_bytes=octets)

    async def GetMessage(
        self, request: maildrop_pb2.GetMessageRequest, context: Context
    ) -> AsyncIterator[maildrop_pb2.GetMessageResponse]:
        """Send a message's stored octets."""
        account = await self._accounts.get(own_or_admin(request.account_name))
        async for piece in self._maildrops.read(account.name, request.uidl):
            yield maildrop_pb2.GetMessageResponse(chunk=piece)

    async def ImportUniqueIds(
        self, request: maildrop_pb2.ImportUniqueIdsRequest, context: Context
    ) -> maildrop_pb2.ImportUniqueIdsResponse:
        """Take over another server's unique ids."""
        account = await self._accounts.get(request.account_name)
        result = await self._maildrops.import_ids(
            account.name, id_source_of(request.source), request.format, dry_run=request.dry_run
        )
        if not request.dry_run:
            log.info(
                "unique ids imported",
                account=account.name,
                by=caller().name,
                kept=result.kept.count,
                changed=result.changed.count,
                refused=result.refused.count,
                missing=result.missing.count,
            )
        return id_import_message(result)


def _account_seen(name: str) -> str:
    """Whose sessions are meant: an admin may ask for all, a user for its own alone."""
    return "" if not name and caller().is_admin else own_or_admin(name)


class _Chunk(Protocol):
    chunk: bytes


R = TypeVar("R", bound=_Chunk)


async def _chunks(first: R, requests: AsyncIterator[R]) -> AsyncIterator[bytes]:
    request: R | None = first
    while request is not None:
        if len(request.chunk) > MAX_CHUNK:
            raise InvalidArgument("a chunk has at most 1 MiB")
        yield request.chunk
        request = await anext(requests, None)

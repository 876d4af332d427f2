"""ManagementClient: what the gateway and the command line call.

A client is one channel; a ``Caller`` is one login over it. Every call has a deadline, every
failure is a ``ManagementError``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from pop3mgmt.errors import from_rpc_error
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

DEADLINE_S = 10.0
LOGIN_DEADLINE_S = 90.0
"""A wrong login is answered with growing delay, so this is longer than that may become."""
TRIAL_S = 60.0
"""For what is tried before it takes effect: a transform, certificates."""
RESTART_S = 120.0
"""As long as a call may take: each worker is replaced after the one before it."""
IMPORT_S = 120.0
"""An import may have to read every message of a large maildrop for its size."""
CHUNK = 256 * 1024
"""Octets of a message sent at a time."""

T = TypeVar("T")


class ManagementClient:
    """One channel to the service; it reconnects by itself."""

    def __init__(self, target: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Open a channel to ``target``, such as ``pop3-service:50051``; nothing is sent yet."""
        self.deadline_s = deadline_s
        self.channel = grpc.aio.insecure_channel(
            target,
            options=[
                ("grpc.initial_reconnect_backoff_ms", 200),
                ("grpc.max_reconnect_backoff_ms", 2000),
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self._auth = auth_pb2_grpc.AuthServiceStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel."""
        await self.channel.close()

    async def login(self, name: str, password: str) -> Caller:
        """Log in.

        Raises:
            ManagementError: INVALID_CREDENTIALS, LOGIN_THROTTLED, or the service is away.
        """
        request = auth_pb2.LoginRequest(name=name, password=password)
        response = await _call(
            self._auth.Login(request, timeout=max(self.deadline_s, LOGIN_DEADLINE_S))
        )
        caller = Caller(self, response.token)
        caller.account = response.account
        caller.warnings = list(response.warnings)
        caller.take_expiry(response.expire_time.ToDatetime(UTC))
        return caller

    def caller(self, token: str) -> Caller:
        """Act with a token that was given before."""
        return Caller(self, token)


class Caller:
    """A login: its token, and every call that it may make."""

    def __init__(self, client: ManagementClient, token: str) -> None:
        self.token = token
        self.account = accounts_pb2.Account()
        self.warnings: list[str] = []
        self.expire_time: datetime | None = None
        self._renew_time: datetime | None = None
        self._client = client
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._accounts = accounts_pb2_grpc.AccountsServiceStub(client.channel)
        self._auth = auth_pb2_grpc.AuthServiceStub(client.channel)
        self._sessions = sessions_pb2_grpc.SessionsServiceStub(client.channel)
        self._server = server_pb2_grpc.ServerServiceStub(client.channel)
        self._maildrop = maildrop_pb2_grpc.MaildropServiceStub(client.channel)

    def __repr__(self) -> str:
        return f"Caller(account={self.account.name!r})"

    def take_expiry(self, expire_time: datetime) -> None:
        """Note when the token ends; it is renewed once half of its life is over."""
        now = datetime.now(UTC)
        self.expire_time = expire_time
        self._renew_time = now + max((expire_time - now) / 2, timedelta())

    # --- auth ---

    async def renew(self) -> datetime:
        """Move the token's expiry and give the new one."""
        request = auth_pb2.RenewTokenRequest()
        response = await _call(self._auth.RenewToken(request, **self._options()))
        expire_time = response.expire_time.ToDatetime(UTC)
        self.take_expiry(expire_time)
        return expire_time

    async def renew_when_due(self) -> None:
        """Renew the token once half of its life is over."""
        if self._renew_time is not None and datetime.now(UTC) >= self._renew_time:
            await self.renew()

    async def logout(self) -> None:
        """End the token."""
        await _call(self._auth.Logout(auth_pb2.LogoutRequest(), **self._options()))

    # --- accounts ---

    async def list_accounts(self) -> list[accounts_pb2.Account]:
        """Give all accounts, in order of name."""
        found: list[accounts_pb2.Account] = []
        token = ""
        while True:
            request = accounts_pb2.ListAccountsRequest(page_token=token)
            page = await _call(self._accounts.ListAccounts(request, **self._options()))
            found.extend(page.accounts)
            if not (token := page.next_page_token):
                return found

    async def get_account(self, name: str = "") -> accounts_pb2.Account:
        """Give one account; without a name, the caller's own."""
        request = accounts_pb2.GetAccountRequest(name=name)
        return (await _call(self._accounts.GetAccount(request, **self._options()))).account

    async def create_account(
        self, name: str, password: str, role: accounts_pb2.Role.ValueType = accounts_pb2.ROLE_USER
    ) -> accounts_pb2.Account:
        """Make an account; it can log in at once."""
        request = accounts_pb2.CreateAccountRequest(name=name, password=password, role=role)
        return (await _call(self._accounts.CreateAccount(request, **self._options()))).account

    async def import_accounts(
        self, chunks: Iterable[bytes], *, default_domain: str = "", dry_run: bool = False
    ) -> list[accounts_pb2.ImportedLine]:
        """Make accounts of a Dovecot passwd-file; give what became of each line, in order."""
        first = accounts_pb2.ImportAccountsRequest(
            source=accounts_pb2.ACCOUNT_SOURCE_DOVECOT_PASSWD,
            dry_run=dry_run,
            default_domain=default_domain,
        )

        async def requests() -> AsyncIterator[accounts_pb2.ImportAccountsRequest]:
            pieces = (it[at : at + CHUNK] for it in chunks for at in range(0, len(it), CHUNK))
            first.chunk = next(pieces, b"")
            yield first
            for piece in pieces:
                yield accounts_pb2.ImportAccountsRequest(chunk=piece)

        found: list[accounts_pb2.ImportedLine] = []
        with _streamed(
            self._accounts.ImportAccounts(requests(), metadata=self._metadata)
        ) as responses:
            async for response in responses:
                found.extend(response.lines)
        return found

    async def delete_account(self, name: str, *, delete_mail: bool = False) -> int:
        """Remove an account; give how many of its sessions were ended."""
        request = accounts_pb2.DeleteAccountRequest(name=name, delete_mail=delete_mail)
        response = await _call(self._accounts.DeleteAccount(request, **self._options()))
        return response.ended_session_count

    async def reset_password(self, name: str) -> str:
        """Set a new random password and give it."""
        request = accounts_pb2.ResetPasswordRequest(name=name)
        response = await _call(self._accounts.ResetPassword(request, **self._options()))
        return response.new_password

    async def change_password(self, old_password: str, new_password: str) -> int:
        """Change the caller's own password; give how many sessions were ended."""
        request = accounts_pb2.ChangePasswordRequest(
            old_password=old_password, new_password=new_password
        )
        response = await _call(self._accounts.ChangePassword(request, **self._options()))
        return response.ended_session_count

    async def set_apop_secret(self, name: str, secret: str = "") -> str:
        """Give an account a secret for APOP, a random one if none is given; give that."""
        request = accounts_pb2.SetApopSecretRequest(name=name, secret=secret)
        return (await _call(self._accounts.SetApopSecret(request, **self._options()))).secret

    async def remove_apop_secret(self, name: str) -> int:
        """Take an account's secret for APOP away; give how many sessions ended."""
        request = accounts_pb2.RemoveApopSecretRequest(name=name)
        response = await _call(self._accounts.RemoveApopSecret(request, **self._options()))
        return response.ended_session_count

    # --- sessions ---

    async def list_sessions(self, account_name: str = "") -> list[sessions_pb2.Session]:
        """Give the POP3 sessions that the caller may see, oldest first."""
        found: list[sessions_pb2.Session] = []
        token = ""
        while True:
            request = sessions_pb2.ListSessionsRequest(account_name=account_name, page_token=token)
            page = await _call(self._sessions.ListSessions(request, **self._options()))
            found.extend(page.sessions)
            if not (token := page.next_page_token):
                return found

    async def watch_sessions(
        self, account_name: str = ""
    ) -> AsyncIterator[sessions_pb2.SessionEvent | None]:
        """Give each event as it happens; first None, once watching has begun."""
        request = sessions_pb2.WatchSessionsRequest(account_name=account_name)
        with _streamed(self._sessions.WatchSessions(request, metadata=self._metadata)) as responses:
            async for response in responses:
                yield response.event if response.HasField("event") else None

    async def disconnect(self, *, session_id: str = "", account_name: str = "") -> int:
        """End one session, or all of an account; give how many."""
        request = sessions_pb2.DisconnectSessionRequest(
            session_id=session_id, account_name=account_name
        )
        response = await _call(self._sessions.DisconnectSession(request, **self._options()))
        return response.ended_session_count

    # --- server ---

    async def list_certificates(self) -> list[server_pb2.Certificate]:
        """Give the certificates in force, the default first."""
        found: list[server_pb2.Certificate] = []
        token = ""
        while True:
            request = server_pb2.ListCertificatesRequest(page_token=token)
            page = await _call(self._server.ListCertificates(request, **self._options()))
            found.extend(page.certificates)
            if not (token := page.next_page_token):
                return found

    async def reload_certificates(self) -> list[server_pb2.Certificate]:
        """Read the certificates' files again; give those in force then."""
        request = server_pb2.ReloadCertificatesRequest()
        options = self._options(at_least_s=TRIAL_S)
        return list((await _call(self._server.ReloadCertificates(request, **options))).certificates)

    async def restart_workers(self) -> int:
        """Replace the worker processes without ending a session; give how many."""
        request = server_pb2.RestartWorkersRequest()
        options = self._options(at_least_s=RESTART_S)
        return (await _call(self._server.RestartWorkers(request, **options))).worker_count

    async def get_status(self) -> server_pb2.Status:
        """Give the state of the service."""
        request = server_pb2.GetStatusRequest()
        return (await _call(self._server.GetStatus(request, **self._options()))).status

    async def watch_status(self, interval: timedelta) -> AsyncIterator[server_pb2.Status]:
        """Give the state at once and then again each interval."""
        request = server_pb2.WatchStatusRequest()
        request.interval.FromTimedelta(interval)
        with _streamed(self._server.WatchStatus(request, metadata=self._metadata)) as responses:
            async for response in responses:
                yield response.status

    async def get_settings(self) -> server_pb2.Settings:
        """Give the settings in force."""
        request = server_pb2.GetSettingsRequest()
        return (await _call(self._server.GetSettings(request, **self._options()))).settings

    async def update_settings(
        self, settings: server_pb2.Settings, paths: Iterable[str]
    ) -> server_pb2.Settings:
        """Change the settings named by ``paths``; give all as they are now."""
        mask = FieldMask(paths=list(paths))
        request = server_pb2.UpdateSettingsRequest(settings=settings, update_mask=mask)
        # A transform is tried on a sample message before it takes effect.
        options = self._options(at_least_s=TRIAL_S if "transform" in mask.paths else 0.0)
        return (await _call(self._server.UpdateSettings(request, **options))).settings

    # --- maildrop ---

    async def list_messages(self, account_name: str = "") -> list[maildrop_pb2.MessageInfo]:
        """Give an account's messages, in order of number."""
        found: list[maildrop_pb2.MessageInfo] = []
        token = ""
        while True:
            request = maildrop_pb2.ListMessagesRequest(account_name=account_name, page_token=token)
            page = await _call(
                self._maildrop.ListMessages(request, **self._options(at_least_s=60.0))
            )
            found.extend(page.messages)
            if not (token := page.next_page_token):
                return found

    async def put_message(
        self, account_name: str, chunks: Iterable[bytes]
    ) -> maildrop_pb2.PutMessageResponse:
        """Store one message, durably."""
        return await _call(
            self._maildrop.PutMessage(_requests(account_name, chunks), metadata=self._metadata)
        )

    async def get_message(self, uidl: str, account_name: str = "") -> AsyncIterator[bytes]:
        """Give one message's stored octets, in pieces."""
        request = maildrop_pb2.GetMessageRequest(account_name=account_name, uidl=uidl)
        with _streamed(self._maildrop.GetMessage(request, metadata=self._metadata)) as responses:
            async for response in responses:
                yield response.chunk

    async def import_unique_ids(
        self,
        account_name: str,
        source: maildrop_pb2.IdSource.ValueType,
        uidl_format: str = "",
        *,
        dry_run: bool = False,
    ) -> maildrop_pb2.ImportUniqueIdsResponse:
        """Take over another server's unique ids; ``dry_run`` only tells what that would change."""
        request = maildrop_pb2.ImportUniqueIdsRequest(
            account_name=account_name, source=source, format=uidl_format, dry_run=dry_run
        )
        options = self._options(at_least_s=IMPORT_S)
        return await _call(self._maildrop.ImportUniqueIds(request, **options))

    def _options(self, at_least_s: float = 0.0) -> _Options:
        return _Options(timeout=max(self._client.deadline_s, at_least_s), metadata=self._metadata)


class _Options(TypedDict):
    """Keyword arguments of a call."""

    timeout: float
    metadata: tuple[tuple[str, str], ...]


async def _requests(
    account_name: str, chunks: Iterable[bytes]
) -> AsyncIterator[maildrop_pb2.PutMessageRequest]:
    yield maildrop_pb2.PutMessageRequest(account_name=account_name)
    for chunk in chunks:
        for at in range(0, len(chunk), CHUNK):
            yield maildrop_pb2.PutMessageRequest(chunk=chunk[at : at + CHUNK])


async def _call(call: Awaitable[T]) -> T:
    with _translated():
        return await call


@contextlib.contextmanager
def _streamed(
    call: grpc.aio.UnaryStreamCall[Any, T] | grpc.aio.StreamStreamCall[Any, T],
) -> Iterator[AsyncIterator[T]]:
    """Give a call's responses; whoever stops reading them ends the call."""
    try:
        with _translated():
            yield aiter(call)
    finally:
        call.cancel()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None

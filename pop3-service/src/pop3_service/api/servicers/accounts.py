"""Accounts: messages of the contract to use cases and back."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pop3_service.api.access import caller, caller_address, caller_token, own_or
from pop3_service.api.servicers.shared import (
    PAGE,
    Context,
    chunks,
)
from pop3_service.api.translate import (
    account_message,
    imported_line_message,
    policy_message,
    role_of,
)
from pop3_service.domain.account import Account
from pop3_service.domain.errors import (
    InvalidArgument,
    InvalidCredentials,
)
from pop3_service.domain.rights import Right
from pop3_service.supervisor.defence.throttle import Throttle
from pop3_service.supervisor.identity.account_import import AccountImport
from pop3_service.supervisor.identity.accounts import AccountsDesk
from pop3_service.supervisor.sessions import SessionsDesk
from pop3mgmt.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
)

MAX_ACCOUNTS_FILE = 64 * 1024 * 1024


class AccountsServicer(accounts_pb2_grpc.AccountsServiceServicer):
    """Accounts."""

    def __init__(
        self,
        accounts: AccountsDesk,
        sessions: SessionsDesk,
        imports: AccountImport,
        throttle: Throttle,
    ) -> None:
        self._throttle = throttle
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
            accounts=[self._message(account, counts.get(account.name, 0)) for account in page],
            next_page_token=page[-1].name if len(page) == size else "",
            total_count=total,
        )

    def _message(self, account: Account, session_count: int) -> accounts_pb2.Account:
        expire_time = self._accounts.password_policy.expire_time(account)
        return account_message(account, session_count, expire_time)

    async def GetAccount(
        self, request: accounts_pb2.GetAccountRequest, context: Context
    ) -> accounts_pb2.GetAccountResponse:
        """Give one account."""
        account = await self._accounts.get(own_or(Right.ACCOUNTS_READ, request.name))
        count = len(await self._sessions.list(account.name))
        return accounts_pb2.GetAccountResponse(account=self._message(account, count))

    async def GetPasswordPolicy(
        self, request: accounts_pb2.GetPasswordPolicyRequest, context: Context
    ) -> accounts_pb2.GetPasswordPolicyResponse:
        """Give the password policy."""
        policy = policy_message(self._accounts.password_policy)
        return accounts_pb2.GetPasswordPolicyResponse(policy=policy)

    async def CreateAccount(
        self, request: accounts_pb2.CreateAccountRequest, context: Context
    ) -> accounts_pb2.CreateAccountResponse:
        """Make an account."""
        role = role_of(request.role, request.role_name)
        account = await self._accounts.create(
            request.name,
            request.password.encode(),
            role,
            caller(),
            must_change=request.must_change_password,
        )
        return accounts_pb2.CreateAccountResponse(account=self._message(account, 0))

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
        async for chunk in chunks(first, request_iterator):
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
        ended = await self._accounts.delete(request.name, caller(), delete_mail=request.delete_mail)
        return accounts_pb2.DeleteAccountResponse(ended_session_count=ended)

    async def SetRole(
        self, request: accounts_pb2.SetRoleRequest, context: Context
    ) -> accounts_pb2.SetRoleResponse:
        """Give an account another role."""
        ended = await self._accounts.set_role(request.name, request.role_name, caller())
        return accounts_pb2.SetRoleResponse(ended_session_count=ended)

    async def ResetPassword(
        self, request: accounts_pb2.ResetPasswordRequest, context: Context
    ) -> accounts_pb2.ResetPasswordResponse:
        """Set a random password."""
        reset = await self._accounts.reset_password(
            request.name, caller(), must_change=request.must_change_password
        )
        return accounts_pb2.ResetPasswordResponse(
            new_password=reset.password,
            ended_session_count=reset.ended_sessions,
            must_change_password=reset.must_change,
        )

    async def ChangePassword(
        self, request: accounts_pb2.ChangePasswordRequest, context: Context
    ) -> accounts_pb2.ChangePasswordResponse:
        """Change the caller's own password; a wrong old one is answered as at a login.

        Whoever has a token, but not the password, guesses it no faster here than there.
        """
        old, new = request.old_password.encode(), request.new_password.encode()
        attempt = self._throttle.attempt(caller_address(), caller().name.encode())
        try:
            async with self._throttle.turn(attempt):
                ended = await self._accounts.change_password(caller(), old, new, caller_token())
        except InvalidCredentials:
            _, delay_s = self._throttle.wrong(attempt, old)
            await self._throttle.delays.wait(delay_s)
            raise
        return accounts_pb2.ChangePasswordResponse(ended_session_count=ended)

    async def SetApopSecret(
        self, request: accounts_pb2.SetApopSecretRequest, context: Context
    ) -> accounts_pb2.SetApopSecretResponse:
        """Give an account a secret for APOP."""
        secret, ended = await self._accounts.set_apop_secret(request.name, request.secret, caller())
        return accounts_pb2.SetApopSecretResponse(secret=secret, ended_session_count=ended)

    async def RemoveApopSecret(
        self, request: accounts_pb2.RemoveApopSecretRequest, context: Context
    ) -> accounts_pb2.RemoveApopSecretResponse:
        """Take an account's secret for APOP away."""
        ended = await self._accounts.remove_apop_secret(request.name, caller())
        return accounts_pb2.RemoveApopSecretResponse(ended_session_count=ended)

"""The calls about accounts."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterable

from pop3mgmt.calls.base import CHUNK, Calls, call, streamed
from pop3mgmt.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
)


class AccountsCalls(Calls):
    """The calls about accounts."""

    @functools.cached_property
    def _accounts(self) -> accounts_pb2_grpc.AccountsServiceAsyncStub:
        return accounts_pb2_grpc.AccountsServiceStub(self._channel)

    async def list_accounts(self) -> list[accounts_pb2.Account]:
        """Give all accounts, in order of name."""
        found: list[accounts_pb2.Account] = []
        token = ""
        while True:
            request = accounts_pb2.ListAccountsRequest(page_token=token)
            page = await call(self._accounts.ListAccounts(request, **self._options()))
            found.extend(page.accounts)
            if not (token := page.next_page_token):
                return found

    async def get_account(self, name: str = "") -> accounts_pb2.Account:
        """Give one account; without a name, the caller's own."""
        request = accounts_pb2.GetAccountRequest(name=name)
        return (await call(self._accounts.GetAccount(request, **self._options()))).account

    async def get_password_policy(self) -> accounts_pb2.PasswordPolicy:
        """Give what a new password must be."""
        request = accounts_pb2.GetPasswordPolicyRequest()
        return (await call(self._accounts.GetPasswordPolicy(request, **self._options()))).policy

    async def create_account(
        self, name: str, password: str, role: str = "", *, must_change: bool = False
    ) -> accounts_pb2.Account:
        """Make an account; ``role`` is a role's name, user if empty.

        It can log in at once, or with ``must_change`` when it has changed its password.
        """
        request = accounts_pb2.CreateAccountRequest(
            name=name, password=password, role_name=role, must_change_password=must_change
        )
        return (await call(self._accounts.CreateAccount(request, **self._options()))).account

    async def set_role(self, name: str, role: str) -> int:
        """Give an account another role; give how many of its sessions were ended."""
        request = accounts_pb2.SetRoleRequest(name=name, role_name=role)
        response = await call(self._accounts.SetRole(request, **self._options()))
        return response.ended_session_count

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
        with streamed(
            self._accounts.ImportAccounts(requests(), metadata=self._metadata)
        ) as responses:
            async for response in responses:
                found.extend(response.lines)
        return found

    async def delete_account(self, name: str, *, delete_mail: bool = False) -> int:
        """Remove an account; give how many of its sessions were ended."""
        request = accounts_pb2.DeleteAccountRequest(name=name, delete_mail=delete_mail)
        response = await call(self._accounts.DeleteAccount(request, **self._options()))
        return response.ended_session_count

    async def reset_password(self, name: str, *, must_change: bool = False) -> str:
        """Set a new random password and give it."""
        return (await self.set_random_password(name, must_change=must_change)).new_password

    async def set_random_password(
        self, name: str, *, must_change: bool = False
    ) -> accounts_pb2.ResetPasswordResponse:
        """Set a new random password; give it, and whether it must be changed first."""
        request = accounts_pb2.ResetPasswordRequest(name=name, must_change_password=must_change)
        return await call(self._accounts.ResetPassword(request, **self._options()))

    async def change_password(self, old_password: str, new_password: str) -> int:
        """Change the caller's own password; give how many sessions were ended."""
        request = accounts_pb2.ChangePasswordRequest(
            old_password=old_password, new_password=new_password
        )
        response = await call(self._accounts.ChangePassword(request, **self._options()))
        return response.ended_session_count

    async def set_apop_secret(self, name: str, secret: str = "") -> str:
        """Give an account a secret for APOP, a random one if none is given; give that."""
        request = accounts_pb2.SetApopSecretRequest(name=name, secret=secret)
        return (await call(self._accounts.SetApopSecret(request, **self._options()))).secret

    async def remove_apop_secret(self, name: str) -> int:
        """Take an account's secret for APOP away; give how many sessions ended."""
        request = accounts_pb2.RemoveApopSecretRequest(name=name)
        response = await call(self._accounts.RemoveApopSecret(request, **self._options()))
        return response.ended_session_count

"""The calls about the caller's own account; who may, names another's."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from google.protobuf.field_mask_pb2 import FieldMask

from pop3mgmt.calls.base import Calls, call
from pop3mgmt.v1 import own_account_pb2, own_account_pb2_grpc


class OwnAccountCalls(Calls):
    """The calls about the caller's own account."""

    @functools.cached_property
    def _own(self) -> own_account_pb2_grpc.OwnAccountServiceAsyncStub:
        return own_account_pb2_grpc.OwnAccountServiceStub(self._channel)

    async def list_app_passwords(self, account_name: str = "") -> list[own_account_pb2.AppPassword]:
        """Give the app passwords, oldest first."""
        found: list[own_account_pb2.AppPassword] = []
        token = ""
        while True:
            request = own_account_pb2.ListAppPasswordsRequest(
                account_name=account_name, page_token=token
            )
            page = await call(self._own.ListAppPasswords(request, **self._options()))
            found.extend(page.app_passwords)
            if not (token := page.next_page_token):
                return found

    async def create_app_password(self, name: str) -> own_account_pb2.CreateAppPasswordResponse:
        """Make an app password for the caller; it is told only this once."""
        request = own_account_pb2.CreateAppPasswordRequest(name=name)
        return await call(self._own.CreateAppPassword(request, **self._options()))

    async def revoke_app_password(
        self, name: str, account_name: str = ""
    ) -> own_account_pb2.RevokeAppPasswordResponse:
        """Revoke an app password; the account's POP3 sessions end."""
        request = own_account_pb2.RevokeAppPasswordRequest(account_name=account_name, name=name)
        return await call(self._own.RevokeAppPassword(request, **self._options()))

    async def revoke_all_app_passwords(
        self, account_name: str = ""
    ) -> own_account_pb2.RevokeAppPasswordResponse:
        """Revoke all app passwords; the account's POP3 sessions end."""
        request = own_account_pb2.RevokeAppPasswordRequest(account_name=account_name, all=True)
        return await call(self._own.RevokeAppPassword(request, **self._options()))

    async def get_preferences(self, account_name: str = "") -> own_account_pb2.Preferences:
        """Give the preferences."""
        request = own_account_pb2.GetPreferencesRequest(account_name=account_name)
        return (await call(self._own.GetPreferences(request, **self._options()))).preferences

    async def update_preferences(
        self,
        preferences: own_account_pb2.Preferences,
        paths: Iterable[str],
        account_name: str = "",
    ) -> own_account_pb2.Preferences:
        """Change the preferences that ``paths`` name; give all as they are then."""
        request = own_account_pb2.UpdatePreferencesRequest(
            account_name=account_name,
            preferences=preferences,
            update_mask=FieldMask(paths=list(paths)),
        )
        return (await call(self._own.UpdatePreferences(request, **self._options()))).preferences

    async def get_recent_logins(
        self, limit: int = 0, account_name: str = ""
    ) -> list[own_account_pb2.LoginRecord]:
        """Give recent logins, newest first; a limit of 0 means the service's own."""
        request = own_account_pb2.GetRecentLoginsRequest(account_name=account_name, limit=limit)
        return list((await call(self._own.GetRecentLogins(request, **self._options()))).logins)

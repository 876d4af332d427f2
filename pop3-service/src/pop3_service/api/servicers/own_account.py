"""Own account: app passwords, preferences and recent logins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

from pop3_service.api.access import caller, caller_token, own_or
from pop3_service.api.servicers.shared import Context
from pop3_service.api.translate import offset_page, timestamp
from pop3_service.domain.account import Account
from pop3_service.domain.app_passwords import AppPassword
from pop3_service.domain.audit import OK, AuditEntry
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.preferences import Preferences
from pop3_service.domain.rights import Right
from pop3_service.supervisor.identity.accounts import AccountsDesk
from pop3_service.supervisor.identity.app_passwords import AppPasswordDesk
from pop3_service.supervisor.identity.preferences import PreferencesDesk
from pop3_service.supervisor.identity.tokens import Tokens
from pop3mgmt.v1 import own_account_pb2, own_account_pb2_grpc

LOGINS = 20
MOST_LOGINS = 1000
PREFERENCES = ("language", "retention_days", "transform")

LoginsOf = Callable[[str, int], Awaitable[list[AuditEntry]]]


class OwnAccountServicer(own_account_pb2_grpc.OwnAccountServiceServicer):
    """What an account's owner does with it."""

    def __init__(
        self,
        accounts: AccountsDesk,
        app_passwords: AppPasswordDesk,
        preferences: PreferencesDesk,
        logins_of: LoginsOf,
        tokens: Tokens,
    ) -> None:
        """``logins_of`` gives an account's recent logins, newest first, so many at most."""
        self._tokens = tokens
        self._accounts = accounts
        self._app_passwords = app_passwords
        self._preferences = preferences
        self._logins_of = logins_of

    async def ListAppPasswords(
        self, request: own_account_pb2.ListAppPasswordsRequest, context: Context
    ) -> own_account_pb2.ListAppPasswordsResponse:
        """Give a page of an account's app passwords."""
        account = await self._seen(request.account_name)
        found = await self._app_passwords.list(account.name)
        page, next_token = offset_page(found, request.page_size, request.page_token)
        return own_account_pb2.ListAppPasswordsResponse(
            app_passwords=map(app_password_message, page),
            next_page_token=next_token,
            total_count=len(found),
        )

    async def GetRecentLogins(
        self, request: own_account_pb2.GetRecentLoginsRequest, context: Context
    ) -> own_account_pb2.GetRecentLoginsResponse:
        """Give an account's recent logins."""
        if not 0 <= request.limit <= MOST_LOGINS:
            raise InvalidArgument(f"the limit is from 0 to {MOST_LOGINS}")
        account = await self._seen(request.account_name)
        found = await self._logins_of(account.name, request.limit or LOGINS)
        # Those before are of somebody else who had an account of this name.
        begin_s = account.create_time.timestamp()
        own = [it for it in found if it.time_s >= begin_s]
        return own_account_pb2.GetRecentLoginsResponse(logins=map(login_message, own))

    async def GetPreferences(
        self, request: own_account_pb2.GetPreferencesRequest, context: Context
    ) -> own_account_pb2.GetPreferencesResponse:
        """Give an account's preferences."""
        account = await self._seen(request.account_name)
        found = await self._preferences.get(account.name)
        return own_account_pb2.GetPreferencesResponse(preferences=preferences_message(found))

    async def CreateAppPassword(
        self, request: own_account_pb2.CreateAppPasswordRequest, context: Context
    ) -> own_account_pb2.CreateAppPasswordResponse:
        """Make an app password for the caller."""
        still_in = partial(self._tokens.principal, caller_token())
        made, password = await self._app_passwords.create(caller().name, request.name, still_in)
        return own_account_pb2.CreateAppPasswordResponse(
            app_password=app_password_message(made), password=password
        )

    async def UpdatePreferences(
        self, request: own_account_pb2.UpdatePreferencesRequest, context: Context
    ) -> own_account_pb2.UpdatePreferencesResponse:
        """Change the preferences that the mask names."""
        paths = list(request.update_mask.paths)
        if not paths:
            raise InvalidArgument("update_mask names no preference")
        for path in paths:
            if path not in PREFERENCES:
                known = ", ".join(PREFERENCES)
                raise InvalidArgument(f"there is no preference {path!r}; there are {known}")
        account = await self._governed(request.account_name)
        values = {path: getattr(request.preferences, path) for path in paths}
        changed = await self._preferences.update(account.name, values)
        return own_account_pb2.UpdatePreferencesResponse(preferences=preferences_message(changed))

    async def RevokeAppPassword(
        self, request: own_account_pb2.RevokeAppPasswordRequest, context: Context
    ) -> own_account_pb2.RevokeAppPasswordResponse:
        """Revoke one app password, or all."""
        if bool(request.name) is request.all:
            raise InvalidArgument("give either name or all")
        account = await self._governed(request.account_name)
        count = 1
        if request.all:
            count, ended = await self._app_passwords.revoke_all(account.name)
        else:
            ended = await self._app_passwords.revoke(account.name, request.name)
        return own_account_pb2.RevokeAppPasswordResponse(
            revoked_count=count, ended_session_count=ended
        )

    async def _seen(self, name: str) -> Account:
        """Give the account whose facts are asked for."""
        return await self._accounts.get(own_or(Right.ACCOUNTS_READ, name))

    async def _governed(self, name: str) -> Account:
        """Give the account that is to be changed."""
        return await self._accounts.governed(own_or(Right.ACCOUNTS_WRITE, name), caller())


def app_password_message(found: AppPassword) -> own_account_pb2.AppPassword:
    """Write an app password; the password itself is not known any more."""
    return own_account_pb2.AppPassword(
        name=found.name,
        create_time=timestamp(found.create_time),
        last_use_time=None if found.last_use_time is None else timestamp(found.last_use_time),
        last_use_peer=found.last_use_peer,
    )


def preferences_message(found: Preferences) -> own_account_pb2.Preferences:
    """Write preferences."""
    return own_account_pb2.Preferences(
        language=found.language, retention_days=found.retention_days, transform=found.transform
    )


def login_message(entry: AuditEntry) -> own_account_pb2.LoginRecord:
    """Write a login, as the audit has it."""
    return own_account_pb2.LoginRecord(
        login_time=timestamp(datetime.fromtimestamp(entry.time_s, UTC)),
        address=entry.address,
        via=entry.via.value,
        mechanism=str(entry.after.get("mechanism", "")),
        tls_version=str(entry.after.get("tls", "")),
        refusal_reason="" if entry.outcome == OK else entry.outcome,
        app_password_name=str(entry.after.get("app_password", "")),
        attempt_count=entry.count,
    )

"""Logins and their tokens: messages of the contract to use cases and back."""

from __future__ import annotations

import structlog

from pop3_service.api.access import caller, caller_address, caller_token
from pop3_service.api.methods import open_to
from pop3_service.api.servicers.shared import Context
from pop3_service.api.translate import (
    account_message,
    timestamp,
)
from pop3_service.domain.account import AccountName, Principal
from pop3_service.domain.audit import ActorKind, describe_actor
from pop3_service.domain.errors import (
    InvalidCredentials,
    LoginThrottled,
    PermissionDenied,
)
from pop3_service.domain.rights import RoleName
from pop3_service.supervisor.authentication.authenticator import Authenticator
from pop3_service.supervisor.defence.access import AccessGate
from pop3_service.supervisor.defence.throttle import Throttle
from pop3_service.supervisor.identity.accounts import AccountsDesk
from pop3_service.supervisor.identity.tokens import Tokens
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import (
    auth_pb2,
    auth_pb2_grpc,
)

log = structlog.get_logger()


class AuthServicer(auth_pb2_grpc.AuthServiceServicer):
    """Logins."""

    def __init__(
        self,
        authenticator: Authenticator,
        throttle: Throttle,
        tokens: Tokens,
        accounts: AccountsDesk,
        access: AccessGate,
    ) -> None:
        self._access = access
        self._authenticator = authenticator
        self._throttle = throttle
        self._tokens = tokens
        self._accounts = accounts

    async def Login(
        self, request: auth_pb2.LoginRequest, context: Context
    ) -> auth_pb2.LoginResponse:
        """Check a password and give a token; a wrong one is answered with delay."""
        peer = caller_address()
        self._access.check_address(peer)
        name, password = request.name.encode(), request.password.encode()
        describe_actor(AccountName.meant(request.name), ActorKind.NOBODY)
        attempt = self._throttle.attempt(peer, name)
        try:
            async with self._throttle.turn(attempt):
                account = await self._authenticator.verify(name, password)
        except LoginThrottled:
            await self._throttle.delays.wait(self._throttle.delay_s(attempt))
            raise
        if account is None:
            reason, delay_s = self._throttle.wrong(attempt, password)
            log.info("management login refused", peer=peer, name=ascii(request.name[:64]))
            await self._throttle.delays.wait(delay_s)
            raise LoginThrottled if reason is Reason.LOGIN_THROTTLED else InvalidCredentials
        self._access.check(Principal(account.name, account.role, address=peer))
        self._throttle.right(attempt, account.name)
        describe_actor(account.name)
        hindrance = self._authenticator.hindrance(account)
        principal = Principal(account.name, account.role, is_restricted=hindrance is not None)
        token, expire_time = self._tokens.issue(principal)
        warnings = [str(hindrance)] if hindrance else []
        if account.has_default_password:
            warnings.append("your password is the default one; change it")
            log.warning("login with a default password", name=account.name, peer=peer)
        if account.role == RoleName.ADMIN and not hindrance:
            warnings += await self._accounts.warnings()
        log.info("management login", name=account.name, peer=peer)
        return auth_pb2.LoginResponse(
            token=token,
            expire_time=timestamp(expire_time),
            account=account_message(
                account, 0, self._accounts.password_policy.expire_time(account)
            ),
            warnings=warnings,
        )

    async def GetCaller(
        self, request: auth_pb2.GetCallerRequest, context: Context
    ) -> auth_pb2.GetCallerResponse:
        """Tell the caller who it is and what it may do."""
        principal = caller()
        expire_time = self._tokens.expire_time(caller_token())
        return auth_pb2.GetCallerResponse(
            account_name="" if principal.token_name else principal.name,
            token_name=principal.token_name,
            role_name=principal.role,
            rights=sorted(principal.rights),
            methods=open_to(principal),
            expire_time=timestamp(expire_time) if expire_time else None,
        )

    async def RenewToken(
        self, request: auth_pb2.RenewTokenRequest, context: Context
    ) -> auth_pb2.RenewTokenResponse:
        """Move the token's end."""
        _refuse_automation()
        expire_time = self._tokens.renew(caller_token())
        return auth_pb2.RenewTokenResponse(expire_time=timestamp(expire_time))

    async def Logout(
        self, request: auth_pb2.LogoutRequest, context: Context
    ) -> auth_pb2.LogoutResponse:
        """End the token."""
        _refuse_automation()
        self._tokens.end(caller_token())
        return auth_pb2.LogoutResponse()


def _refuse_automation() -> None:
    if caller().token_name:
        raise PermissionDenied("an automation token is not renewed, and ends by its revocation")

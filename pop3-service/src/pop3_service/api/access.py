"""The interceptor that holds callers to the table of ``api.methods``, and tells who calls.

``api.wrapping`` turns failures into statuses, so that no servicer does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any

import grpc
import structlog

from pop3_service.api.auditing import Auditing, Who
from pop3_service.api.methods import ACCESS
from pop3_service.api.origin import Origins, peer_address
from pop3_service.api.streams import OpenStreams
from pop3_service.api.wrapping import counted, inner, refusing, wrapped
from pop3_service.domain.account import AccountName, Principal
from pop3_service.domain.audit import ActorKind, Via
from pop3_service.domain.errors import (
    InvalidArgument,
    InvalidCredentials,
    PasswordMustChange,
    PermissionDenied,
    ServiceError,
)
from pop3_service.domain.rights import Right
from pop3_service.supervisor.identity.tokens import Tokens

log = structlog.get_logger()


_principal: ContextVar[Principal] = ContextVar("principal")
_token: ContextVar[str] = ContextVar("token")
_address: ContextVar[str] = ContextVar("address")
_via: ContextVar[Via] = ContextVar("via")


def caller() -> Principal:
    """Give who makes the present call."""
    return _principal.get()


def caller_address() -> str:
    """Give the address and port of who makes the present call, beyond a gateway of ours."""
    return _address.get()


def caller_token() -> str:
    """Give the token of the present call."""
    return _token.get()


def own_or(right: Right, name: str) -> AccountName:
    """Give the account meant: the caller's own without a name; another's with a right alone.

    Raises:
        PermissionDenied: the caller may not do this with that account.
    """
    principal = caller()
    meant = AccountName.meant(name)
    own = principal.name if principal.may(Right.OWN) else None
    if own is not None and (not name or meant == own):
        return own
    if not principal.may(right):
        raise PermissionDenied
    if not name:
        raise InvalidArgument("name an account; an automation token has none of its own")
    return meant


def _who() -> Who:
    """Give who makes the present call, as the audit tells it."""
    return _told_as(_principal.get(None), _address.get(), _via.get())


def _told_as(principal: Principal | None, address: str, via: Via) -> Who:
    if principal is None:
        return Who("", ActorKind.NOBODY, "", address, via)
    token = principal.token_name
    return Who(principal.name, ActorKind.TOKEN if token else ActorKind.ACCOUNT, token, address, via)


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Checks every call's token, rights and address, and translates every failure.

    ``may_come_in`` refuses who is suspended, or may not manage from its address.
    """

    def __init__(
        self,
        tokens: Tokens,
        origins: Origins,
        auditing: Auditing,
        may_come_in: Callable[[Principal], None],
    ) -> None:
        self._auditing = auditing
        self._may_come_in = may_come_in
        self._tokens = tokens
        self._origins = origins
        self._acts: set[asyncio.Task[Any]] = set()
        self._streams = OpenStreams()

    async def finish(self, grace_s: float) -> None:
        """Wait until every act that was begun is done; cancel what takes longer."""
        if not self._acts:
            return
        _, late = await asyncio.wait(self._acts, timeout=grace_s)
        for act in late:  # the answer to a wrong login may wait for many seconds
            act.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the method's handler."""
        handler = await continuation(details)
        if handler is None:
            return handler
        passed_on = ""
        try:
            passed_on = self._origins.passed_on(details.invocation_metadata or ())
            self._admit(details)
        except ServiceError as error:
            return refusing(handler, error, partial(self._tell, details, error, passed_on))
        if details.method.startswith("/grpc."):
            return counted(handler, self._streams)
        behaviour = self._auditing.told(details.method, handler, inner(handler), _who)
        identify = partial(self._identify, details, passed_on)
        asked = ACCESS[details.method].rights
        return wrapped(handler, behaviour, identify, self._acts, self._streams, asked)

    async def _identify(
        self,
        details: grpc.HandlerCallDetails,
        passed_on: str,
        context: grpc.aio.ServicerContext[Any, Any],
        *,
        tells: bool = True,
    ) -> Principal | None:
        """Let a call in, or let it go on, and note who makes it; give that.

        Raises:
            ServiceError: it may not; the audit has been told so, if that ``tells``.
        """
        address, via = _origin(context, passed_on)
        try:
            principal, token = self._admit(details)
            if principal is not None:
                principal = replace(principal, address=address)
                self._may_come_in(principal)
                await self._use(details.method, principal, token)
                _principal.set(principal)
        except ServiceError as error:
            if tells:
                await self._tell(details, error, passed_on, context)
            raise
        _address.set(address)
        _via.set(via)
        _token.set(token)
        return principal

    async def _tell(
        self,
        details: grpc.HandlerCallDetails,
        error: ServiceError,
        passed_on: str,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Tell the audit of a call that is refused; raises StoreUnavailable."""
        principal = None
        with contextlib.suppress(ServiceError):
            principal = self._tokens.principal(_token_of(details))
        who = _told_as(principal, *_origin(context, passed_on))
        await self._auditing.refused(details.method, who, error)

    def _admit(self, details: grpc.HandlerCallDetails) -> tuple[Principal | None, str]:
        access = ACCESS.get(details.method)
        if access is None:
            raise PermissionDenied("this method is not open")
        if access.is_public:
            return None, ""
        token = _token_of(details)
        if not token:
            raise InvalidCredentials("log in first")
        principal = self._tokens.principal(token)
        # Nothing is told of an automation token before its network was looked at, in ``_use``.
        if not principal.token_name and not access.admits(principal):
            if principal.is_restricted:
                raise PasswordMustChange(principal.name)
            raise PermissionDenied
        return principal, token

    async def _use(self, method: str, principal: Principal, token: str) -> None:
        """Let an automation token be used from its networks alone, for what its role may."""
        if principal.token_name:
            await self._tokens.automation.use(token, principal.address)
            if not ACCESS[method].admits(principal):
                raise PermissionDenied


def _origin(context: grpc.aio.ServicerContext[Any, Any], passed_on: str) -> tuple[str, Via]:
    """Give where a call comes from, and on which way."""
    return (passed_on, Via.SCMP) if passed_on else (peer_address(context.peer()), Via.GRPC)


def _token_of(details: grpc.HandlerCallDetails) -> str:
    token = ""
    for key, value in details.invocation_metadata or ():
        if key == "authorization" and str(value).startswith("Bearer "):
            token = str(value).removeprefix("Bearer ")
    return token

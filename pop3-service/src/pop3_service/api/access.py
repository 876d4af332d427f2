"""Who may call what: a table of methods, and the interceptor that holds callers to it.

A method that is not in the table is refused to everyone. The interceptor also turns failures into
statuses, so that no servicer does.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import grpc
import structlog

from pop3_service.api.auditing import Auditing, Behaviour, Who
from pop3_service.api.origin import NotTheGateway, Origins, peer_address
from pop3_service.api.streams import OpenStreams
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
from pop3_service.supervisor.tokens import Tokens
from pop3mgmt.errors import STATUS, to_status
from pop3mgmt.reasons import Reason

MAX_TEXT = 300
"""Characters of an error's text: it travels twice, in headers that gRPC keeps small."""
CALL_LIMIT_S = 120.0
"""The longest a call that is no stream may take, whatever its deadline."""

FIRST_REQUEST_S = 5.0
"""How long a stream that is refused waits for its first request."""

LOOK_AGAIN_S = 0.5
"""How often a stream looks whether its caller may still have it."""
_END = object()

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Access:
    """What a method asks of its caller: any one of these rights; with none, a login alone."""

    rights: frozenset[Right] = frozenset()
    is_public: bool = False
    before_change: bool = False
    """Whether it is open while the caller's password must be changed before anything else."""

    def admits(self, principal: Principal) -> bool:
        """Whether a caller may call the method."""
        if principal.is_restricted and self.before_change:
            return True
        return not self.rights or not self.rights.isdisjoint(principal.rights)


def need(*rights: Right) -> Access:
    """Give the access of a method for callers that have any of these rights."""
    return Access(frozenset(rights))


PUBLIC = Access(is_public=True)
LOGGED_IN = Access()
OWN_PASSWORD = Access(frozenset({Right.OWN}), before_change=True)

_V1 = "/pop3mgmt.v1."
ACCESS: dict[str, Access] = {
    "/grpc.health.v1.Health/Check": PUBLIC,
    "/grpc.health.v1.Health/List": PUBLIC,
    "/grpc.health.v1.Health/Watch": PUBLIC,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": PUBLIC,
    f"{_V1}AuthService/Login": PUBLIC,
    f"{_V1}AuthService/RenewToken": LOGGED_IN,
    f"{_V1}AuthService/Logout": LOGGED_IN,
    f"{_V1}AuthService/GetCaller": LOGGED_IN,
    f"{_V1}AccountsService/ListAccounts": need(Right.ACCOUNTS_READ),
    f"{_V1}AccountsService/GetAccount": need(Right.OWN, Right.ACCOUNTS_READ),
    f"{_V1}AccountsService/GetPasswordPolicy": OWN_PASSWORD,
    f"{_V1}AccountsService/CreateAccount": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AccountsService/ImportAccounts": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AccountsService/DeleteAccount": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AccountsService/SetRole": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AccountsService/ResetPassword": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AccountsService/ChangePassword": OWN_PASSWORD,
    f"{_V1}AccountsService/SetApopSecret": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AccountsService/RemoveApopSecret": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AuditService/ListAuditEntries": need(Right.AUDIT_READ),
    f"{_V1}AuditService/VerifyAudit": need(Right.AUDIT_READ),
    f"{_V1}AuditService/WatchAudit": need(Right.AUDIT_READ),
    f"{_V1}OwnAccountService/ListAppPasswords": need(Right.OWN, Right.ACCOUNTS_READ),
    f"{_V1}OwnAccountService/GetRecentLogins": need(Right.OWN, Right.ACCOUNTS_READ),
    f"{_V1}OwnAccountService/GetPreferences": need(Right.OWN, Right.ACCOUNTS_READ),
    f"{_V1}OwnAccountService/CreateAppPassword": need(Right.OWN),
    f"{_V1}OwnAccountService/UpdatePreferences": need(Right.OWN, Right.ACCOUNTS_WRITE),
    f"{_V1}OwnAccountService/RevokeAppPassword": need(Right.OWN, Right.ACCOUNTS_WRITE),
    f"{_V1}AccessService/ListRules": need(Right.RULES_READ),
    f"{_V1}AccessService/ListBans": need(Right.BANS_READ),
    f"{_V1}AccessService/ListSuspensions": need(Right.BANS_READ),
    f"{_V1}AccessService/CreateRule": need(Right.RULES_WRITE),
    f"{_V1}AccessService/CreateBan": need(Right.BANS_WRITE),
    f"{_V1}AccessService/DeleteRule": need(Right.RULES_WRITE),
    f"{_V1}AccessService/DeleteBan": need(Right.BANS_WRITE),
    f"{_V1}AccessService/SuspendAccount": need(Right.BANS_WRITE),
    f"{_V1}AccessService/ResumeAccount": need(Right.BANS_WRITE),
    f"{_V1}AccessService/ExplainAccess": need(Right.BANS_READ),
    f"{_V1}RolesService/ListRoles": need(Right.ROLES_READ),
    f"{_V1}RolesService/CreateRole": need(Right.ROLES_WRITE),
    f"{_V1}RolesService/UpdateRole": need(Right.ROLES_WRITE),
    f"{_V1}RolesService/DeleteRole": need(Right.ROLES_WRITE),
    f"{_V1}TokensService/ListTokens": need(Right.TOKENS_READ),
    f"{_V1}TokensService/CreateToken": need(Right.TOKENS_WRITE),
    f"{_V1}TokensService/RevokeToken": need(Right.TOKENS_WRITE),
    f"{_V1}SessionsService/ListSessions": need(Right.OWN, Right.SESSIONS_READ),
    f"{_V1}SessionsService/WatchSessions": need(Right.OWN, Right.SESSIONS_READ),
    f"{_V1}SessionsService/DisconnectSession": need(Right.OWN, Right.SESSIONS_DISCONNECT),
    f"{_V1}ServerService/ListCertificates": need(Right.STATUS_READ),
    f"{_V1}ServerService/GetStatus": need(Right.STATUS_READ),
    f"{_V1}ServerService/WatchStatus": need(Right.STATUS_READ),
    f"{_V1}ServerService/GetSettings": need(Right.SETTINGS_READ),
    f"{_V1}ServerService/UpdateSettings": need(Right.SETTINGS_WRITE, Right.TRANSFORM_WRITE),
    f"{_V1}ServerService/ReloadCertificates": need(Right.SERVER_OPERATE),
    f"{_V1}ServerService/RestartWorkers": need(Right.SERVER_OPERATE),
    f"{_V1}ThrottleService/ListThrottled": need(Right.BANS_READ),
    f"{_V1}ThrottleService/ClearThrottle": need(Right.BANS_WRITE),
    f"{_V1}BackupService/ListBackups": need(Right.BACKUP_WRITE),
    f"{_V1}BackupService/CreateBackup": need(Right.BACKUP_WRITE),
    f"{_V1}BackupService/ExportBackup": need(Right.BACKUP_WRITE),
    f"{_V1}BackupService/RestoreBackup": need(Right.BACKUP_WRITE),
    f"{_V1}BackupService/ImportBackup": need(Right.BACKUP_WRITE),
    f"{_V1}MaildropService/ListMessages": need(Right.OWN, Right.MAIL_READ),
    f"{_V1}MaildropService/PutMessage": need(Right.MAIL_WRITE),
    f"{_V1}MaildropService/GetMessage": need(Right.OWN, Right.MAIL_READ),
    f"{_V1}MaildropService/ImportUniqueIds": need(Right.MAIL_WRITE),
}


def open_to(principal: Principal) -> list[str]:
    """Give the methods of the contract that a caller may call, as ``Service/Method``."""
    return [
        name.removeprefix(_V1)
        for name, access in ACCESS.items()
        if name.startswith(_V1) and not access.is_public and access.admits(principal)
    ]


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
            return _refusing(handler, error, partial(self._tell, details, error, passed_on))
        if details.method.startswith("/grpc."):
            return _counted(handler, self._streams)
        behaviour = self._auditing.told(details.method, handler, _inner(handler), _who)
        identify = partial(self._identify, details, passed_on)
        asked = ACCESS[details.method].rights
        return _wrapped(handler, behaviour, identify, self._acts, self._streams, asked)

    async def _identify(
        self,
        details: grpc.HandlerCallDetails,
        passed_on: str,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> Principal | None:
        """Let a call in, or let it go on, and note who makes it; give that.

        Raises:
            ServiceError: it may not; the audit has been told so.
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


def _rebuilt(handler: Any, unary: Any, stream: Any) -> grpc.RpcMethodHandler[Any, Any]:
    """Make a handler of the same kind with another behaviour."""
    kinds = {
        (False, False): (grpc.unary_unary_rpc_method_handler, unary),
        (False, True): (grpc.unary_stream_rpc_method_handler, stream),
        (True, False): (grpc.stream_unary_rpc_method_handler, unary),
        (True, True): (grpc.stream_stream_rpc_method_handler, stream),
    }
    make, behaviour = kinds[handler.request_streaming, handler.response_streaming]
    made: grpc.RpcMethodHandler[Any, Any] = make(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return made


def _inner(handler: Any) -> Any:
    return (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )


def _refusing(
    handler: Any,
    error: ServiceError,
    tell: Callable[[grpc.aio.ServicerContext[Any, Any]], Awaitable[None]],
) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if isinstance(error, NotTheGateway):
            peer = peer_address(context.peer())
            log.warning("a false gateway was refused", peer=peer, reason=str(error))
        try:
            await tell(context)
        except ServiceError as failure:
            await _abort(context, failure)
        await _abort(context, error)

    async def refuse_stream(
        request: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[None]:
        if handler.request_streaming:
            # A client whose first request cannot be sent any more is not told why.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_REQUEST_S):
                    await anext(aiter(request), None)
        await refuse(request, context)
        yield

    return _rebuilt(handler, refuse, refuse_stream)


def _wrapped(
    handler: Any,
    behaviour: Behaviour,
    identify: Callable[[grpc.aio.ServicerContext[Any, Any]], Awaitable[Principal | None]],
    acts: set[asyncio.Task[Any]],
    streams: OpenStreams,
    asked: frozenset[Right],
) -> grpc.RpcMethodHandler[Any, Any]:
    """Wrap a method; a stream ends when its caller loses a right of those ``asked`` for.

    With the others he might have begun it, but what it gives was chosen by the right that is gone.
    """

    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            await identify(context)
            if handler.request_streaming:
                return await behaviour(request, context)
            # An act that has begun goes to its end, even if its caller is gone meanwhile.
            act = asyncio.ensure_future(behaviour(request, context))
            acts.add(act)
            act.add_done_callback(acts.discard)
            async with asyncio.timeout(CALL_LIMIT_S):
                return await asyncio.shield(act)
        except Exception as error:
            await _abort(context, error)

    async def stream(
        request: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        held: frozenset[Right] = frozenset()
        waiting: asyncio.Future[Any] | None = None
        responses: AsyncIterator[Any] | None = None
        counting = contextlib.ExitStack()
        try:
            principal = await identify(context)
            held = asked & (principal.rights if principal else held)
            counting.enter_context(streams.one_more(_streaming(principal)))
            responses = aiter(behaviour(request, context))
            while True:
                waiting = waiting or asyncio.ensure_future(anext(responses, _END))
                await asyncio.wait({waiting}, timeout=LOOK_AGAIN_S)
                principal = await identify(context)
                if principal is not None and not held <= principal.rights:
                    raise PermissionDenied("your rights have changed meanwhile")
                if not waiting.done():
                    continue
                response, waiting = waiting.result(), None
                if response is _END:
                    return
                yield response
        except Exception as error:
            await _abort(context, error)
        finally:
            counting.close()
            if waiting is not None:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            if inspect.isasyncgen(responses):
                await responses.aclose()

    return _rebuilt(handler, call, stream)


def _streaming(principal: Principal | None) -> str:
    """Name whose streams are counted together."""
    if principal is None:
        return ""
    return f"token {principal.token_name}" if principal.token_name else principal.name


def _counted(handler: Any, streams: OpenStreams) -> grpc.RpcMethodHandler[Any, Any]:
    """Count the streams of gRPC's own services; no failure of theirs is ours to translate."""
    if not handler.response_streaming:
        made: grpc.RpcMethodHandler[Any, Any] = handler
        return made
    behaviour = streams.counted(_inner(handler), _abort)
    return _rebuilt(handler, behaviour, behaviour)


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> None:
    """End a call with the status of a failure; what nobody foresaw is logged under a number."""
    if isinstance(error, grpc.aio.AbortError | grpc.aio.BaseError):
        raise error
    if isinstance(error, ServiceError):
        reason, text = error.reason, str(error)
    elif isinstance(error, TimeoutError):
        reason, text = Reason.DEADLINE_EXCEEDED, "the call took too long"
    else:
        number = uuid.uuid4().hex[:8]
        log.error("management call failed", number=number, exc_info=error)
        reason, text = Reason.INTERNAL, f"internal error {number}"
    if len(text) > MAX_TEXT:  # it may quote what the caller sent
        text = f"{text[:MAX_TEXT]}…"
    status = to_status(reason, text)
    metadata = tuple(status.trailing_metadata or ())
    await context.abort(STATUS[reason], text, metadata)

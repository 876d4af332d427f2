"""Handlers of methods, wrapped: refused, gone on with to their end, ended with a right."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import grpc
import structlog

from pop3_service.api.auditing import Behaviour
from pop3_service.api.origin import NotTheGateway, peer_address
from pop3_service.api.streams import OpenStreams
from pop3_service.domain.account import Principal
from pop3_service.domain.errors import PermissionDenied, ServiceError
from pop3_service.domain.rights import Right
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


class Identify(Protocol):
    """Lets a call in, or go on; ``tells`` says whether the audit is told if it may not."""

    async def __call__(
        self, context: grpc.aio.ServicerContext[Any, Any], *, tells: bool = True
    ) -> Principal | None:
        """Give who makes the call, if it has a login."""


log = structlog.get_logger()


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


def inner(handler: Any) -> Any:
    """Give a method's behaviour, whatever its kind."""
    return (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )


def refusing(
    handler: Any,
    error: ServiceError,
    tell: Callable[[grpc.aio.ServicerContext[Any, Any]], Awaitable[None]],
) -> grpc.RpcMethodHandler[Any, Any]:
    """Make a handler that refuses, once the audit has been told."""

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


def wrapped(
    handler: Any,
    behaviour: Behaviour,
    identify: Identify,
    acts: set[asyncio.Task[Any]],
    streams: OpenStreams,
    asked: frozenset[Right],
) -> grpc.RpcMethodHandler[Any, Any]:
    """Wrap a method; a stream ends when its caller loses a right of those ``asked`` for.

    With the others he might have begun it, but what it gives was chosen by the right that is gone.
    What is sent in pieces counts for nothing once its sender loses any right.
    """

    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            principal = await identify(context)
            # An act that has begun goes to its end, even if its caller is gone meanwhile; one that
            # is sent in pieces begins with the last.
            whole = asyncio.Event()
            if handler.request_streaming:
                request = _sent(request, context, identify, principal, whole)
            act = asyncio.ensure_future(behaviour(request, context))
            acts.add(act)
            act.add_done_callback(acts.discard)
            if handler.request_streaming:
                return await _sent_to_the_end(act, whole)
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


async def _sent(
    requests: Any,
    context: grpc.aio.ServicerContext[Any, Any],
    identify: Identify,
    begun_by: Principal | None,
    whole: asyncio.Event,
) -> AsyncIterator[Any]:
    """Give what is sent as long as its sender has the rights that he began with; set ``whole``.

    Whoever takes it looked at them before the first piece, and acts after the last.
    """
    requests = aiter(requests)
    while True:
        request = await anext(requests, _END)
        principal = await identify(context, tells=False)  # whose method fails by it tells
        if begun_by and principal and not begun_by.rights <= principal.rights:
            raise PermissionDenied("your rights have changed meanwhile")
        if request is _END:
            whole.set()
            return
        yield request


async def _sent_to_the_end(act: asyncio.Task[Any], whole: asyncio.Event) -> Any:
    """Wait for an act; it is given up with its caller as long as he has not sent the whole."""
    try:
        return await asyncio.shield(act)
    except asyncio.CancelledError:
        if not whole.is_set():
            act.cancel()
            await asyncio.gather(act, return_exceptions=True)
        raise


def _streaming(principal: Principal | None) -> str:
    """Name whose streams are counted together."""
    if principal is None:
        return ""
    return f"token {principal.token_name}" if principal.token_name else principal.name


def counted(handler: Any, streams: OpenStreams) -> grpc.RpcMethodHandler[Any, Any]:
    """Count the streams of gRPC's own services; no failure of theirs is ours to translate."""
    if not handler.response_streaming:
        made: grpc.RpcMethodHandler[Any, Any] = handler
        return made
    behaviour = streams.counted(inner(handler), _abort)
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

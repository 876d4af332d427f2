"""POP3 sessions: messages of the contract to use cases and back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import structlog

from pop3_service.api.access import caller, own_or
from pop3_service.api.servicers.shared import Context
from pop3_service.api.translate import (
    event_message,
    offset_page,
    session_message,
)
from pop3_service.control.plane import DisconnectOrder
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import (
    InvalidArgument,
    SessionNotFound,
)
from pop3_service.domain.rights import Right
from pop3_service.supervisor.sessions import SessionsDesk
from pop3mgmt.v1 import (
    sessions_pb2,
    sessions_pb2_grpc,
)

log = structlog.get_logger()


class SessionsServicer(sessions_pb2_grpc.SessionsServiceServicer):
    """Sessions."""

    def __init__(self, sessions: SessionsDesk) -> None:
        self._sessions = sessions

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
        """Send events until the client is gone, or may not see them any more."""
        events = self._sessions.watch(_account_seen(request.account_name))
        async with contextlib.aclosing(events):
            async for item in events:
                if item is None:
                    yield sessions_pb2.WatchSessionsResponse()
                else:
                    yield sessions_pb2.WatchSessionsResponse(event=event_message(*item))

    async def DisconnectSession(
        self, request: sessions_pb2.DisconnectSessionRequest, context: Context
    ) -> sessions_pb2.DisconnectSessionResponse:
        """End sessions; a user its own."""
        if bool(request.session_id) is bool(request.account_name):
            raise InvalidArgument("give either session_id or account_name")
        if request.account_name:
            describe(target=request.account_name)
            order = DisconnectOrder(account=own_or(Right.SESSIONS_DISCONNECT, request.account_name))
            ended = await self._sessions.disconnect(order)
        else:
            describe(target=f"session {request.session_id}")
            if not caller().may(Right.SESSIONS_DISCONNECT):
                own = await self._sessions.list(caller().name)
                if request.session_id not in {session.id for session in own}:
                    raise SessionNotFound(request.session_id)
            ended = await self._sessions.disconnect_one(request.session_id)
        describe(after={"ended_sessions": ended})
        log.info("sessions disconnected", by=caller().name, count=ended)
        return sessions_pb2.DisconnectSessionResponse(ended_session_count=ended)


def _account_seen(name: str) -> str:
    """Whose sessions are meant: who has the right may ask for all, a user for its own alone."""
    return (
        "" if not name and caller().may(Right.SESSIONS_READ) else own_or(Right.SESSIONS_READ, name)
    )

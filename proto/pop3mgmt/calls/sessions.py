"""The calls about POP3 sessions."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator

from pop3mgmt.calls.base import Calls, call, streamed
from pop3mgmt.v1 import (
    sessions_pb2,
    sessions_pb2_grpc,
)


class SessionsCalls(Calls):
    """The calls about POP3 sessions."""

    @functools.cached_property
    def _sessions(self) -> sessions_pb2_grpc.SessionsServiceAsyncStub:
        return sessions_pb2_grpc.SessionsServiceStub(self._channel)

    async def list_sessions(self, account_name: str = "") -> list[sessions_pb2.Session]:
        """Give the POP3 sessions that the caller may see, oldest first."""
        found: list[sessions_pb2.Session] = []
        token = ""
        while True:
            request = sessions_pb2.ListSessionsRequest(account_name=account_name, page_token=token)
            page = await call(self._sessions.ListSessions(request, **self._options()))
            found.extend(page.sessions)
            if not (token := page.next_page_token):
                return found

    async def watch_sessions(
        self, account_name: str = ""
    ) -> AsyncIterator[sessions_pb2.SessionEvent | None]:
        """Give each event as it happens; first None, once watching has begun."""
        request = sessions_pb2.WatchSessionsRequest(account_name=account_name)
        with streamed(self._sessions.WatchSessions(request, metadata=self._metadata)) as responses:
            async for response in responses:
                yield response.event if response.HasField("event") else None

    async def disconnect(self, *, session_id: str = "", account_name: str = "") -> int:
        """End one session, or all of an account; give how many."""
        request = sessions_pb2.DisconnectSessionRequest(
            session_id=session_id, account_name=account_name
        )
        response = await call(self._sessions.DisconnectSession(request, **self._options()))
        return response.ended_session_count

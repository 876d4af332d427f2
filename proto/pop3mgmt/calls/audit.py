"""The calls about the audit."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator

from pop3mgmt.calls.base import Calls, call, streamed
from pop3mgmt.v1 import audit_pb2, audit_pb2_grpc

VERIFY_S = 120.0
"""A look at millions of entries takes its time."""
LISTING_S = 60.0
"""So does a search for what is rare."""


class AuditCalls(Calls):
    """The calls about the audit."""

    @functools.cached_property
    def _audit(self) -> audit_pb2_grpc.AuditServiceAsyncStub:
        return audit_pb2_grpc.AuditServiceStub(self._channel)

    async def list_audit_entries(
        self, meant: audit_pb2.AuditFilter | None = None, limit: int = 0
    ) -> AsyncIterator[audit_pb2.AuditEntry]:
        """Give entries, the newest first: so many, or all for 0."""
        token, count = "", 0
        while True:
            request = audit_pb2.ListAuditEntriesRequest(
                filter=meant, page_size=max(limit - count, 0), page_token=token
            )
            options = self._options(at_least_s=LISTING_S)
            page = await call(self._audit.ListAuditEntries(request, **options))
            for entry in page.entries:
                yield entry
            count += len(page.entries)
            token = page.next_page_token
            if not token or (limit and count >= limit):
                return

    async def verify_audit(self, expected_head: str = "") -> audit_pb2.VerifyAuditResponse:
        """Look at the whole chain; it must have come past the head, if one is given."""
        request = audit_pb2.VerifyAuditRequest(expected_head=expected_head)
        return await call(self._audit.VerifyAudit(request, **self._options(at_least_s=VERIFY_S)))

    async def watch_audit(
        self, meant: audit_pb2.AuditFilter | None = None
    ) -> AsyncIterator[audit_pb2.WatchAuditResponse]:
        """Give entries as they become durable; first one without, once watching has begun."""
        request = audit_pb2.WatchAuditRequest(filter=meant)
        with streamed(self._audit.WatchAudit(request, metadata=self._metadata)) as responses:
            async for response in responses:
                yield response

"""The audit: messages of the contract to use cases and back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pop3_service.api.servicers.shared import PAGE, Context
from pop3_service.api.translate import timestamp
from pop3_service.domain.audit import ActorKind, AuditEntry
from pop3_service.domain.audit_log import AuditFilter, AuditHead
from pop3_service.domain.errors import InvalidArgument
from pop3_service.supervisor.defence.audit import AuditDesk
from pop3mgmt.v1 import audit_pb2, audit_pb2_grpc

KINDS = {
    ActorKind.NOBODY: audit_pb2.AuditEntry.ACTOR_KIND_NOBODY,
    ActorKind.ACCOUNT: audit_pb2.AuditEntry.ACTOR_KIND_ACCOUNT,
    ActorKind.TOKEN: audit_pb2.AuditEntry.ACTOR_KIND_TOKEN,
    ActorKind.SERVICE: audit_pb2.AuditEntry.ACTOR_KIND_SERVICE,
}


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """The audit."""

    def __init__(self, audit: AuditDesk) -> None:
        self._audit = audit

    async def ListAuditEntries(
        self, request: audit_pb2.ListAuditEntriesRequest, context: Context
    ) -> audit_pb2.ListAuditEntriesResponse:
        """Give a page of entries; the page token is the last one's number."""
        token = request.page_token
        if request.page_size < 0 or (token and not (token.isascii() and token.isdigit())):
            raise InvalidArgument("page_size or page_token cannot be used")
        size = min(request.page_size or PAGE, PAGE)
        before = min(int(token[:19] or 0), 2**63 - 1)
        await self._audit.flush()
        found = await self._audit.newest(_filter(request.filter), before=before, limit=size)
        last = str(found[-1].sequence) if len(found) == size and found[-1].sequence > 1 else ""
        return audit_pb2.ListAuditEntriesResponse(
            entries=map(entry_message, found),
            next_page_token=last,
            total_count=await self._audit.count(),
        )

    async def VerifyAudit(
        self, request: audit_pb2.VerifyAuditRequest, context: Context
    ) -> audit_pb2.VerifyAuditResponse:
        """Look at the whole chain."""
        text = request.expected_head
        found = await self._audit.verify(AuditHead.parse(text) if text else None)
        return audit_pb2.VerifyAuditResponse(
            entry_count=found.entries,
            batch_count=found.batches,
            head=str(found.head),
            removed_count=found.checkpoint.removed if found.checkpoint else 0,
            damage=[
                audit_pb2.AuditDamage(
                    batch=it.batch,
                    first_sequence=it.first_sequence,
                    last_sequence=it.last_sequence,
                    text=it.what,
                )
                for it in found.damage
            ],
        )

    async def WatchAudit(
        self, request: audit_pb2.WatchAuditRequest, context: Context
    ) -> AsyncIterator[audit_pb2.WatchAuditResponse]:
        """Send entries until the client is gone."""
        entries = self._audit.watch(_filter(request.filter))
        try:
            async for item in entries:
                if item is None:
                    yield audit_pb2.WatchAuditResponse()
                else:
                    entry, skipped = item
                    yield audit_pb2.WatchAuditResponse(
                        entry=entry_message(entry), skipped_count=skipped
                    )
        finally:
            await entries.aclose()  # type: ignore[attr-defined]


def entry_message(entry: AuditEntry) -> audit_pb2.AuditEntry:
    """Write an entry."""
    return audit_pb2.AuditEntry(
        sequence=entry.sequence,
        entry_time=timestamp(datetime.fromtimestamp(entry.time_s, UTC)),
        action=entry.action,
        actor=entry.actor,
        actor_kind=KINDS[entry.actor_kind],
        token_name=entry.token,
        address=entry.address,
        via=entry.via.value,
        target=entry.target,
        outcome=entry.outcome,
        count=entry.count,
        before_json=_json(entry.before),
        after_json=_json(entry.after),
    )


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values) if values else ""


def _filter(message: audit_pb2.AuditFilter) -> AuditFilter:
    return AuditFilter(
        since_s=message.since_time.ToMicroseconds() / 1_000_000,
        until_s=message.until_time.ToMicroseconds() / 1_000_000,
        actor=message.actor,
        action=message.action,
        target=message.target,
        outcome=message.outcome,
        address=message.address,
    )

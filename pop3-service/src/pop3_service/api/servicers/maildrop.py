"""Maildrops: messages of the contract to use cases and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import structlog

from pop3_service.api.access import caller, own_or
from pop3_service.api.servicers.shared import Context, chunks
from pop3_service.api.translate import (
    id_import_message,
    id_source_of,
    offset_page,
    timestamp,
)
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import (
    InvalidArgument,
)
from pop3_service.domain.rights import Right
from pop3_service.supervisor.identity.accounts import AccountsDesk
from pop3_service.supervisor.mail.maildrops import Maildrops
from pop3mgmt.v1 import (
    maildrop_pb2,
    maildrop_pb2_grpc,
)

log = structlog.get_logger()


class MaildropServicer(maildrop_pb2_grpc.MaildropServiceServicer):
    """Maildrops."""

    def __init__(self, maildrops: Maildrops, accounts: AccountsDesk) -> None:
        self._maildrops = maildrops
        self._accounts = accounts

    async def ListMessages(
        self, request: maildrop_pb2.ListMessagesRequest, context: Context
    ) -> maildrop_pb2.ListMessagesResponse:
        """Give a page of an account's messages."""
        account = await self._accounts.get(own_or(Right.MAIL_READ, request.account_name))
        found = await self._maildrops.list(account.name)
        page, next_token = offset_page(found, request.page_size, request.page_token)
        return maildrop_pb2.ListMessagesResponse(
            messages=[
                maildrop_pb2.MessageInfo(
                    number=message.number,
                    uidl=message.uidl,
                    size_bytes=message.octets,
                    deliver_time=timestamp(datetime.fromtimestamp(message.deliver_time_s, UTC)),
                )
                for message in page
            ],
            next_page_token=next_token,
            total_count=len(found),
            total_bytes=sum(message.octets for message in found),
        )

    async def PutMessage(
        self, request_iterator: AsyncIterator[maildrop_pb2.PutMessageRequest], context: Context
    ) -> maildrop_pb2.PutMessageResponse:
        """Store a message as it comes, without holding it in memory."""
        try:
            first = await anext(request_iterator)
        except StopAsyncIteration:
            raise InvalidArgument("the stream is empty") from None
        describe(target=first.account_name)
        account = await self._accounts.get(first.account_name)
        uidl, octets = await self._maildrops.put(account.name, chunks(first, request_iterator))
        describe(target=account.name, after={"uidl": uidl, "stored_bytes": octets})
        log.info("message stored", account=account.name, by=caller().name, octets=octets)
        return maildrop_pb2.PutMessageResponse(uidl=uidl, stored_bytes=octets)

    async def GetMessage(
        self, request: maildrop_pb2.GetMessageRequest, context: Context
    ) -> AsyncIterator[maildrop_pb2.GetMessageResponse]:
        """Send a message's stored octets."""
        describe(target=request.account_name)
        account = await self._accounts.get(own_or(Right.MAIL_READ, request.account_name))
        describe(target=account.name, after={"uidl": request.uidl})
        async for piece in self._maildrops.read(account.name, request.uidl):
            yield maildrop_pb2.GetMessageResponse(chunk=piece)

    async def ImportUniqueIds(
        self, request: maildrop_pb2.ImportUniqueIdsRequest, context: Context
    ) -> maildrop_pb2.ImportUniqueIdsResponse:
        """Take over another server's unique ids."""
        describe(target=request.account_name)
        account = await self._accounts.get(request.account_name)
        result = await self._maildrops.import_ids(
            account.name, id_source_of(request.source), request.format, dry_run=request.dry_run
        )
        describe(
            target=account.name,
            after={
                "dry_run": request.dry_run,
                "kept": result.kept.count,
                "changed": result.changed.count,
            },
        )
        if not request.dry_run:
            log.info(
                "unique ids imported",
                account=account.name,
                by=caller().name,
                kept=result.kept.count,
                changed=result.changed.count,
                refused=result.refused.count,
                missing=result.missing.count,
            )
        return id_import_message(result)

"""The calls about maildrops."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterable

from pop3mgmt.calls.base import CHUNK, IMPORT_S, Calls, call, streamed
from pop3mgmt.v1 import (
    maildrop_pb2,
    maildrop_pb2_grpc,
)


class MaildropCalls(Calls):
    """The calls about maildrops."""

    @functools.cached_property
    def _maildrop(self) -> maildrop_pb2_grpc.MaildropServiceAsyncStub:
        return maildrop_pb2_grpc.MaildropServiceStub(self._channel)

    async def list_messages(self, account_name: str = "") -> list[maildrop_pb2.MessageInfo]:
        """Give an account's messages, in order of number."""
        found: list[maildrop_pb2.MessageInfo] = []
        token = ""
        while True:
            request = maildrop_pb2.ListMessagesRequest(account_name=account_name, page_token=token)
            page = await call(
                self._maildrop.ListMessages(request, **self._options(at_least_s=60.0))
            )
            found.extend(page.messages)
            if not (token := page.next_page_token):
                return found

    async def put_message(
        self, account_name: str, chunks: Iterable[bytes]
    ) -> maildrop_pb2.PutMessageResponse:
        """Store one message, durably."""
        return await call(
            self._maildrop.PutMessage(_requests(account_name, chunks), metadata=self._metadata)
        )

    async def get_message(self, uidl: str, account_name: str = "") -> AsyncIterator[bytes]:
        """Give one message's stored octets, in pieces."""
        request = maildrop_pb2.GetMessageRequest(account_name=account_name, uidl=uidl)
        with streamed(self._maildrop.GetMessage(request, metadata=self._metadata)) as responses:
            async for response in responses:
                yield response.chunk

    async def import_unique_ids(
        self,
        account_name: str,
        source: maildrop_pb2.IdSource.ValueType,
        uidl_format: str = "",
        *,
        dry_run: bool = False,
    ) -> maildrop_pb2.ImportUniqueIdsResponse:
        """Take over another server's unique ids; ``dry_run`` only tells what that would change."""
        request = maildrop_pb2.ImportUniqueIdsRequest(
            account_name=account_name, source=source, format=uidl_format, dry_run=dry_run
        )
        options = self._options(at_least_s=IMPORT_S)
        return await call(self._maildrop.ImportUniqueIds(request, **options))


async def _requests(
    account_name: str, chunks: Iterable[bytes]
) -> AsyncIterator[maildrop_pb2.PutMessageRequest]:
    yield maildrop_pb2.PutMessageRequest(account_name=account_name)
    for chunk in chunks:
        for at in range(0, len(chunk), CHUNK):
            yield maildrop_pb2.PutMessageRequest(chunk=chunk[at : at + CHUNK])

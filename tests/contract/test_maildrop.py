"""Mail over the contract: stored, listed and read."""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from contract.service import Service
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError, from_rpc_error
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import maildrop_pb2

MIB = 2**20


async def refused(call: Awaitable[Any]) -> Reason:
    with pytest.raises(ManagementError) as error:
        await call
    return error.value.reason


async def read(caller: Caller, uidl: str, account: str = "") -> bytes:
    return b"".join([piece async for piece in caller.get_message(uidl, account)])


async def put_raw(caller: Caller, *requests: maildrop_pb2.PutMessageRequest) -> Reason:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await caller._maildrop.PutMessage(iter(requests), metadata=caller._metadata)
    return from_rpc_error(error.value).reason


def files(service: Service, account: str) -> list[Path]:
    return sorted(path for path in (service.folder / "mail" / account).rglob("*") if path.is_file())


async def test_a_message_is_read_back_octet_for_octet(service: Service) -> None:
    await service.admin.create_account("ana", "x")
    message = b"Subject: x\r\n\nbare\r.\n\0\xff\n." + b"no end"
    stored = await service.admin.put_message("ana", [message])
    assert stored.stored_bytes == len(message)
    assert await read(service.admin, stored.uidl, "ana") == message
    [path] = files(service, "ana")
    assert (path.parent.name, path.read_bytes()) == ("new", message)


async def test_a_message_of_many_mebibytes_streams_both_ways(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.admin.create_account("ana", "x")
    message = random.Random(5).randbytes(9 * MIB + 17)
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_size), fsync(fd)))

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(message), 700_001):
            yield message[at : at + 700_001]

    stored = await service.admin.put_message("ana", pieces())
    assert stored.stored_bytes == len(message)
    assert len(message) in synced
    assert await read(service.admin, stored.uidl, "ana") == message


async def test_messages_are_listed_as_a_session_would_number_them(service: Service) -> None:
    ana = await service.user()
    sizes = []
    for number in range(5):
        message = b"Subject: x\n\n" + b"line\n" * number
        await service.admin.put_message("ana", [message])
        sizes.append(len(message.replace(b"\n", b"\r\n")))
    listed = await ana.list_messages()
    assert [it.number for it in listed] == [1, 2, 3, 4, 5]
    assert sorted(it.size_bytes for it in listed) == sizes
    assert len({it.uidl for it in listed}) == 5
    assert {it.deliver_time.ToDatetime().year for it in listed} == {2026}
    request = maildrop_pb2.ListMessagesRequest(account_name="ana", page_size=2)
    page = await service.admin._maildrop.ListMessages(request, metadata=service.admin._metadata)
    assert (len(page.messages), page.total_count, page.total_bytes) == (2, 5, sum(sizes))


async def test_a_user_reads_its_own_mail_and_nobody_elses(service: Service) -> None:
    ana = await service.user("ana")
    await service.admin.create_account("eva", "x")
    stored = await service.admin.put_message("eva", [b"x\n"])
    own = await service.admin.put_message("ana", [b"mine\n"])
    assert await read(ana, own.uidl) == b"mine\n"
    assert await refused(ana.list_messages("eva")) is Reason.PERMISSION_DENIED
    assert await refused(read(ana, stored.uidl, "eva")) is Reason.PERMISSION_DENIED
    assert await refused(read(ana, stored.uidl)) is Reason.MESSAGE_NOT_FOUND
    assert await refused(ana.put_message("ana", [b"x"])) is Reason.PERMISSION_DENIED


@pytest.mark.parametrize("uidl", ["", "nothing", "../../data/valija.db", "x" * 5000])
async def test_a_message_that_is_not_there_is_told_as_such(service: Service, uidl: str) -> None:
    assert await refused(read(service.admin, uidl)) is Reason.MESSAGE_NOT_FOUND


@pytest.mark.parametrize("name", ["nobody", "..", "../data", "a/b"])
async def test_mail_of_no_account_is_no_mail(service: Service, name: str) -> None:
    assert await refused(service.admin.list_messages(name)) is Reason.ACCOUNT_NOT_FOUND
    assert await refused(read(service.admin, "x", name)) is Reason.ACCOUNT_NOT_FOUND
    assert await refused(service.admin.put_message(name, [b"x"])) is Reason.ACCOUNT_NOT_FOUND
    assert sorted(path.name for path in (service.folder / "mail").iterdir()) == ["default"]


async def test_a_stream_without_a_message_is_refused(service: Service) -> None:
    assert await put_raw(service.admin) is Reason.INVALID_ARGUMENT


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_chunk_of_more_than_a_mebibyte_leaves_nothing_behind(
    service: Service, place: int
) -> None:
    requests = [maildrop_pb2.PutMessageRequest(account_name="default", chunk=b"x") for _ in "123"]
    requests[place].chunk = b"x" * (MIB + 1)
    assert await put_raw(service.admin, *requests) is Reason.INVALID_ARGUMENT
    assert files(service, "default") == []


async def test_a_request_of_more_than_two_mebibytes_is_refused(service: Service) -> None:
    large = maildrop_pb2.PutMessageRequest(account_name="default", chunk=b"x" * (2 * MIB + 1))
    assert await put_raw(service.admin, large) is Reason.INVALID_ARGUMENT
    assert await service.admin.list_messages() == []


async def test_a_stream_that_breaks_off_leaves_nothing_behind(service: Service) -> None:
    async def requests() -> Any:
        for _ in range(3):
            yield maildrop_pb2.PutMessageRequest(chunk=b"x" * 1000)
        call.cancel()
        yield maildrop_pb2.PutMessageRequest(chunk=b"x")

    call = service.admin._maildrop.PutMessage(requests(), metadata=service.admin._metadata)
    with pytest.raises(BaseException) as error:  # noqa: PT011
        await call
    assert "Cancel" in type(error.value).__name__
    for _ in range(100):
        await service.admin.get_status()
        if not files(service, "default"):
            break
    assert files(service, "default") == []


async def test_a_maildrop_that_cannot_be_read_is_told_as_unavailable(service: Service) -> None:
    for folder in ("cur", "new", "tmp"):
        path = service.folder / "mail" / "default" / folder
        path.rmdir()
        path.write_text("")
    assert await refused(service.admin.list_messages()) is Reason.MAILDROP_UNAVAILABLE
    call = service.admin.put_message("default", [b"x"])
    assert await refused(call) is Reason.MAILDROP_UNAVAILABLE

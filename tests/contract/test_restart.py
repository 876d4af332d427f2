"""Workers replaced over the contract."""

from __future__ import annotations

import asyncio

import grpc
import pytest
import structlog

from contract.service import Service
from pop3_service.domain.errors import InvalidArgument, ServiceUnavailable, WorkersBusy
from pop3mgmt.errors import ManagementError, from_rpc_error
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import server_pb2


async def test_a_restart_tells_how_many_workers_were_replaced_and_logs_who_asked(
    service: Service,
) -> None:
    async def restart() -> int:
        return 2

    service.restart = restart
    with structlog.testing.capture_logs() as logs:
        assert await service.admin.restart_workers() == 2
    asked, done = logs
    assert (asked["event"], asked["by"]) == ("workers are to be replaced", "default")
    assert (done["event"], done["by"], done["count"]) == ("workers replaced", "default", 2)


async def test_only_an_admin_may_restart_workers(service: Service) -> None:
    user = await service.user()
    with pytest.raises(ManagementError) as refused:
        await user.restart_workers()
    assert refused.value.reason is Reason.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (WorkersBusy("why"), grpc.StatusCode.FAILED_PRECONDITION, Reason.WORKERS_BUSY),
        (InvalidArgument("why"), grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_ARGUMENT),
        (ServiceUnavailable("why"), grpc.StatusCode.UNAVAILABLE, Reason.SERVICE_UNAVAILABLE),
    ],
)
async def test_a_restart_that_is_refused_says_why(
    service: Service, error: Exception, code: grpc.StatusCode, reason: Reason
) -> None:
    async def restart() -> int:
        raise error

    service.restart = restart
    request = server_pb2.RestartWorkersRequest()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.admin._server.RestartWorkers(request, metadata=service.admin._metadata)
    assert refused.value.code() is code
    told = from_rpc_error(refused.value)
    assert (told.reason, told.text) == (reason, "why")


async def test_a_restart_goes_to_its_end_although_its_caller_gives_up(service: Service) -> None:
    begun, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def restart() -> int:
        begun.set()
        await go.wait()
        done.set()
        return 2

    service.restart = restart
    request = server_pb2.RestartWorkersRequest()
    call = service.admin._server.RestartWorkers(request, metadata=service.admin._metadata)
    async with asyncio.timeout(60):
        asked = asyncio.ensure_future(call.wait_for_connection())
        await begun.wait()
        call.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await service.admin.get_status()
        go.set()
        await done.wait()

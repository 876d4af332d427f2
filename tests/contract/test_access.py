from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from contract.service import Service
from pop3_service.api.health import is_healthy
from pop3_service.api.methods import ACCESS
from pop3_service.api.server import SERVICES
from pop3_service.domain.rights import BUILT_IN, RoleName
from pop3mgmt.errors import from_rpc_error
from pop3mgmt.reasons import Reason
from support.contract import MODULES
from unit.pop3_service.clock import FakeClock

METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for module in (*MODULES, health_pb2, reflection_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
USER = BUILT_IN[RoleName.USER]
NOT_OWN = sorted(
    name for name, it in ACCESS.items() if it.rights and it.rights.isdisjoint(USER.rights)
)
GUARDED = sorted(name for name, access in ACCESS.items() if not access.is_public)


async def refusal(service: Service, name: str, *metadata: tuple[str, str]) -> tuple[Any, Reason]:
    """Call a method with an empty request; give how it is refused."""
    method = METHODS[name]
    request = GetMessageClass(method.input_type)()
    channel = service.client.channel
    kinds = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }

    async def stream() -> AsyncIterator[Any]:
        yield request

    call = kinds[method.client_streaming, method.server_streaming](
        name,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )(stream() if method.client_streaming else request, metadata=metadata, timeout=60)
    answer = anext(aiter(call)) if method.server_streaming else call
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await answer
    return refused.value.code(), from_rpc_error(refused.value).reason


def test_every_method_there_is_has_its_access_and_nothing_more() -> None:
    assert ACCESS.keys() == METHODS.keys()


def test_every_service_of_the_contract_is_served() -> None:
    assert set(SERVICES) == {name.split("/")[1] for name in METHODS if "pop3mgmt" in name}


def test_only_login_health_and_reflection_are_open_to_all() -> None:
    public = {name for name, access in ACCESS.items() if access.is_public}
    assert {name for name in public if "pop3mgmt" in name} == {"/pop3mgmt.v1.AuthService/Login"}


@pytest.mark.attack(52, "no token")
@pytest.mark.parametrize("name", GUARDED)
async def test_a_method_asks_for_a_token(service: Service, name: str) -> None:
    expected = (grpc.StatusCode.UNAUTHENTICATED, Reason.INVALID_CREDENTIALS)
    token = service.admin.token
    assert await refusal(service, name) == expected
    for value in ("Bearer garbage", "Bearer ", f"Basic {token}", token, f"bearer {token}x"):
        assert await refusal(service, name, ("authorization", value)) == expected


@pytest.mark.attack(52, "wrong role")
@pytest.mark.parametrize("name", NOT_OWN)
async def test_what_is_not_about_the_own_account_is_refused_to_a_user(
    service: Service, name: str
) -> None:
    user = await service.user()
    told = await refusal(service, name, ("authorization", f"Bearer {user.token}"))
    assert told == (grpc.StatusCode.PERMISSION_DENIED, Reason.PERMISSION_DENIED)


async def test_a_method_that_is_not_there_is_unimplemented(service: Service) -> None:
    call = service.client.channel.unary_unary("/pop3mgmt.v1.AuthService/DropAll")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"", metadata=(("authorization", f"Bearer {service.admin.token}"),))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_health_of_each_service_can_be_asked_without_a_token(service: Service) -> None:
    check = service.client.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    for name in ("", *SERVICES):
        answer = await check(health_pb2.HealthCheckRequest(service=name), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_is_served_only_when_asked_for(tmp_path: Path) -> None:
    name = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    for wanted in (True, False):
        folder = tmp_path / str(wanted)
        folder.mkdir()
        async with Service(folder, FakeClock()).running(with_reflection=wanted) as service:
            call = service.client.channel.stream_stream(
                name,
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )([asked], timeout=60)
            if wanted:
                answer = await anext(aiter(call))
                listed = {item.name for item in answer.list_services_response.service}
                assert listed >= set(SERVICES)
            else:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    _ = [response async for response in call]
                assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_service_that_is_away_is_not_healthy() -> None:
    assert not is_healthy("127.0.0.1:1", timeout_s=0.5)

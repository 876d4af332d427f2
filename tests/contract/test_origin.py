"""The client's address, passed on by who has the gateway's secret, and by nobody else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import structlog

from contract.service import ADMIN_PASSWORD, GATEWAY_SECRET, Service
from contract.test_access import GUARDED, refusal
from pop3_service.api.origin import peer_address
from pop3_service.supervisor.defence.origin import network_of
from pop3mgmt.client import ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.passing import CLIENT_KEY, SECRET_KEY
from pop3mgmt.reasons import Reason

CLIENT = "192.0.2.7:51324"
DENIED = Reason.PERMISSION_DENIED


@contextlib.asynccontextmanager
async def gateway(
    service: Service, secret: str = GATEWAY_SECRET
) -> AsyncIterator[ManagementClient]:
    async with ManagementClient(service.target, gateway_secret=lambda: secret) as client:
        yield client


async def reason(
    client: ManagementClient, password: str, client_address: str, name: str = "default"
) -> Reason:
    with pytest.raises(ManagementError) as refused:
        await client.login(name, password, client_address=client_address)
    return refused.value.reason


async def test_the_log_names_the_client_behind_the_gateway(service: Service) -> None:
    async with gateway(service) as client:
        with structlog.testing.capture_logs() as logs:
            await client.login("default", ADMIN_PASSWORD, client_address="[::ffff:192.0.2.7]:51324")
            assert await reason(client, "wrong", CLIENT) is Reason.INVALID_CREDENTIALS
    told = {it["event"]: it["peer"] for it in logs if "peer" in it}
    assert told == {"management login": CLIENT, "management login refused": CLIENT}


async def test_delays_go_by_the_client_behind_the_gateway(service: Service) -> None:
    async with gateway(service) as client:
        service.clock.slept.clear()
        for name in ("a", "b", "c"):
            await reason(client, "wrong", CLIENT, name)
        await reason(client, "wrong", "198.51.100.1:5", "d")
        await reason(client, "wrong", "[2001:db8::1]:5", "e")
    delays = [it for it in service.clock.slept if it]
    assert delays[:3] == sorted(set(delays))
    assert delays[0] == delays[3] == delays[4]


async def test_without_a_secret_the_peer_itself_is_the_client(service: Service) -> None:
    async with gateway(service, "") as client:
        with structlog.testing.capture_logs() as logs:
            await client.login("default", ADMIN_PASSWORD, client_address=CLIENT)
    [peer] = [it["peer"] for it in logs if it["event"] == "management login"]
    assert peer.startswith("127.0.0.1:")
    assert network_of(peer) == "127.0.0.0/24"


# --- attack 53 --------------------


@pytest.mark.attack(53, "no secret")
@pytest.mark.parametrize(
    "metadata",
    [
        [(CLIENT_KEY, CLIENT)],
        [(SECRET_KEY, ""), (CLIENT_KEY, CLIENT)],
        [(SECRET_KEY, "00" * 32), (CLIENT_KEY, CLIENT)],
        [(SECRET_KEY, "00" * 32)],
        [(SECRET_KEY, GATEWAY_SECRET[:-1]), (CLIENT_KEY, CLIENT)],
        [(SECRET_KEY, GATEWAY_SECRET.upper()), (CLIENT_KEY, CLIENT)],
        [(SECRET_KEY, GATEWAY_SECRET), (SECRET_KEY, "00" * 32), (CLIENT_KEY, CLIENT)],
        [(SECRET_KEY, GATEWAY_SECRET), (CLIENT_KEY, CLIENT), (CLIENT_KEY, "192.0.2.8:1")],
        [(SECRET_KEY, GATEWAY_SECRET), (CLIENT_KEY, "the moon")],
        [(SECRET_KEY, GATEWAY_SECRET), (CLIENT_KEY, "")],
    ],
)
async def test_who_names_an_address_without_the_secret_is_refused_and_logged(
    service: Service, metadata: list[tuple[str, str]]
) -> None:
    token = ("authorization", f"Bearer {service.admin.token}")
    with structlog.testing.capture_logs() as logs:
        for name in ("ServerService/GetStatus", "ServerService/WatchStatus", "AuthService/Login"):
            told = await refusal(service, f"/pop3mgmt.v1.{name}", token, *metadata)
            assert told[1] is DENIED
    assert [it["event"] for it in logs] == ["a false gateway was refused"] * 3
    assert {it["peer"].rpartition(":")[0] for it in logs} == {"127.0.0.1"}
    assert GATEWAY_SECRET not in str(logs)


@pytest.mark.attack(53, "secret alone")
@pytest.mark.parametrize("name", GUARDED)
async def test_the_secret_gives_no_right(service: Service, name: str) -> None:
    passing = ((SECRET_KEY, GATEWAY_SECRET), (CLIENT_KEY, CLIENT))
    for more in ((), (("authorization", f"Bearer {GATEWAY_SECRET}"),)):
        told = await refusal(service, name, *passing, *more)
        assert told[1] is Reason.INVALID_CREDENTIALS


@pytest.mark.attack(53, "secret alone")
async def test_a_user_behind_the_gateway_has_a_users_rights(service: Service) -> None:
    await service.user("ana")
    async with gateway(service) as client:
        ana = await client.login("ana", "secret", client_address=CLIENT)
        for act in (ana.get_status(), ana.list_accounts(), ana.delete_account("default")):
            with pytest.raises(ManagementError) as refused:
                await act
            assert refused.value.reason is DENIED


@pytest.mark.parametrize(
    ("peer", "written"),
    [
        ("ipv4:127.0.0.1:5", "127.0.0.1:5"),
        ("ipv6:%5B::1%5D:5", "[::1]:5"),
        ("ipv6:%5B::ffff:192.0.2.1%5D:5", "192.0.2.1:5"),
        ("ipv6:[fe80::1%25eth0]:5", "[fe80::1]:5"),
        ("unix:/run/socket", "unix:/run/socket"),
        ("unix:", "unix:"),
        ("ipv4:nowhere", "ipv4:nowhere"),
    ],
)
def test_a_peer_is_written_as_everywhere(peer: str, written: str) -> None:
    assert peer_address(peer) == written

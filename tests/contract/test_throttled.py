"""What wrong logins bring about, shown and ended over the contract."""

from __future__ import annotations

import pytest

from contract.service import GATEWAY_SECRET, Service
from pop3mgmt.client import ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason

HOME = "192.0.2.7:51324"


async def wrong(service: Service, count: int, name: str = "ana", address: str = HOME) -> None:
    """Log in wrongly so many times, with another password each."""
    async with ManagementClient(service.target, gateway_secret=lambda: GATEWAY_SECRET) as client:
        for number in range(count):
            with pytest.raises(ManagementError):
                await client.login(name, f"wrong{number}", client_address=address)


async def test_networks_and_accounts_are_listed_the_most_failures_first(service: Service) -> None:
    await wrong(service, 3)
    await wrong(service, 1, "eva", "[2001:db8::1]:5")
    listed = await service.admin.list_throttled()
    assert [(it.network, it.account_name, it.failure_count, it.delay.seconds) for it in listed] == [
        ("192.0.2.0/24", "", 3, 8),
        ("", "ana", 3, 8),
        ("2001:db8::/64", "", 1, 2),
        ("", "eva", 1, 2),
    ]
    last = listed[0].last_failure_time.ToDatetime(service.clock.now().tzinfo)
    assert (service.clock.now() - last).total_seconds() == 0


@pytest.mark.parametrize(
    ("target", "cleared", "left"),
    [
        ({"address": "192.0.2.200"}, 1, {"ana"}),
        ({"address": "192.0.2.0/24"}, 1, {"ana"}),
        ({"address": "::ffff:192.0.2.7"}, 1, {"ana"}),
        ({"address": "192.0.3.7"}, 0, {"ana", "192.0.2.0/24"}),
        ({"account_name": "ana"}, 1, {"192.0.2.0/24"}),
        ({"account_name": "eva"}, 0, {"ana", "192.0.2.0/24"}),
    ],
)
async def test_the_failures_of_a_network_or_an_account_are_forgotten(
    service: Service, target: dict[str, str], cleared: int, left: set[str]
) -> None:
    await wrong(service, 3)
    assert await service.admin.clear_throttle(**target) == cleared
    listed = await service.admin.list_throttled()
    assert {it.network or it.account_name for it in listed} == left


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"address": "192.0.2.7", "account_name": "ana"},
        {"address": "nonsense"},
        {"address": "192.0.2.0/x"},
        {"address": "192.0.2.0/"},
        {"address": "192.0.0.0/16"},
        {"address": "2001:db8::/32"},
        {"address": "192.0.2.7:110"},
    ],
)
async def test_a_target_that_is_none_is_invalid(service: Service, target: dict[str, str]) -> None:
    with pytest.raises(ManagementError) as refused:
        await service.admin.clear_throttle(**target)
    assert refused.value.reason is Reason.INVALID_ARGUMENT


async def test_a_user_sees_nothing_of_it(service: Service) -> None:
    ana = await service.user()
    for act in (ana.list_throttled(), ana.clear_throttle(account_name="ana")):
        with pytest.raises(ManagementError) as refused:
            await act
        assert refused.value.reason is Reason.PERMISSION_DENIED


@pytest.mark.attack(22)
async def test_a_management_login_from_a_known_place_never_waits(service: Service) -> None:
    ana = await service.user()
    async with ManagementClient(service.target, gateway_secret=lambda: GATEWAY_SECRET) as client:
        await client.login("ana", "secret", client_address=HOME)
        await wrong(service, 30, address="198.51.100.1:5")
        await wrong(service, 30, "nobody")
        service.clock.slept.clear()
        await client.login("ana", "secret", client_address="192.0.2.99:4")
        assert service.clock.slept == []
        await client.login("ana", "secret", client_address="203.0.113.9:4")
        assert service.clock.slept == [13]
    assert ana.account.name == "ana"

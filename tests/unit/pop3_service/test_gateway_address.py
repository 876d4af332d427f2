"""Addresses that stand for many clients; the route tables are copies of a container's."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pop3_service.supervisor.defence.gateway_address import (
    SharedAddresses,
    default_gateways,
    find_shared_addresses,
    in_container,
)

HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def octets(address: str) -> str:
    """An IPv4 address as the kernel prints it on this machine."""
    return f"{int.from_bytes(ip_address(address).packed, sys.byteorder):08X}"


IPV4 = (
    HEADER
    + f"eth0\t00000000\t{octets('172.18.0.1')}\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    + f"eth0\t{octets('172.18.0.0')}\t00000000\t0001\t0\t0\t0\t{octets('255.255.0.0')}\t0\t0\t0\n"
    + f"eth1\t{octets('10.9.0.0')}\t{octets('10.8.0.1')}\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
)
NOWHERE = "0" * 32
IPV6 = (
    "fd000000000000000000000000000000 40 " + NOWHERE + " 00 " + NOWHERE
    + " 00000100 00000001 00000000 00000001     eth0\n"
    + NOWHERE + " 00 " + NOWHERE + " 00 fd000000000000000000000000000001"
    + " 00000400 00000002 00000000 00000003     eth0\n"
    + "fd010000000000000000000000000000 40 " + NOWHERE + " 00 fd000000000000000000000000000009"
    + " 00000400 00000002 00000000 00000003     eth0\n"
    + NOWHERE + " 00 " + NOWHERE + " 00 " + NOWHERE
    + " ffffffff 00000001 00000000 00200200       lo\n"
)  # fmt: skip


def test_the_gateways_of_the_default_routes_are_read() -> None:
    assert default_gateways(IPV4, "") == {ip_address("172.18.0.1")}
    assert default_gateways("", IPV6) == {ip_address("fd00::1")}
    assert default_gateways(IPV4, IPV6) == {ip_address("172.18.0.1"), ip_address("fd00::1")}


def test_no_default_route_is_no_gateway() -> None:
    assert default_gateways(HEADER, "") == frozenset()
    assert default_gateways("", "") == frozenset()
    straight = HEADER + "ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n"
    assert default_gateways(straight, "") == frozenset()


@given(st.text(), st.text())
def test_any_text_can_be_read_as_routes(ipv4: str, ipv6: str) -> None:
    assert isinstance(default_gateways(HEADER + ipv4, ipv6), frozenset)


@pytest.mark.parametrize(
    "line", ["eth0", "eth0\tx\ty\tz", "eth0\t0\t" + "F" * 20 + "\t3" + "\t0" * 7]
)
def test_a_line_that_cannot_be_read_is_passed_over(line: str) -> None:
    assert default_gateways(IPV4 + line + "\n", "0 0 0\n" + IPV6) == {
        ip_address("172.18.0.1"),
        ip_address("fd00::1"),
    }


@pytest.mark.attack(58)
def test_a_gateway_is_known_however_its_address_is_written() -> None:
    shared = SharedAddresses(default_gateways(IPV4, IPV6), ["192.0.2.0/24"])
    for host in ("172.18.0.1", "::ffff:172.18.0.1", "fd00::1", "fd00:0::1", "192.0.2.9"):
        assert host in shared
    for host in ("172.18.0.2", "::172.18.0.1", "fd00::2", "192.0.3.9", "", "nonsense"):
        assert host not in shared
    assert shared.is_gateway("::ffff:172.18.0.1")
    assert not shared.is_gateway("192.0.2.9")
    assert shared.gateways == ("172.18.0.1", "fd00::1")


def test_a_container_is_known_by_what_its_engine_leaves(tmp_path: Path) -> None:
    mark = tmp_path / ".dockerenv"
    assert not in_container({}, [mark])
    assert in_container({"container": "podman"}, [mark])
    mark.touch()
    assert in_container({}, [mark])


@pytest.mark.parametrize("contained", [False, True])
def test_only_in_a_container_the_gateway_is_nobody_s(tmp_path: Path, contained: bool) -> None:
    ipv4, ipv6 = tmp_path / "route", tmp_path / "ipv6_route"
    ipv4.write_text(IPV4)
    shared = find_shared_addresses(
        ["192.0.2.1"], contained=lambda: contained, ipv4_routes=ipv4, ipv6_routes=ipv6
    )
    assert ("172.18.0.1" in shared) is contained
    assert "192.0.2.1" in shared


def test_a_network_that_holds_many_clients_is_told_with_the_reason() -> None:
    shared = SharedAddresses(default_gateways(IPV4, IPV6), ["192.0.2.0/24"])
    for network in ("172.18.0.1/32", "172.16.0.0/12", "::ffff:172.18.0.1", "fd00::/64"):
        assert "gateway" in shared.why_not(network)
    for network in ("192.0.2.7/32", "192.0.0.0/16"):
        assert "many clients" in shared.why_not(network)
    for network in ("172.18.0.2/32", "198.51.100.0/24", "2001:db8::/32"):
        assert shared.why_not(network) == ""

"""Networks: who is one of ours (attack 58: IPv4-mapped addresses)."""

import pytest

from lineproto.networks import Networks, plain_peer


def test_an_address_is_in_a_network_or_not() -> None:
    ours = Networks(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])
    for host in ("10.1.2.3", "192.0.2.7", "2001:db8::1"):
        assert host in ours
    for host in ("11.0.0.1", "192.0.2.8", "2001:db9::1", "::1", "unknown", ""):
        assert host not in ours
    assert "10.1.2.3" not in Networks()


def test_a_link_local_peer_is_known_without_its_interface() -> None:
    assert "fe80::1%eth0" in Networks(["fe80::/10"])


def test_attack_58_a_mapped_address_is_the_ipv4_address_on_both_sides() -> None:
    for ours in (Networks(["10.0.0.0/8"]), Networks(["::ffff:10.0.0.0/104"])):
        assert "::ffff:10.1.2.3" in ours
        assert "::ffff:a01:203" in ours
        assert "10.1.2.3" in ours
        assert "::ffff:11.1.2.3" not in ours
    assert "10.1.2.3" not in Networks(["2001:db8::/32"])


@pytest.mark.parametrize(
    "text", ["10.0.0.1/8", "10.0.0.0/33", "ten", "", "10.0.0.0/8 ", "fe80::1%eth0", "10.0.0.0/-1"]
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|zone|bits"):
        Networks([text])


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("192.0.2.1:5", "192.0.2.1:5"),
        ("[2001:DB8::0:1]:65535", "[2001:db8::1]:65535"),
        ("[::ffff:192.0.2.1]:5", "192.0.2.1:5"),
        ("[fe80::1%eth0]:5", "[fe80::1]:5"),
    ],
)
def test_a_peer_is_written_in_one_way(text: str, plain: str) -> None:
    assert plain_peer(text) == plain


@pytest.mark.parametrize(
    "text",
    ["", "unknown", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:²", "192.0.2.1:-1",
     "192.0.2.1:000000", "2001:db8::1:5", "[2001:db8::1]", "[192.0.2.1]:5", "[::1:5", "::1]:5",
     "[]:5", ":5", "192.0.2.1\r\n:5", "192.0.2.1:5\r\nx", "mail.example.org:5", "[[::1]]:5"],
)  # fmt: skip
def test_what_is_no_peer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"port|address|appear"):
        plain_peer(text)


@pytest.mark.parametrize("text", ["10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "::ffff:10.1.0.0/112"])
def test_a_network_overlaps_those_that_hold_it_and_those_within(text: str) -> None:
    assert Networks(["2001:db8::/32", "10.1.0.0/16"]).overlap(text)


@pytest.mark.parametrize("text", ["10.2.0.0/16", "2001:db9::/32"])
def test_a_network_overlaps_no_other(text: str) -> None:
    assert not Networks(["2001:db8::/32", "10.1.0.0/16"]).overlap(text)


def test_what_is_no_network_overlaps_none() -> None:
    with pytest.raises(ValueError, match="10"):
        Networks().overlap("10.0.0.1/8")

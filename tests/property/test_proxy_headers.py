"""PROXY headers, however they are cut and whatever comes."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

import scale
from lineproto.proxy import SIGNATURE, BadHeader, HeaderReader
from support.proxied import local, tlv, v1, v2

ADDRESSES = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str)
PORTS = st.integers(0, 65535)
TLVS = st.builds(tlv, st.integers(0xE0, 0xEF), st.binary(max_size=300))
HEADERS = st.builds(v1, ADDRESSES, PORTS) | st.builds(v2, ADDRESSES, PORTS, TLVS) | st.just(local())
NEARLY = st.builds(
    lambda start, rest: start + rest,
    st.sampled_from(
        [b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21", SIGNATURE + b"\x21\x11"]
    ),
    st.binary(max_size=200),
)


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    return [octets[start:end] for start, end in itertools.pairwise(places)]


@settings(max_examples=scale.EXAMPLES)
@given(HEADERS, st.binary(max_size=50), st.lists(st.integers(0, 1000)))
def test_a_header_is_the_same_however_it_is_cut_and_nothing_behind_it_is_taken(
    header: bytes, behind: bytes, cuts: list[int]
) -> None:
    whole, cut = HeaderReader(), HeaderReader()
    assert whole.feed(header + behind) == len(header)
    taken = sum(cut.feed(piece) for piece in pieces(header + behind, cuts))
    assert taken == len(header)
    assert whole.header is not None
    assert cut.header == whole.header


@settings(max_examples=scale.EXAMPLES)
@given(st.binary(max_size=200) | NEARLY, st.lists(st.integers(0, 1000)))
def test_any_octets_are_a_header_or_refused_or_wait_for_more(
    octets: bytes, cuts: list[int]
) -> None:
    def outcome(parts: list[bytes]) -> object:
        reader = HeaderReader()
        try:
            for part in parts:
                reader.feed(part)
        except BadHeader as error:
            return str(error)
        return reader.header

    assert outcome([octets]) == outcome(pieces(octets, cuts))

"""Listings that are made once are the very ones that are made line by line."""

from dataclasses import dataclass

import pytest

from lineproto.reply import Listing, Ready
from pop3_service.pop3 import contents as module
from pop3_service.pop3.contents import Contents


@dataclass(frozen=True)
class Facts:
    octets: int
    uidl: str


@pytest.mark.parametrize("count", [0, 1, 300])
def test_a_ready_listing_is_what_a_long_one_would_be(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [Facts(number * 97, f".id!~{number}") for number in range(count)]
    ready = Contents(messages)
    listings = [ready.scan_listing(), ready.unique_id_listing()]
    assert all(isinstance(listing, Ready) for listing in listings)
    assert ready.scan_listing() is listings[0]
    assert ready.unique_id_listing() is listings[1]
    monkeypatch.setattr(module, "READY_MESSAGES", -1)
    long = Contents(messages)
    made_anew = [long.scan_listing(), long.unique_id_listing()]
    assert all(isinstance(listing, Listing) for listing in made_anew)
    assert [listing.encode() for listing in listings] == [it.encode() for it in made_anew]
    assert ready.octets == sum(it.octets for it in messages)

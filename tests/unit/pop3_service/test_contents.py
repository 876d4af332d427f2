"""Listings that are made once are the very ones that are made line by line."""

from dataclasses import dataclass

import pytest

from lineproto.reply import Listing, Ready
from pop3_service.pop3 import contents as module
from pop3_service.pop3.catalogue import ENGLISH, SPANISH
from pop3_service.pop3.contents import Contents

UNIQUE_IDS_IN_SPANISH = "+OK sigue la lista de identificadores únicos".encode()


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
    listings = [ready.scan_listing(ENGLISH), ready.unique_id_listing(ENGLISH)]
    assert all(isinstance(listing, Ready) for listing in listings)
    assert ready.scan_listing(ENGLISH) is listings[0]
    assert ready.unique_id_listing(ENGLISH) is listings[1]
    monkeypatch.setattr(module, "READY_MESSAGES", -1)
    long = Contents(messages)
    made_anew = [long.scan_listing(ENGLISH), long.unique_id_listing(ENGLISH)]
    assert all(isinstance(listing, Listing) for listing in made_anew)
    assert [listing.encode() for listing in listings] == [it.encode() for it in made_anew]
    assert ready.octets == sum(it.octets for it in messages)


def test_a_ready_listing_is_in_the_language_that_is_asked_for() -> None:
    contents = Contents([Facts(7, "id1")])
    for _ in range(2):
        for language, heads in (
            (ENGLISH, (b"+OK 1 messages (7 octets)", b"+OK unique-id listing follows")),
            (SPANISH, (b"+OK mensajes: 1 (7 octetos)", UNIQUE_IDS_IN_SPANISH)),
        ):
            assert contents.scan_listing(language).encode() == heads[0] + b"\r\n1 7\r\n.\r\n"
            assert contents.unique_id_listing(language).encode() == heads[1] + b"\r\n1 id1\r\n.\r\n"

"""LANG and UTF8 (RFC 6856): what the session machine says, and what it forgets."""

import pytest

from lineproto.reply import Err, Reply
from pop3_service.domain.settings import LANGUAGE_TAGS, Settings
from pop3_service.pop3.capability import Offers
from pop3_service.pop3.catalogue import ENGLISH, LANGUAGES, SPANISH, Text, find_language
from pop3_service.pop3.command import BadCommand, Lang, parse
from pop3_service.pop3.session import Action, Session, StartTls

OFFER = Offers("Valija-test", Settings()).in_clear


def say(session: Session, line: str) -> Reply | Action:
    return session.execute(parse(line.encode()))


def test_the_setting_names_the_languages_that_there_are() -> None:
    assert set(LANGUAGE_TAGS) == LANGUAGES.keys()


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [
        ("es", "es"),
        ("es-mx", "es"),
        ("es-419-x-a", "es"),
        ("en-gb-oed", "en"),
        ("e", None),
        ("esp", None),
        ("x-es", None),
        ("i-default", None),
        ("mul", None),
    ],
)
def test_a_range_is_looked_up_from_the_longest_tag_to_the_shortest(
    wanted: str, tag: str | None
) -> None:
    found = find_language(wanted)
    assert (found and found.tag) == tag


def test_a_range_is_indifferent_to_case_and_none_is_a_request_for_the_list() -> None:
    assert parse(b"lang Es-MX") == Lang("es-mx")
    assert parse(b"LANG *") == Lang("*")
    assert parse(b"LANG") == parse(b"LANG  ") == Lang(None)


@pytest.mark.parametrize(
    "line",
    [
        b"LANG es en", b"LANG es_MX", b"LANG -es", b"LANG es-", b"LANG **", b"LANG es-*",
        "LANG espa\u00f1ol".encode(), b"LANG abcdefghi", b"LANG e1-es", b"LANG es\0",
        b"LANG aa" + b"-a1" * 12, b"UTF8 on",
    ],
)  # fmt: skip
def test_what_is_no_language_range_is_refused(line: bytes) -> None:
    with pytest.raises(BadCommand):
        parse(line)


def test_before_it_is_asked_for_utf8_every_reply_is_ascii() -> None:
    session = Session(OFFER, SPANISH)
    assert say(session, "PASS x").encode() == b"-ERR envie primero USER\r\n"
    assert say(session, "LANG zz").encode().isascii()
    assert say(session, "LANG *").encode() == b"+OK es Idioma cambiado\r\n"
    assert say(session, "PASS x").encode() == "-ERR envíe primero USER\r\n".encode()


def test_utf8_brings_the_accents_and_keeps_the_language() -> None:
    session = Session(OFFER, SPANISH)
    assert say(session, "UTF8") == SPANISH.ok(Text.UTF8_ON)
    assert say(session, "UTF8") == SPANISH.ok(Text.UTF8_ON)
    assert say(session, "LANG en") == ENGLISH.ok(Text.LANGUAGE_CHANGED, tag="en")
    assert say(session, "UTF8") == ENGLISH.ok(Text.UTF8_ON)


def test_the_name_between_user_and_pass_outlives_utf8_and_lang() -> None:
    session = Session(OFFER)
    say(session, "USER ana")
    say(session, "UTF8")
    say(session, "LANG es")
    assert not isinstance(say(session, "PASS x"), Err)


def test_stls_forgets_language_and_utf8_that_came_in_clear_text() -> None:
    """RFC 2595 section 4; who is in the middle must not choose them (RFC 6856 section 7)."""
    session = Session(OFFER, may_start_tls=True)
    say(session, "UTF8")
    say(session, "LANG es")
    assert say(session, "STLS") == StartTls()
    assert session.securing() == SPANISH.ok(Text.BEGIN_TLS)
    assert session.language is ENGLISH
    assert not session._in_utf8

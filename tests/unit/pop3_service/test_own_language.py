"""An account's own language and retention, in the session machine and in CAPA."""

import pytest

from lineproto.reply import Listing, Reply
from pop3_service.domain.settings import Settings
from pop3_service.pop3.capability import Offer, Offers
from pop3_service.pop3.catalogue import ENGLISH
from pop3_service.pop3.command import parse
from pop3_service.pop3.contents import NOTHING
from pop3_service.pop3.session import Action, Session

WRONG = b"-ERR no such message, there are 0\r\n"
WRONG_IN_ASCII = b"-ERR no existe ese mensaje, hay 0\r\n"
WELCOME = "+OK Sesión iniciada\r\n".encode()


def offer(expire_days: int = 0, least: int = 0) -> Offer:
    settings = Settings(expire_days=expire_days)
    return Offers("Valija-test", settings, least_retention_days=least).in_clear


def say(session: Session, line: str) -> Reply | Action:
    return session.execute(parse(line.encode()))


def expire(session: Session) -> str:
    listing = say(session, "CAPA")
    assert isinstance(listing, Listing)
    [line] = [line for line in listing.lines if line.startswith("EXPIRE")]
    return line


def test_the_accounts_language_is_that_of_the_replies_from_login_on() -> None:
    session = Session(offer(), ENGLISH)
    assert session.admitted(NOTHING, "es").encode() == b"+OK Sesion iniciada\r\n"
    assert say(session, "RETR 1").encode() == WRONG_IN_ASCII
    assert say(session, "LANG *").encode() == b"+OK es Idioma cambiado\r\n"
    assert say(session, "QUIT") is not None


def test_who_said_utf8_is_answered_with_accents() -> None:
    session = Session(offer(), ENGLISH)
    say(session, "UTF8")
    assert session.admitted(NOTHING, "es").encode() == WELCOME


def test_a_language_that_the_client_chose_stays() -> None:
    session = Session(offer(), ENGLISH)
    say(session, "LANG en")
    assert session.admitted(NOTHING, "es").encode() == b"+OK Logged in\r\n"
    assert say(session, "RETR 1").encode() == WRONG
    assert say(session, "LANG *").encode() == b"+OK es Idioma cambiado\r\n"


def test_what_was_chosen_before_tls_began_counts_no_more() -> None:
    session = Session(offer(), ENGLISH, may_start_tls=True)
    say(session, "LANG en")
    session.securing()
    assert session.admitted(NOTHING, "es").encode() == b"+OK Sesion iniciada\r\n"


def test_without_a_language_of_its_own_nothing_changes() -> None:
    session = Session(offer(), ENGLISH)
    assert session.admitted(NOTHING).encode() == b"+OK Logged in\r\n"
    assert say(session, "LANG *").encode() == b"+OK en Language changed\r\n"


@pytest.mark.parametrize(
    ("setting", "least", "own", "before", "after"),
    [
        (0, 0, 0, "EXPIRE NEVER", "EXPIRE NEVER"),
        (30, 0, 0, "EXPIRE 30", "EXPIRE 30"),
        (0, 7, 0, "EXPIRE 7 USER", "EXPIRE NEVER"),
        (0, 7, 7, "EXPIRE 7 USER", "EXPIRE 7"),
        (0, 7, 90, "EXPIRE 7 USER", "EXPIRE 90"),
        (30, 7, 90, "EXPIRE 7 USER", "EXPIRE 30"),
        (30, 7, 7, "EXPIRE 7 USER", "EXPIRE 7"),
        (30, 90, 90, "EXPIRE 30", "EXPIRE 30"),
        (30, 30, 30, "EXPIRE 30", "EXPIRE 30"),
    ],
)
def test_expire_is_the_least_before_login_and_the_accounts_after_it(
    setting: int, least: int, own: int, before: str, after: str
) -> None:
    """RFC 2449 section 6.7: before login, USER says that it depends on who the client is."""
    session = Session(offer(setting, least), ENGLISH)
    assert expire(session) == before
    session.admitted(NOTHING, "", own)
    assert expire(session) == after
    session.put_offer(offer(1))  # the setting has changed meanwhile
    assert expire(session) == "EXPIRE 1"

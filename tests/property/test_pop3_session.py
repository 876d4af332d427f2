"""Any octets parse or are refused; the session machine keeps RFC 1939's promises in any order."""

import contextlib
from base64 import b64encode
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import scale
from lineproto.reply import Err, Listing, Ok, Ready
from lineproto.stuffing import UTF8_HEADER
from pop3_service.domain.settings import Settings
from pop3_service.pop3 import command
from pop3_service.pop3.capability import Offer, Offers
from pop3_service.pop3.catalogue import ENGLISH, LANGUAGES, SPANISH, Language, Text
from pop3_service.pop3.command import BEFORE_LOGIN, MAKERS, BadCommand, parse
from pop3_service.pop3.contents import Contents
from pop3_service.pop3.sasl.exchange import Challenge, Proof
from pop3_service.pop3.sasl.mechanisms import MECHANISMS
from pop3_service.pop3.session import Commit, FindSizes, Login, SendMessage, Session, State

OFFER = Offers("Valija-test", Settings()).in_clear


@dataclass(frozen=True)
class Facts:
    octets: int
    uidl: str
    form: int = 0


@settings(max_examples=scale.EXAMPLES)
@given(st.binary(max_size=80))
def test_any_octets_parse_or_are_refused(line: bytes) -> None:
    try:
        parse(line)
    except BadCommand as error:
        assert str(error)


@settings(max_examples=scale.EXAMPLES)
@given(st.sampled_from(sorted(MAKERS)), st.binary(max_size=40))
def test_any_arguments_parse_or_are_refused(keyword: bytes, rest: bytes) -> None:
    try:
        parse(keyword + b" " + rest)
    except BadCommand as error:
        assert str(error)


def lines_of(reply: object) -> list[str]:
    """The lines of a listing, whether it is made now or was ready."""
    assert isinstance(reply, Listing | Ready)
    head, *lines, end, rest = reply.encode().decode().split("\r\n")
    assert head.startswith("+OK")
    assert (end, rest) == (".", "")
    return lines


class SessionModel(RuleBasedStateMachine):
    """A session beside the simplest model of it: which messages are marked, how it is spoken to.

    ``sizes`` are those that are told; None while those of a transform are not found.
    """

    def __init__(self) -> None:
        super().__init__()
        self.messages = [Facts(10 * n, f"id{n}") for n in range(1, 5)]
        self.messages.append(Facts(50, "id5", UTF8_HEADER))
        self.connect(ENGLISH)

    def connect(self, preferred: Language) -> None:
        self.session = Session(OFFER, preferred)
        self.preferred = preferred
        self.language = preferred.in_ascii
        self.utf8 = False
        self.marked: set[int] = set()
        self.transformed = False
        self.sizes: list[int] | None = [message.octets for message in self.messages]
        self.over = False

    def do(self, line: bytes):
        return self.session.execute(parse(line))

    @precondition(lambda self: self.session.state is State.AUTHORIZATION and not self.over)
    @rule(right=st.booleans(), transformed=st.booleans())
    def log_in(self, right: bool, transformed: bool) -> None:
        assert isinstance(self.do(b"PASS early"), Err)
        assert isinstance(self.do(b"USER u"), Ready)
        assert self.do(b"PASS a b ") == Login(b"u", b"a b ")
        if right:
            contents = Contents(self.messages)
            reply = self.session.admitted(contents, transformed=transformed)
            assert reply == self.language.logged_in
            if transformed:
                self.transformed, self.sizes = True, None
        else:
            self.session.refused(Err("no", "AUTH"))
            assert isinstance(self.do(b"PASS again"), Err)

    @precondition(lambda self: self.session.state is State.TRANSACTION)
    @rule(number=st.integers(0, 7))
    def dele(self, number: int) -> None:
        reply = self.do(b"DELE %d" % number)
        if 1 <= number <= 5 and number not in self.marked:
            assert reply.encode() == self.language.ok(Text.DELETED, number=number).encode()
            self.marked.add(number)
        else:
            assert isinstance(reply, Err)

    @precondition(lambda self: self.session.state is State.TRANSACTION)
    @rule()
    def rset(self) -> None:
        assert isinstance(self.do(b"RSET"), Ok)
        self.marked.clear()

    @precondition(lambda self: self.session.state is State.TRANSACTION)
    @rule(number=st.integers(0, 7), verb=st.sampled_from([b"RETR %d", b"TOP %d 0"]))
    def fetch(self, number: int, verb: bytes) -> None:
        reply = self.do(verb % number)
        kept = 1 <= number <= 5 and number not in self.marked
        form = self.messages[number - 1].form if kept else 0
        if form and not self.utf8 and not self.transformed:
            assert reply == self.language.err(Text.NEEDS_UTF8, "UTF8")
        else:
            assert isinstance(reply, SendMessage if kept else Err)

    @precondition(lambda self: self.session.state is State.TRANSACTION)
    @rule(form=st.sampled_from([0, UTF8_HEADER]))
    def what_is_sent_decides_who_may_have_it(self, form: int) -> None:
        refused = self.session.refuse_form(form)
        assert refused is None if self.utf8 or not form else isinstance(refused, Err)

    @precondition(lambda self: self.session.state is State.TRANSACTION and self.sizes is None)
    @rule(
        line=st.sampled_from([b"STAT", b"LIST", b"LIST 2"]),
        found=st.none() | st.lists(st.integers(2, 10**12), min_size=5, max_size=5),
    )
    def find_sizes(self, line: bytes, found: list[int] | None) -> None:
        action = self.do(line)
        if line == b"LIST 2" and 2 in self.marked:
            assert action == self.language.err(Text.IS_DELETED, number=2)
            return
        assert action == FindSizes(parse(line))
        if found is None:
            reply = self.session.unsized(3, 5)
            assert reply == self.language.err(Text.SIZES_PENDING, "SYS/TEMP", done=3, total=5)
        else:
            self.sizes = found
            assert self.session.sized(action.asked, found).encode() == self.do(line).encode()

    @precondition(lambda self: self.session.state is not State.UPDATE)
    @rule()
    def say_utf8(self) -> None:
        reply = self.do(b"UTF8")
        if self.session.state is State.TRANSACTION:
            assert reply == self.language.err(Text.WRONG_STATE, state="TRANSACTION")
        else:
            self.utf8, self.language = True, LANGUAGES[self.language.tag]
            assert reply == self.language.ok(Text.UTF8_ON)

    @precondition(lambda self: self.session.state is not State.UPDATE)
    @rule(wanted=st.sampled_from(["es", "ES-mx", "en", "*", "i-default", "x-es", "uga"]))
    def choose_a_language(self, wanted: str) -> None:
        reply = self.do(b"LANG " + wanted.encode())
        found = self.preferred if wanted == "*" else LANGUAGES.get(wanted[:2].lower())
        if found is None:
            assert reply == self.language.err(Text.UNKNOWN_LANGUAGE)
        else:
            self.language = found
            assert reply == found.ok(Text.LANGUAGE_CHANGED, tag=found.tag)

    @precondition(lambda self: self.session.state is not State.UPDATE)
    @rule()
    def list_languages(self) -> None:
        reply = self.do(b"LANG")
        assert reply == Listing(self.language.say(Text.LANGUAGES), ["en English", "es Español"])

    @precondition(lambda self: self.session.state is State.TRANSACTION)
    @rule()
    def quit(self) -> None:
        assert self.do(b"QUIT") == Commit(tuple(sorted(n - 1 for n in self.marked)))
        assert self.session.state is State.UPDATE
        assert isinstance(self.do(b"NOOP"), Err)
        self.session.committed(len(self.marked), 0)
        assert self.session.finished
        self.over = True

    @precondition(lambda self: self.over)
    @rule(preferred=st.sampled_from([ENGLISH, SPANISH]))
    def connect_again(self, preferred: Language) -> None:
        self.messages = [m for n, m in enumerate(self.messages, 1) if n not in self.marked]
        self.messages += [Facts(7, f"new{n}") for n in range(5 - len(self.messages))]
        self.connect(preferred)

    @precondition(lambda self: not self.over)
    @rule()
    def bad_command(self) -> None:
        assert isinstance(self.session.bad_command(BadCommand(Text.UNKNOWN_COMMAND)), Err)
        self.do(b"CAPA")  # a good one between bad ones: the count starts again
        assert not self.session.finished

    @invariant()
    def replies_are_in_the_language_asked_for(self) -> None:
        assert self.session.language is self.language

    @invariant()
    def listings_show_what_is_kept_and_numbers_never_shift(self) -> None:
        if self.session.state is not State.TRANSACTION:
            return
        kept = {n: self.messages[n - 1] for n in range(1, 6) if n not in self.marked}
        assert lines_of(self.do(b"UIDL")) == [f"{n} {m.uidl}" for n, m in kept.items()]
        for number in range(1, 6):
            ids = self.do(b"UIDL %d" % number)
            if number in kept:
                assert ids.encode() == f"+OK {number} {kept[number].uidl}\r\n".encode()
            else:
                assert isinstance(ids, Err)
                assert isinstance(self.do(b"LIST %d" % number), Err)

    @invariant()
    def sizes_agree_however_they_are_asked_for(self) -> None:
        if self.session.state is not State.TRANSACTION:
            return
        if self.sizes is None:
            assert isinstance(self.do(b"STAT"), FindSizes)
            assert isinstance(self.do(b"LIST"), FindSizes)
            return
        kept = {n: self.sizes[n - 1] for n in range(1, 6) if n not in self.marked}
        assert self.do(b"STAT").encode() == b"+OK %d %d\r\n" % (len(kept), sum(kept.values()))
        assert lines_of(self.do(b"LIST")) == [f"{n} {octets}" for n, octets in kept.items()]
        for number, octets in kept.items():
            reply = self.do(b"LIST %d" % number)
            assert reply.encode() == b"+OK %d %d\r\n" % (number, octets)


TestSessionModel = SessionModel.TestCase


def test_short_lines_are_parsed_once_and_a_password_is_never_kept() -> None:
    assert parse(b"RETR 1") is parse(b"RETR 1")
    for line in (b"USER ana", b"PASS secret", b"pass s", b"X", b"LIST 1 2"):
        with contextlib.suppress(BadCommand):
            parse(line)
        assert line not in command._parsed
    for number in range(2 * command.KEPT_LINES):
        parse(b"TOP 1 %d" % number)
    assert len(command._parsed) <= command.KEPT_LINES
    assert parse(b"TOP 1 %d" % number) == command.Top(1, number)


@settings(max_examples=scale.EXAMPLES)
@given(
    st.sampled_from(sorted(MECHANISMS)),
    st.lists(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(b64encode)), max_size=5),
)
def test_any_messages_of_auth_are_answered_and_leave_the_session_usable(
    name: str, lines: list[bytes]
) -> None:
    session = Session(Offer((), tuple(MECHANISMS), BEFORE_LOGIN, True))
    asked = session.execute(parse(b"AUTH " + name.encode()))
    assert isinstance(asked, Challenge)
    for line in lines:
        if session.exchange is None:
            break
        result = session.respond(line)
        assert isinstance(result, Err | Challenge | Login | Proof)
        if isinstance(result, Proof):
            session.challenged(b"", b"state")
    if session.exchange is not None:
        assert isinstance(session.respond(b"*"), Err)
    assert isinstance(session.execute(parse(b"USER u")), Ready)

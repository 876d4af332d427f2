"""The session machine (RFC 1939 sections 3 to 6): commands in, replies and actions out.

It does no I/O. What it cannot do itself it gives back as an action; the worker does it and tells
the outcome. It knows messages by their sizes and unique ids alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from lineproto.reply import Err, Listing, Ready, Reply
from lineproto.stuffing import UTF8_HEADER
from pop3_service.pop3.capability import Offer
from pop3_service.pop3.catalogue import DONE, ENGLISH, LANGUAGES, Language, Text, find_language
from pop3_service.pop3.command import (
    BEFORE_LOGIN,
    Apop,
    Auth,
    BadCommand,
    Capa,
    Command,
    Dele,
    Lang,
    List,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    Utf8,
)
from pop3_service.pop3.contents import NOTHING, Contents, MessageFacts, scan_head
from pop3_service.pop3.sasl.exchange import (
    CANCEL,
    BadExchange,
    Challenge,
    Denied,
    Exchange,
    Password,
    Proof,
    Step,
    decode,
)
from pop3_service.pop3.sasl.mechanisms import MECHANISMS

MAX_BAD_COMMANDS = 10
"""Consecutive unknown or unparsable commands that end the connection; as many messages of AUTH
that are none, consecutive or not."""


class State(StrEnum):
    """The states of RFC 1939 section 3."""

    AUTHORIZATION = "AUTHORIZATION"
    TRANSACTION = "TRANSACTION"
    UPDATE = "UPDATE"


ALLOWED: dict[State, frozenset[type[Command]]] = {
    State.AUTHORIZATION: BEFORE_LOGIN,
    State.TRANSACTION: frozenset({Stat, List, Uidl, Retr, Dele, Top, Noop, Rset, Capa, Lang, Quit}),
    State.UPDATE: frozenset(),
}
BEFORE_SIZES = ALLOWED[State.TRANSACTION] - {Stat, List}
"""What needs no sizes: all that is done at once while those of a transform are not found."""


@dataclass(frozen=True, slots=True)
class Login:
    """Check the password, lock the maildrop, take a snapshot; then ``admitted`` or ``refused``."""

    name: bytes
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send the message at ``index`` (from 0); with ``lines``, its header and so many body lines."""

    index: int
    lines: int | None = None


@dataclass(frozen=True, slots=True)
class FindSizes:
    """Find the transformed size of every message; then ``sized``, or ``unsized`` for now."""

    asked: Stat | List


@dataclass(frozen=True, slots=True)
class Commit:
    """Delete the messages at these indexes durably, then ``committed``."""

    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StartTls:
    """Begin a TLS handshake after the reply that ``securing`` gives."""


Action = Login | SendMessage | FindSizes | Commit | StartTls | Challenge | Proof


class Session:
    """One POP3 session. ``finished`` is True once the connection is to be closed.

    ``offer`` is what the client may log in with as things are (``put_offer`` changes it);
    ``exchange`` is not None while the
    client's next line is a message of AUTH, and goes to ``respond``. ``timestamp`` is what the
    greeting had for APOP, empty if nothing. ``mechanism`` is what was last tried to log in with.
    """

    __slots__ = (
        "_allowed",
        "_bad_commands",
        "_bad_exchanges",
        "_contents",
        "_deleted",
        "_has_chosen",
        "_in_utf8",
        "_name",
        "_preferred",
        "_retention_days",
        "_sends_utf8",
        "_transformed",
        "exchange",
        "finished",
        "language",
        "may_start_tls",
        "mechanism",
        "offer",
        "state",
        "timestamp",
    )

    def __init__(
        self,
        offer: Offer,
        preferred: Language = ENGLISH,
        *,
        may_start_tls: bool = False,
        sends_utf8: bool = False,
    ) -> None:
        """``preferred`` is the language until the client chooses one, in ASCII until it has.

        With ``sends_utf8`` a message with a header in UTF-8 is sent to any client.
        """
        self.state = State.AUTHORIZATION
        self._allowed = offer.commands
        self.may_start_tls = may_start_tls
        self.finished = False
        self.language = preferred.in_ascii
        self._preferred = preferred
        self._has_chosen = False
        self._retention_days = 0
        self._in_utf8 = False
        self._sends_utf8 = sends_utf8
        self._transformed = False
        self.offer = offer
        self.timestamp = b""
        self.exchange: Exchange | None = None
        self.mechanism = ""
        self._name: bytes | None = None
        self._contents = NOTHING
        self._deleted: set[int] | frozenset[int] = frozenset()  # a set once one is marked
        self._bad_commands = 0
        self._bad_exchanges = 0

    # --- commands --------------------

    def execute(self, command: Command) -> Reply | Action:
        """Do a command, or say what has to be done for it."""
        self._bad_commands = 0
        if type(command) not in self._allowed:
            return self._not_allowed(command)
        match command:
            case User(name):
                self._name = name
                return self.language.name_accepted
            case Pass(password):
                return self._pass(password)
            case Stat():
                return Ready(b"+OK %d %d\r\n" % self._kept_totals())
            case List(number):
                return self._list(number)
            case Uidl(number):
                return self._uidl(number)
            case Retr(number):
                return self._send(number, None)
            case Top(number, lines):
                return self._send(number, lines)
            case Dele(number):
                return self._dele(number)
            case Noop():
                return DONE
            case Rset():
                self._deleted = frozenset()
                return self.language.ok(Text.ALL_KEPT, count=len(self._contents.messages))
            case Capa():
                return Listing(self.language.say(Text.CAPABILITIES), self._capability_lines())
            case Stls():
                return self._stls()
            case Utf8():
                return self._utf8()
            case Lang(range_):
                return self._lang(range_)
            case Quit():
                return self._quit()
            case Auth(name, response):
                return self._auth(name, response)
            case Apop(name, digest):
                return self._apop(name, digest)

    def bad_command(self, error: BadCommand) -> Reply:
        """Answer a line that is no command; too many in a row end the connection."""
        self._bad_commands += 1
        if self._bad_commands >= MAX_BAD_COMMANDS:
            self.finished = True
            return self.language.err(Text.TOO_MANY_BAD_COMMANDS)
        return self.language.err(error.text, **error.arguments)

    # --- AUTH (RFC 5034) --------------------

    def respond(self, line: bytes) -> Reply | Action:
        """Take a line of an exchange in progress."""
        if line == CANCEL:
            self.exchange = None
            return self.language.err(Text.AUTH_CANCELLED)
        if self.mechanism not in self.offer.mechanisms:  # the settings have changed meanwhile
            self.exchange = None
            return self._no_mechanism(self.mechanism)
        return self._respond(line)

    def challenged(self, challenge: bytes, state: bytes) -> Challenge:
        """The supervisor wants one more message; ``state`` goes back with it."""
        assert self.exchange is not None  # noqa: S101 - it made the proof
        self.exchange.challenged(state)
        return Challenge(challenge)

    def bad_exchange(self, text: Text) -> Reply:
        """Answer a message that is none; too many end the connection."""
        self.exchange = None
        self._bad_exchanges += 1
        if self._bad_exchanges >= MAX_BAD_COMMANDS:
            self.finished = True
            return self.language.err(Text.TOO_MANY_BAD_MESSAGES)
        return self.language.err(text)

    # --- outcomes of actions --------------------

    def admitted(
        self,
        contents: Contents,
        language: str = "",
        retention_days: int = 0,
        *,
        transformed: bool = False,
    ) -> Reply:
        """The login succeeded and the maildrop is locked: this is what it holds.

        ``language`` is the account's own, empty for none; a LANG that was given goes before it.
        ``retention_days`` is its own retention, 0 for none. ``transformed`` says that mail goes
        through a transform: its sizes, and whether its headers are in UTF-8, are to be found.
        """
        self._enter(State.TRANSACTION)
        self._transformed = transformed
        if transformed and contents.messages:
            self._allowed = BEFORE_SIZES
        self._retention_days = retention_days
        if language:
            self._preferred = LANGUAGES[language]
            if not self._has_chosen:
                self.language = self._preferred if self._in_utf8 else self._preferred.in_ascii
        self.exchange = None
        self._contents = contents
        return self.language.logged_in

    def refused(self, reply: Err) -> Reply:
        """The login failed: the client starts again with USER or AUTH (RFC 1939 section 7)."""
        self._name = None
        self.exchange = None
        return reply

    def securing(self) -> Reply:
        """TLS begins after this reply: what was said in clear text is forgotten (RFC 2595, 4)."""
        reply = self.language.ok(Text.BEGIN_TLS)
        self.may_start_tls = False
        self._name = None
        self._in_utf8 = self._has_chosen = False
        self.language = self._preferred.in_ascii
        return reply

    def sized(self, asked: Stat | List, octets: Iterable[int]) -> Reply:
        """Answer what asked for sizes: these, in the messages' order, hold to the session's end."""
        self._contents = self._contents.resized(octets)
        self._enter(State.TRANSACTION)
        if isinstance(asked, Stat):
            return Ready(b"+OK %d %d\r\n" % self._kept_totals())
        return self._list(asked.number)

    def unsized(self, done: int, total: int) -> Reply:
        """Not all sizes are found yet; the client may ask again."""
        return self.language.err(Text.SIZES_PENDING, "SYS/TEMP", done=done, total=total)

    def refuse_form(self, form: int) -> Err | None:
        """Refuse a message that is not for this client (RFC 6856 section 5), by what it is sent.

        Of a transformed message ``form`` is the result's, so it is asked once that is there;
        of the stored one, that its header is in UTF-8 means nothing then.
        """
        if not form & UTF8_HEADER or self._in_utf8 or self._sends_utf8:
            return None
        return self.language.err(Text.NEEDS_UTF8, "UTF8")

    def committed(self, deleted: int, failed: int) -> Reply:
        """The deletions are durable, or some of them failed."""
        self.finished = True
        if failed:
            count = deleted + failed
            return self.language.err(Text.NOT_ALL_DELETED, "SYS/TEMP", failed=failed, count=count)
        if deleted:
            return self.language.ok(Text.BYE_DELETED, count=deleted)
        return self.language.bye

    def put_offer(self, offer: Offer) -> None:
        """Put another offer in force: TLS has begun, or the settings have changed."""
        self.offer = offer
        if self.state is State.AUTHORIZATION:
            self._allowed = offer.commands
            if not offer.plaintext:
                self._name = None

    # --- how --------------------

    def _not_allowed(self, command: Command) -> Reply | Action:
        if self.state is State.TRANSACTION and isinstance(command, Stat | List):
            return self._find_sizes(command)
        if self.state is State.AUTHORIZATION and isinstance(command, User | Pass):
            return self._no_plaintext()
        return self.language.err(Text.WRONG_STATE, state=self.state)

    def _find_sizes(self, asked: Stat | List) -> Err | FindSizes:
        if isinstance(asked, List) and asked.number is not None:
            index = self._find(asked.number)
            if isinstance(index, Err):
                return index
        return FindSizes(asked)

    def _no_plaintext(self) -> Reply:
        """Say why no password is looked at, and what to do (RFC 3206: a matter of policy)."""
        text = Text.NO_PLAINTEXT_USE_TLS if self.may_start_tls else Text.NO_PLAINTEXT
        return self.language.err(text, "AUTH")

    def _enter(self, state: State) -> None:
        self.state = state
        self._allowed = ALLOWED[state]

    def _pass(self, password: bytes) -> Reply | Action:
        if self._name is None:
            return self.language.err(Text.SEND_USER_FIRST)
        name, self._name = self._name, None
        self.mechanism = "PASS"
        return Login(name, password)

    def _stls(self) -> Reply | Action:
        if not self.may_start_tls:
            return self.language.err(Text.TLS_NOT_OFFERED)
        # No client gives STLS after UTF8 (RFC 6856 section 2.1); to refuse TLS would help nobody.
        return StartTls()

    def _auth(self, name: str | None, response: bytes | None) -> Reply | Action:
        if name is None:
            return Listing(self.language.say(Text.MECHANISMS), self.offer.mechanisms)
        if name not in self.offer.mechanisms:
            return self._no_mechanism(name)
        self._name = None
        self.mechanism = name
        mechanism = MECHANISMS[name]
        self.exchange = mechanism.begin()
        if response is None:
            return mechanism.asks
        return self._respond(b"" if response == b"=" else response)

    def _no_mechanism(self, name: str) -> Reply:
        known = MECHANISMS.get(name)
        if known is not None and known.plaintext and not self.offer.plaintext:
            return self._no_plaintext()
        return self.language.err(Text.MECHANISM_NOT_OFFERED)

    def _apop(self, name: bytes, digest: bytes) -> Reply | Action:
        if not self.timestamp:
            return self.language.err(Text.APOP_NOT_OFFERED)
        self._name = None
        self.mechanism = "APOP"
        return Proof("APOP", name + b" " + digest, self.timestamp)

    def _respond(self, response: bytes) -> Reply | Action:
        assert self.exchange is not None  # noqa: S101 - the callers looked
        try:
            return self._take(self.exchange.respond(decode(response)))
        except BadExchange as error:
            return self.bad_exchange(error.text)
        except Denied as error:
            return self.refused(self.language.err(error.text, "AUTH"))

    def _take(self, step: Step) -> Action:
        if isinstance(step, Password):
            self.exchange = None
            return Login(step.name, step.password)
        return step

    def _utf8(self) -> Reply:
        """Begin UTF-8 mode (RFC 6856 section 2.1)."""
        self._in_utf8 = True
        self.language = LANGUAGES[self.language.tag]
        return self.language.ok(Text.UTF8_ON)

    def _lang(self, wanted: str | None) -> Reply:
        """List the languages, or go over to one, in UTF-8 from then on (RFC 6856 section 3.2)."""
        if wanted is None:
            lines = [f"{it.tag} {it.name}" for it in LANGUAGES.values()]
            return Listing(self.language.say(Text.LANGUAGES), lines)
        found = self._preferred if wanted == "*" else find_language(wanted)
        if found is None:
            return self.language.err(Text.UNKNOWN_LANGUAGE)
        self.language = found
        self._has_chosen = True
        return found.ok(Text.LANGUAGE_CHANGED, tag=found.tag)

    def _capability_lines(self) -> tuple[str, ...]:
        """STLS is a capability only where it may be given (RFC 2595 section 4).

        After login EXPIRE is what holds for the account (RFC 2449 section 6.7).
        """
        if self.state is not State.AUTHORIZATION:
            return self.offer.after_login(self._retention_days)
        return (*self.offer.capabilities, "STLS") if self.may_start_tls else self.offer.capabilities

    def _quit(self) -> Reply | Action:
        if self.state is State.AUTHORIZATION:
            self.finished = True
            return self.language.bye
        self._enter(State.UPDATE)
        return Commit(tuple(sorted(self._deleted)))

    def _dele(self, number: int) -> Reply:
        index = self._find(number)
        if isinstance(index, Err):
            return index
        if isinstance(self._deleted, frozenset):
            self._deleted = set()
        self._deleted.add(index)
        return Ready(self.language.deleted % number)

    def _list(self, number: int | None) -> Reply:
        if number is None:
            if not self._deleted:
                return self._contents.scan_listing(self.language)
            lines = (f"{index + 1} {message.octets}" for index, message in self._kept())
            return Listing(scan_head(self.language, *self._kept_totals()), lines, plain=True)
        index = self._find(number)
        if isinstance(index, Err):
            return index
        return Ready(b"+OK %d %d\r\n" % (number, self._contents.messages[index].octets))

    def _uidl(self, number: int | None) -> Reply:
        if number is None:
            if not self._deleted:
                return self._contents.unique_id_listing(self.language)
            lines = (f"{index + 1} {message.uidl}" for index, message in self._kept())
            return Listing(self.language.say(Text.UNIQUE_IDS), lines, plain=True)
        index = self._find(number)
        if isinstance(index, Err):
            return index
        uidl = self._contents.messages[index].uidl
        return Ready(b"+OK %d %b\r\n" % (number, uidl.encode("ascii")))

    def _send(self, number: int, lines: int | None) -> Err | SendMessage:
        index = self._find(number)
        if isinstance(index, Err):
            return index
        if self._contents.messages[index].form & UTF8_HEADER and not self._transformed:
            refused = self.refuse_form(UTF8_HEADER)
            if refused is not None:
                return refused
        return SendMessage(index, lines)

    def _find(self, number: int) -> int | Err:
        """Give the index of a message that is there and not marked as deleted."""
        count = len(self._contents.messages)
        if not 1 <= number <= count:
            return self.language.err(Text.NO_SUCH_MESSAGE, count=count)
        if number - 1 in self._deleted:
            return self.language.err(Text.IS_DELETED, number=number)
        return number - 1

    def _kept(self) -> Iterator[tuple[int, MessageFacts]]:
        messages = self._contents.messages
        return (pair for pair in enumerate(messages) if pair[0] not in self._deleted)

    def _kept_totals(self) -> tuple[int, int]:
        messages = self._contents.messages
        gone = sum(messages[index].octets for index in self._deleted)
        return len(messages) - len(self._deleted), self._contents.octets - gone

"""What travels between supervisor and worker processes, as MessagePack."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from pop3_service.control.plane import (
    Admitted,
    AuthOutcome,
    CertificatePair,
    Challenged,
    Credentials,
    DisconnectOrder,
    Evidence,
    LoginOutcome,
    Refused,
)
from pop3_service.domain.account import AccountFacts
from pop3_service.domain.address_rules import AccessTable
from pop3_service.domain.ahead import AheadProgress, Owner
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.reach import Reach
from pop3_service.domain.session import SessionEvent, SessionInfo
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import NOTHING_ACTIVE, TransformCount, TransformTable
from pop3mgmt.reasons import Reason


class Setup(Struct, frozen=True, tag=True):
    """The first request to a worker: all that it is started with. Numbers are descriptors."""

    config: WorkerConfig
    settings: Settings
    watch: bool
    certificates: list[CertificatePair]
    least_retention_days: int = 0
    access: AccessTable = AccessTable()
    transforms: TransformTable = NOTHING_ACTIVE


class ListenerConfig(Struct, frozen=True):
    """A listening socket, by its descriptor; ``implicit_tls`` is for RFC 8314.

    On one that is ``proxied`` a PROXY header comes first.
    """

    fd: int
    implicit_tls: bool
    proxied: bool = False


class WorkerConfig(Struct, frozen=True):
    """What is fixed at a worker's start. ``counters`` is a descriptor."""

    tag: str
    slot: int
    slots: int
    counters: int
    listeners: list[ListenerConfig]
    mail_root: str
    mail_path: str
    spool: str
    results: str
    host_name: str
    version: str
    log_level: str
    log_format: str
    proxy_from: tuple[str, ...] = ()
    reach: Reach = Reach()


class SetUpAhead(Struct, frozen=True, tag=True):
    """The first request to what transforms mail ahead: all that it is started with."""

    config: AheadConfig
    settings: Settings
    transforms: TransformTable


class AheadConfig(Struct, frozen=True):
    """What is fixed at its start."""

    mail_root: str
    mail_path: str
    spool: str
    results: str
    log_level: str
    log_format: str
    reach: Reach = Reach()


class Configure(Struct, frozen=True, tag=True):
    """Put settings in force."""

    settings: Settings


class ListSessions(Struct, frozen=True, tag=True):
    """Give the sessions, all or those of an account."""

    account: str


class Disconnect(Struct, frozen=True, tag=True):
    """End sessions."""

    order: DisconnectOrder


class Watch(Struct, frozen=True, tag=True):
    """Begin or end reporting events."""

    wanted: bool


class SetCertificates(Struct, frozen=True, tag=True):
    """Put certificates in force for new handshakes."""

    certificates: list[CertificatePair]


class SetLeastRetention(Struct, frozen=True, tag=True):
    """Say what the shortest retention is that an account has of its own."""

    days: int


class SetAccess(Struct, frozen=True, tag=True):
    """Put rules, bans and suspensions in force."""

    access: AccessTable


class SetTransforms(Struct, frozen=True, tag=True):
    """Put in force which transforms are active, for logins from now on."""

    transforms: TransformTable


class Stop(Struct, frozen=True, tag=True):
    """Finish the commands in progress and end; at the latest after so many seconds."""

    grace_s: float


class Retire(Struct, frozen=True, tag=True):
    """Accept no more connections, and end with the last session."""


class Login(Struct, frozen=True, tag=True):
    """Check a password."""

    credentials: Credentials


class Authenticate(Struct, frozen=True, tag=True):
    """Look at a message of AUTH."""

    evidence: Evidence


class NoteLogin(Struct, frozen=True, tag=True):
    """Note an account's login: a count of 1, or of 0 where it comes too soon."""

    account: str


class Report(Struct, frozen=True, tag=True):
    """Tell an event; it has no answer."""

    event: SessionEvent


class ReportLogins(Struct, frozen=True, tag=True):
    """Tell logins; it has no answer."""

    events: list[LoginEvent]


class ReportTransforms(Struct, frozen=True, tag=True):
    """Tell what came of transforms; it has no answer."""

    counts: list[TransformCount]


class ListOwners(Struct, frozen=True, tag=True):
    """Give whose mail there is, in order of name, those after a name; some at a time."""

    after: str


class ReportAhead(Struct, frozen=True, tag=True):
    """Tell how far what transforms mail ahead has come; it has no answer."""

    progress: AheadProgress


Request = (
    Setup
    | SetUpAhead
    | Configure
    | ListSessions
    | Disconnect
    | Watch
    | SetCertificates
    | SetLeastRetention
    | SetAccess
    | SetTransforms
    | Retire
    | Stop
    | Login
    | Authenticate
    | NoteLogin
    | Report
    | ReportLogins
    | ReportTransforms
    | ListOwners
    | ReportAhead
)


class Ask(Struct, frozen=True, tag=True):
    """A request; ``id`` is 0 where no answer is wanted."""

    id: int
    request: Request


class AdmittedAnswer(Struct, frozen=True, tag=True):
    """A login's good end."""

    account: str
    age_s: float
    app_password: str
    facts: AccountFacts


class RefusedAnswer(Struct, frozen=True, tag=True):
    """A login's bad end."""

    reason: Reason
    delay_s: float


class ChallengedAnswer(Struct, frozen=True, tag=True):
    """The client has to say more."""

    challenged: Challenged


class Sessions(Struct, frozen=True, tag=True):
    """The sessions asked for."""

    sessions: list[SessionInfo]


class Count(Struct, frozen=True, tag=True):
    """How many; or that it is done."""

    count: int = 0


class Owners(Struct, frozen=True, tag=True):
    """The owners asked for."""

    owners: list[Owner]


class Failed(Struct, frozen=True, tag=True):
    """The other side could not do it."""

    text: str


Result = AdmittedAnswer | RefusedAnswer | ChallengedAnswer | Sessions | Count | Owners | Failed


class Answer(Struct, frozen=True, tag=True):
    """The answer to the request of that id."""

    id: int
    result: Result


def _plain(value: object) -> object:
    """Give an account name as text; msgspec takes no subclass of it."""
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{type(value)} does not travel")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Ask | Answer)


def encode(message: Ask | Answer) -> bytes:
    """Give a message's octets, without their length."""
    return _encoder.encode(message)


def decode(octets: bytes) -> Ask | Answer:
    """Read a message.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    message: Ask | Answer = _decoder.decode(octets)
    return message


def from_outcome(outcome: AuthOutcome) -> Result:
    """Write the outcome of a login or of a message of AUTH."""
    match outcome:
        case Admitted(account, age_s, app_password, facts):
            return AdmittedAnswer(account, age_s, app_password, facts)
        case Refused(reason, delay_s):
            return RefusedAnswer(reason, delay_s)
        case Challenged():
            return ChallengedAnswer(outcome)


def to_outcome(result: Result) -> LoginOutcome:
    """Read a login's outcome."""
    match result:
        case AdmittedAnswer(account, age_s, app_password, facts):
            return Admitted(account, age_s, app_password, facts)
        case RefusedAnswer(reason, delay_s):
            return Refused(reason, delay_s)
    return Refused(Reason.SERVICE_UNAVAILABLE)


def to_auth_outcome(result: Result) -> AuthOutcome:
    """Read the outcome of a message of AUTH."""
    return result.challenged if isinstance(result, ChallengedAnswer) else to_outcome(result)

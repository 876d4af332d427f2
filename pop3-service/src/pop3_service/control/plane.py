"""The two sides of the seam. With ``workers=0`` they call each other, else through a channel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from pop3_service.domain.account import USER_FACTS, AccountFacts
from pop3_service.domain.address_rules import AccessTable
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.session import SessionEvent, SessionInfo
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import TransformCount, TransformTable
from pop3mgmt.reasons import Reason


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client gave with USER and PASS, as raw octets, and where it came from.

    ``mechanism`` and ``tls`` (a version, or empty) say how.
    """

    name: bytes
    password: bytes = field(repr=False)
    peer: str
    mechanism: str = "PASS"
    tls: str = ""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The password was right; ``account`` is the account's own spelling of its name.

    ``age_s`` seconds have gone since it was hashed. ``app_password`` is the name of the one that
    the client logs in with, empty for the account's own password.
    """

    account: str
    age_s: float = 0.0
    app_password: str = ""
    facts: AccountFacts = USER_FACTS


@dataclass(frozen=True, slots=True)
class Refused:
    """The login was refused; the answer is to be given after ``delay_s`` seconds.

    What is said of it is the worker's business, which knows the client's language.
    """

    reason: Reason
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """A client's message in an exchange of AUTH that the supervisor leads, without its base64.

    ``state`` is what came with the last ``Challenged``, empty with the first message; ``binding``
    is the connection's tls-server-end-point (RFC 5929 section 4), where binding to it is offered.
    """

    mechanism: str
    response: bytes = field(repr=False)
    state: bytes = field(repr=False)
    peer: str
    binding: bytes = b""
    tls: str = ""


@dataclass(frozen=True, slots=True)
class Challenged:
    """The client has to say more; ``state`` is to come back with it.

    The challenge is to be sent after ``delay_s`` seconds: it may tell that something is wrong.
    """

    challenge: bytes
    state: bytes = field(repr=False)
    delay_s: float = 0.0


LoginOutcome = Admitted | Refused
AuthOutcome = Admitted | Refused | Challenged


@dataclass(frozen=True, slots=True)
class DisconnectOrder:
    """Which sessions to end: one by id, all of an account, or everybody's.

    ``forget`` also drops what a worker remembers of the password, or of everybody's. With
    ``keep_sessions`` that is all: no session ends.
    """

    session_id: str = ""
    account: str = ""
    forget: bool = False
    keep_sessions: bool = False
    everybody: bool = False


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """A certificate with its chain, leaf first, and its key, all as PEM.

    ``names`` are the host names it stands for; one may begin with ``*.`` (RFC 6125 section 6.4.3).
    ``end_point`` is what clients bind to (tls-server-end-point, RFC 5929 section 4); empty where
    the certificate's signature has no hash of its own.
    """

    chain: bytes
    key: bytes = field(repr=False)
    names: tuple[str, ...]
    end_point: bytes = b""


class ControlPlane(Protocol):
    """What a worker asks of the supervisor."""

    async def login(self, credentials: Credentials) -> LoginOutcome:
        """Check a password; never raises for a wrong one."""

    async def authenticate(self, evidence: Evidence) -> AuthOutcome:
        """Look at a message of AUTH; never raises for a wrong one.

        Refused for INVALID_ARGUMENT means that it is no message of that mechanism.
        """

    async def note_login(self, account: str) -> None:
        """Note that an account logs in; called only while the setting ``login_delay`` is on.

        Raises:
            LoginTooSoon: it did so a moment ago; this one is not noted.
            ServiceUnavailable: the supervisor is gone.
        """

    def report(self, event: SessionEvent) -> None:
        """Tell an event; called only while ``Worker.watch(True)`` is in force."""

    def report_logins(self, events: list[LoginEvent]) -> None:
        """Tell logins, and refusals that were decided by the worker, for the audit."""

    def report_transforms(self, counts: list[TransformCount]) -> None:
        """Tell what came of transforms that ran since the last report, one count an activation."""


class Worker(Protocol):
    """What the supervisor asks of a worker. Each call comes back when it has taken effect.

    Raises:
        ServiceUnavailable: the worker is gone.
    """

    async def configure(self, settings: Settings) -> None:
        """Put settings in force."""

    async def list_sessions(self, account: str) -> list[SessionInfo]:
        """Give the sessions, all or those of an account."""

    async def disconnect(self, order: DisconnectOrder) -> int:
        """End sessions without deleting mail; give how many."""

    async def set_access(self, table: AccessTable) -> int:
        """Put rules, bans and suspensions in force; give how many sessions they ended."""

    async def set_transforms(self, table: TransformTable) -> None:
        """Put what is active in force for logins from now on; open sessions keep what they have."""

    async def watch(self, wanted: bool) -> None:
        """Begin or end reporting events."""

    async def set_certificates(self, pairs: list[CertificatePair]) -> None:
        """Put certificates in force for handshakes that begin from now on.

        The first is the default; none at all means no TLS. Open sessions stay as they are.
        """

    async def set_least_retention(self, days: int) -> None:
        """Say what the shortest retention is that an account has of its own; 0 if none has one."""

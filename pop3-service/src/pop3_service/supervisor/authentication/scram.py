"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 7677, RFC 5802), by scramp; and their verifiers.

Nothing is kept of an exchange. What its next step needs goes to the worker and comes back, under a
key of this process, so that a worker cannot choose the nonce and replay an exchange it has seen.
"""

from __future__ import annotations

import binascii
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from lineproto.clock import Clock
from pop3_service.control.plane import Admitted, Challenged, Evidence
from pop3_service.domain.account import Account, AccountName, is_too_long
from pop3_service.domain.errors import InvalidArgument, ServiceError
from pop3_service.domain.scram import HASH, MadeUp, Verifier, make_verifier, proves
from pop3_service.domain.settings import Settings
from pop3_service.pop3.sasl.mechanisms import SCRAM
from pop3_service.supervisor.authentication.authenticator import Authenticator
from pop3_service.supervisor.authentication.proof import Claim, WrongProof

if TYPE_CHECKING:
    from scramp.core import ScramServer

EXCHANGE_S = 60.0
"""How long a client may take for its next message."""
SALT_KEY = "scram salts"
"""The secret that salts are made from; it stays the same, or all salts would change at once."""
BINDING = "tls-server-end-point"

log = structlog.get_logger()


class Verifiers(Protocol):
    """Where verifiers are stored."""

    async def get(self, name: str) -> Account | None:
        """Give an account, or None."""

    async def verifier(self, name: str) -> Verifier | None:
        """Give an account's verifier, or None."""

    async def put_verifier(self, account: Account, verifier: Verifier) -> None:
        """Store a verifier, unless the account has another password by now, or is gone."""


class Begun(msgspec.Struct, frozen=True, tag=True):
    """The server's first message is out."""

    time_s: float
    mechanism: str
    client_first: str
    nonce: str


class Proven(msgspec.Struct, frozen=True, tag=True):
    """The client's proof was right, and so it was told; it has to send an empty message.

    ``mark`` tells whether the verifier is still the same. The key itself, with the proof that the
    worker has seen, would give what a client logs in with. ``app_password`` is the name of the one
    that the proof was of, empty for the account's password.
    """

    time_s: float
    account: str
    mark: bytes
    app_password: str = ""


async def _none(_: str) -> Mapping[str, Verifier]:
    return {}


class ScramDesk:
    """Leads exchanges, and makes verifiers while the setting ``scram`` is on."""

    def __init__(
        self,
        accounts: Verifiers,
        authenticator: Authenticator,
        made_up: MadeUp,
        settings: Callable[[], Settings],
        clock: Clock,
        nonce: Callable[[], str] = secrets.token_urlsafe,
        app_verifiers: Callable[[str], Awaitable[Mapping[str, Verifier]]] = _none,
    ) -> None:
        """``app_verifiers`` gives those of an account's app passwords, by name."""
        self._app_verifiers = app_verifiers
        self._accounts = accounts
        self._authenticator = authenticator
        self._made_up = made_up
        self._settings = settings
        self._clock = clock
        self._nonce = nonce
        self._key = secrets.token_bytes(32)
        self._mark_key = secrets.token_bytes(32)

    def salts_changed(self, made_up: MadeUp) -> None:
        """Take salts from another secret from now on."""
        self._made_up = made_up

    # --- verifiers --------------------

    async def make(self, name: AccountName, password: bytes) -> Verifier | None:
        """Make the verifier of a new password; None while SCRAM is off."""
        if not self._settings().scram:
            return None
        salt = self._made_up.salt(name)
        return await self._authenticator.in_thread(make_verifier, password, salt)

    async def make_for_app(self, name: AccountName, password: bytes) -> Verifier:
        """Make the verifier of an app password: also while SCRAM is off.

        Nobody guesses such a password from it. Salt and iterations are those that a client is told
        whichever password it has.
        """
        salt = self._made_up.salt(name)
        verifier = await self._authenticator.in_thread(make_verifier, password, salt)
        assert verifier is not None  # noqa: S101 - it is ASCII
        return verifier

    async def learn(self, account: Account, password: bytes) -> None:
        """Store what SCRAM needs of a password that was right just now, if that is not there."""
        if not self._settings().scram:
            return
        try:
            if await self._accounts.verifier(account.name) is not None:
                return
            verifier = await self.make(account.name, password)
            if verifier is not None:
                await self._accounts.put_verifier(account, verifier)
        except ServiceError as error:  # the login itself is right
            log.warning("no SCRAM verifier stored", account=str(account.name), error=str(error))

    # --- exchanges --------------------

    async def check(self, evidence: Evidence) -> Admitted | Challenged | WrongProof:
        """Take a client's message.

        Raises:
            InvalidArgument: it is not one of SCRAM, or came too late.
            PasswordMustChange, PasswordExpired: it was right, and the password is to be changed.
            StoreUnavailable: the accounts cannot be read.
        """
        if not self._settings().scram:
            raise InvalidArgument("SCRAM is off")
        if not evidence.state:
            return await self._begin(evidence)
        state = self._opened(evidence.state)
        if isinstance(state, Begun):
            return await self._prove(evidence, state)
        return await self._admit(evidence, state)

    def claim(self, evidence: Evidence) -> Claim:
        """Read whose exchange it is; the client's second message has the proof.

        Raises:
            InvalidArgument: it is not one of SCRAM, or came too late.
        """
        if not evidence.state:
            begun = Begun(0, evidence.mechanism, _text(evidence.response), "")
            return Claim(_name(begun).encode(), decides=False)
        state = self._opened(evidence.state)
        if isinstance(state, Proven):
            return Claim(state.account.encode(), decides=False)
        return Claim(_name(state).encode())

    async def _begin(self, evidence: Evidence) -> Challenged:
        client_first = _text(evidence.response)
        begun = Begun(self._clock.monotonic(), evidence.mechanism, client_first, self._nonce())
        verifier = await self._verifier(begun)
        server = self._server(evidence, begun, verifier)
        return Challenged(server.get_server_first().encode(), self._sealed(begun))

    async def _prove(self, evidence: Evidence, begun: Begun) -> Challenged | WrongProof:
        from scramp import ScramException
        from scramp.core import ServerError

        if begun.mechanism != evidence.mechanism:
            raise InvalidArgument("another mechanism")
        final = _text(evidence.response)
        verifier = await self._verifier(begun)
        server = self._server(evidence, begun, verifier)
        server_first = server.get_server_first()
        app_password = ""
        if not _is_proof_of(verifier, begun, server_first, final):
            others = await self._app_verifiers(AccountName.meant(_name(begun)))
            for name, other in others.items():
                same = (other.salt, other.iterations) == (verifier.salt, verifier.iterations)
                if same and _is_proof_of(other, begun, server_first, final):
                    app_password = name
                    server = self._server(evidence, begun, other)
                    server.get_server_first()
        try:
            server.set_client_final(final)
        except ScramException as error:
            if error.server_error in (
                ServerError.INVALID_PROOF,
                ServerError.CHANNEL_BINDINGS_DONT_MATCH,
            ):
                return WrongProof(_name(begun).encode())
            raise InvalidArgument(str(error)) from None
        account = str(AccountName.meant(_name(begun)))
        mark = self._mark(server.stored_key)
        proven = Proven(self._clock.monotonic(), account, mark, app_password)
        return Challenged(server.get_server_final().encode(), self._sealed(proven))

    async def _admit(self, evidence: Evidence, proven: Proven) -> Admitted | WrongProof:
        """Admit who has taken note of the server's own proof, if nothing has changed meanwhile."""
        if evidence.response:
            raise InvalidArgument("the last message is empty")
        while True:
            changes = self._authenticator.changes
            account = await self._accounts.get(proven.account)
            if proven.app_password:
                others = await self._app_verifiers(proven.account)
                verifier = others.get(proven.app_password)
            else:
                verifier = await self._accounts.verifier(proven.account)
            if changes == self._authenticator.changes:
                break
        if account is None or verifier is None:
            return WrongProof(proven.account.encode())
        if not hmac.compare_digest(self._mark(verifier.stored_key), proven.mark):
            return WrongProof(proven.account.encode())
        if not proven.app_password:
            self._authenticator.check_unhindered(account)
        return Admitted(account.name, app_password=proven.app_password, facts=account.facts)

    async def _verifier(self, begun: Begun) -> Verifier:
        """Give the verifier of the account's password, or one made up.

        Raises:
            InvalidArgument: the name is none.
        """
        if is_too_long(_name(begun)):  # scramp would prepare it
            raise InvalidArgument("the name is too long")
        name = AccountName.meant(_name(begun))
        return await self._accounts.verifier(name) or self._made_up.verifier(name)

    def _server(self, evidence: Evidence, begun: Begun, verifier: Verifier) -> ScramServer:
        """Give the server's side of the exchange, as it is after the client's first message.

        Raises:
            InvalidArgument: the message is not one, or asks for a binding that there is not.
        """
        from scramp import ScramException, ScramMechanism

        if evidence.mechanism == SCRAM and begun.client_first.startswith("p"):
            raise InvalidArgument("this binds to the connection, which is for SCRAM-SHA-256-PLUS")
        binding = (BINDING, evidence.binding) if evidence.binding else None
        facts = verifier.salt, verifier.stored_key, verifier.server_key, verifier.iterations
        try:
            server = ScramMechanism(evidence.mechanism).make_server(
                lambda _: facts, binding, begun.nonce
            )
            server.set_client_first(begun.client_first)
        except ScramException as error:
            # Among them: a client that could bind and was told that it could not.
            log.info("SCRAM message refused", peer=evidence.peer, reason=str(error))
            raise InvalidArgument(str(error)) from None
        return server

    # --- the state that comes back --------------------

    def _sealed(self, state: Begun | Proven) -> bytes:
        octets = msgspec.msgpack.encode(state)
        return hmac.digest(self._key, octets, HASH) + octets

    def _mark(self, stored_key: bytes) -> bytes:
        return hmac.digest(self._mark_key, stored_key, HASH)

    def _opened(self, sealed: bytes) -> Begun | Proven:
        seal, octets = sealed[:32], sealed[32:]
        if not hmac.compare_digest(seal, hmac.digest(self._key, octets, HASH)):
            raise InvalidArgument("not a state of this service")
        state: Begun | Proven = msgspec.msgpack.decode(octets, type=Begun | Proven)
        if self._clock.monotonic() - state.time_s > EXCHANGE_S:
            raise InvalidArgument("the exchange took too long")
        return state


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise InvalidArgument("a message of SCRAM is UTF-8") from None


def _name(begun: Begun) -> str:
    """Read whom a client's first message is about; what is wrong with it scramp tells later."""
    for attribute in begun.client_first.split(",")[2:]:
        if attribute.startswith("n="):
            return attribute[2:].replace("=2C", ",").replace("=3D", "=")
    return ""


def _is_proof_of(verifier: Verifier, begun: Begun, server_first: str, final: str) -> bool:
    """Whether a client's last message holds the proof of this verifier's password.

    What is wrong with the message otherwise scramp tells later.
    """
    bare = "".join(begun.client_first.split(",", 2)[2:])
    without, _, proof = final.rpartition(",p=")
    try:
        octets = binascii.a2b_base64(proof, strict_mode=True)
    except ValueError:
        return False
    return proves(verifier, octets, f"{bare},{server_first},{without}".encode())

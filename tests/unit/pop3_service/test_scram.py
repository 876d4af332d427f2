"""SCRAM-SHA-256 and -PLUS in the supervisor: RFC 7677's example, and whatever is not as it says."""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scramp import ScramClient

import scale
from pop3_service.control.plane import Admitted, Challenged, Evidence
from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import (
    InvalidArgument,
    PasswordExpired,
    PasswordMustChange,
    StoreUnavailable,
)
from pop3_service.domain.rights import RoleName
from pop3_service.domain.scram import ITERATIONS, SALT_OCTETS, MadeUp, Verifier, make_verifier
from pop3_service.domain.settings import Settings
from pop3_service.supervisor.authentication.authenticator import Authenticator
from pop3_service.supervisor.authentication.proof import WrongProof
from pop3_service.supervisor.authentication.scram import EXCHANGE_S, ScramDesk
from unit.pop3_service.clock import FakeClock

SCRAM, PLUS = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
BINDING = bytes(range(32))
PEER = "192.0.2.1:5"
FEW = 4096

# RFC 7677 section 3
EXAMPLE_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
EXAMPLE = make_verifier(b"pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = (
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
)
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


class FakeAccounts:
    """Accounts and their verifiers."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.verifiers: dict[str, Verifier] = {}
        self.failure: Exception | None = None

    async def get(self, name: str) -> Account | None:
        return self.accounts.get(name)

    async def verifier(self, name: str) -> Verifier | None:
        if self.failure is not None:
            raise self.failure
        return self.verifiers.get(name)

    async def put_verifier(self, account: Account, verifier: Verifier) -> None:
        self.verifiers[account.name] = verifier

    def put(self, name: str, verifier: Verifier | None) -> Account:
        account = Account(AccountName(name), RoleName.USER, f"hash of {name}", FakeClock().now())
        self.accounts[name] = account
        if verifier is not None:
            self.verifiers[name] = verifier
        return account


class Desk:
    """A desk and what it stands on."""

    def __init__(self) -> None:
        self.accounts = FakeAccounts()
        self.apps: dict[str, dict[str, Verifier]] = {}
        self.clock = FakeClock()
        self.settings = Settings(scram=True)
        self.nonce = secrets.token_urlsafe
        self.authenticator = Authenticator(
            self.accounts,  # type: ignore[arg-type]
            self.clock,
            lambda: 600.0,
            memory_kib=8,
            passes=1,
        )
        self.scram = ScramDesk(
            self.accounts,
            self.authenticator,
            MadeUp(b"k" * 32),
            lambda: self.settings,
            self.clock,
            lambda: self.nonce(),
            app_verifiers=self._app_verifiers,
        )

    async def _app_verifiers(self, account: str) -> dict[str, Verifier]:
        return dict(self.apps.get(account, {}))

    async def add_app(self, account: str, name: str, password: str) -> None:
        made = await self.scram.make_for_app(AccountName(account), password.encode())
        self.apps.setdefault(account, {})[name] = made

    async def ask(
        self, response: bytes, state: bytes = b"", mechanism: str = SCRAM, binding: bytes = b""
    ) -> Admitted | Challenged | WrongProof:
        return await self.scram.check(Evidence(mechanism, response, state, PEER, binding))

    async def log_in(
        self, name: str, password: str, mechanism: str = SCRAM, binding: bytes = b""
    ) -> Admitted | Challenged | WrongProof:
        """A whole exchange with a real client."""
        bound = ("tls-server-end-point", binding) if mechanism == PLUS else None
        client = ScramClient([mechanism], name, password, channel_binding=bound)
        begun = await self.ask(client.get_client_first().encode(), b"", mechanism, binding)
        assert isinstance(begun, Challenged)
        client.set_server_first(begun.challenge.decode())
        final = client.get_client_final().encode()
        proven = await self.ask(final, begun.state, mechanism, binding)
        if not isinstance(proven, Challenged):
            return proven
        client.set_server_final(proven.challenge.decode())
        return await self.ask(b"", proven.state, mechanism, binding)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    made.accounts.put("ana", make_verifier(b"secret", b"s" * SALT_OCTETS, FEW))
    yield made
    made.authenticator.close()


# --- what goes well --------------------


async def test_the_example_of_rfc_7677_goes_as_written(desk: Desk) -> None:
    desk.accounts.put("user", EXAMPLE)
    desk.nonce = lambda: EXAMPLE_NONCE
    begun = await desk.ask(CLIENT_FIRST)
    assert isinstance(begun, Challenged)
    assert begun.challenge == SERVER_FIRST
    proven = await desk.ask(CLIENT_FINAL, begun.state)
    assert isinstance(proven, Challenged)
    assert proven.challenge == SERVER_FINAL
    assert await desk.ask(b"", proven.state) == Admitted("user")


async def test_a_real_client_logs_in_and_believes_the_server(desk: Desk) -> None:
    assert await desk.log_in("ana", "secret") == Admitted("ana")
    assert await desk.log_in("ana", "secret", PLUS, BINDING) == Admitted("ana")


async def test_hundreds_of_exchanges_may_be_open_at_once(desk: Desk) -> None:
    outcomes = await asyncio.gather(*(desk.log_in("ana", "secret") for _ in range(300)))
    assert set(outcomes) == {Admitted("ana")}


@pytest.mark.parametrize(
    ("name", "spelt"), [("é", "e\u0301"), ("a=b", "a=b"), ("a,b", "a,b"), ("=2C", "=2C")]
)
async def test_names_are_prepared_and_their_signs_escaped(
    desk: Desk, name: str, spelt: str
) -> None:
    desk.accounts.put(name, make_verifier(b"secret", b"s" * SALT_OCTETS, FEW))
    assert await desk.log_in(spelt, "secret") == Admitted(name)


@pytest.mark.parametrize("password", ["\u00e9", "e\u0301", "\u00a0x", "a b ", "I\u00adX"])
async def test_a_verifier_is_of_the_prepared_password(desk: Desk, password: str) -> None:
    desk.accounts.put("eva", make_verifier(password.encode(), b"s" * SALT_OCTETS, FEW))
    assert await desk.log_in("eva", password) == Admitted("eva")


def test_a_verifier_of_an_emoji_is_made_and_of_no_text_is_not() -> None:
    assert make_verifier("\U0001f600".encode(), b"salt", 1) is not None
    assert make_verifier(b"\xff\xfe", b"salt", 1) is None
    assert make_verifier(b"a\x07", b"salt", 1) is None


# --- app passwords --------------------


@pytest.fixture
async def with_apps(desk: Desk) -> Desk:
    """Ana has a password and three app passwords; eva has one app password, and no verifier."""
    learned = await desk.scram.make(AccountName("ana"), b"secret")
    desk.accounts.put("ana", learned)
    desk.accounts.put("eva", None)
    for number in range(3):
        await desk.add_app("ana", f"app{number}", f"abcd-efgh-{number}")
    await desk.add_app("eva", "phone", "abcd-efgh-9")
    return desk


@pytest.mark.parametrize("mechanism", [SCRAM, PLUS])
async def test_each_app_password_lets_in_beside_the_own_password(
    with_apps: Desk, mechanism: str
) -> None:
    desk, binding = with_apps, BINDING if mechanism == PLUS else b""
    assert await desk.log_in("ana", "secret", mechanism, binding) == Admitted("ana")
    for number in range(3):
        outcome = await desk.log_in("ana", f"abcd-efgh-{number}", mechanism, binding)
        assert outcome == Admitted("ana", app_password=f"app{number}")
    outcome = await desk.log_in("eva", "abcd-efgh-9", mechanism, binding)
    assert outcome == Admitted("eva", app_password="phone")
    for name, wrong in (("ana", "abcd-efgh-9"), ("eva", "abcd-efgh-0"), ("nobody", "abcd-efgh-0")):
        outcome = await desk.log_in(name, wrong, mechanism, binding)
        assert outcome == WrongProof(name.encode())


async def test_an_app_password_is_bound_to_the_connection_as_any(with_apps: Desk) -> None:
    client = ScramClient(
        [PLUS], "ana", "abcd-efgh-1", channel_binding=("tls-server-end-point", BINDING)
    )
    other = bytes(reversed(BINDING))
    begun = await with_apps.ask(client.get_client_first().encode(), b"", PLUS, other)
    assert isinstance(begun, Challenged)
    client.set_server_first(begun.challenge.decode())
    final = client.get_client_final().encode()
    assert await with_apps.ask(final, begun.state, PLUS, other) == WrongProof(b"ana")


@pytest.mark.parametrize("remade", [False, True])
async def test_an_app_password_revoked_within_the_exchange_lets_nobody_in(
    with_apps: Desk, remade: bool
) -> None:
    client = ScramClient([SCRAM], "ana", "abcd-efgh-1")
    begun = await with_apps.ask(client.get_client_first().encode())
    assert isinstance(begun, Challenged)
    client.set_server_first(begun.challenge.decode())
    proven = await with_apps.ask(client.get_client_final().encode(), begun.state)
    assert isinstance(proven, Challenged)
    del with_apps.apps["ana"]["app1"]
    if remade:
        await with_apps.add_app("ana", "app1", "another")
    assert await with_apps.ask(b"", proven.state) == WrongProof(b"ana")


@pytest.mark.parametrize("proof", ["", "AAAA", "!", "é", "A" * 44])
async def test_what_is_no_proof_is_none_of_an_app_password(with_apps: Desk, proof: str) -> None:
    begun = await with_apps.ask(b"n,,n=ana,r=abc")
    assert isinstance(begun, Challenged)
    nonce = begun.challenge.split(b",")[0].decode()
    final = f"c=biws,{nonce},p={proof}".encode()
    try:
        assert await with_apps.ask(final, begun.state) == WrongProof(b"ana")
    except InvalidArgument:
        pass


# --- what is wrong --------------------


@pytest.mark.parametrize("mechanism", [SCRAM, PLUS])
async def test_attack_17_a_wrong_password_and_a_wrong_name_go_one_way(
    desk: Desk, mechanism: str
) -> None:
    binding = BINDING if mechanism == PLUS else b""
    desk.accounts.put("without", None)
    for name in ("ana", "nobody", "without"):
        assert await desk.log_in(name, "wrong", mechanism, binding) == WrongProof(name.encode())


async def test_attack_17_an_unknown_name_has_a_salt_that_stays_and_looks_like_any(
    desk: Desk,
) -> None:
    made = MadeUp(b"k" * 32)
    challenges: dict[str, set[bytes]] = {}
    learned = await desk.scram.make(AccountName("ana"), b"secret")
    assert learned is not None
    desk.accounts.put("ana", learned)
    desk.accounts.put("without", None)
    for name in ("ana", "without", "nobody", "nobody2") * 3:
        begun = await desk.ask(f"n,,n={name},r=abc".encode())
        assert isinstance(begun, Challenged)
        challenges.setdefault(name, set()).add(begun.challenge.split(b",", 1)[1])
    assert all(len(seen) == 1 for seen in challenges.values())
    told = [challenge for seen in challenges.values() for challenge in seen]
    assert len(set(told)) == 4
    assert {len(challenge) for challenge in told} == {len(told[0])}
    # A verifier that is learned later changes nothing that is seen.
    assert learned.salt == made.salt("ana") == made.verifier("ana").salt
    assert learned.iterations == ITERATIONS


@pytest.mark.parametrize(
    "message",
    [
        b"", b"n", b"n,", b"n,,", b"n,,n=ana", b"n,,r=abc", b"n,,r=abc,n=ana", b"n,,n=,r=abc",
        b"n,,n=ana,r=", b"n,,n=ana,r=a\x00b", b"n,,n=ana,r=a\x80", b"n,,n=a=b,r=abc",
        b"n,,n=a=2,r=x",
        b"n,,m=x,n=ana,r=abc", b"n,,n=ana,n=eva,r=abc", b"n,a=eva,n=ana,r=abc", b"x,,n=ana,r=abc",
        b"p,,n=ana,r=abc", b"p=,,n=ana,r=abc", b"p=tls-unique,,n=ana,r=abc", b"n=x,,n=ana,r=abc",
        b"p=tls-server-end-point,,n=ana,r=abc", b"n,,n=ana,r=abc\xff", b"\xff\xfe", b"n,,\0",
        b",,,,",
    ],
)  # fmt: skip
async def test_attack_18_a_first_message_that_is_none_is_refused(
    desk: Desk, message: bytes
) -> None:
    with pytest.raises(InvalidArgument):
        await desk.ask(message)


@pytest.mark.parametrize("name", ["a" * 1021, "\ufdfa" * 57, "\ufdfa" * 16_000])
async def test_a_name_longer_than_any_is_refused_before_it_is_prepared(
    desk: Desk, name: str
) -> None:
    """Preparing 64 KiB takes a second, in the one process that checks all logins."""
    with pytest.raises(InvalidArgument, match="too long"):
        await desk.ask(f"n,,n={name},r=abc".encode())
    assert isinstance(await desk.ask(f"n,,n={'a' * 1020},r=abc".encode()), Challenged)


NONCE = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
PROOF = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="


@pytest.mark.parametrize(
    "message",
    [
        "", "c=biws", f"c=biws,r={NONCE}", f"r={NONCE},p={PROOF}", f"c=biws,p={PROOF}",
        f"c=biws,r={NONCE}x,p={PROOF}", f"c=biws,r={NONCE[:-1]},p={PROOF}",
        f"c=,r={NONCE},p={PROOF}", f"c=bi ws,r={NONCE},p={PROOF}", f"c=biws,r={NONCE},p=",
        f"c=biws,r={NONCE},p=***", f"c=biws,r={NONCE},p={PROOF},x=y", f"r={NONCE},c=biws,p={PROOF}",
        f"c=biws,r={NONCE},p={PROOF},p={PROOF}", "n,,n=user,r=abc", "\0", "*",
    ],
)  # fmt: skip
async def test_attack_18_a_final_message_that_is_none_is_refused(desk: Desk, message: str) -> None:
    desk.accounts.put("user", EXAMPLE)
    desk.nonce = lambda: EXAMPLE_NONCE
    begun = await desk.ask(CLIENT_FIRST)
    assert isinstance(begun, Challenged)
    with pytest.raises(InvalidArgument):
        await desk.ask(message.encode(), begun.state)


@pytest.mark.parametrize("proof", [bytes(32), b"x", bytes(33), b64decode(PROOF)[::-1]])
async def test_a_proof_that_does_not_fit_is_wrong(desk: Desk, proof: bytes) -> None:
    desk.accounts.put("user", EXAMPLE)
    desk.nonce = lambda: EXAMPLE_NONCE
    begun = await desk.ask(CLIENT_FIRST)
    assert isinstance(begun, Challenged)
    final = f"c=biws,r={NONCE},p={b64encode(proof).decode()}".encode()
    assert await desk.ask(final, begun.state) == WrongProof(b"user")


async def test_the_last_message_is_empty(desk: Desk) -> None:
    desk.accounts.put("user", EXAMPLE)
    desk.nonce = lambda: EXAMPLE_NONCE
    begun = await desk.ask(CLIENT_FIRST)
    assert isinstance(begun, Challenged)
    proven = await desk.ask(CLIENT_FINAL, begun.state)
    assert isinstance(proven, Challenged)
    with pytest.raises(InvalidArgument):
        await desk.ask(b"x", proven.state)


# --- channel binding (RFC 5802 section 6, RFC 5929) --------------------


async def test_a_client_that_could_bind_and_was_told_otherwise_is_refused(desk: Desk) -> None:
    message = b"y,,n=ana,r=abc"
    with pytest.raises(InvalidArgument, match="channel binding"):
        await desk.ask(message, binding=BINDING)
    assert isinstance(await desk.ask(message), Challenged)  # it was told the truth


async def test_binding_is_for_plus_and_plus_for_binding(desk: Desk) -> None:
    bound, unbound = b"p=tls-server-end-point,,n=ana,r=abc", b"n,,n=ana,r=abc"
    with pytest.raises(InvalidArgument):
        await desk.ask(bound, binding=BINDING)
    with pytest.raises(InvalidArgument):
        await desk.ask(unbound, b"", PLUS, BINDING)
    with pytest.raises(InvalidArgument):
        await desk.ask(bound, b"", PLUS)  # there is nothing to bind to
    assert isinstance(await desk.ask(unbound, binding=BINDING), Challenged)
    assert isinstance(await desk.ask(bound, b"", PLUS, BINDING), Challenged)


async def test_a_client_that_sees_another_certificate_is_refused(desk: Desk) -> None:
    client = ScramClient(
        [PLUS], "ana", "secret", channel_binding=("tls-server-end-point", b"m" * 32)
    )
    begun = await desk.ask(client.get_client_first().encode(), b"", PLUS, BINDING)
    assert isinstance(begun, Challenged)
    client.set_server_first(begun.challenge.decode())
    final = client.get_client_final().encode()
    assert await desk.ask(final, begun.state, PLUS, BINDING) == WrongProof(b"ana")


# --- the state that comes back --------------------


async def test_no_key_of_a_verifier_is_in_a_state(desk: Desk) -> None:
    desk.accounts.put("user", EXAMPLE)
    desk.nonce = lambda: EXAMPLE_NONCE
    begun = await desk.ask(CLIENT_FIRST)
    assert isinstance(begun, Challenged)
    proven = await desk.ask(CLIENT_FINAL, begun.state)
    assert isinstance(proven, Challenged)
    assert EXAMPLE is not None
    for state in (begun.state, proven.state):
        assert EXAMPLE.stored_key not in state
        assert EXAMPLE.server_key not in state


async def test_a_state_that_was_changed_is_refused(desk: Desk) -> None:
    begun = await desk.ask(b"n,,n=ana,r=abc")
    assert isinstance(begun, Challenged)
    for at in range(len(begun.state)):
        changed = bytearray(begun.state)
        changed[at] ^= 1
        with pytest.raises(InvalidArgument):
            await desk.ask(b"c=biws", bytes(changed))
    for state in (b"x", bytes(32), begun.state[:-1], begun.state + b"x"):
        with pytest.raises(InvalidArgument):
            await desk.ask(b"c=biws", state)


async def test_a_state_is_of_its_mechanism_and_of_this_process(desk: Desk) -> None:
    begun = await desk.ask(b"n,,n=ana,r=abc", binding=BINDING)
    assert isinstance(begun, Challenged)
    with pytest.raises(InvalidArgument):
        await desk.ask(b"c=biws", begun.state, PLUS, BINDING)
    other = Desk()
    with pytest.raises(InvalidArgument):
        await other.ask(b"c=biws", begun.state)
    other.authenticator.close()


async def test_a_client_that_takes_too_long_begins_again(desk: Desk) -> None:
    desk.accounts.put("user", EXAMPLE)
    desk.nonce = lambda: EXAMPLE_NONCE
    begun = await desk.ask(CLIENT_FIRST)
    assert isinstance(begun, Challenged)
    desk.clock.move(EXCHANGE_S)
    assert isinstance(await desk.ask(CLIENT_FINAL, begun.state), Challenged)
    desk.clock.move(1)
    with pytest.raises(InvalidArgument, match="too long"):
        await desk.ask(CLIENT_FINAL, begun.state)


@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize("change", ["password", "deleted", "no verifier"])
async def test_attack_25_an_account_that_changes_within_the_exchange_is_not_let_in(
    desk: Desk, after: int, change: str
) -> None:
    desk.accounts.put("user", EXAMPLE)
    desk.nonce = lambda: EXAMPLE_NONCE
    state = b""
    for number, message in enumerate((CLIENT_FIRST, CLIENT_FINAL), 1):
        told = await desk.ask(message, state)
        if isinstance(told, WrongProof):
            break
        assert isinstance(told, Challenged)
        state = told.state
        if number == after:
            desk.accounts.verifiers.pop("user")
            if change == "password":
                desk.accounts.put("user", make_verifier(b"new", b"s" * SALT_OCTETS, FEW))
            elif change == "deleted":
                desk.accounts.accounts.pop("user")
    else:
        told = await desk.ask(b"", state)
    assert told == WrongProof(b"user")


@pytest.mark.parametrize("hindrance", [PasswordMustChange, PasswordExpired])
async def test_a_right_password_that_is_to_be_changed_first_lets_nobody_in(
    with_apps: Desk, hindrance: type[PasswordMustChange | PasswordExpired]
) -> None:
    with_apps.authenticator.hindrance = lambda account: hindrance(account.name)
    with pytest.raises(hindrance) as refused:
        await with_apps.log_in("ana", "secret")
    assert refused.value.name == "ana"
    assert isinstance(await with_apps.log_in("ana", "wrong"), WrongProof)
    # An app password is not the one that is to be changed.
    assert await with_apps.log_in("eva", "abcd-efgh-9") == Admitted("eva", app_password="phone")


async def test_scram_that_is_switched_off_is_off_at_once(desk: Desk) -> None:
    begun = await desk.ask(CLIENT_FIRST)
    assert isinstance(begun, Challenged)
    desk.settings = Settings()
    for message, state in ((CLIENT_FIRST, b""), (CLIENT_FINAL, begun.state)):
        with pytest.raises(InvalidArgument):
            await desk.ask(message, state)


@settings(max_examples=scale.EXAMPLES)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_messages_are_answered_or_refused(first: bytes, final: bytes) -> None:
    async def talk() -> None:
        try:
            desk.settings = Settings(scram=True)
            begun = await desk.ask(b"n,,n=ana,r=" + (first if first.isascii() else b"a"))
            assert isinstance(begun, Challenged)
            told = await desk.ask(final, begun.state)
            assert isinstance(told, WrongProof)
        except InvalidArgument:
            pass
        try:
            assert isinstance(await desk.ask(first), Challenged)
        except InvalidArgument:
            pass

    desk = Desk()
    try:
        asyncio.run(talk())
    finally:
        desk.authenticator.close()


# --- verifiers --------------------


async def test_a_verifier_is_made_while_scram_is_on_alone(desk: Desk) -> None:
    assert await desk.scram.make(AccountName("eva"), b"secret") is not None
    desk.settings = Settings()
    assert await desk.scram.make(AccountName("eva"), b"secret") is None


async def test_a_verifier_is_learned_at_the_first_login_that_sends_the_password(
    desk: Desk,
) -> None:
    eva = desk.accounts.put("eva", None)
    await desk.scram.learn(eva, b"secret")
    learned = desk.accounts.verifiers["eva"]
    assert await desk.log_in("eva", "secret") == Admitted("eva")
    await desk.scram.learn(eva, b"secret")
    assert desk.accounts.verifiers["eva"] is learned
    desk.settings = Settings()
    desk.accounts.verifiers.clear()
    await desk.scram.learn(eva, b"secret")
    assert desk.accounts.verifiers == {}


async def test_a_login_is_right_even_if_nothing_can_be_learned_from_it(desk: Desk) -> None:
    desk.accounts.failure = StoreUnavailable("the disk is full")
    await desk.scram.learn(desk.accounts.put("eva", None), b"secret")
    desk.accounts.failure = None
    await desk.scram.learn(desk.accounts.accounts["eva"], b"\xff")
    assert "eva" not in desk.accounts.verifiers


def test_a_verifier_does_not_print_its_keys() -> None:
    assert EXAMPLE is not None
    assert repr(EXAMPLE.stored_key) not in repr(EXAMPLE)
    assert repr(EXAMPLE.server_key) not in repr(EXAMPLE)

"""Mechanisms that the supervisor checks wait as a password does: by what their messages claim."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from scramp import ScramClient

from pop3_service.control.plane import Admitted, Challenged, Evidence, Refused
from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.scram import MadeUp, make_verifier
from pop3_service.domain.settings import Settings
from pop3_service.supervisor.authentication.authenticator import Authenticator
from pop3_service.supervisor.authentication.login_times import LoginTimes
from pop3_service.supervisor.authentication.logins import LoginDesk
from pop3_service.supervisor.authentication.proof import Claim, WrongProof
from pop3_service.supervisor.authentication.sasl import checks, claims
from pop3_service.supervisor.authentication.scram import ScramDesk
from pop3_service.supervisor.defence.throttle import FREE_FAILURES, Throttle
from pop3mgmt.reasons import Reason
from unit.pop3_service.clock import FakeClock
from unit.pop3_service.test_scram import FakeAccounts

HOME, ELSEWHERE = "192.0.2.1:9", "198.51.100.1:9"
SCRAM = "SCRAM-SHA-256"


class World:
    """A login desk with SCRAM, and one account that has a verifier."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        accounts = FakeAccounts()
        made_up = MadeUp(b"k" * 32)
        accounts.put("ana", make_verifier(b"secret", made_up.salt(AccountName("ana"))))
        self.authenticator = Authenticator(
            accounts,  # type: ignore[arg-type]
            self.clock,
            lambda: 0.0,
            memory_kib=8,
            passes=1,
        )
        settings = Settings(scram=True)
        self.scram = ScramDesk(accounts, self.authenticator, made_up, lambda: settings, self.clock)
        self.throttle = Throttle(lambda: settings, self.clock)
        self.desk = LoginDesk(
            self.authenticator,
            self.throttle,
            LoginTimes(self.clock, lambda: 0),
            lambda _: None,
            {SCRAM: self.scram.check},
            lambda _: None,
            self.clock,
            {SCRAM: self.scram.claim},
        )

    async def log_in(self, password: str, peer: str) -> Admitted | Refused:
        client = ScramClient([SCRAM], "ana", password)
        begun = await self._said(client.get_client_first(), b"", peer)
        assert isinstance(begun, Challenged)
        client.set_server_first(begun.challenge.decode())
        told = await self._said(client.get_client_final(), begun.state, peer)
        if isinstance(told, Challenged):
            told = await self._said("", told.state, peer)
        assert not isinstance(told, Challenged)
        return told

    async def _said(self, text: str, state: bytes, peer: str) -> Admitted | Refused | Challenged:
        return await self.desk.authenticate(Evidence(SCRAM, text.encode(), state, peer))


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.attack(22)
async def test_a_proof_waits_at_an_unknown_place_and_never_at_a_known_one(world: World) -> None:
    assert await world.log_in("secret", HOME) == Admitted("ana")
    for number in range(FREE_FAILURES + 3):
        told = await world.log_in("wrong", f"10.0.{number}.1:9")
        assert isinstance(told, Refused)
        assert told.reason is Reason.INVALID_CREDENTIALS
    world.clock.slept.clear()
    assert await world.log_in("secret", HOME) == Admitted("ana")
    assert world.clock.slept == []
    assert await world.log_in("secret", ELSEWHERE) == Admitted("ana")
    assert world.clock.slept == [8]
    assert await world.log_in("secret", ELSEWHERE) == Admitted("ana")
    assert world.clock.slept == [8]


@pytest.mark.attack(21, "one address")
async def test_a_crowd_of_proofs_gets_few_guesses(world: World) -> None:
    """However many exchanges are begun before the first of them fails."""
    world.clock.waits = True
    guesses = [asyncio.create_task(world.log_in(f"wrong{number}", HOME)) for number in range(100)]
    done: list[Refused] = []
    while len(done) < 100 - 20:
        await asyncio.sleep(0)
        done = [task.result() for task in guesses if task.done()]
    checked = [it for it in done if it.reason is Reason.INVALID_CREDENTIALS]
    assert FREE_FAILURES < len(checked) < FREE_FAILURES + 10
    for task in guesses:
        task.cancel()
    await asyncio.gather(*guesses, return_exceptions=True)


# --- what messages claim --------------------


@pytest.fixture
def read(world: World) -> Callable[[str, bytes], Claim]:
    found = claims(world.scram)
    return lambda mechanism, response: found[mechanism](Evidence(mechanism, response, b"", HOME))


def test_a_claim_is_read_of_each_mechanism(read: Callable[[str, bytes], Claim]) -> None:
    token = b"auth=Bearer a.b\x01\x01"
    bearer = Claim(b"ana", in_turn=False, secret=b"a.b")
    assert read("OAUTHBEARER", b"n,a=ana,\x01" + token) == bearer
    assert read("XOAUTH2", b"user=ana\x01" + token) == bearer
    assert read("APOP", b"a name " + b"0" * 32) == Claim(b"a name")
    assert read(SCRAM, b"n,,n=an=2Ca,r=x") == Claim(b"an,a", decides=False)
    assert "a.b" not in repr(bearer)


@pytest.mark.attack(18)
@pytest.mark.parametrize("response", [b"", b"\xff", b"n,,", b"\0", b"x" * 60_000])
def test_what_is_no_message_claims_nothing_or_is_invalid(
    read: Callable[[str, bytes], Claim], response: bytes
) -> None:
    for mechanism in (SCRAM, "OAUTHBEARER", "XOAUTH2", "APOP"):
        try:
            assert read(mechanism, response).secret == b""
        except InvalidArgument:
            continue


def test_every_mechanism_that_is_checked_has_its_claim(world: World) -> None:
    assert claims(world.scram).keys() == checks(world.scram, _Bearer(), _Bearer()).keys()  # type: ignore[arg-type]


class _Bearer:
    """Checks of bearer tokens and of APOP, by their names alone."""

    async def check(self, _: Evidence) -> WrongProof:
        return WrongProof(b"")

    oauthbearer = xoauth2 = check


async def test_the_same_wrong_token_again_is_one_failure(world: World) -> None:
    async def wrong(_: Evidence) -> WrongProof:
        return WrongProof(b"ana", b"{}")

    clock = FakeClock()
    desk = LoginDesk(
        None,  # type: ignore[arg-type]
        Throttle(Settings, clock),
        LoginTimes(clock, lambda: 0),
        lambda _: None,
        {"XOAUTH2": wrong},
        lambda _: None,
        clock,
        claims(world.scram),
    )

    async def delay(token: bytes) -> float:
        said = b"user=ana\x01auth=Bearer " + token + b"\x01\x01"
        told = await desk.authenticate(Evidence("XOAUTH2", said, b"", HOME))
        assert isinstance(told, Challenged)
        return told.delay_s

    assert [await delay(b"old") for _ in range(5)] == [2] * 5
    assert await delay(b"another") == 4

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from pop3_service.control.plane import Admitted, Evidence
from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import InvalidArgument, ServiceUnavailable
from pop3_service.domain.passwords import check_apop_secret
from pop3_service.domain.rights import RoleName
from pop3_service.domain.settings import Settings
from pop3_service.pop3.capability import Offers
from pop3_service.pop3.command import Apop as ApopCommand
from pop3_service.pop3.command import BadCommand, User, parse
from pop3_service.pop3.sasl.exchange import Proof
from pop3_service.pop3.session import Session
from pop3_service.supervisor.authentication import sealing
from pop3_service.supervisor.authentication.apop import Apop
from pop3_service.supervisor.authentication.proof import WrongProof
from pop3_service.supervisor.key_file import load_key

# The example of RFC 1939 section 7.
TIMESTAMP = b"<1896.697170952@dbc.mtview.ca.us>"
SECRET = b"tanstaaf"
DIGEST = b"c4c9334bac560ecc979e58001b3e22fb"


class FakeAccounts:
    """Sealed secrets by name."""

    def __init__(self) -> None:
        self.sealed: dict[str, bytes] = {}
        self.asked: list[str] = []

    async def apop_secret(self, name: str) -> bytes | None:
        self.asked.append(name)
        return self.sealed.get(name)

    async def get(self, name: str) -> Account | None:
        return Account(AccountName(name), RoleName.USER, "", datetime.now(UTC))


class Desk:
    """APOP with a key in a folder."""

    def __init__(self, path: Path) -> None:
        self.accounts = FakeAccounts()
        self.settings = Settings().changed({"apop": True})
        self.changes = 0
        self.apop = Apop(
            self.accounts,  # type: ignore[arg-type]
            path,
            lambda: self.settings,
            lambda: self.changes,
        )

    async def set(self, name: str = "ana", secret: bytes = SECRET) -> None:
        self.accounts.sealed[name] = await self.apop.seal(AccountName(name), secret)

    async def check(
        self, name: bytes = b"ana", digest: bytes = DIGEST, timestamp: bytes = TIMESTAMP
    ) -> object:
        return await self.apop.check(Evidence("APOP", name + b" " + digest, timestamp, "peer"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "apop.key")


# --- the check --------------------


async def test_the_digest_of_timestamp_and_secret_is_admitted(desk: Desk) -> None:
    await desk.set()
    assert await desk.check() == Admitted("ana")


@pytest.mark.parametrize(
    "digest", [b"", b"x", DIGEST.upper(), DIGEST[:-1], DIGEST + b"0", b"\xff" * 32, SECRET]
)
async def test_any_other_digest_is_wrong(desk: Desk, digest: bytes) -> None:
    await desk.set()
    assert await desk.check(digest=digest) == WrongProof(b"ana")


async def test_attack_23_a_digest_is_worth_nothing_on_another_connection(desk: Desk) -> None:
    await desk.set()
    assert await desk.check() == Admitted("ana")
    assert await desk.check(timestamp=b"<1896.697170953@dbc.mtview.ca.us>") == WrongProof(b"ana")


@pytest.mark.parametrize("name", [b"bea", b"nobody", b"", b".", b"\xff", b"x" * 2000, b"Ana"])
async def test_who_has_no_secret_is_refused_after_the_same_work(desk: Desk, name: bytes) -> None:
    await desk.set()
    opened = []
    real = sealing.Sealer.open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sealing.Sealer,
            "open",
            lambda self, *given: (opened.append(given), real(self, *given))[1],
        )
        assert await desk.check(name) == WrongProof(name)
        assert await desk.check(digest=b"wrong") == WrongProof(b"ana")
    assert len(opened) == len(desk.accounts.asked) == 2


async def test_a_secret_that_goes_while_it_is_looked_at_opens_nothing(desk: Desk) -> None:
    await desk.set()
    get = desk.accounts.get

    async def and_then_gone(name: str) -> Account | None:
        found = await get(name)
        del desk.accounts.sealed["ana"]
        desk.changes += 1
        return found

    desk.accounts.get = and_then_gone  # type: ignore[method-assign]
    assert await desk.check() == WrongProof(b"ana")


async def test_no_secret_that_can_be_known_stands_for_those_who_have_none(desk: Desk) -> None:
    for secret in (b"", b".", desk.apop._dummy):
        digest = hashlib.md5(TIMESTAMP + secret).hexdigest().encode()
        assert await desk.check(b"nobody", digest) == WrongProof(b"nobody")


async def test_switched_off_nobody_is_admitted_and_no_key_is_made(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "apop.key")
    desk.settings = Settings()
    assert await desk.check() == WrongProof(b"ana", why="APOP is off")
    assert list(tmp_path.iterdir()) == []


async def test_spellings_of_a_name_are_one(desk: Desk) -> None:
    await desk.set("señor")
    assert await desk.check("sen\u0303or".encode()) == Admitted("señor")


async def test_a_secret_of_somebody_else_or_of_another_key_opens_nothing(
    desk: Desk, tmp_path: Path
) -> None:
    await desk.set()
    desk.accounts.sealed["eve"] = desk.accounts.sealed["ana"]
    other = Desk(tmp_path / "other.key")
    other.accounts.sealed = desk.accounts.sealed
    with structlog.testing.capture_logs() as logs:
        assert await desk.check(b"eve") == WrongProof(b"eve")
        assert await other.check() == WrongProof(b"ana")
    assert [it["name"] for it in logs] == ["eve", "ana"]
    assert await desk.check() == Admitted("ana")


# --- the key --------------------


async def test_a_key_is_made_once_for_its_owner_alone(desk: Desk, tmp_path: Path) -> None:
    await desk.set()
    path = tmp_path / "apop.key"
    assert path.stat().st_mode & 0o777 == 0o600
    again = Desk(path)
    again.accounts.sealed = desk.accounts.sealed
    assert await again.check() == Admitted("ana")
    assert SECRET not in desk.accounts.sealed["ana"]
    assert bytes.fromhex(path.read_text()) not in desk.accounts.sealed["ana"]


async def test_all_who_need_the_key_at_once_have_one(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def counted(path: Path) -> bytes:
        made.append(path)
        return load_key(path)

    monkeypatch.setattr("pop3_service.supervisor.authentication.apop.load_key", counted)
    names = [f"user{number}" for number in range(20)]
    await asyncio.gather(*(desk.set(name) for name in names))
    assert len(made) == 1
    again = Desk(tmp_path / "apop.key")
    again.accounts.sealed = desk.accounts.sealed
    assert [await again.check(name.encode()) for name in names] == [Admitted(it) for it in names]


async def test_a_key_that_could_not_be_written_leaves_nothing_behind(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ServiceUnavailable, match="No space left"):
            await desk.set()
    assert list(tmp_path.iterdir()) == []
    await desk.set()
    assert await desk.check() == Admitted("ana")


def full(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("text", ["", "secret", "00" * 31, "00" * 33, "zz" * 32])
async def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "apop.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ServiceUnavailable, match="no key of 64 hexadecimal digits"):
        await Desk(path).set()


async def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "apop.key"
    path.write_text("00" * 32)
    path.chmod(0o640)
    with pytest.raises(ServiceUnavailable, match="0600"):
        await Desk(path).set()


async def test_a_key_that_cannot_be_read_or_made_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "apop.key"):
        with pytest.raises(ServiceUnavailable, match="cannot be used"):
            await Desk(path).set()


def test_what_is_sealed_twice_looks_different() -> None:
    sealer = sealing.Sealer(bytes(32))
    assert sealer.seal(SECRET, "ana") != sealer.seal(SECRET, "ana")


def test_a_changed_octet_is_noticed() -> None:
    sealer = sealing.Sealer(bytes(32))
    sealed = sealer.seal(SECRET, "ana")
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(sealing.Unsealable):
            sealer.open(changed, "ana")
    with pytest.raises(sealing.Unsealable):
        sealer.open(b"", "ana")


@pytest.mark.parametrize("secret", [b"", b"x" * 15, b"x" * 1025, b"x" * 16 + b"\n"])
def test_a_secret_that_is_short_or_no_password_is_refused(secret: bytes) -> None:
    with pytest.raises(InvalidArgument):
        check_apop_secret(secret)


# --- the command --------------------


def test_apop_is_read() -> None:
    assert parse(b"apop mrose " + DIGEST) == ApopCommand(b"mrose", DIGEST)
    for line in (b"APOP", b"APOP ", b"APOP ana", b"APOP ana x y"):
        with pytest.raises(BadCommand):
            parse(line)
    assert "secret" not in repr(ApopCommand(b"ana", b"secret"))


def test_apop_is_there_only_with_a_timestamp_and_forgets_user() -> None:
    session = Session(Offers("Valija-test", Settings()).in_clear)
    command = parse(b"APOP ana " + DIGEST)
    assert b"not offered" in session.execute(command).encode()  # type: ignore[union-attr]
    session.timestamp = TIMESTAMP
    session.execute(User(b"bea"))
    assert session.execute(command) == Proof("APOP", b"ana " + DIGEST, TIMESTAMP)
    assert b"USER first" in session.execute(parse(b"PASS x")).encode()  # type: ignore[union-attr]


def test_apop_is_allowed_where_passwords_in_clear_text_are_not() -> None:
    strict = Offers("Valija-test", Settings().changed({"plaintext_login": "never"}))
    session = Session(strict.in_clear)
    session.timestamp = TIMESTAMP
    assert isinstance(session.execute(parse(b"APOP ana " + DIGEST)), Proof)

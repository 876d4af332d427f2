"""A certificate that is followed: tried, taken when it changes, kept when the new one is bad."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from lineproto.followed import DAY_S, FollowedPair, try_out
from lineproto.tls import BadCertificate
from support.certificates import Issued, authority, key_pem, pem
from unit.pop3_service.clock import FakeClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""What the clock of the tests says."""


def issue(name: str, begin_days: int = -1, days: int = 90) -> Issued:
    return authority().issue(
        name, start=NOW + timedelta(days=begin_days), life=timedelta(days=days)
    )


def followed(folder: Path, authorities: Path | None = None) -> tuple[FollowedPair, FakeClock]:
    clock = FakeClock()
    made = FollowedPair(
        "test", folder / "fullchain.pem", folder / "privkey.pem", clock, authorities
    )
    return made, clock


@pytest.mark.parametrize("begin_days", [-1, -100, 100])
def test_what_can_be_used_tells_its_dates_whatever_they_are(begin_days: int) -> None:
    one = issue("one.test", begin_days)
    pair = try_out(one.chain, one.key)
    assert pair.not_before == NOW + timedelta(days=begin_days)
    assert pair.not_after == NOW + timedelta(days=begin_days + 90)
    assert bool(pair.out_of_time(NOW)) is (begin_days != -1)
    assert "PRIVATE" not in repr(pair)


ONE, TWO = issue("one.test"), issue("two.test")


@pytest.mark.parametrize(
    ("chain", "key", "authorities"),
    [
        (ONE.chain, TWO.key, b""),
        (ONE.chain, b"", b""),
        (b"", ONE.key, b""),
        (ONE.chain[:200], ONE.key, b""),
        (ONE.chain, key_pem(ONE.private, b"secret"), b""),
        (ONE.chain, ONE.key, b"nothing"),
        (ONE.chain, ONE.key, b"\xff\xfe"),
        ("é".encode(), ONE.key, b""),
    ],
)
def test_what_cannot_be_used_says_so(chain: bytes, key: bytes, authorities: bytes) -> None:
    with pytest.raises(BadCertificate) as bad:
        try_out(chain, key, authorities)
    assert 10 < len(bad.value.why) < 100


def test_authorities_are_looked_at_too() -> None:
    roots = pem(authority().root.certificate)
    assert try_out(ONE.chain, ONE.key, roots).authorities == roots


async def test_a_change_is_taken_once_it_stands_still(tmp_path: Path) -> None:
    ONE.write(tmp_path)
    pair, _ = followed(tmp_path)
    await pair.load()
    TWO.write(tmp_path)
    await pair.look()
    assert pair.pair.chain == ONE.chain
    await pair.look()
    assert pair.pair.chain == TWO.chain


@pytest.mark.attack(16)
@pytest.mark.parametrize("bad", ["key", "gone", "expired", "early"])
async def test_a_bad_pair_leaves_the_one_before_it_in_force(tmp_path: Path, bad: str) -> None:
    ONE.write(tmp_path)
    pair, _ = followed(tmp_path)
    await pair.load()
    match bad:
        case "key":
            (tmp_path / "privkey.pem").write_bytes(TWO.key)
        case "gone":
            (tmp_path / "privkey.pem").unlink()
        case "expired":
            issue("old.test", -100).write(tmp_path)
        case "early":
            issue("new.test", 100).write(tmp_path)
    with structlog.testing.capture_logs() as logs:
        for _ in range(4):
            await pair.look()
    assert [it["event"] for it in logs] == ["certificate not taken; what was in force stays"]
    assert pair.pair.chain == ONE.chain
    TWO.write(tmp_path)
    assert await pair.reload("a test")
    assert pair.pair.chain == TWO.chain


async def test_the_first_one_is_served_though_it_is_out_of_time(tmp_path: Path) -> None:
    issue("old.test", -100).write(tmp_path)
    pair, _ = followed(tmp_path)
    with structlog.testing.capture_logs() as logs:
        await pair.load()
    assert [it["event"] for it in logs] == ["certificate out of time"]


async def test_a_first_one_that_cannot_be_used_is_no_start(tmp_path: Path) -> None:
    pair, _ = followed(tmp_path)
    with pytest.raises(BadCertificate, match=r"fullchain\.pem: No such file"):
        await pair.load()


async def test_its_end_is_told_each_day(tmp_path: Path) -> None:
    issue("short.test", -1, 20).write(tmp_path)
    pair, clock = followed(tmp_path)
    with structlog.testing.capture_logs() as logs:
        await pair.load()
        for _ in range(30):
            clock.move(DAY_S)
            await pair.look()
            await pair.look()
    told = [it["event"] for it in logs]
    assert told.count("certificate in force") == 1
    assert told.count("certificate ends soon") == 14
    assert told.count("certificate out of time") == 11


async def test_sighup_reads_it_again_and_a_change_of_the_authorities_too(tmp_path: Path) -> None:
    ONE.write(tmp_path)
    roots = tmp_path / "roots.pem"
    roots.write_bytes(pem(authority().root.certificate))
    pair, clock = followed(tmp_path, roots)
    clock.waits = True
    await pair.load()
    async with pair.following(), asyncio.timeout(60):
        TWO.write(tmp_path)
        pair.reload_soon()
        while pair.pair.chain != TWO.chain:
            await asyncio.sleep(0)
        roots.write_bytes(pem(authority().intermediate.certificate))
        while pair.pair.authorities != roots.read_bytes():
            clock.move(5)
            await asyncio.sleep(0.001)

"""The audit at work: acts are durable before their reply, logins soon, a flood is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pop3_service.domain.account import AccountName
from pop3_service.domain.audit import OK, ActorKind, AuditEntry, LoginEvent, Via, describe
from pop3_service.domain.audit_log import AuditFilter, AuditHead
from pop3_service.domain.errors import AccountExists, StoreUnavailable
from pop3_service.storage.audit import FILE
from pop3_service.supervisor.defence.audit import (
    DAY_S,
    EXPIRY_S,
    HEAD_FILE,
    HEAD_S,
    MOST_GROUPS,
    MOST_WAITING,
    WATCHER_ENTRIES,
    AuditDesk,
)
from pop3_service.supervisor.defence.refusals import (
    MOST_CALLERS,
    NAMED,
    ONE_MORE_NAMED_S,
    ONE_MORE_S,
    OTHERS,
    TOGETHER_S,
    WRITTEN,
)
from pop3_service.supervisor.defence.refusals import MOST_GROUPS as MOST_REFUSAL_GROUPS
from pop3mgmt.reasons import Reason
from unit.pop3_service.clock import FakeClock

ALL = AuditFilter()


class Kept:
    """A desk over a folder, with what it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.clock.waits = True
        self.days = 0
        self.desk = self.another()

    def another(self) -> AuditDesk:
        return AuditDesk(self.folder, self.folder / "audit.key", lambda: self.days, self.clock)

    @contextlib.asynccontextmanager
    async def restarted(self) -> AsyncIterator[AuditDesk]:
        desk = self.another()
        async with desk.running():
            yield desk

    def act(self, number: int = 1) -> AuditEntry:
        return AuditEntry(self.clock.now().timestamp(), "accounts.create", target=f"u{number}")

    def login(self, number: int = 1, reason: str = "") -> LoginEvent:
        name = f"u{number}"
        return LoginEvent(self.clock.now().timestamp(), name, "192.0.2.1:5", "PASS", "", reason)

    def change(self, statement: str) -> None:
        with sqlite3.connect(self.folder / FILE) as connection:
            connection.execute(statement)
        connection.close()

    def fail(self) -> None:
        self.change("CREATE TRIGGER t BEFORE INSERT ON batches"
                    " BEGIN SELECT RAISE(ABORT, 'disk full'); END")  # fmt: skip

    def mend(self) -> None:
        self.change("DROP TRIGGER t")

    def on_disk(self) -> list[str]:
        """What another process finds in the file."""
        connection = sqlite3.connect(self.folder / FILE)
        rows = connection.execute("SELECT target FROM entries ORDER BY sequence").fetchall()
        connection.close()
        return [row[0] for row in rows]


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    kept = Kept(tmp_path)
    async with kept.desk.running():
        yield kept


async def test_an_act_is_durable_when_it_is_answered(kept: Kept) -> None:
    assert await kept.desk.record(kept.act(1)) == 1
    assert kept.on_disk() == ["u1"]


async def test_acts_at_the_same_time_each_have_their_entry(kept: Kept) -> None:
    numbers = await asyncio.gather(*(kept.desk.record(kept.act(it)) for it in range(50)))
    assert sorted(numbers) == list(range(1, 51))
    assert sorted(kept.on_disk()) == sorted(f"u{it}" for it in range(50))
    assert (await kept.desk.verify()).damage == ()


async def test_logins_are_written_without_anybody_asking(kept: Kept) -> None:
    seen = kept.desk.watch(ALL)
    assert await anext(seen) is None
    kept.desk.note_logins([kept.login(1), kept.login(2)])
    async with asyncio.timeout(60):
        found = [await anext(seen) for _ in range(2)]
    assert [it[0].actor for it in found if it] == ["u1", "u2"]
    await seen.aclose()  # type: ignore[attr-defined]


async def test_what_waits_at_a_clean_stop_is_written(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    async with kept.desk.running():
        kept.desk.note_logins([kept.login(1)])
        kept.desk.note(kept.act(2))
    async with kept.restarted() as desk:
        assert len(await desk.newest(ALL)) == 2
        assert (await desk.verify()).damage == ()


async def test_an_account_finds_its_own_logins(kept: Kept) -> None:
    kept.desk.note_logins([kept.login(1), kept.login(2), kept.login(1, "X")])
    await kept.desk.flush()
    await kept.desk.record(AuditEntry(5.0, "accounts.create", "u1", ActorKind.ACCOUNT))
    await kept.desk.record(AuditEntry(6.0, "login.grpc", "u1", ActorKind.ACCOUNT))
    found = await kept.desk.logins_of("u1", 10)
    assert [(it.action, it.outcome) for it in found] == [
        ("login.grpc", OK), ("login.pop3", "X"), ("login.pop3", OK),
    ]  # fmt: skip
    assert await kept.desk.logins_of("u1", 1) == found[:1]


async def test_an_act_that_cannot_be_written_fails_and_the_next_is_not_even_done(
    kept: Kept,
) -> None:
    await kept.desk.ready()
    kept.fail()
    with pytest.raises(StoreUnavailable, match="the audit cannot be written"):
        await kept.desk.record(kept.act())
    with pytest.raises(StoreUnavailable):
        await kept.desk.ready()
    kept.desk.note_logins([kept.login(it) for it in range(7)])
    await kept.desk.flush()
    kept.mend()
    await kept.desk.ready()
    dropped, resumed = (await kept.desk.newest(ALL))[:2]
    assert {dropped.action, resumed.action} == {"audit.drop", "audit.resume"}
    counts = {it.action: it.count for it in (dropped, resumed)}
    assert counts["audit.drop"] == 7
    assert (await kept.desk.verify()).damage == ()


async def test_a_fault_of_ours_leaves_nobody_waiting(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fault(*_: object) -> None:
        raise RuntimeError("a fault")

    with monkeypatch.context() as patched:
        patched.setattr(kept.desk._store, "append", fault)
        with pytest.raises(StoreUnavailable):
            await kept.desk.record(kept.act())
    assert await kept.desk.record(kept.act()) > 0


async def test_a_login_by_the_accounts_own_name_is_kept(kept: Kept) -> None:
    """Where all is one process, the name comes as the account has it."""
    kept.desk.note_logins([kept.login(1)._replace(account=AccountName("ana"))])
    await kept.desk.flush()
    [found] = await kept.desk.logins_of("ana", 10)
    assert found.actor == "ana"


@pytest.mark.attack(59, "audit")
async def test_more_than_can_be_written_is_counted(kept: Kept) -> None:
    kept.desk.note_logins([kept.login(it % 10) for it in range(MOST_WAITING)])
    for _ in range(5):
        kept.desk.note_logins([kept.login(1)] * 1000)
    kept.desk.note(kept.act())
    await kept.desk.flush()
    [dropped] = await kept.desk.newest(AuditFilter(action="audit.drop"))
    assert dropped.count == 5001
    assert len(kept.on_disk()) == MOST_WAITING + 1


async def test_a_slow_watcher_is_told_how_many_it_missed(kept: Kept) -> None:
    seen = kept.desk.watch(AuditFilter(action="login"))
    assert await anext(seen) is None
    kept.desk.note_logins([kept.login(it) for it in range(WATCHER_ENTRIES + 3)])
    await kept.desk.record(kept.act())
    await kept.desk.flush()
    first = await anext(seen)
    assert first is not None
    assert (first[0].actor, first[1]) == ("u3", 3)
    second = await anext(seen)
    assert second is not None
    assert second[1] == 0
    await seen.aclose()  # type: ignore[attr-defined]


async def test_an_act_of_the_service_says_what_it_was(kept: Kept) -> None:
    async with kept.desk.acting("server.update_settings", Via.COMMAND_LINE):
        describe(target="apop", before={"apop": False}, after={"apop": True})
    with contextlib.suppress(AccountExists):
        async with kept.desk.acting("accounts.bootstrap", Via.START):
            describe(target="default")
            raise AccountExists("default")
    async with kept.desk.acting("accounts.bootstrap", Via.START):
        pass  # nothing was done
    refused, done = await kept.desk.newest(ALL)
    assert (done.via, done.actor_kind, done.outcome) == (Via.COMMAND_LINE, ActorKind.SERVICE, OK)
    assert (done.before, done.after) == ({"apop": False}, {"apop": True})
    assert refused.outcome == Reason.ACCOUNT_EXISTS.value


async def test_mail_that_expired_is_told(kept: Kept) -> None:
    kept.desk.note_expiry("ana", 30, 2, 1000)
    await kept.desk.record_own("service.stop")
    stopped, expired = sorted(await kept.desk.newest(ALL), key=lambda it: it.action, reverse=True)
    assert stopped.action == "service.stop"
    assert (expired.action, expired.target) == ("maildrop.expire", "ana")
    assert expired.after == {"removed_messages": 2, "removed_bytes": 1000, "days": 30}


# --- head, key and retention --------------------


async def until_it_sleeps(kept: Kept, times: int) -> None:
    async with asyncio.timeout(60):
        while len(kept.clock.slept) < times:
            await asyncio.sleep(0)


def kept_head(kept: Kept) -> AuditHead:
    return AuditHead.parse((kept.folder / HEAD_FILE).read_text().partition(" ")[0])


async def test_the_head_is_kept_each_minute_and_at_the_stop(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    async with kept.desk.running(), kept.desk.looked_after():
        await until_it_sleeps(kept, 1)
        assert not (tmp_path / HEAD_FILE).exists()
        await kept.desk.record(kept.act())
        kept.clock.move(HEAD_S)
        await until_it_sleeps(kept, 2)
        assert kept_head(kept).batch == 1
        await kept.desk.record(kept.act())
    assert kept_head(kept).batch == 2
    assert (tmp_path / HEAD_FILE).stat().st_mode & 0o777 == 0o600


async def test_a_cut_end_is_found_at_the_next_start_and_by_verify(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    async with kept.desk.running():
        for number in range(3):
            await kept.desk.record(kept.act(number))
    head = kept_head(kept)
    kept.change("DELETE FROM entries WHERE sequence = 3")
    kept.change("DELETE FROM batches WHERE number = 3")
    async with kept.restarted() as desk:
        [told] = await desk.newest(AuditFilter(action="audit.check"))
        assert told.outcome == Reason.STORE_UNAVAILABLE.value
        assert told.before == {"head": str(head)}
        [damage] = (await desk.verify()).damage
        assert damage.batch == 3


async def test_a_head_that_others_wrote_does_not_count(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    async with kept.desk.running():
        await kept.desk.record(kept.act())
    for text in (f"99:{'0' * 64} {'0' * 64}", "nonsense", "²", ""):
        (tmp_path / HEAD_FILE).write_text(text)
        async with kept.restarted() as desk:
            assert await desk.newest(AuditFilter(action="audit.check")) == []
    (tmp_path / HEAD_FILE).write_bytes(b"\xff")
    async with kept.restarted() as desk:
        assert (await desk.verify()).damage == ()


async def test_a_chain_without_its_key_is_refused(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    async with kept.desk.running():
        await kept.desk.record(kept.act())
    key = tmp_path / "audit.key"
    key.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable, match=r"audit\.key is gone"):
        async with kept.restarted():
            pass
    key.write_text("00" * 32)
    key.chmod(0o644)
    with pytest.raises(StoreUnavailable, match="others may read it"):
        async with kept.restarted():
            pass
    key.chmod(0o600)
    with pytest.raises(StoreUnavailable, match="another key"):
        async with kept.restarted():
            pass
    (tmp_path / "elsewhere").rename(key)
    async with kept.restarted() as desk:
        assert (await desk.verify()).damage == ()


async def test_old_entries_go_by_the_setting(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    async with kept.desk.running(), kept.desk.looked_after():
        await until_it_sleeps(kept, 1)
        for number in range(3):
            await kept.desk.record(kept.act(number))
        kept.days = 2
        for number in range(3):  # so that no clock seems to have been put ahead
            kept.clock.move(DAY_S)
            await until_it_sleeps(kept, number + 2)
        await kept.desk.flush()
        [told] = await kept.desk.newest(AuditFilter(action="audit.expire"))
        assert told.after == {"removed_count": 2, "days": 2}  # the last batch stays
        found = await kept.desk.verify()
        assert (found.damage, found.checkpoint and found.checkpoint.removed) == ((), 2)


async def test_a_clock_that_was_put_ahead_removes_nothing_for_an_hour(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.days = 1
    async with kept.desk.running(), kept.desk.looked_after():
        await until_it_sleeps(kept, 1)
        for number in range(3):
            await kept.desk.record(kept.act(number))
        kept.clock.ahead_s = 10 * DAY_S
        kept.clock.move(EXPIRY_S)
        await until_it_sleeps(kept, 2)
        assert len(kept.on_disk()) == 3
        kept.clock.move(EXPIRY_S)
        await until_it_sleeps(kept, 3)
        assert len(kept.on_disk()) == 2  # the last batch, and what says that the others went


@pytest.mark.attack(59, "audit")
async def test_a_flood_of_refused_acts_is_put_together(kept: Kept) -> None:
    for number in range(300):
        kept.desk.note(replace(kept.act(number), outcome="X", address=f"192.0.2.{number % 250}"))
    kept.desk.note(kept.act(300))
    await kept.desk.flush()
    found = await kept.desk.newest(ALL, limit=1000)
    assert len(found) == MOST_GROUPS + 2
    assert sum(it.count for it in found) == 301
    assert {it.target for it in found if it.count > 1} == {""}


# --- refusals of callers who are known --------------------


def refused(kept: Kept, number: int = 0, **other: Any) -> AuditEntry:
    made = replace(kept.act(number), actor="ana", actor_kind=ActorKind.ACCOUNT, outcome="X")
    return replace(made, **other)


def counted(kept: Kept, times: int, **other: Any) -> int:
    return [kept.desk.counts(refused(kept, **other)) for _ in range(times)].count(True)


async def test_so_many_refusals_of_a_caller_are_told_each_and_more_are_counted(
    kept: Kept,
) -> None:
    assert counted(kept, WRITTEN + 5) == 5
    assert counted(kept, WRITTEN, actor="eva") == 0  # another caller
    assert counted(kept, WRITTEN, token="ci") == 0
    kept.clock.move(2 * ONE_MORE_S)
    assert counted(kept, 3) == 1
    kept.clock.move(1000 * ONE_MORE_S)
    assert counted(kept, WRITTEN + 1) == 1


@pytest.mark.attack(59, "audit")
async def test_what_was_counted_is_told_with_how_many_and_when(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    async with kept.desk.running(), kept.desk.looked_after():
        await until_it_sleeps(kept, 1)
        counted(kept, WRITTEN)
        counted(kept, 3)
        kept.clock.move(HEAD_S)
        await until_it_sleeps(kept, 2)
        kept.desk.counts(refused(kept, 7))  # one that the time since has given
        kept.desk.counts(refused(kept, 7))
        await kept.desk.flush()
        assert await kept.desk.newest(ALL) == []
        first = kept.clock.now() - timedelta(seconds=HEAD_S)
        kept.clock.move(TOGETHER_S)
        await until_it_sleeps(kept, 3)
        await kept.desk.flush()
        [told] = await kept.desk.newest(ALL)
        last = first + timedelta(seconds=HEAD_S)
        assert (told.actor, told.action, told.outcome) == ("ana", "accounts.create", "X")
        assert (told.count, told.target) == (4, "")
        assert told.after == {"first_time": first.isoformat(), "last_time": last.isoformat()}
        assert (await kept.desk.verify()).damage == ()


async def test_what_was_counted_is_told_at_a_clean_stop(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    async with kept.desk.running():
        counted(kept, WRITTEN + 5)
    async with kept.restarted() as desk:
        [told] = await desk.newest(ALL)
        assert (told.count, told.target) == (5, "u0")


@pytest.mark.attack(59, "audit")
async def test_a_caller_who_is_refused_in_many_ways_fills_nothing_either(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    async with kept.desk.running():
        counted(kept, WRITTEN)
        for number in range(500):
            assert kept.desk.counts(refused(kept, number, address=f"192.0.2.{number % 250}"))
    async with kept.restarted() as desk:
        found = await desk.newest(ALL, limit=1000)
        assert len(found) == MOST_REFUSAL_GROUPS + 1
        assert sum(it.count for it in found) == 500
        [others] = [it for it in found if it.action == OTHERS]
        assert (others.actor, others.address, others.target) == ("ana", "", "")


async def test_callers_are_kept_apart_up_to_a_bound(kept: Kept) -> None:
    assert counted(kept, WRITTEN + 1) == 1
    for number in range(MOST_CALLERS):
        counted(kept, 1, actor=f"u{number}")
    # Who has something to be written is not forgotten for another.
    assert counted(kept, 1) == 1


async def test_beyond_the_bound_callers_are_counted_together(kept: Kept) -> None:
    for number in range(MOST_CALLERS):
        assert counted(kept, WRITTEN + 1, actor=f"u{number}") == 1
    assert counted(kept, WRITTEN) == 0
    assert counted(kept, 1, actor="eva") == 1


# --- refusals of strangers --------------------


@pytest.mark.attack(59, "audit")
async def test_a_crowd_that_guesses_for_long_fills_no_disk(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    rounds, each = 100, 60
    async with kept.desk.running(), kept.desk.looked_after():
        await until_it_sleeps(kept, 1)
        for number in range(rounds):
            events = [kept.login(number * each + it, "INVALID_CREDENTIALS") for it in range(each)]
            kept.desk.note_logins([*events, kept.login(7)])
            kept.desk.note(replace(kept.act(number), outcome="X", address=f"a{number}"))
            await kept.desk.flush()
            kept.clock.move(0.1)
        kept.clock.move(HEAD_S)
        await until_it_sleeps(kept, 2)
        await kept.desk.flush()
        found = await kept.desk.newest(ALL, limit=10_000)
        logins = [it for it in found if it.action == "login.pop3"]
        refusals = [it for it in found if it.outcome != OK]
        assert [it.outcome for it in logins].count(OK) == rounds  # who may come in is told, always
        assert sum(it.count for it in refusals) == rounds * (each + 1)
        # Those with names, what of each batch had none before, and two that were counted.
        assert len(refusals) <= NAMED + rounds * 0.1 / ONE_MORE_NAMED_S + rounds + 2
        [guessed] = [it for it in logins if "first_time" in it.after]
        assert (guessed.actor, guessed.address, guessed.via) == ("", "", Via.POP3)
        assert guessed.count > 4000
        assert (await kept.desk.verify()).damage == ()
        # After a while the next are told by their names again.
        kept.desk.note_logins([kept.login(3, "INVALID_CREDENTIALS")])
        await kept.desk.flush()
        assert (await kept.desk.newest(ALL, limit=1))[0].actor == "u3"


async def test_what_was_counted_of_strangers_is_told_at_a_clean_stop(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    async with kept.desk.running():
        kept.desk.note_logins([kept.login(it, "INVALID_CREDENTIALS") for it in range(NAMED + 9)])
    async with kept.restarted() as desk:
        found = await desk.newest(ALL, limit=2000)
        assert sum(it.count for it in found) == NAMED + 9
        assert found[0].count == 9

"""The audit's database: what is written is read, and what others change is found."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from pop3_service.domain.audit import OK, ActorKind, AuditEntry, LoginEvent, Via
from pop3_service.domain.audit_log import REFUSED, AuditFilter, AuditHead, Verification
from pop3_service.domain.errors import InvalidArgument, StoreUnavailable
from pop3_service.storage.audit import FILE, REFUSALS_A_BATCH, AuditStore
from pop3_service.storage.audit_rows import MAX_DETAIL, MIGRATIONS
from pop3mgmt.reasons import Reason

KEY = bytes(range(32))
ALL = AuditFilter()
WRONG = Reason.INVALID_CREDENTIALS.value


def act(number: int, **more: object) -> AuditEntry:
    values = {"action": "accounts.create", "actor": "default", "actor_kind": ActorKind.ACCOUNT}
    return AuditEntry(1000.0 + number, **(values | {"target": f"u{number}"} | more))  # type: ignore[arg-type]


def login(number: int, account: str = "ana", reason: str = "") -> LoginEvent:
    peer = f"192.0.2.{number % 250}:5"
    return LoginEvent(2000.0 + number, account, peer, "PLAIN", "TLSv1.3", reason)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[AuditStore]:
    opened = await AuditStore.open(tmp_path, KEY)
    yield opened
    await opened.close()


async def filled(store: AuditStore) -> AuditHead:
    """Batches 1 and 2: acts 1 and 2; batch 3: logins 3 to 7; batch 4: act 8. Give the head."""
    await store.append([act(1), act(2)], [], 10.0)
    await store.append([], [login(number) for number in range(5)], 20.0)
    await store.append([act(8)], [], 30.0)
    return store.head


def change(folder: Path, *statements: str) -> None:
    """Change the file as somebody without the key could."""
    with sqlite3.connect(folder / FILE) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


async def test_an_entry_is_read_back_as_it_was_written(store: AuditStore) -> None:
    written = act(
        1,
        token="ci",
        address="2001:db8::1",
        via=Via.SCMP,
        outcome=Reason.ACCOUNT_EXISTS.value,
        before={"role": "user", "limits": [1, None]},
        after={"name": "señor"},
    )
    await store.append([written], [], 1.0)
    [read] = await store.newest(ALL, 0, 10)
    assert read == AuditEntry(**{name: getattr(written, name) for name in written.__slots__}
                              | {"sequence": 1})  # fmt: skip


async def test_an_audit_without_entries_is_whole(store: AuditStore) -> None:
    assert await store.count() == 0
    assert await store.newest(ALL, 0, 10) == []
    assert (await store.verify()).damage == ()


async def test_a_login_says_how_and_where_from(store: AuditStore) -> None:
    events = [
        LoginEvent(1.25, "ana", "[2001:db8::1]:995", "PASS", "TLSv1.3 x", "", "phone"),
        LoginEvent(2.5, "a\r\nb", "192.0.2.1:5", "PASS", "", WRONG),
    ]
    await store.append([], events, 3.0)
    refused, there = await store.newest(ALL, 0, 10)
    assert (there.time_s, there.actor, there.actor_kind) == (1.25, "ana", ActorKind.ACCOUNT)
    assert (there.action, there.via, there.address) == ("login.pop3", Via.POP3, "2001:db8::1")
    assert there.outcome == OK
    assert there.after == {"mechanism": "PASS", "tls": "TLSv1.3 x", "app_password": "phone"}
    assert (refused.actor, refused.actor_kind) == (r"a\r\nb", ActorKind.NOBODY)
    assert (refused.outcome, refused.after) == (WRONG, {"mechanism": "PASS"})


async def test_refusals_that_are_alike_are_one_entry_with_a_count(store: AuditStore) -> None:
    events = [login(1, "ana", WRONG)] * 3 + [login(1, "eva", WRONG), login(1), login(1)]
    await store.append([], events, 1.0)
    found = await store.newest(ALL, 0, 10)
    assert [(it.actor, it.outcome, it.count) for it in found] == [
        ("ana", OK, 1),
        ("ana", OK, 1),
        ("eva", WRONG, 1),
        ("ana", WRONG, 3),
    ]


@pytest.mark.attack(59, "audit")
async def test_a_flood_of_refusals_is_counted_and_not_stored_one_by_one(store: AuditStore) -> None:
    events = [login(number, f"guess{number}", WRONG) for number in range(5000)]
    await store.append([], events, 1.0)
    found = await store.newest(ALL, 0, 10_000)
    assert len(found) == REFUSALS_A_BATCH + 1
    assert sum(it.count for it in found) == 5000
    assert (found[0].actor, found[0].address) == ("", "")


async def test_what_is_too_long_is_left_out_and_said_so(store: AuditStore) -> None:
    await store.append([act(1, target="x" * 1000, before={"a": "y" * MAX_DETAIL})], [], 1.0)
    [read] = await store.newest(ALL, 0, 10)
    assert len(read.target) == 300
    assert read.before == {"left_out_characters": MAX_DETAIL + 9}


FILTERS = [
    ALL,
    AuditFilter(actor="ana"),
    AuditFilter(action="login"),
    AuditFilter(action="accounts."),
    AuditFilter(action="acc%"),
    AuditFilter(target="u2"),
    AuditFilter(outcome=OK),
    AuditFilter(outcome=REFUSED),
    AuditFilter(outcome=WRONG),
    AuditFilter(address="192.0.2.3"),
    AuditFilter(since_s=1002.0),
    AuditFilter(until_s=1002.0),
    AuditFilter(since_s=1001.5, until_s=2003.0, actor="ana"),
]


@pytest.mark.parametrize("meant", FILTERS, ids=str)
async def test_a_filter_finds_the_same_in_the_file_and_in_a_stream(
    store: AuditStore, meant: AuditFilter
) -> None:
    await store.append([act(1), act(2, outcome=Reason.ACCOUNT_EXISTS.value)], [], 1002.1)
    logins = [login(number, "ana" if number % 2 else "eva") for number in range(6)]
    await store.append([], [*logins, login(6, "ana", WRONG)], 2006.0)
    everything = await store.newest(ALL, 0, 100)
    assert len(everything) == 9
    found = await store.newest(meant, 0, 100)
    assert found == [it for it in everything if meant.meets(it)]
    assert (found != everything) == (meant != ALL)
    if found:
        assert await store.newest(meant, found[0].sequence, 1) == found[1:2]


async def test_the_newest_logins_of_an_account_come_from_an_index(
    store: AuditStore, tmp_path: Path
) -> None:
    await filled(store)
    query = "EXPLAIN QUERY PLAN SELECT * FROM entries WHERE actor = ? ORDER BY sequence DESC"
    with sqlite3.connect(tmp_path / FILE) as connection:
        plan = str(connection.execute(query, ("ana",)).fetchall())
    connection.close()
    assert "entries_by_actor" in plan
    assert "B-TREE" not in plan


async def test_a_whole_chain_is_found_whole(store: AuditStore) -> None:
    head = await filled(store)
    found = await store.verify(head)
    assert found == Verification(4, 8, head, None)
    assert await store.count() == 8
    assert found.head.batch == 4
    assert str(AuditHead.parse(str(head))) == str(head)


async def test_a_chain_goes_on_after_a_restart(store: AuditStore, tmp_path: Path) -> None:
    head = await filled(store)
    await store.close()
    again = await AuditStore.open(tmp_path, KEY)
    assert again.head == head
    await again.append([act(9)], [], 40.0)
    found = await again.verify(head)
    assert (found.damage, found.entries) == ((), 9)
    assert await again.has(head)
    assert not await again.has(AuditHead(head.batch, bytes(32)))
    assert not await again.has(AuditHead(99, bytes(32)))
    await again.close()


COLUMN_CHANGES = {
    "sequence": "99",
    "batch": "2",
    "time_us": "time_us + 1",
    "action": "'accounts.delete'",
    "actor": "'eva'",
    "actor_kind": "'token'",
    "token": "'ci'",
    "address": "'198.51.100.1'",
    "via": "'scmp'",
    "target": "'x'",
    "outcome": "'ok '",
    "count": "2",
    "before": "'{}'",
    "after": "x'00'",
}


@pytest.mark.parametrize("sequence", [1, 5, 8])
@pytest.mark.parametrize("column", COLUMN_CHANGES)
async def test_a_changed_row_is_found(
    store: AuditStore, tmp_path: Path, column: str, sequence: int
) -> None:
    await filled(store)
    new = COLUMN_CHANGES[column]
    change(tmp_path, f'UPDATE entries SET "{column}" = {new} WHERE sequence = {sequence}')
    found = await store.verify()
    assert any(it.first_sequence <= sequence <= it.last_sequence for it in found.damage), found
    assert len({it.batch for it in found.damage} - {0}) == 1


async def test_text_written_as_octets_is_a_changed_row(store: AuditStore, tmp_path: Path) -> None:
    await store.append([act(1, target="YWJj")], [], 1.0)  # base64 of abc
    change(tmp_path, "UPDATE entries SET target = x'616263'")
    [damage] = (await store.verify()).damage
    assert damage.what == "an entry was changed"


Damaging = Callable[[Path], None]


def damaging(*statements: str) -> Damaging:
    return lambda folder: change(folder, *statements)


SWAP = (
    "UPDATE entries SET sequence = -1 WHERE sequence = 4",
    "UPDATE entries SET sequence = 4 WHERE sequence = 5",
    "UPDATE entries SET sequence = 5 WHERE sequence = -1",
)
COPY = "INSERT INTO entries SELECT {}, batch, time_us, action, actor, actor_kind, token, address," \
       " via, target, outcome, count, before, after FROM entries WHERE sequence = 1"  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "batch", "sequence", "what"),
    [
        (damaging("DELETE FROM entries WHERE sequence = 5"), 3, 5, "removed"),
        (damaging("DELETE FROM entries WHERE sequence = 1"), 1, 1, "removed"),
        (damaging(*SWAP), 3, 3, "changed"),
        (damaging(COPY.format(99)), 0, 99, "did not write"),
        (damaging(COPY.format(-5)), 0, -5, "did not write"),
        (
            damaging(
                "DELETE FROM entries WHERE batch = 2", "DELETE FROM batches WHERE number = 2"
            ),
            2, 2, "gone",
        ),
        (
            damaging(
                "DELETE FROM entries WHERE batch = 1", "DELETE FROM batches WHERE number = 1"
            ),
            1, 1, "gone",
        ),
        (damaging("UPDATE batches SET time_us = 0 WHERE number = 3"), 3, 3, "changed"),
        (damaging("UPDATE batches SET hash = zeroblob(32) WHERE number = 2"), 2, 2, "changed"),
        (damaging("UPDATE batches SET count = 900000000 WHERE number = 2"), 2, 2, "go on"),
        (
            damaging("INSERT INTO checkpoint VALUES (1, 1, zeroblob(32), 2, 1, 0, zeroblob(32))",
                     "DELETE FROM batches WHERE number = 1",
                     "DELETE FROM entries WHERE batch = 1"),
            1, 0, "checkpoint was changed",
        ),
    ],
)  # fmt: skip
async def test_damage_is_found_and_where(
    store: AuditStore, tmp_path: Path, damage: Damaging, batch: int, sequence: int, what: str
) -> None:
    await filled(store)
    damage(tmp_path)
    found = (await store.verify()).damage
    assert found
    assert (found[0].batch, found[0].first_sequence) == (batch, sequence)
    assert what in found[0].what


async def test_a_cut_end_is_found_by_the_head_that_was_told(
    store: AuditStore, tmp_path: Path
) -> None:
    head = await filled(store)
    change(tmp_path, "DELETE FROM entries WHERE batch = 4", "DELETE FROM batches WHERE number = 4")
    # The service that runs knows how far it had come.
    [known] = (await store.verify()).damage
    assert (known.batch, known.what) == (4, "the end is cut: the chain had come to this batch")
    await store.close()
    again = await AuditStore.open(tmp_path, KEY)
    assert (await again.verify()).damage == ()
    [told] = (await again.verify(head)).damage
    assert told.batch == 4
    await again.append([act(9)], [], 40.0)
    [other] = (await again.verify(head)).damage
    assert other.what == "it is not the batch that the expected head names"
    await again.close()


async def test_a_replaced_key_is_found_and_refused(store: AuditStore, tmp_path: Path) -> None:
    await filled(store)
    await store.close()
    with pytest.raises(StoreUnavailable, match="another key"):
        await AuditStore.open(tmp_path, bytes(32))
    change(tmp_path, "DELETE FROM key_check")  # who would have another key taken
    other = await AuditStore.open(tmp_path, bytes(32))
    damage = (await other.verify()).damage
    assert damage[0].first_sequence == 1
    assert len(damage) == 4
    await other.close()
    change(tmp_path, "DELETE FROM key_check")
    ours = await AuditStore.open(tmp_path, KEY)
    assert (await ours.verify()).damage == ()
    change(tmp_path, "UPDATE key_check SET mac = zeroblob(32)")
    [damage_] = (await ours.verify()).damage
    assert "key" in damage_.what
    await ours.close()


async def test_what_is_old_goes_and_a_signed_checkpoint_stays(
    store: AuditStore, tmp_path: Path
) -> None:
    head = await filled(store)
    assert await store.expire(20.0, 100.0) == 2
    assert await store.expire(20.0, 100.0) == 0
    found = await store.verify(head)
    assert (found.damage, found.entries) == ((), 6)
    assert found.checkpoint is not None
    assert (found.checkpoint.batch, found.checkpoint.removed) == (2, 2)
    assert await store.expire(1000.0, 101.0) == 5  # the last batch stays
    assert await store.has(AuditHead(1, bytes(32)))  # as far as anybody can tell
    found = await store.verify(head)
    assert (found.damage, found.entries) == ((), 1)
    assert [it.sequence for it in await store.newest(ALL, 0, 10)] == [8]
    await store.close()
    again = await AuditStore.open(tmp_path, KEY)
    await again.append([act(9)], [], 200.0)
    assert (await again.verify(head)).damage == ()
    await again.close()


CHECKPOINT = ("batch", "hash", "next_sequence", "removed", "time_us", "mac")


@pytest.mark.parametrize("column", CHECKPOINT)
async def test_a_changed_checkpoint_is_found(
    store: AuditStore, tmp_path: Path, column: str
) -> None:
    await filled(store)
    await store.expire(20.0, 100.0)
    new = "zeroblob(32)" if column in ("hash", "mac") else f"{column} + 1"
    change(tmp_path, f"UPDATE checkpoint SET {column} = {new}")
    assert (await store.verify()).damage[0].what == "the checkpoint was changed"
    with pytest.raises(StoreUnavailable, match="checkpoint"):
        await store.expire(1000.0, 100.0)


async def test_a_removed_checkpoint_is_found(store: AuditStore, tmp_path: Path) -> None:
    await filled(store)
    await store.expire(20.0, 100.0)
    change(tmp_path, "DELETE FROM checkpoint")
    assert "gone" in (await store.verify()).damage[0].what


async def test_entries_come_in_while_the_chain_is_looked_at(store: AuditStore) -> None:
    for number in range(30):
        await store.append([act(number)] * 40, [], float(number))
    looks = [asyncio.create_task(store.verify()) for _ in range(2)]
    for number in range(30):
        await store.append([act(number)], [], 100.0 + number)
        await store.expire(float(number), 200.0)
    for look in looks:
        assert (await look).damage == ()


async def test_what_cannot_be_written_is_not_there_at_all(
    store: AuditStore, tmp_path: Path
) -> None:
    head = await filled(store)
    change(tmp_path, "CREATE TRIGGER t BEFORE INSERT ON batches WHEN new.number > 5"
                     " BEGIN SELECT RAISE(ABORT, 'disk full'); END")  # fmt: skip
    with pytest.raises(StoreUnavailable, match="disk full"):
        await store.append([act(9), act(10)], [], 1.0)
    assert store.head == head
    change(tmp_path, "DROP TRIGGER t")
    await store.append([act(9), act(10)], [], 1.0)
    found = await store.verify()
    assert (found.damage, found.entries) == ((), 10)


async def test_entries_that_others_wrote_can_still_be_shown(
    store: AuditStore, tmp_path: Path
) -> None:
    await filled(store)
    change(tmp_path, "UPDATE entries SET actor_kind = 'x', via = 'y', before = '{', after = '[1]'")
    found = await store.newest(ALL, 0, 10)
    assert {(it.actor_kind, it.via) for it in found} == {(ActorKind.NOBODY, Via.SERVICE)}
    assert found[0].before == {"unreadable": "{"}
    assert found[0].after == {"unreadable": [1]}


async def test_the_file_is_its_owners_alone(store: AuditStore, tmp_path: Path) -> None:
    await filled(store)
    modes = {it.name: os.stat(it).st_mode & 0o777 for it in tmp_path.iterdir()}
    assert modes[FILE] == 0o600
    assert set(modes.values()) == {0o600}


async def test_a_file_that_is_damaged_or_not_ours_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / FILE
    for octets in (b"no database at all" * 100, None):
        if octets is None:
            path.unlink()
            change(tmp_path, "CREATE TABLE other (x)")
        else:
            path.write_bytes(octets)
        before = path.read_bytes()
        with pytest.raises(StoreUnavailable, match=r"audit\.db"):
            await AuditStore.open(tmp_path, KEY)
        assert path.read_bytes() == before


async def test_a_newer_file_is_refused(store: AuditStore, tmp_path: Path) -> None:
    await store.close()
    change(tmp_path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreUnavailable, match="newer version"):
        await AuditStore.open(tmp_path, KEY)


@pytest.mark.parametrize("text", ["", "1", "1:", ":" + "0" * 64, "1:" + "0" * 63, "x:" + "0" * 64,
                                  "-1:" + "0" * 64, "1:" + "g" * 64, "²:" + "0" * 64])  # fmt: skip
def test_a_head_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        AuditHead.parse(text)

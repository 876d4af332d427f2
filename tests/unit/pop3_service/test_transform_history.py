"""How much of the history of transforms is kept, and that nothing in use is ever cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pop3_service.domain.errors import InvalidArgument, NothingActive, TransformNotFound
from pop3_service.domain.rights import RoleName
from pop3_service.domain.subject import EVERYONE
from pop3_service.domain.transforms import MAX_NAMES, EndReason, Mode
from pop3_service.storage import transform_history
from support import database
from unit.pop3_service.test_store import account
from unit.pop3_service.test_transforms_desk import ANA, USERS, Desk

KEPT = 3


@pytest.fixture
async def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    for bound in ("KEPT_ACTIVATIONS", "KEPT_VERSIONS", "KEPT_DELETED"):
        monkeypatch.setattr(transform_history, bound, KEPT)
    store = await database.opened(tmp_path)
    await store.accounts.insert(account("ana", RoleName.USER), 10)
    yield Desk(store)
    await store.close()


async def versions(made: Desk, name: str = "clean") -> list[int]:
    return [it.version for it in (await made.desk.versions(name))[0]]


async def test_the_newest_versions_are_kept_and_the_others_counted(made: Desk) -> None:
    for number in range(1, 8):
        await made.set(f"tr a {number}")
        await made.set(f"tr b {number}", "other")
    assert await versions(made) == [7, 6, 5]
    assert await made.desk.removed_versions("clean") == 4
    assert await versions(made, "other") == [7, 6, 5]
    with pytest.raises(TransformNotFound):
        await made.desk.get("clean", 4)
    assert str(await made.set("cat")) == "clean@8"
    assert await made.desk.removed_versions("none-such") == 0


async def test_what_is_active_in_any_way_is_kept_with_what_was_before(made: Desk) -> None:
    for number in range(1, 5):
        await made.set(f"tr a {number}")
        if number == 1:
            await made.desk.activate("clean", "admin", version=1)
        if number == 2:
            await made.desk.activate("clean", "admin", version=2, mode=Mode.CANARY, share=10)
        if number == 3:
            await made.desk.activate("clean", "admin", version=3, subject=USERS, mode=Mode.SHADOW)
        if number == 4:
            await made.desk.activate("clean", "admin", version=4, subject=ANA)
    for number in range(20):
        await made.set(f"tr b {number}")
    assert await versions(made) == [24, 23, 22, 4, 3, 2, 1]
    assert await made.desk.removed_versions("clean") == 17
    _, now = await made.desk.roll_back(EVERYONE, "admin")
    assert now is not None
    assert str(now.activation.transform) == "clean@1"
    assert (await made.another().versions("clean"))[1] == 7


async def test_the_newest_activations_are_kept_and_the_others_counted(made: Desk) -> None:
    first = await made.set("cat")
    second = await made.set("wc")
    for _ in range(5):
        for version in (first, second):
            await made.desk.activate("clean", "admin", version=version.version)
    past, count = await made.desk.past()
    assert ([it.activation.id for it in past], count) == ([9, 8, 7], 3)
    assert await made.desk.removed_activations() == 6
    # Rolled back as far as is known, one after the other; then nothing is known.
    seen = []
    while True:
        _, now = await made.desk.roll_back(EVERYONE, "admin")
        if now is None:
            break
        seen.append(str(now.activation.transform))
    assert seen[:3] == ["clean@1", "clean@2", "clean@1"]
    assert len(seen) <= 5
    with pytest.raises(NothingActive):
        await made.desk.roll_back(EVERYONE, "admin")
    assert (await made.desk.past())[1] == KEPT


async def test_what_a_rollback_brings_back_is_kept_however_long_ago_it_was(made: Desk) -> None:
    await made.set("cat")
    await made.set("wc")
    await made.desk.activate("clean", "admin", version=1)
    await made.desk.activate("clean", "admin", version=2, mode=Mode.CANARY, share=10)
    await made.set("tr a b", "other")
    for _ in range(10):
        await made.desk.activate("other", "admin", subject=USERS)
        await made.desk.activate("other", "admin", subject=USERS, mode=Mode.SHADOW)
    assert [it.end.reason for it in (await made.desk.past())[0] if it.end] == (
        [EndReason.REPLACED] * (KEPT + 1)
    )
    desk = made.another()  # after a restart as well
    await desk.load()
    _, now = await desk.roll_back(EVERYONE, "admin")
    assert now is not None
    assert (str(now.activation.transform), now.activation.inherits) == ("clean@1", True)


async def test_versions_without_a_name_are_kept_as_long_as_what_they_were_active_by(
    made: Desk,
) -> None:
    for number in range(20):
        await made.desk.use_command_line(f"tr a {number}", "admin")
    # The one in force, what the oldest that is kept came in place of, and one until the next cut.
    assert await versions(made, "") == [20, 19, 18, 17, 16, 15]
    assert await made.desk.removed_versions("") == 14


async def test_of_deleted_versions_the_newest_are_kept(made: Desk) -> None:
    for name in ("a", "b", "c", "d", "e"):
        await made.set("cat", name)
        await made.desk.delete(name, "admin")
    # The number of one that is known is not given again.
    assert str(await made.set("cat", "e")) == "e@2"
    async with made.store._engine.begin() as connection:
        rows = await connection.exec_driver_sql("select name from transforms order by id")
        assert [row.name for row in rows] == ["c", "d", "e", "e"]


async def test_there_are_so_many_names_and_no_more(made: Desk) -> None:
    await made.set("cat", "first")
    async with made.store._engine.begin() as connection:  # as many sets would leave it
        await connection.exec_driver_sql(
            f"with recursive n(i) as (select 2 union all select i + 1 from n where i < {MAX_NAMES})"
            " insert into transforms (name, version, command_line, programs, on_failure, note,"
            " created_by, create_time) select 'n' || i, 1, command_line, programs, on_failure,"
            " note, created_by, create_time from transforms, n"
        )
    with pytest.raises(InvalidArgument, match="1000 transforms already"):
        await made.set("wc", "another")
    assert str(await made.set("wc", "first")) == "first@2"
    await made.desk.use_command_line("wc", "admin")  # has none
    await made.desk.delete("n2", "admin")
    assert str(await made.set("wc", "another")) == "another@1"

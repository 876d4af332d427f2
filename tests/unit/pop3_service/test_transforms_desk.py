"""Transforms: versions that stay, what is active for whom, canaries that are given up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pop3_service.domain.account import Principal
from pop3_service.domain.errors import (
    AccountNotFound,
    InvalidArgument,
    NothingActive,
    RoleNotFound,
    ServiceUnavailable,
    StoreUnavailable,
    TransformInUse,
    TransformInvalid,
    TransformNotFound,
)
from pop3_service.domain.rights import RoleName
from pop3_service.domain.session import SessionEvent, SessionEventKind
from pop3_service.domain.settings import Settings
from pop3_service.domain.subject import EVERYONE, Scope, Subject
from pop3_service.domain.transforms import (
    MAX_CANARY_ACCOUNTS,
    Activation,
    ActiveTransforms,
    EndReason,
    Mode,
    OnFailure,
    Transform,
    TransformCount,
    TransformTable,
)
from pop3_service.storage.store import Store
from pop3_service.storage.transform_history import KEPT_VERSIONS
from pop3_service.supervisor.identity.roles import RolesDesk
from pop3_service.supervisor.transforms.versions import TransformsDesk
from support import database
from unit.pop3_service.clock import FakeClock
from unit.pop3_service.test_store import account

USERS = Subject(Scope.ROLE, RoleName.USER)
ANA = Subject(Scope.ACCOUNT, "ana")
ADMIN = Principal.system("admin")
REFUSE = OnFailure.REFUSE


class Desk:
    """A desk, and what it asked and told others."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = FakeClock()
        self.tables: list[TransformTable] = []
        self.tried: list[str] = []
        self.events: asyncio.Queue[SessionEvent] = asyncio.Queue()
        self.failure: Exception | None = None
        self.may_try = asyncio.Event()
        self.may_try.set()
        self.desk = self.another()

    def another(self) -> TransformsDesk:
        """The same after a restart."""
        desk = TransformsDesk(
            self.store.transforms, self.store.accounts, Settings, self._try, self._apply, self.clock
        )
        desk.publish = self.events.put_nowait
        return desk

    async def _try(self, command_line: str, settings: Settings) -> None:
        self.tried.append(command_line)
        await self.may_try.wait()
        if self.failure is not None:
            raise self.failure

    async def _apply(self, table: TransformTable) -> None:
        self.tables.append(table)

    async def set(self, command_line: str, name: str = "clean") -> Transform:
        return await self.desk.set(name, command_line, REFUSE, "", "admin")

    def chosen(self, name: str = "ana", role: str = RoleName.USER) -> str:
        """What the workers would pass an account's mail through."""
        found = ActiveTransforms(self.tables[-1]).choose(name, role)
        return str(found.transform) + (f" beside {found.shadow}" if found.shadow else "")


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Desk]:
    store = await database.opened(tmp_path)
    for name in ("ana", "eva"):
        await store.accounts.insert(account(name, RoleName.USER), 10)
    yield Desk(store)
    await store.close()


# --- versions --------------------


async def test_each_setting_makes_the_next_version_and_changes_none(made: Desk) -> None:
    first = await made.set("cat | tr a b")
    made.clock.move(1)
    second = await made.desk.set("clean", " wc ", OnFailure.ORIGINAL, " a note ", "eva")
    assert (str(first), str(second)) == ("clean@1", "clean@2")
    assert first.programs == (("cat",), ("tr", "a", "b"))
    assert (second.command_line, second.note, second.created_by) == ("wc", "a note", "eva")
    assert made.tried == ["cat | tr a b", "wc"]
    assert await made.desk.get("clean") == second
    assert await made.desk.get("clean", 1) == first
    assert await made.desk.versions("clean") == ([second, first], 2)
    assert await made.desk.versions("clean", 1, 1) == ([first], 2)
    assert made.tables == []  # none of it is active


async def test_what_says_the_same_is_no_new_version(made: Desk) -> None:
    first = await made.set("cat")
    assert await made.set("cat") == first
    assert (await made.desk.set("clean", "cat", REFUSE, "why", "admin")).version == 2
    assert (await made.desk.set("clean", "cat", OnFailure.ORIGINAL, "why", "admin")).version == 3


async def test_the_latest_versions_are_listed_in_order_of_name(made: Desk) -> None:
    for name in ("b", "a", "c", "b"):
        await made.set(f"tr {name} {len(made.tried)}", name)
    await made.desk.use_command_line("wc", "admin")  # has no name
    found, count = await made.desk.list()
    assert ([str(it) for it in found], count) == (["a@1", "b@2", "c@1"], 3)
    found, count = await made.desk.list("a", 1)
    assert ([str(it) for it in found], count) == (["b@2"], 3)


@pytest.mark.parametrize("name", ["", "Clean", "CLEAN", "none", "a b", "clean@1"])
async def test_a_name_that_cannot_be_one_is_refused(made: Desk, name: str) -> None:
    await made.set("cat")
    with pytest.raises(InvalidArgument):
        await made.set("cat", name)
    with pytest.raises(TransformNotFound):
        await made.desk.delete(name, "admin")
    assert made.tried == ["cat"]


async def test_a_note_that_cannot_be_one_is_refused_before_anything_is_tried(made: Desk) -> None:
    with pytest.raises(InvalidArgument):
        await made.desk.set("clean", "cat", REFUSE, "a\nb", "admin")
    assert made.tried == []


@pytest.mark.parametrize("command_line", ["", " ", "cat |", "no-such-program", "cat | /etc", "a>b"])
async def test_what_cannot_be_run_is_no_version(made: Desk, command_line: str) -> None:
    with pytest.raises(TransformInvalid):
        await made.set(command_line)
    assert await made.desk.list() == ([], 0)
    assert made.tried == []


async def test_what_fails_on_a_sample_is_no_version(made: Desk) -> None:
    made.failure = TransformInvalid("it failed")
    with pytest.raises(TransformInvalid):
        await made.set("false")
    with pytest.raises(TransformInvalid):
        await made.desk.use_command_line("false", "admin")
    assert (await made.desk.versions(""))[1] == 0
    assert made.tables == []


async def test_a_deleted_transform_is_gone_and_its_numbers_are_not_given_again(made: Desk) -> None:
    await made.set("cat")
    await made.set("wc")
    assert await made.desk.delete("clean", "admin") == 2
    for call in (made.desk.get("clean"), made.desk.get("clean", 1), made.desk.versions("clean")):
        with pytest.raises(TransformNotFound):
            await call
    with pytest.raises(TransformNotFound):
        await made.desk.delete("clean", "admin")
    assert str(await made.set("cat")) == "clean@3"


async def test_what_is_active_cannot_be_deleted(made: Desk) -> None:
    await made.set("cat")
    await made.desk.activate("clean", "admin")
    with pytest.raises(TransformInUse, match="active for everyone"):
        await made.desk.delete("clean", "admin")
    await made.set("wc", "other")
    await made.desk.activate("other", "admin", mode=Mode.SHADOW)
    with pytest.raises(TransformInUse):  # it is what is delivered
        await made.desk.delete("clean", "admin")
    await made.desk.activate("other", "admin")
    await made.desk.delete("clean", "admin")
    with pytest.raises(TransformNotFound):
        await made.desk.roll_back(EVERYONE, "admin")
    assert made.chosen() == "other@1"


async def test_ten_thousand_versions_are_no_burden(made: Desk) -> None:
    await made.set("cat")
    async with made.store._engine.begin() as connection:  # as many sets would leave it
        await connection.exec_driver_sql(
            "with recursive n(i) as (select 2 union all select i + 1 from n where i < 10000)"
            " insert into transforms (name, version, command_line, programs, on_failure, note,"
            " created_by, create_time) select name, i, command_line, programs, on_failure, note,"
            " created_by, create_time from transforms, n"
        )
    page, count = await made.desk.versions("clean", 9990, 1000)
    assert (len(page), count, page[-1].version) == (10, 10_000, 1)
    assert [str(it) for it in (await made.desk.list())[0]] == ["clean@10000"]
    await made.desk.activate("clean", "admin", version=5000)
    assert str(await made.set("wc")) == "clean@10001"
    assert made.chosen() == "clean@5000"
    assert len(made.tables[-1].activations) == 1
    # The next one cuts them, but for what is active.
    page, count = await made.desk.versions("clean", KEPT_VERSIONS - 1, 1000)
    assert ([it.version for it in page], count) == ([9902, 5000], KEPT_VERSIONS + 1)


# --- what is active --------------------


async def test_a_change_is_stored_before_workers_hear_and_they_before_its_answer(
    made: Desk,
) -> None:
    await made.set("cat")
    heard: list[list[str]] = []

    async def apply(table: TransformTable) -> None:
        stored = await made.store.transforms.in_force()
        assert tuple(it.activation for it in stored) == table.activations
        heard.append([str(it.activation) for it in stored])

    made.desk._apply = apply
    record = await made.desk.activate("clean", "admin")
    assert heard == [["clean@1 for everyone"]]
    assert record.activation.set_by == "admin"
    assert made.desk.activations() == [record]


async def test_the_most_specific_activation_decides(made: Desk) -> None:
    await made.set("cat")
    await made.set("wc")
    await made.desk.activate("clean", "admin", version=1)
    await made.desk.activate("clean", "admin", version=2, subject=USERS)
    await made.desk.activate("none", "admin", subject=ANA)
    assert made.chosen("ana") == "None"
    assert made.chosen("eva") == "clean@2"
    assert made.chosen("root", RoleName.ADMIN) == "clean@1"
    assert [str(it.activation) for it in made.desk.activations()] == [
        "none for account:ana",
        "clean@1 for everyone",
        "clean@2 for role:user",
    ]
    await made.desk.deactivate(ANA, "admin")
    assert made.chosen("ana") == "clean@2"
    with pytest.raises(NothingActive):
        await made.desk.deactivate(ANA, "admin")
    with pytest.raises(NothingActive):
        await made.desk.roll_back(ANA, "admin")


async def test_what_was_active_is_told_and_by_whom_it_ended(made: Desk) -> None:
    await made.set("cat")
    await made.desk.activate("clean", "ana")
    made.desk.note([TransformCount(1, 5, 1, failure="no luck")])
    made.clock.move(10)
    await made.desk.activate("none", "eva")
    made.clock.move(10)
    await made.desk.deactivate(EVERYONE, "leo")
    made.desk.note([TransformCount(1, 2)])  # a session that began with it
    past, count = await made.desk.past()
    assert count == 2
    assert [str(it.activation) for it in past] == ["none for everyone", "clean@1 for everyone"]
    ends = [it.end for it in past if it.end]
    assert [(it.reason, it.by) for it in ends] == [
        (EndReason.DEACTIVATED, "leo"),
        (EndReason.REPLACED, "eva"),
    ]
    assert ends[0].time_s - ends[1].time_s == 10
    assert past[1].count == TransformCount(1, 7, 1, failure="no luck")
    again = made.another()
    await again.load()
    [_, stored], _ = await again.past()
    assert stored.count == TransformCount(1, 5, 1, failure="no luck")  # as it was at its end
    assert await made.desk.past(ANA) == ([], 0)
    assert await made.desk.past(EVERYONE, 1, 5) == ([past[1]], 2)


async def test_an_activation_of_what_is_active_changes_nothing(made: Desk) -> None:
    await made.set("cat")
    await made.set("wc")
    first = await made.desk.activate("clean", "ana", version=1)
    assert await made.desk.activate("clean", "eva", version=1) == first
    canary = await made.desk.activate("clean", "ana", mode=Mode.CANARY, share=20)
    made.desk.note([TransformCount(canary.activation.id, 4, 1)])
    again = await made.desk.activate("clean", "eva", mode=Mode.CANARY, share=20)
    assert again.activation == canary.activation  # the same accounts, and its counts
    assert again.count.runs == 4
    assert len(made.tables) == 2
    other = await made.desk.activate("clean", "eva", mode=Mode.CANARY, share=30)
    assert other.activation.id != canary.activation.id
    assert other.count.runs == 0


async def test_a_roll_back_brings_back_what_was_before_and_then_what_was_before_that(
    made: Desk,
) -> None:
    for command_line in ("cat", "wc", "tac"):
        await made.set(command_line)
        await made.desk.activate("clean", "admin")
    ended, now = await made.desk.roll_back(EVERYONE, "eva")
    assert ended.end is not None
    assert (str(ended.activation), ended.end.reason) == (
        "clean@3 for everyone",
        EndReason.ROLLED_BACK,
    )
    assert now is not None
    assert (str(now.activation), now.activation.set_by) == ("clean@2 for everyone", "eva")
    assert made.chosen() == "clean@2"
    await made.desk.roll_back(EVERYONE, "eva")
    assert made.chosen() == "clean@1"
    _, now = await made.desk.roll_back(EVERYONE, "eva")
    assert now is None
    assert made.chosen() == "None"
    with pytest.raises(NothingActive):
        await made.desk.roll_back(EVERYONE, "eva")


async def test_a_roll_back_goes_the_way_back_where_a_version_was_there_twice(made: Desk) -> None:
    for version, command_line in enumerate(("cat", "wc"), 1):
        await made.set(command_line)
        await made.desk.activate("clean", "admin", version=version)
    await made.desk.activate("clean", "admin", version=1)
    await made.desk.activate("clean", "admin", version=2, mode=Mode.SHADOW)
    chosen = []
    for _ in range(4):
        await made.desk.roll_back(EVERYONE, "admin")
        chosen.append(made.chosen())
    assert chosen == ["clean@1", "clean@2", "clean@1", "None"]


async def test_what_all_workers_are_told_is_bounded(
    made: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pop3_service.supervisor.transforms.activations.MAX_ACTIVATIONS", 2)
    monkeypatch.setattr("pop3_service.supervisor.transforms.activations.MAX_CANARY_ACCOUNTS", 2)
    await made.set("cat")
    names = ["ana", "eva"]
    await made.desk.activate("clean", "admin", mode=Mode.CANARY, accounts=names)
    with pytest.raises(InvalidArgument):
        await made.desk.activate(
            "clean", "admin", mode=Mode.CANARY, accounts=["ana"], subject=USERS
        )
    await made.desk.activate("none", "admin", subject=USERS)
    with pytest.raises(InvalidArgument):
        await made.desk.activate("none", "admin", subject=ANA)
    await made.desk.activate("clean", "admin", mode=Mode.CANARY, accounts=names, share=1)
    assert len(made.tables[-1].activations) == 2


async def test_a_shadow_runs_beside_what_was_delivered(made: Desk) -> None:
    await made.set("cat")
    await made.desk.activate("clean", "admin")
    await made.set("wc")
    await made.desk.activate("clean", "admin", mode=Mode.SHADOW)
    assert made.chosen() == "clean@1 beside clean@2"
    await made.desk.activate("clean", "admin", mode=Mode.CANARY, share=100)
    assert made.chosen() == "clean@2"
    await made.desk.roll_back(EVERYONE, "admin")  # to what was delivered, not to the shadow
    assert made.chosen() == "clean@1"


async def test_beside_a_role_of_which_nothing_was_active_everyones_goes_on(made: Desk) -> None:
    await made.set("cat")
    await made.set("wc")
    await made.desk.activate("clean", "admin", version=1)
    await made.desk.activate("clean", "admin", subject=USERS, mode=Mode.CANARY, accounts=["ana"])
    assert (made.chosen("ana"), made.chosen("eva")) == ("clean@2", "clean@1")
    await made.desk.activate("none", "admin")  # what is everyone's is theirs at once
    assert (made.chosen("ana"), made.chosen("eva")) == ("clean@2", "None")
    await made.desk.activate("clean", "admin", version=1)
    await made.desk.activate("clean", "admin", subject=USERS, mode=Mode.SHADOW)
    assert made.chosen("ana") == "clean@1 beside clean@2"
    _, now = await made.desk.roll_back(USERS, "admin")
    assert now is None
    assert made.chosen("ana") == "clean@1"


@pytest.mark.parametrize(
    "wanted",
    [
        {"mode": Mode.CANARY},
        {"mode": Mode.CANARY, "share": 101},
        {"mode": Mode.CANARY, "share": -1, "accounts": ["ana"]},
        {"mode": Mode.CANARY, "share": 5, "failure_limit": 101},
        {"mode": Mode.CANARY, "share": 5, "failure_limit": -1},
        {"mode": Mode.CANARY, "share": 5, "subject": ANA},
        {"mode": Mode.CANARY, "accounts": [f"u{number}" for number in range(1001)]},
        {"mode": Mode.ON, "share": 5},
        {"mode": Mode.ON, "failure_limit": 6},
        {"mode": Mode.SHADOW, "accounts": ["ana"]},
        {"mode": Mode.SHADOW, "name": "none"},
    ],
)
async def test_what_makes_no_sense_is_refused(made: Desk, wanted: dict[str, object]) -> None:
    assert MAX_CANARY_ACCOUNTS == 1000
    await made.set("cat")
    with pytest.raises(InvalidArgument):
        await made.desk.activate(**{"name": "clean", "by": "admin", **wanted})  # type: ignore[arg-type]
    assert made.tables == []


async def test_a_canary_of_what_holds_is_none(made: Desk) -> None:
    await made.set("cat")
    await made.desk.activate("clean", "admin")
    with pytest.raises(InvalidArgument):
        await made.desk.activate("clean", "admin", mode=Mode.CANARY, share=10)


async def test_whom_it_is_for_must_be_there(made: Desk) -> None:
    await made.set("cat")
    for subject, error in (
        (Subject(Scope.ACCOUNT, "nobody"), AccountNotFound),
        (Subject(Scope.ACCOUNT, "Ana"), AccountNotFound),
        (Subject(Scope.ROLE, "none"), RoleNotFound),
    ):
        with pytest.raises(error):
            await made.desk.activate("clean", "admin", subject=subject)
    with pytest.raises(AccountNotFound, match="nobody"):
        await made.desk.activate("clean", "admin", mode=Mode.CANARY, accounts=["ana", "nobody"])
    auditors = Subject(Scope.ROLE, RoleName.AUDITOR)
    with pytest.raises(InvalidArgument, match=r"^ana has the role user, not auditor$"):
        await made.desk.activate(
            "clean", "admin", subject=auditors, mode=Mode.CANARY, accounts=["ana"]
        )
    for name, version in (("other", 0), ("clean", 2), ("Clean", 0)):
        with pytest.raises(TransformNotFound):
            await made.desk.activate(name, "admin", version=version)
    assert made.tables == []
    assert (await made.desk.past())[1] == 0


async def test_an_account_is_meant_however_its_name_is_written(made: Desk) -> None:
    await made.set("cat")
    wide = "\uff41na"  # SASLprep makes it ana
    record = await made.desk.activate("clean", "admin", subject=Subject(Scope.ACCOUNT, wide))
    assert str(record.activation.subject) == "account:ana"
    canary = await made.desk.activate(
        "clean", "admin", mode=Mode.CANARY, accounts=["eva", wide, "ana"]
    )
    assert canary.activation.accounts == ("ana", "eva")
    await made.desk.deactivate(Subject(Scope.ACCOUNT, wide), "admin")


async def test_a_program_that_is_gone_is_not_made_active(made: Desk, tmp_path: Path) -> None:
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\ncat\n")
    program.chmod(0o755)
    await made.set(str(program))
    program.unlink()
    with pytest.raises(TransformInvalid):
        await made.desk.activate("clean", "admin")
    assert made.tables == []


# --- a command line alone --------------------


async def test_a_command_line_is_active_for_everyone(made: Desk) -> None:
    record = await made.desk.use_command_line(" wc -l ", "admin")
    assert record is not None
    assert (str(record.activation), record.activation.mode) == ("wc -l for everyone", Mode.ON)
    assert made.desk.command_line == "wc -l"
    assert await made.desk.use_command_line("wc -l", "eva") == record
    assert (await made.desk.versions(""))[1] == 1
    other = await made.desk.use_command_line("wc -l", "eva", OnFailure.ORIGINAL)
    assert other != record
    await made.desk.use_command_line("cat", "admin")
    assert [it.version for it in (await made.desk.versions(""))[0]] == [3, 2, 1]
    assert await made.desk.use_command_line(" ", "admin") is None
    assert (made.desk.command_line, made.chosen()) == ("", "None")
    told = len(made.tables)
    assert await made.desk.use_command_line("", "admin") is None
    assert len(made.tables) == told  # it was off


async def test_a_command_line_beside_one_with_a_name_is_another(made: Desk) -> None:
    await made.set("wc")
    named = await made.desk.activate("clean", "admin")
    assert made.desk.command_line == "wc"
    unnamed = await made.desk.use_command_line("wc", "admin")
    assert unnamed is not None
    assert unnamed.activation.former == named.activation.transform
    await made.desk.activate("clean", "admin", mode=Mode.SHADOW)
    assert await made.desk.use_command_line("wc", "admin") != unnamed  # the shadow ends
    assert made.chosen() == "wc"


async def test_a_trial_holds_up_no_other_change(made: Desk) -> None:
    made.may_try.clear()
    trial = asyncio.create_task(made.desk.use_command_line("wc", "admin"))
    while not made.tried:
        await asyncio.sleep(0)
    await made.desk.activate("none", "admin", subject=ANA)
    made.may_try.set()
    await trial
    assert len(made.tables[-1].activations) == 2


async def test_changes_at_once_leave_one_in_force_and_the_others_past(made: Desk) -> None:
    for number in range(8):
        await made.set(f"tr a {number}")
    await asyncio.gather(
        *(made.desk.activate("clean", f"u{it}", version=it) for it in range(1, 9)),
        *(made.desk.use_command_line(f"tr b {it}", f"v{it}") for it in range(8)),
    )
    assert len(made.desk.activations()) == 1
    assert [it.activation for it in await made.store.transforms.in_force()] == list(
        made.tables[-1].activations
    )
    assert (await made.desk.past())[1] == 15


# --- what else goes on --------------------


async def test_what_was_for_an_account_ends_with_it(made: Desk) -> None:
    await made.set("cat")
    await made.desk.activate("clean", "admin", subject=ANA)
    await made.desk.activate(
        "clean", "admin", mode=Mode.CANARY, accounts=["ana", "eva"], subject=USERS
    )
    await made.store.accounts.insert(account("root", RoleName.ADMIN), 10)
    await made.store.accounts.delete("ana", "leo")
    [left] = await made.store.transforms.in_force()
    assert left.activation.subject == USERS
    await made.desk.account_deleted(account("ana", RoleName.USER).name)
    assert made.tables[-1].activations == (left.activation,)  # a name too many harms nobody
    [ended], _ = await made.desk.past(ANA)
    assert ended.end is not None
    assert (ended.end.reason, ended.end.by) == (EndReason.SUBJECT_DELETED, "leo")
    await made.store.accounts.insert(account("ana", RoleName.USER), 10)
    assert made.chosen("ana", "other") == "None"  # another one of that name
    told = len(made.tables)
    await made.desk.account_deleted(account("eva", RoleName.USER).name)
    assert len(made.tables) == told


async def test_an_account_that_goes_while_something_becomes_active_for_it(made: Desk) -> None:
    await made.set("cat")
    held = asyncio.Event()
    apply = made.desk._apply

    async def slowly(table: TransformTable) -> None:
        await apply(table)
        held.set()
        await asyncio.sleep(0)

    made.desk._apply = slowly
    act = asyncio.create_task(made.desk.activate("clean", "admin", subject=ANA))
    await held.wait()
    await made.store.accounts.delete("ana")
    await made.desk.account_deleted(account("ana", RoleName.USER).name)
    await act
    assert made.tables[-1].activations == ()
    assert await made.store.transforms.in_force() == []


async def test_what_was_for_a_role_ends_with_it(made: Desk) -> None:
    roles = RolesDesk(made.store.roles)
    roles.on_deleted = made.desk.role_deleted
    await roles.create("filter", ["own"], ADMIN)
    await made.set("cat")
    await made.desk.activate("clean", "admin", subject=Subject(Scope.ROLE, "filter"))
    await roles.delete("filter", ADMIN)
    assert made.tables[-1].activations == ()
    assert await made.store.transforms.in_force() == []


async def test_another_database_is_put_in_force(made: Desk, tmp_path: Path) -> None:
    await made.set("cat")
    await made.desk.activate("clean", "admin")
    other = await Store.open(tmp_path / "other")
    elsewhere = Desk(other)
    await elsewhere.desk.use_command_line("tac", "admin")
    await elsewhere.desk.use_command_line("wc", "admin")
    made.desk._store = other.transforms  # a restore put it there
    with pytest.raises(ServiceUnavailable):
        await made.desk.deactivate(EVERYONE, "admin")
    with pytest.raises(TransformNotFound):
        await made.desk.activate("clean", "admin", subject=USERS)
    [stored] = await other.transforms.in_force()
    assert str(stored.activation) == "wc for everyone"
    await made.desk.reload()
    assert made.chosen() == "wc"
    await made.desk.roll_back(EVERYONE, "admin")
    assert made.chosen() == "tac"
    await other.close()


# --- canaries --------------------


@contextlib.asynccontextmanager
async def canary(made: Desk, **wanted: object) -> AsyncIterator[Activation]:
    await made.set("cat")
    await made.desk.activate("clean", "admin")
    await made.set("wc")
    given = {"mode": Mode.CANARY, "share": 50, **wanted}
    record = await made.desk.activate("clean", "admin", **given)  # type: ignore[arg-type]
    async with made.desk.running():
        yield record.activation


def counts(activation: Activation, runs: int, failures: int) -> list[TransformCount]:
    return [TransformCount(activation.id, runs, failures, failure="status 1" if failures else "")]


async def test_a_canary_that_fails_too_often_is_given_up(made: Desk) -> None:
    async with canary(made) as active:
        for _ in range(3):  # each worker tells its own
            made.desk.note(counts(active, 5, 1))
        event = await made.events.get()
    assert event.kind is SessionEventKind.TRANSFORM_ROLLED_BACK
    assert event.text == (
        "clean@2 for everyone was given up, back to clean@1: 3 of 15 runs failed, the last one:"
        " status 1"
    )
    assert made.chosen() == "clean@1"
    assert made.desk.given_up_count == 1
    [past], _ = await made.desk.past(EVERYONE, 0, 1)
    assert past.end is not None
    assert (past.end.reason, past.end.by, past.count.runs) == (EndReason.GIVEN_UP, "", 15)
    [record] = made.desk.activations()
    assert record.activation.set_by == ""
    assert made.events.empty()


async def test_a_canary_that_seldom_fails_goes_on(made: Desk) -> None:
    async with canary(made, failure_limit=20) as active:
        made.desk.note(counts(active, 2, 2))  # two prove nothing
        made.desk.note(counts(active, 18, 2))  # exactly one in five
        await made.desk.activate("none", "admin", subject=ANA)
        assert made.desk.given_up_count == 0
        made.desk.note(counts(active, 0, 1))
        await made.events.get()
    assert made.desk.given_up_count == 1


async def test_a_canary_is_given_up_once(made: Desk) -> None:
    async with canary(made) as active, made.desk.changing:
        for _ in range(100):
            made.desk.note(counts(active, 5, 5))
            await asyncio.sleep(0)
        made.desk.changing.release()
        await made.events.get()
        made.desk.note(counts(active, 5, 5))  # of sessions that began with it
        await made.desk.changing.acquire()
    assert made.events.empty()
    assert made.desk.given_up_count == 1
    assert (await made.desk.past())[1] == 2


async def test_a_canary_that_somebody_ends_meanwhile_is_not_given_up(made: Desk) -> None:
    async with canary(made) as active:
        await made.desk.changing.acquire()
        made.desk.note(counts(active, 5, 5))
        promoted = asyncio.create_task(made.desk.activate("clean", "admin"))
        await made.store.accounts.count()
        made.desk.changing.release()
        await promoted
    record = made.desk.activations()[0].activation
    # Whoever was first: never is what a person made active undone by what was counted before it.
    assert (record.mode, str(record.transform)) == (Mode.ON, "clean@2")


async def test_only_a_canary_is_given_up(made: Desk) -> None:
    await made.set("cat")
    async with made.desk.running():
        record = await made.desk.activate("clean", "admin")
        made.desk.note(counts(record.activation, 9, 9))
        shadow = await made.desk.activate("clean", "admin", mode=Mode.SHADOW, subject=USERS)
        made.desk.note([*counts(shadow.activation, 9, 9), *counts(Activation(0, ANA, None), 9, 9)])
        made.desk.note(counts(Activation(777, ANA, None), 9, 9))  # nobody knows it
        await made.desk.activate("none", "admin", subject=ANA)
    assert made.desk.given_up_count == 0
    assert made.chosen() == "None"
    assert [it.count.failures for it in made.desk.activations()] == [0, 9, 9]


async def test_a_canary_of_a_role_goes_back_to_everyones(made: Desk) -> None:
    async with canary(made, subject=USERS) as active:
        made.desk.note(counts(active, 3, 3))
        event = await made.events.get()
    assert "back to what held before" in event.text
    assert made.chosen() == "clean@1"
    assert len(made.desk.activations()) == 1


async def test_a_store_that_fails_is_tried_again(
    made: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, failed = made.store.transforms.begin, asyncio.Event()

    async def fails(*_: object) -> Activation:
        monkeypatch.setattr(made.store.transforms, "begin", begin)
        failed.set()
        raise StoreUnavailable("no room")

    async with canary(made) as active:
        monkeypatch.setattr(made.store.transforms, "begin", fails)
        made.desk.note(counts(active, 3, 3))
        await made.events.get()
    assert failed.is_set()
    assert made.clock.slept
    assert made.chosen() == "clean@1"


async def test_counts_go_on_after_a_restart_and_a_canary_is_given_up_then(made: Desk) -> None:
    async with canary(made) as active:
        made.desk.note(counts(active, 5, 2))
    again = made.another()
    await again.load()
    assert again.activations()[0].count.runs == 5
    async with again.running():
        again.note(counts(active, 5, 1))
        await made.events.get()
    assert made.chosen() == "clean@1"


async def test_a_canary_that_had_failed_before_a_stop_is_given_up_at_the_start(made: Desk) -> None:
    async with canary(made) as active:
        await made.store.transforms.save_counts({active.id: counts(active, 5, 5)[0]})
        made.desk._counts.begin([])  # and it ends before it was judged
    again = made.another()
    await again.load()
    async with again.running():
        await made.events.get()
    assert made.chosen() == "clean@1"


async def test_counts_of_what_ended_long_ago_are_let_go(
    made: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pop3_service.supervisor.transforms.counts.MOST_ENDED", 2)
    await made.set("cat")
    for number in range(6):
        await made.desk.activate("none" if number % 2 else "clean", "admin")
    assert [made.desk._counts.get(it) is not None for it in range(1, 7)] == [
        False, False, False, True, True, True,
    ]  # fmt: skip

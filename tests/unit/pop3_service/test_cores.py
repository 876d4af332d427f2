"""The cores there are for this process, in a machine of four; the files of cgroup v2 are copies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pop3_service.cores import usable_cores


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """As in a container: its group is the topmost that it sees."""
    path = tmp_path / "own"
    path.write_text("1:cpu:/of/version/1\n0::/\n")
    return path


def limit(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(text)


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000\n", 4),
        ("50000 100000\n", 1),
        ("100000 100000\n", 1),
        ("150000 100000\n", 2),
        ("200000 100000\n", 2),
        ("300001 100000\n", 4),
        ("1000 100000\n", 1),
        ("800000 100000\n", 4),
        ("20000 10000\n", 2),
        ("", 4),
        ("200000\n", 4),
        ("few 100000\n", 4),
        ("200000 0\n", 4),
    ],
)
def test_a_quota_is_rounded_up_and_gives_no_core_that_is_not_there(
    tmp_path: Path, own: Path, text: str, cores: int
) -> None:
    limit(tmp_path / "cgroup", text)
    assert usable_cores(tmp_path / "cgroup", own) == cores


@pytest.mark.parametrize(("above", "below", "cores"), [(1, 3, 1), (3, 2, 2), (9, 9, 4)])
def test_the_least_quota_of_a_group_and_those_above_it_holds(
    tmp_path: Path, own: Path, above: int, below: int, cores: int
) -> None:
    own.write_text("0::/system.slice/valija.service\n")
    limit(tmp_path / "cgroup/system.slice", f"{above}00000 100000\n")
    limit(tmp_path / "cgroup/system.slice/valija.service", f"{below}00000 100000\n")
    limit(tmp_path / "cgroup/other.slice", "100000 100000\n")
    assert usable_cores(tmp_path / "cgroup", own) == cores


@pytest.mark.parametrize("text", ["0::/../elsewhere\n", "4:memory:/x\n", ""])
def test_a_group_that_cannot_be_seen_leaves_the_one_that_can(
    tmp_path: Path, own: Path, text: str
) -> None:
    own.write_text(text)
    limit(tmp_path / "cgroup", "200000 100000\n")
    limit(tmp_path / "elsewhere", "100000 100000\n")
    assert usable_cores(tmp_path / "cgroup", own) == 2


def test_without_cgroups_of_version_2_the_affinity_alone_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "nothing", tmp_path / "nowhere") == 4


def test_the_cores_of_this_very_process_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))

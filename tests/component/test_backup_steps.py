"""A restore killed, or failed by the disk, at any step: the data are all old or all new."""

import asyncio
import errno
import subprocess
import sys
from pathlib import Path

import pytest

from pop3_service.storage.store import FILE, Store
from support.backed_up import KEY, fill, made_of, marks
from support.faults import CHANGING, Faults, Mode, spread

RESTORE = """
import pathlib, sys
from pop3_service.domain.errors import ServiceError
from pop3_service.supervisor.backups import restore_cold
folder = pathlib.Path(sys.argv[1])
with open(sys.argv[2], "rb") as source:
    try:
        restore_cold(folder, {"apop.key": folder / "apop.key"}, source)
    except ServiceError as error:
        sys.exit(str(error))
"""
OLD, NEW = (["old"], "old"), (["new"], "new")


class Trial:
    """Restores over old data, again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults = Faults(folder)
        self.backup = folder / "backup.tar"
        self.backup.write_bytes(made_of(fill(folder / "new", "new")))
        self.said = ""

    def restore(self, name: str, mode: Mode, at: int = 1) -> tuple[int, Path]:
        """Restore with a fault at a step; give how it ended, and the data's folder."""
        data = fill(self.folder / name, "old")
        with self.faults.acting(mode, data, at, errno.EIO, CHANGING):
            words = [sys.executable, "-c", RESTORE, data, self.backup]
            ended = subprocess.run(
                words, env=self.faults.environment, check=False, capture_output=True, text=True
            )
        self.said = ended.stderr
        return ended.returncode, data

    def steps(self) -> int:
        """How many calls a restore makes that change something."""
        code, data = self.restore("watched", Mode.WATCH)
        assert (code, marks(data)) == (0, NEW)
        return self.faults.count


def opened(data: Path) -> None:
    """Start on the data, as the service does."""

    async def open_and_close() -> None:
        store = await Store.open(data)
        assert await store.accounts.count() == 1
        await store.close()

    asyncio.run(open_and_close())
    assert {it.name for it in data.iterdir()} <= {
        FILE, KEY, "valija.lock", f"{FILE}.before-restore", f"{KEY}.before-restore",
        f"{FILE}.before-restore-wal", f"{FILE}.link", f"{KEY}.link",
        f"{FILE}.before-restore.link", f"{KEY}.before-restore.link",
    }  # fmt: skip


@pytest.mark.timeout(600)
def test_a_restore_killed_at_any_step_is_done_wholly_or_not_at_all(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    steps = trial.steps()
    assert steps > 30
    found = []
    for at in spread(steps):
        code, data = trial.restore(f"killed{at}", Mode.KILL_BEFORE, at)
        assert code == -9
        opened(data)
        assert marks(data) in (OLD, NEW), f"killed before call {at}"
        found.append(marks(data) == NEW)
    assert found == sorted(found), "once it is new, it is new from there on"
    assert (found[0], found[-1]) == (False, True)


@pytest.mark.timeout(600)
def test_a_restore_that_the_disk_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    steps = trial.steps()
    failed = 0
    for at in spread(steps):
        code, data = trial.restore(f"failed{at}", Mode.FAIL, at)
        assert "Traceback" not in trial.said, trial.said
        # The failed call may have been one whose outcome does not matter.
        assert marks(data) == (OLD if code else NEW), f"call {at} failed: {trial.said}"
        opened(data)
        assert marks(data) == (OLD if code else NEW), f"call {at} failed: {trial.said}"
        failed += code != 0
    assert failed > 3

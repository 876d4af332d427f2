"""The launcher as a process: what becomes of runs when somebody goes away."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pop3_service.domain.errors import TransformFailed
from pop3_service.domain.reach import Reach
from pop3_service.transform.isolation import Isolation, exposed, program_folders
from pop3_service.transform.launcher import Launcher, RunResult
from pop3_service.transform.limits import Ended
from support.events import wait_for
from support.sandboxed import GENEROUS, USERS, Cell, cell

DAEMON = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(1, b"here")
        time.sleep(1000)
    os._exit(0)
os.wait()
time.sleep(1000)
"""


@pytest.fixture(params=USERS)
async def jail(request: pytest.FixtureRequest) -> AsyncIterator[Cell]:
    with cell(request.param) as made:
        yield made
        await made.launcher.close()
        assert made.alive() == []


class Running:
    """A run whose program says that it is there, and stays, and leaves a daemon too."""

    def __init__(self, jail: Cell) -> None:
        self._jail = jail
        self._nothing = os.open(os.devnull, os.O_RDONLY)
        self._there, writing = os.pipe()
        program = jail.as_program(DAEMON)
        self.task = asyncio.create_task(
            jail.launcher.run([program], self._nothing, writing, GENEROUS)
        )
        self.task.add_done_callback(lambda _: os.close(writing))

    async def there(self) -> None:
        """Wait until the daemon is."""
        assert await asyncio.to_thread(os.read, self._there, 4) == b"here"
        assert len(self._jail.alive()) >= 2

    async def gone(self) -> None:
        """Wait until nothing of it holds the pipe."""
        assert await asyncio.to_thread(os.read, self._there, 4) == b""
        os.close(self._there)
        os.close(self._nothing)


def launcher_pid(jail: Cell) -> int:
    assert jail.launcher.pid is not None
    return jail.launcher.pid


def children(pid: int) -> list[int]:
    return [int(it) for it in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_cancelled_run_returns_when_nothing_of_it_lives(jail: Cell) -> None:
    running = Running(jail)
    await running.there()
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task
    assert jail.alive() == []
    assert os.listdir(jail.scratch) == []
    await running.gone()


async def test_a_run_cancelled_again_and_again_still_leaves_nothing(jail: Cell) -> None:
    running = Running(jail)
    await running.there()
    while not running.task.done():
        running.task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await running.task
    assert jail.alive() == []
    await running.gone()


async def test_what_runs_ends_when_the_launcher_is_closed(jail: Cell) -> None:
    running = Running(jail)
    await running.there()
    await jail.launcher.close()
    with pytest.raises(TransformFailed, match="launcher"):
        await running.task
    assert jail.alive() == []
    await running.gone()
    with pytest.raises(TransformFailed, match="stopping"):
        await jail.run(("/bin/cat",))


async def test_runs_of_a_killed_launcher_fail_and_the_next_one_has_another(jail: Cell) -> None:
    running = [Running(jail) for _ in range(2)]
    for it in running:
        assert await asyncio.to_thread(os.read, it._there, 4) == b"here"
    first = launcher_pid(jail)
    os.kill(first, signal.SIGKILL)
    for it in running:
        with pytest.raises(TransformFailed, match="launcher"):
            await it.task
        await it.gone()
    # What has closed the pipe is about to be gone.
    await asyncio.to_thread(wait_for, lambda: jail.alive() == [])
    assert (await jail.run(("/bin/cat",))).result.succeeded
    assert launcher_pid(jail) != first


async def test_programs_of_a_killed_keeper_are_killed_by_the_launcher(jail: Cell) -> None:
    running = Running(jail)
    await running.there()
    for keeper in children(launcher_pid(jail)):
        os.kill(keeper, signal.SIGKILL)
    with pytest.raises(TransformFailed, match="launcher"):
        await running.task
    await running.gone()
    assert (await jail.run(("/bin/cat",))).result.succeeded


SERVICE = """
import asyncio, os, sys
from pathlib import Path
from pop3_service.transform.launcher import Launcher
from pop3_service.transform.limits import Limits

async def main():
    launcher = Launcher(Path(sys.argv[1]))
    nothing = os.open(os.devnull, os.O_RDONLY)
    program = (sys.executable, "-I", "-S", "-c", sys.argv[2])
    await launcher.run([program], nothing, 1, Limits(seconds=1000))

asyncio.run(main())
"""


async def test_nothing_outlives_a_killed_service(tmp_path: Path) -> None:
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE, str(tmp_path / "scratch"), DAEMON,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert service.stdout is not None
    await service.stdout.readuntil(b"here")
    service.kill()
    await service.wait()
    assert await service.stdout.read() == b""  # the daemon had it open
    with Cell_of(tmp_path) as left:
        await asyncio.to_thread(wait_for, lambda: left.alive() == [])


@contextlib.contextmanager
def Cell_of(folder: Path):
    yield Cell(folder, sys.executable, Launcher(folder / "scratch"), os.getuid())


async def test_what_a_killed_keeper_left_is_swept_up_at_the_next_start(jail: Cell) -> None:
    left = jail.scratch / "left"
    left.mkdir()
    (left / "file").write_bytes(b"x")
    for path in (left, left / "file"):
        os.chown(path, jail.uid, -1)
    await jail.run(("/bin/cat",))
    await jail.launcher.close()
    assert os.listdir(jail.scratch) == []


async def test_a_folder_in_use_is_not_swept_up(jail: Cell) -> None:
    running = Running(jail)
    await running.there()
    with Cell_of(jail.folder) as other:
        await other.launcher.isolation()
        await other.launcher.close()
    assert len(os.listdir(jail.scratch)) == 1
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task
    await running.gone()


async def test_many_runs_at_a_time_do_not_mix(jail: Cell) -> None:
    async def one(number: int) -> bytes:
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as output:
            source.write(b"%d\n" % number * 1000)
            source.seek(0)
            os.fchown(output.fileno(), jail.uid, -1)
            chain = [("/bin/cat",), ("/usr/bin/sort",)]
            result = await jail.launcher.run(chain, source.fileno(), output.fileno(), GENEROUS)
            assert result.succeeded
            output.seek(0)
            return output.read()

    assert await asyncio.gather(*map(one, range(20))) == [b"%d\n" % it * 1000 for it in range(20)]


async def test_a_program_that_is_not_there_did_not_start(jail: Cell) -> None:
    ran = await jail.run(("/bin/cat",), ("/nonexistent/program",))
    assert ran.result.ended is Ended.START
    assert ran.result.note == "/nonexistent/program: No such file or directory"
    assert ran.result.told(GENEROUS) == "did not start"


async def test_a_launcher_that_does_not_start_is_a_failed_transform(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path / "scratch", python=["/bin/false"])
    with open(os.devnull, "rb+") as nothing:
        for _ in range(2):
            with pytest.raises(TransformFailed, match="no launcher"):
                await launcher.run([("/bin/cat",)], nothing.fileno(), nothing.fileno(), GENEROUS)
    await launcher.close()


async def test_a_folder_that_programs_may_read_is_told(tmp_path: Path) -> None:
    mail = tmp_path / "open" / "mail"
    mail.mkdir(parents=True)
    launcher = Launcher(tmp_path / "scratch", Reach((str(tmp_path / "open"),), (str(mail),)))
    isolation = await launcher.isolation()
    assert isolation.exposed == (str(mail),)
    assert not isolation.complete
    assert f"{mail} is where programs may read" in str(isolation)
    with open(os.devnull, "rb+") as nothing, pytest.raises(TransformFailed, match="may read"):
        await launcher.run(
            [("/bin/cat",)], nothing.fileno(), nothing.fileno(), GENEROUS, require=True
        )
    await launcher.close()


def test_what_holds_programs_holds_no_mail(tmp_path: Path) -> None:
    inside = tmp_path / "programs" / "mail"
    inside.mkdir(parents=True)
    pointer = tmp_path / "pointer"
    pointer.symlink_to(inside)
    folders = [str(tmp_path / "programs")]
    private = [str(inside), str(pointer), str(tmp_path)]
    assert exposed(private, folders) == (str(inside), str(pointer))
    assert exposed(["/usr/share/mail", "/var/mail"], []) == ("/usr/share/mail",)


def test_programs_may_read_this_python_and_the_one_it_was_made_from(tmp_path: Path) -> None:
    folders = program_folders([str(tmp_path)])
    assert {sys.prefix, sys.base_prefix, str(tmp_path)} <= set(folders)


def test_what_is_in_force_is_one_line() -> None:
    whole = Isolation(7, True, True, True, True)
    assert whole.complete
    assert str(whole) == "Landlock ABI 7; held back: files, network, signals, seccomp; limits"
    assert str(Isolation()).startswith("Landlock ABI 0; held back: nothing; limits; missing: ")
    assert replace(whole, problem="no room").missing == ("no room",)


@pytest.mark.parametrize(
    ("statuses", "ended", "told"),
    [
        ((0,), None, ""),
        ((-13, 0), None, ""),
        ((0, -13), None, "was ended by signal 13"),
        ((1, 0), None, "ended with status 1"),
        ((0,), Ended.OUTPUT, f"wrote more than {GENEROUS.output_bytes} octets"),
    ],
)
def test_what_went_wrong_is_told(statuses: tuple[int, ...], ended: Ended | None, told: str) -> None:
    result = RunResult(statuses, ended, 0, 0, 0, "")
    assert (result.told(GENEROUS), result.succeeded) == (told, not told)


def test_every_reason_for_an_end_has_words() -> None:
    assert len({it.told(GENEROUS) for it in Ended}) == len(Ended)

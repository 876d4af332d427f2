"""Transforms run on real files with real programs."""

from __future__ import annotations

import asyncio
import os
import random
import select
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from pop3_service.domain.errors import TransformFailed, TransformInvalid
from pop3_service.transform import runner as runner_module
from pop3_service.transform.runner import SAMPLE, Runner
from pop3mgmt.calls import base
from unit.pop3_service.clock import FakeClock

MESSAGE = b"Subject: x\r\n\r\n.\r\n..\n\0\xff\r no end"
Scripts = Callable[[str], tuple[str, ...]]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "spool", FakeClock())


@pytest.fixture
def script(tmp_path: Path) -> Scripts:
    """Make a program out of shell text."""

    def make(text: str) -> tuple[str, ...]:
        path = tmp_path / f"program{len(list(tmp_path.iterdir()))}"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return (str(path),)

    return make


def file_of(octets: bytes) -> BinaryIO:
    made = tempfile.TemporaryFile()
    made.write(octets)
    made.flush()
    return made


async def transformed(
    runner: Runner, argv: tuple[str, ...], message: bytes = MESSAGE, timeout_s: float = 20
) -> bytes:
    with file_of(message) as file:
        output = await runner.run((argv,), file.fileno(), len(message), timeout_s)
    octets = output.file.read()
    assert len(octets) == output.size
    output.close()
    return octets


async def gone(pid: int) -> None:
    """Wait until a process, which may be nobody's child, is gone."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ready, _, _ = await asyncio.to_thread(select.select, [fd], [], [], 10)
    os.close(fd)
    assert ready


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


# --- what a program is given and gives ---


@pytest.mark.parametrize("message", [b"", MESSAGE, b"\r\n.\r\n", b"\n" * 10_000])
async def test_cat_gives_every_octet_back(runner: Runner, message: bytes) -> None:
    assert await transformed(runner, ("cat",), message) == message


async def test_a_large_message_passes_through(runner: Runner) -> None:
    message = random.Random(1).randbytes(8 << 20)
    assert await transformed(runner, ("cat",), message) == message


async def test_programs_give_what_they_give(runner: Runner) -> None:
    assert await transformed(runner, ("tr", "a-z", "A-Z"), b"abc\r\n") == b"ABC\r\n"
    assert (await transformed(runner, ("wc", "-c"), b"12345")).split() == [b"5"]
    assert await transformed(runner, ("true",)) == b""


async def test_arguments_reach_the_program_as_they_are(runner: Runner) -> None:
    words = ("$(id)", "; id", "`id`", "a b", "*", "-n", "--", "é", "")
    told = await transformed(runner, ("printf", "%s\\n", *words))
    assert told.decode().split("\n")[:-1] == list(words)


async def test_the_message_is_read_from_its_beginning(runner: Runner) -> None:
    with file_of(MESSAGE) as file:
        for _ in range(2):
            file.seek(5)
            output = await runner.run((("cat",),), file.fileno(), len(MESSAGE), 20)
            assert output.file.read() == MESSAGE
            output.close()


async def test_a_program_sees_nothing_of_the_services_environment(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POP3_ADMIN_PASSWORD", "hush")
    told = (await transformed(runner, ("env",))).decode().split()
    assert {line.partition("=")[0] for line in told} == {"PATH", "LANG", "HOME"}


async def test_a_program_has_no_descriptor_but_its_three(runner: Runner, tmp_path: Path) -> None:
    with open(tmp_path / "open", "w") as kept:
        os.set_inheritable(kept.fileno(), True)
        told = await transformed(runner, ("ls", "/proc/self/fd"))
    # ls has one more of its own: the folder that it lists.
    assert told.split() == [b"0", b"1", b"2", b"3"]


async def test_a_program_runs_at_the_root_in_a_session_of_its_own(
    runner: Runner, script: Scripts
) -> None:
    told = await transformed(runner, script("pwd; cut -d' ' -f6 /proc/$$/stat; echo $$"))
    folder, session, pid = told.split()
    assert folder == b"/"
    assert session == pid


# --- programs that fail ---


async def test_a_program_that_fails_is_told_with_its_status(
    runner: Runner, script: Scripts
) -> None:
    with pytest.raises(TransformFailed, match="status 1"):
        await transformed(runner, ("false",))
    with pytest.raises(TransformFailed, match="status 7"):
        await transformed(runner, script("cat; exit 7"))
    with pytest.raises(TransformFailed, match="signal 11"):
        await transformed(runner, script("echo part; kill -SEGV $$"))


async def test_a_program_that_is_not_there_any_more_is_told(runner: Runner, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    for name in ("no-such-program", str(tmp_path), str(plain), str(broken)):
        with pytest.raises(TransformFailed):
            await transformed(runner, (name,))


@pytest.mark.parametrize("trap", ["", "trap '' TERM INT HUP;"])
async def test_a_program_that_hangs_is_ended(runner: Runner, script: Scripts, trap: str) -> None:
    with pytest.raises(TransformFailed, match=r"more than 0\.2 s"):
        await transformed(runner, script(f"{trap} while :; do sleep 60; done"), timeout_s=0.2)


async def test_a_program_that_stops_itself_is_ended(runner: Runner, script: Scripts) -> None:
    with pytest.raises(TransformFailed, match="more than"):
        await transformed(runner, script("kill -STOP $$"), timeout_s=0.2)


async def test_a_program_that_writes_without_end_is_ended(tmp_path: Path) -> None:
    runner = Runner(tmp_path / "spool", FakeClock(), output_base=100_000)
    with pytest.raises(TransformFailed, match="wrote more than"):
        await transformed(runner, ("yes",), timeout_s=30)


async def test_a_long_error_output_does_no_harm(tmp_path: Path, script: Scripts) -> None:
    runner = Runner(tmp_path / "spool", FakeClock(), output_base=100_000)
    with pytest.raises(TransformFailed):
        await transformed(runner, script("yes >&2"), timeout_s=30)


async def test_a_program_need_not_read_its_input(runner: Runner) -> None:
    assert await transformed(runner, ("echo", "x"), b"y" * (4 << 20)) == b"x\n"


async def test_children_left_behind_are_gone(
    runner: Runner, script: Scripts, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    await transformed(runner, script(f"sleep 600 & echo $! > {note}; cat"))
    await gone(int(note.read_text()))


async def test_children_of_a_program_that_hangs_are_gone(
    runner: Runner, script: Scripts, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    program = script(f"(trap '' TERM; sleep 600) & echo $! > {note}; wait")
    with pytest.raises(TransformFailed):
        await transformed(runner, program, timeout_s=0.5)
    await gone(int(note.read_text()))


async def test_a_run_that_nobody_waits_for_is_ended(
    runner: Runner, script: Scripts, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    os.mkfifo(note)
    program = script(f"echo $$ > {note}; sleep 600")
    run = asyncio.create_task(transformed(runner, program, timeout_s=600))
    pid = int(await asyncio.to_thread(note.read_text))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await gone(pid)


async def test_a_run_cancelled_at_any_moment_leaves_no_process(runner: Runner) -> None:
    before = children()
    for turns in range(30):
        run = asyncio.create_task(transformed(runner, ("sleep", "600")))
        for _ in range(turns * turns):
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    async with asyncio.timeout(10):
        while children() - before:
            await asyncio.sleep(0)


# --- many of them ---


async def test_fifty_runs_at_once_each_get_their_own_output(runner: Runner) -> None:
    messages = [b"message %d\r\n" % number for number in range(50)]
    results = await asyncio.gather(*(transformed(runner, ("cat",), it) for it in messages))
    assert results == messages


async def test_no_more_run_at_a_time_than_are_allowed(tmp_path: Path, script: Scripts) -> None:
    runner = Runner(tmp_path / "spool", FakeClock(), concurrency=2)
    folder = tmp_path / "running"
    folder.mkdir()
    program = script(f"touch {folder}/$$; ls {folder} | wc -l; sleep 0.02; rm {folder}/$$")
    results = await asyncio.gather(*(transformed(runner, program) for _ in range(8)))
    assert max(int(result) for result in results) <= 2


async def test_programs_that_hang_keep_others_from_starting_for_a_spell_only(
    tmp_path: Path, script: Scripts
) -> None:
    runner = Runner(tmp_path / "spool", FakeClock(), concurrency=1, spell_s=0.05)
    folder = tmp_path / "running"
    folder.mkdir()
    hang = script(f"touch {folder}/$$; exec sleep 600")
    hanging = [asyncio.create_task(transformed(runner, hang, timeout_s=60)) for _ in range(5)]
    async with asyncio.timeout(20):
        while len(list(folder.iterdir())) < len(hanging):
            assert await transformed(runner, ("cat",)) == MESSAGE
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_programs_run_at_a_lower_priority_than_the_service(runner: Runner) -> None:
    told = await transformed(runner, ("nice",))
    assert int(told) == os.getpriority(os.PRIO_PROCESS, 0) + 10


async def test_no_descriptor_and_no_zombie_is_left(runner: Runner, script: Scripts) -> None:
    hang = script("sleep 600")
    await transformed(runner, ("cat",))
    before, own = descriptors(), children()
    for _ in range(10):
        await transformed(runner, ("cat",))
        with pytest.raises(TransformFailed):
            await transformed(runner, ("false",))
        with pytest.raises(TransformFailed):
            await transformed(runner, ("no-such-program",))
    with pytest.raises(TransformFailed):
        await transformed(runner, hang, timeout_s=0.1)
    assert descriptors() == before
    assert children() == own


async def test_the_spool_is_private_and_keeps_nothing(runner: Runner, tmp_path: Path) -> None:
    await transformed(runner, ("cat",))
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    assert list((tmp_path / "spool").iterdir()) == []


async def test_a_spool_without_room_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TransformFailed, match="no room"):
        await transformed(Runner(tmp_path / "file" / "spool", FakeClock()), ("cat",))


async def test_a_process_that_cannot_be_started_is_told(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", fail)
    with pytest.raises(TransformFailed, match="did not start"):
        await transformed(runner, ("cat",))


# --- the check before a setting takes effect ---


@pytest.mark.parametrize("command_line", ["", "  ", "cat", "wc -l", "/bin/cat -", "tr a 'b c'"])
async def test_a_command_line_that_works_passes_the_check(
    runner: Runner, command_line: str
) -> None:
    await runner.check(command_line, 20)


@pytest.mark.parametrize(
    "command_line", ["false", "no-such-program", "/etc", "cat | wc", "cat 'x", "cat /no/such/file"]
)
async def test_a_command_line_that_does_not_is_refused(runner: Runner, command_line: str) -> None:
    with pytest.raises(TransformInvalid):
        await runner.check(command_line, 20)


async def test_a_program_that_hangs_does_not_pass_the_check(runner: Runner) -> None:
    with pytest.raises(TransformInvalid, match="more than"):
        await runner.check("sleep 600", 0.2)


async def test_a_trial_ends_before_its_caller_gives_up(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runner_module.TRIAL_S < base.TRIAL_S
    monkeypatch.setattr(runner_module, "TRIAL_S", 0.2)
    with pytest.raises(TransformInvalid, match=r"more than 0\.2 s"):
        await runner.check("sleep 600", 3600)


async def test_the_check_uses_a_message_that_is_hard_to_send(
    runner: Runner, script: Scripts, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    await runner.check(f"{script(f'cat > {copy}')[0]} x", 20)
    assert copy.read_bytes() == SAMPLE
    assert b"\r\n.\r\n" in SAMPLE

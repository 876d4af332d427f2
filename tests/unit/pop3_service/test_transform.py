"""Transforms run on real files with real programs: what they are given, and what they give."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from pop3_service.domain.errors import TransformFailed, TransformInvalid
from pop3_service.domain.reach import Reach
from pop3_service.domain.settings import Settings
from pop3_service.transform import runner as runner_module
from pop3_service.transform.runner import MIB, RunFailed, Runner, limits_for
from pop3_service.transform.samples import SAMPLES
from pop3mgmt.calls import base
from unit.pop3_service.clock import FakeClock

MESSAGE = b"Subject: x\r\n\r\n.\r\n..\n\0\xff\r no end"
Scripts = Callable[[str], tuple[str, ...]]
Program = tuple[str, ...]


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[Runner]:
    made = Runner(tmp_path / "spool", FakeClock(), reach=Reach((str(tmp_path / "programs"),)))
    yield made
    await made.close()


@pytest.fixture
def script(tmp_path: Path) -> Scripts:
    """Make a program out of shell text."""
    folder = tmp_path / "programs"
    folder.mkdir()

    def make(text: str) -> Program:
        path = folder / f"program{len(list(folder.iterdir()))}"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return (str(path),)

    return make


def allowing(seconds: float = 60, **more: object) -> Settings:
    return Settings().changed({"transform_timeout_s": seconds, **more})


PLENTY = allowing()


def file_of(octets: bytes) -> BinaryIO:
    made = tempfile.TemporaryFile()
    made.write(octets)
    made.flush()
    return made


async def transformed(
    runner: Runner, *programs: Program, message: bytes = MESSAGE, settings: Settings = PLENTY
) -> bytes:
    with file_of(message) as file:
        output = await runner.run(programs, file.fileno(), len(message), settings)
    octets = output.file.read()
    assert len(octets) == output.size
    output.close()
    return octets


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


# --- what a program is given and gives ---


@pytest.mark.parametrize("message", [b"", MESSAGE, b"\r\n.\r\n", b"\n" * 10_000])
async def test_cat_gives_every_octet_back(runner: Runner, message: bytes) -> None:
    assert await transformed(runner, ("cat",), message=message) == message


async def test_a_large_message_passes_through(runner: Runner) -> None:
    message = random.Random(1).randbytes(8 << 20)
    assert await transformed(runner, ("cat",), message=message) == message


async def test_programs_give_what_they_give(runner: Runner) -> None:
    assert await transformed(runner, ("tr", "a-z", "A-Z"), message=b"abc\r\n") == b"ABC\r\n"
    assert (await transformed(runner, ("wc", "-c"), message=b"12345")).split() == [b"5"]
    assert await transformed(runner, ("true",)) == b""


async def test_each_program_of_a_chain_reads_what_the_one_before_it_wrote(runner: Runner) -> None:
    told = await transformed(
        runner, ("tr", "a-z", "A-Z"), ("rev",), ("cat", "-", "-"), message=b"abc\n"
    )
    assert told == b"CBA\n"
    assert await transformed(runner, ("yes",), ("head", "-n", "2")) == b"y\ny\n"


async def test_arguments_reach_the_program_as_they_are(runner: Runner) -> None:
    words = ("$(id)", "; id", "`id`", "a b", "*", "-n", "--", "é", "")
    told = await transformed(runner, ("printf", "%s\\n", *words))
    assert told.decode().split("\n")[:-1] == list(words)


async def test_the_message_is_read_from_its_beginning(runner: Runner) -> None:
    with file_of(MESSAGE) as file:
        for _ in range(2):
            file.seek(5)
            output = await runner.run((("cat",),), file.fileno(), len(MESSAGE), PLENTY)
            assert output.file.read() == MESSAGE
            output.close()


async def test_a_program_sees_nothing_of_the_services_environment(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POP3_ADMIN_PASSWORD", "hush")
    told = (await transformed(runner, ("env",))).decode().split()
    assert {line.partition("=")[0] for line in told} == {"PATH", "LANG", "HOME", "TMPDIR"}


async def test_what_a_run_took_is_told(runner: Runner, script: Scripts) -> None:
    busy = script("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; cat")
    with file_of(MESSAGE) as file:
        output = await runner.run((busy, ("cat",)), file.fileno(), 20, PLENTY)
    output.close()
    assert output.cost.statuses == (0, 0)
    assert 0 < output.cost.cpu_s
    assert 0 < output.cost.seconds
    assert output.cost.memory_bytes > 0


def test_what_a_run_may_use_grows_with_the_message() -> None:
    settings = Settings().changed(
        {"transform_timeout_s": 5, "transform_cpu_s": 6, "transform_memory_mib": 100,
         "transform_processes": 7, "transform_scratch_mib": 8, "transform_output_mib": 9}
    )  # fmt: skip
    limits = limits_for(settings, 3 * MIB)
    assert (limits.seconds, limits.cpu_s, limits.memory_bytes) == (8, 9, 100 * MIB)
    assert (limits.processes, limits.scratch_bytes) == (7, 8 * MIB)
    assert limits.output_bytes == (9 + 16 * 3) * MIB


# --- programs that fail ---


async def test_a_program_that_fails_is_told_with_its_status(
    runner: Runner, script: Scripts
) -> None:
    with pytest.raises(TransformFailed, match="transform ended with status 1"):
        await transformed(runner, ("false",))
    with pytest.raises(TransformFailed, match="status 7"):
        await transformed(runner, script("cat; exit 7"))
    with pytest.raises(TransformFailed, match="signal 11"):
        await transformed(runner, script("echo part; kill -SEGV $$"))


async def test_a_failure_is_told_with_the_first_line_of_what_the_programs_said(
    runner: Runner, script: Scripts
) -> None:
    complaining = script("echo 'no \033[31msuch thing' >&2; echo more >&2; exit 3")
    with pytest.raises(RunFailed) as failed:
        await transformed(runner, ("cat",), complaining)
    assert failed.value.note == "no ?[31msuch thing"
    assert failed.value.cost.statuses[1] == 3


async def test_one_that_fails_within_a_chain_fails_it(runner: Runner, script: Scripts) -> None:
    for chain in ((("false",), ("cat",)), (script("cat; exit 2"), ("cat",), ("cat",))):
        with pytest.raises(TransformFailed, match="status"):
            await transformed(runner, *chain)


async def test_a_program_that_is_not_there_any_more_is_told(runner: Runner, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    for name in ("no-such-program", str(tmp_path), str(plain)):
        with pytest.raises(RunFailed, match="cannot run"):
            await transformed(runner, ("cat",), (name,))


async def test_a_program_whose_interpreter_is_missing_is_told(
    runner: Runner, script: Scripts
) -> None:
    broken = script("")
    Path(broken[0]).write_text("#!/no/such/interpreter\n")
    with pytest.raises(RunFailed, match="did not start"):
        await transformed(runner, broken)


@pytest.mark.parametrize("trap", ["", "trap '' TERM INT HUP;", "kill -STOP $$;"])
async def test_a_program_that_hangs_is_ended(runner: Runner, script: Scripts, trap: str) -> None:
    hang = script(f"{trap} while :; do sleep 60; done")
    with pytest.raises(TransformFailed, match=r"more than 0\.2 s"):
        await transformed(runner, hang, settings=allowing(0.2))


async def test_a_program_that_writes_without_end_is_ended(runner: Runner) -> None:
    with pytest.raises(TransformFailed, match="wrote more than"):
        await transformed(runner, ("yes",), settings=allowing(transform_output_mib=1))


async def test_a_long_error_output_does_no_harm(runner: Runner, script: Scripts) -> None:
    assert await transformed(runner, script("head -c 9000000 /dev/zero >&2; echo x")) == b"x\n"


async def test_a_program_need_not_read_its_input(runner: Runner) -> None:
    assert await transformed(runner, ("echo", "x"), message=b"y" * (4 << 20)) == b"x\n"


async def test_with_isolation_required_nothing_runs_without_it(
    runner: Runner, tmp_path: Path
) -> None:
    required = allowing(transform_isolation="require")
    if (await runner.launcher.isolation()).complete:
        assert await transformed(runner, ("cat",), settings=required) == MESSAGE
    visible = Runner(tmp_path / "spool", FakeClock(), reach=Reach(private=("/usr/share",)))
    with pytest.raises(TransformFailed, match="without its sandbox"):
        await transformed(visible, ("cat",), settings=required)
    await visible.close()


async def test_a_run_cancelled_at_any_moment_leaves_no_process(runner: Runner) -> None:
    await transformed(runner, ("cat",))
    pid = runner.launcher.pid
    assert pid is not None
    for turns in range(20):
        run = asyncio.create_task(transformed(runner, ("sleep", "600")))
        for _ in range(turns * turns):
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    async with asyncio.timeout(60):
        while children(pid):
            await asyncio.sleep(0)
    assert runner.waiting == 0


# --- many of them ---


async def test_fifty_runs_at_once_each_get_their_own_output(runner: Runner) -> None:
    messages = [b"message %d\r\n" % number for number in range(50)]
    runs = (transformed(runner, ("cat",), ("cat",), message=it) for it in messages)
    assert await asyncio.gather(*runs) == messages


async def test_programs_that_hang_keep_others_from_starting_for_a_spell_only(
    tmp_path: Path,
) -> None:
    runner = Runner(tmp_path / "spool", FakeClock(), concurrency=1, spell_s=0.05)
    hanging = [
        asyncio.create_task(transformed(runner, ("sleep", "600"), settings=allowing(600)))
        for _ in range(5)
    ]
    async with asyncio.timeout(60):
        while runner.waiting or not await transformed(runner, ("cat",)):
            await asyncio.sleep(0)
    assert not any(task.done() for task in hanging)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await runner.close()


async def test_programs_run_at_a_lower_priority_than_the_service(runner: Runner) -> None:
    told = await transformed(runner, ("nice",))
    assert int(told) == os.getpriority(os.PRIO_PROCESS, 0) + 10


async def test_no_descriptor_is_left(runner: Runner) -> None:
    await transformed(runner, ("cat",))
    before = descriptors()
    for _ in range(10):
        await transformed(runner, ("cat",), ("cat",))
        with pytest.raises(TransformFailed):
            await transformed(runner, ("false",))
        with pytest.raises(TransformFailed):
            await transformed(runner, ("no-such-program",))
    with pytest.raises(TransformFailed):
        await transformed(runner, ("sleep", "600"), settings=allowing(0.1))
    assert descriptors() <= before  # those of former tests may go meanwhile


async def test_the_spool_is_private_and_keeps_nothing(runner: Runner, tmp_path: Path) -> None:
    await transformed(runner, ("cat",))
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    assert [path for path in (tmp_path / "spool").rglob("*") if path.name != "scratch"] == []


async def test_a_part_of_the_disk_stays_free(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await transformed(runner, ("cat",)) == MESSAGE
    monkeypatch.setattr(runner_module, "RESERVE", 1 << 62)
    monkeypatch.setattr(runner_module, "RESERVE_SHARE", 1)  # all of the disk
    with pytest.raises(TransformFailed, match="no room for the transform") as failed:
        await transformed(runner, ("cat",))
    assert not isinstance(failed.value, RunFailed)


async def test_a_spool_without_room_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    runner = Runner(tmp_path / "file" / "spool", FakeClock())
    with pytest.raises(TransformFailed, match="no room"):
        await transformed(runner, ("cat",))
    await runner.close()


# --- the check before a setting takes effect ---


@pytest.mark.parametrize(
    "command_line", ["", "  ", "cat", "wc -l", "/bin/cat -", "tr a 'b c'", "cat | tr a b | wc"]
)
async def test_a_command_line_that_works_passes_the_check(
    runner: Runner, command_line: str
) -> None:
    await runner.check(command_line, PLENTY)


@pytest.mark.parametrize(
    "command_line",
    ["false", "no-such-program", "/etc", "cat; wc", "cat 'x", "cat /no/such/file", "cat | false",
     "cat | no-such-program", "cat |"],
)  # fmt: skip
async def test_a_command_line_that_does_not_is_refused(runner: Runner, command_line: str) -> None:
    with pytest.raises(TransformInvalid):
        await runner.check(command_line, PLENTY)


async def test_a_program_that_hangs_does_not_pass_the_check(runner: Runner) -> None:
    with pytest.raises(TransformInvalid, match="more than"):
        await runner.check("sleep 600", allowing(0.2))


async def test_a_trial_ends_before_its_caller_gives_up(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runner_module.TRIAL_S < base.TRIAL_S
    monkeypatch.setattr(runner_module, "TRIAL_S", 0.2)
    with pytest.raises(TransformInvalid, match=r"more than 0\.2 s"):
        await runner.check("sleep 600", allowing(3600))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("multipart", "attachment"),
        ("iso-8859-1", "8-bit"),
        ("bare CR", "line-ends"),
        ("Nothing", "emp"),
    ],
)
async def test_one_that_fails_on_some_mail_alone_does_not_pass_the_check(
    runner: Runner, script: Scripts, pattern: str, name: str
) -> None:
    fails = script(f"if grep -qa '{pattern}'; then exit 9; fi")
    with pytest.raises(TransformInvalid, match=rf"status 9, when tried on .*\({name}"):
        await runner.check(fails[0], PLENTY)


def test_the_samples_are_as_odd_as_mail_is() -> None:
    whole = b"".join(SAMPLES.values())
    assert all(odd in whole for odd in (b"\r\n.\r\n", b"\n..", b"\n.\n", b"\rb", b"\0", b"\xff"))
    assert not SAMPLES["line-ends"].endswith(b"\n")
    assert SAMPLES["empty"].endswith(b"\r\n\r\n")

"""A session's mail through a transform: sizes that hold, and results that are what was told."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from lineproto.stuffing import CRLF_ONLY, UTF8_HEADER
from pop3_service.domain.errors import MaildropUnavailable, MessageNotFound, TransformFailed
from pop3_service.domain.transforms import OnFailure
from pop3_service.transform import making
from pop3_service.transform.recent import KEPT_S
from pop3_service.transform.session import Original, SessionTransform, TransformPending
from unit.pop3_service.transforming import Desk, in_crlf, read

HARD = b"Subject: x\n\n.\r\n..\n\0\xff\r no end\r"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    yield made
    await made.close()


async def opened(session: SessionTransform, original: Original) -> bytes:
    result = await session.open(original)
    assert result is not None
    octets = read(result)
    assert len(octets) == result.size
    return octets


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# --- what is kept, and told ---


@pytest.mark.parametrize("octets", [b"", b"\r", b"\n", HARD, b"a\r\n.\r\n", b"x" * 3_000_000])
async def test_a_result_is_in_crlf_form_and_its_size_is_what_is_told(
    desk: Desk, octets: bytes
) -> None:
    session, original = desk.session(("cat",)), desk.message(octets)
    await session.find_sizes([original], 20)
    assert session.octets(original) == original.octets
    assert await opened(session, original) == in_crlf(octets)
    assert [path.stat().st_mode & 0o777 for path in desk.kept()] == [0o600]
    session.close()


async def test_a_result_says_what_is_known_of_its_form(desk: Desk) -> None:
    session = desk.session(("cat",))
    for octets, form in ((b"A: b\n\n\xc3\xa9", 0), ("A: é\n\n".encode(), UTF8_HEADER)):
        for _ in range(2):
            result = await session.open(desk.message(octets))
            assert result is not None
            assert result.form == CRLF_ONLY | form
            result.close()
    session.close()


async def test_what_one_session_computed_the_next_one_finds(desk: Desk) -> None:
    originals = desk.messages(5)
    for _ in range(2):
        session = desk.session(("tr", "a-z", "A-Z"))
        await session.find_sizes(originals, 20)
        assert await opened(session, originals[3]) == b"SUBJECT: 3\r\n\r\nX\r\n"
        session.close()
    assert len(desk.runs) == 5
    assert all(failure == "" for _, failure in desk.runs)


async def test_another_account_or_transform_has_results_of_its_own(desk: Desk) -> None:
    original = desk.message(b"abc\n")
    for session in (
        desk.session(("cat",)),
        desk.session(("cat", "-")),
        desk.session(("cat",), account="eva"),
        desk.session(("cat",), account="../../ana"),
    ):
        assert await opened(session, original) == b"abc\r\n"
        session.close()
    assert len(desk.runs) == len(desk.kept()) == 4


async def test_a_program_that_is_replaced_is_another_transform(desk: Desk) -> None:
    program, original = desk.script("echo old"), desk.message(b"x")
    session = desk.session(program)
    assert await opened(session, original) == b"old\r\n"
    new = Path(desk.script("echo new")[0])
    new.rename(program[0])
    assert await opened(session, original) == b"old\r\n"
    later = desk.session(program)
    assert await opened(later, original) == b"new\r\n"
    for it in (session, later):
        it.close()


async def test_a_program_replaced_within_a_session_leaves_no_result_under_the_old_mark(
    desk: Desk,
) -> None:
    program, first, second = desk.script("cat"), desk.message(b"x"), desk.message(b"y", "2.host")
    session = desk.session(program)
    await session.find_sizes([first], 20)
    Path(desk.script("tr x-z a-c")[0]).rename(program[0])
    assert await opened(session, second) == b"b\r\n"
    assert len(desk.kept()) == 1
    session.close()


async def test_one_that_is_asked_for_by_many_is_run_once(desk: Desk) -> None:
    session, original = desk.session(desk.script("sleep 0.05; cat")), desk.message(b"x\n")
    results = await asyncio.gather(*(opened(session, original) for _ in range(20)))
    assert set(results) == {b"x\r\n"}
    assert len(desk.runs) == 1
    session.close()


async def test_two_processes_compute_a_result_once(tmp_path: Path) -> None:
    desks = Desk(tmp_path), Desk(tmp_path)
    program, original = desks[0].script("sleep 0.05; cat"), desks[0].message(b"x\n")
    sessions = [desk.session(program) for desk in desks]
    results = await asyncio.gather(*(opened(session, original) for session in sessions))
    assert results == [b"x\r\n", b"x\r\n"]
    assert sum(len(desk.runs) for desk in desks) == 1
    for desk, session in zip(desks, sessions, strict=True):
        session.close()
        await desk.close()


# --- sizes that take time ---


async def test_sizes_that_take_too_long_are_told_as_progress_and_the_work_goes_on(
    desk: Desk,
) -> None:
    gate = desk.programs / "gate"
    program = desk.script(f"while ! test -e {gate}; do sleep 0.01; done; cat")
    session, originals = desk.session(program), desk.messages(3)
    with pytest.raises(TransformPending) as pending:
        await session.find_sizes(originals, 0.05)
    assert (pending.value.done, pending.value.total) == (0, 3)
    gate.touch()
    await session.find_sizes(originals, 60)
    assert session.progress(originals) == (3, 3)
    assert len(desk.runs) == 3
    session.close()


def gate_of(desk: Desk) -> Path:
    """What programs can wait at until it is opened."""
    desk.programs.mkdir(exist_ok=True)
    gate = desk.programs / "gate"
    os.mkfifo(gate)
    return gate


async def test_a_session_that_ends_ends_its_runs(desk: Desk) -> None:
    before = descriptors()
    session = desk.session(desk.script("exec sleep 600"))
    with pytest.raises(TransformPending):
        await session.find_sizes(desk.messages(20), 0)
    session.close()
    async with asyncio.timeout(60):
        while desk.runner.waiting or descriptors() > before + 1:
            await asyncio.sleep(0)
    with pytest.raises(TransformFailed):
        await session.open(desk.message(b""))


async def test_a_session_that_was_asked_for_nothing_holds_nothing(desk: Desk) -> None:
    before = descriptors()
    desk.session(("cat",)).close()
    assert descriptors() <= before
    assert not desk.results.exists()


async def test_no_descriptor_is_left(desk: Desk) -> None:
    originals = desk.messages(3)
    for again in range(3):
        for program in (("cat",), ("false",), desk.script("sleep 0.01; echo $$")):
            session = desk.session(program)
            await session.find_sizes(originals, 20)
            for original in originals:
                if not session.failure(original):
                    await opened(session, original)
            session.close()
        if not again:
            before = descriptors()
    assert descriptors() <= before
    assert desk.left_over() == []


# --- what fails ---


async def test_a_message_that_failed_keeps_its_own_size_and_is_refused(desk: Desk) -> None:
    session, original = desk.session(("false",)), desk.message(b"abc\n")
    await session.find_sizes([original], 20)
    assert session.octets(original) == original.octets == 5
    for _ in range(2):
        with pytest.raises(TransformFailed, match="status 1"):
            await session.open(original)
    assert "status 1" in session.failure(original)
    assert len(desk.runs) == 1
    session.close()


async def test_a_message_that_failed_is_sent_as_it_is_where_that_is_wanted(desk: Desk) -> None:
    session = desk.session(("false",), on_failure=OnFailure.ORIGINAL)
    original = desk.message(b"abc\n")
    assert await session.open(original) is None
    await session.find_sizes([original], 20)
    assert session.octets(original) == 5
    assert await session.open(original) is None
    assert len(desk.runs) == 1
    session.close()


async def test_a_failure_is_remembered_for_a_while_and_then_tried_again(desk: Desk) -> None:
    original = desk.message(b"x")
    for runs, seconds in ((1, 0), (1, KEPT_S - 1), (2, 1)):
        desk.clock.move(seconds)
        session = desk.session(("false",))
        with pytest.raises(TransformFailed):
            await session.open(original)
        session.close()
        assert len(desk.runs) == runs


async def test_a_program_that_is_not_there_fails_each_message(desk: Desk) -> None:
    session, originals = desk.session(("no-such-program",)), desk.messages(2)
    await session.find_sizes(originals, 20)
    assert all("no program" in session.failure(it) for it in originals)
    session.close()


async def test_a_message_that_is_gone_fails_alone(desk: Desk) -> None:
    def gone() -> int:
        raise MessageNotFound("it is gone")

    there = desk.message(b"x\n")
    lost = Original("0" * 32, 7, 8, gone)
    session = desk.session(("cat",))
    with pytest.raises(MessageNotFound):
        await session.open(lost)
    await session.find_sizes([lost, there], 20)
    assert (session.octets(lost), session.octets(there)) == (8, 3)
    session.close()


def unreadable_once(stored: Original) -> Original:
    """The same message, where the disk fails at the first reading."""
    answers = [MaildropUnavailable("the disk failed")]

    def open_it() -> int:
        if answers:
            raise answers.pop()
        return stored.open()

    return replace(stored, open=open_it)


@pytest.mark.parametrize("on_failure", list(OnFailure))
async def test_a_message_that_could_not_be_read_is_not_sent_as_it_is_later(
    desk: Desk, on_failure: OnFailure
) -> None:
    original = unreadable_once(desk.message(b"abc\n"))
    session = desk.session(("tr", "-d", "a"), on_failure=on_failure)
    await session.find_sizes([original], 20)
    assert session.octets(original) == original.octets == 5
    with pytest.raises(TransformFailed, match="4 octets, where 5 were told"):
        await session.open(original)
    session.close()
    session = desk.session(("tr", "-d", "a"), on_failure=on_failure)
    assert await opened(session, original) == b"bc\r\n"
    session.close()


async def test_a_message_that_can_be_read_again_is_sent_if_its_size_was_told_right(
    desk: Desk,
) -> None:
    original = unreadable_once(desk.message(b"abc\n"))
    session = desk.session(("tr", "a", "A"))
    await session.find_sizes([original], 20)
    assert await opened(session, original) == b"Abc\r\n"
    session.close()


async def test_a_descriptor_too_few_is_a_failure_of_the_transform(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(fd: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "dup", none_left)
    session, original = desk.session(("cat",)), desk.message(b"abc\n")
    with pytest.raises(TransformFailed, match="no room"):
        await session.open(original)
    session.close()


async def test_a_result_takes_no_room_that_is_to_stay_free(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "is_full", lambda fd: True)
    session, original = desk.session(("cat",)), desk.message(b"abc\n")
    with pytest.raises(TransformFailed, match="no room"):
        await session.open(original)
    assert desk.kept() == desk.left_over() == []
    session.close()


async def test_a_result_that_the_disk_does_not_give_any_more_is_made_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(fd: int, size: int, at: int) -> bytes:
        if os.fstat(fd).st_nlink:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(fd, size, at)

    session, original = desk.session(("cat",)), desk.message(b"abc\n")
    assert await opened(session, original) == b"abc\r\n"
    pread = os.pread
    monkeypatch.setattr(os, "pread", broken)
    result = await session.open(original)
    assert result is not None
    result.close()
    assert len(desk.runs) == 2
    session.close()


async def test_a_message_that_changes_under_way_is_not_kept(desk: Desk, tmp_path: Path) -> None:
    gate, original = gate_of(desk), desk.message(b"x\n")
    session = desk.session(desk.script(f"read x < {gate}; cat"))
    opening = asyncio.create_task(session.open(original))

    def change() -> None:
        with open(gate, "w") as opened:  # it is read: the program runs
            (tmp_path / "mail" / "1.host").write_bytes(b"more\n")
            opened.write("go\n")

    await asyncio.to_thread(change)
    with pytest.raises(TransformFailed, match="changed"):
        await opening
    assert desk.kept() == []
    session.close()


# --- results that are not the same each time ---


async def test_output_that_differs_from_run_to_run_is_the_same_within_a_session(
    desk: Desk,
) -> None:
    session, original = desk.session(("od", "-N", "16", "-x", "/dev/urandom")), desk.message(b"x")
    await session.find_sizes([original], 20)
    first = await opened(session, original)
    assert await opened(session, original) == first
    assert len(first) == session.octets(original)
    session.close()


@pytest.mark.parametrize("on_failure", list(OnFailure))
async def test_a_rerun_of_another_size_is_an_error_and_not_sent(
    desk: Desk, on_failure: OnFailure
) -> None:
    text = desk.programs / "text"
    program = desk.script(f"cat {text}")
    text.write_bytes(b"x")
    session, original = desk.session(program, on_failure=on_failure), desk.message(b"abc\n")
    await session.find_sizes([original], 20)
    assert session.octets(original) == 3
    shutil.rmtree(desk.results)
    text.write_bytes(b"x\ny\n")
    with pytest.raises(TransformFailed, match="6 octets, where 3 were told"):
        await session.open(original)
    assert session.octets(original) == 3
    session.close()


async def test_a_rerun_of_the_same_size_is_sent(desk: Desk) -> None:
    session, original = desk.session(("cat",)), desk.message(b"abc\n")
    await session.find_sizes([original], 20)
    shutil.rmtree(desk.results)
    assert await opened(session, original) == b"abc\r\n"
    assert len(desk.runs) == 2
    session.close()


async def test_a_rerun_that_fails_is_not_replaced_by_the_original(desk: Desk) -> None:
    text = desk.programs / "text"
    program = desk.script(f"cat {text}")
    text.write_bytes(b"x")
    session = desk.session(program, on_failure=OnFailure.ORIGINAL)
    original = desk.message(b"abc\n")
    await session.find_sizes([original], 20)
    shutil.rmtree(desk.results)
    text.unlink()
    with pytest.raises(TransformFailed):
        await session.open(original)
    session.close()

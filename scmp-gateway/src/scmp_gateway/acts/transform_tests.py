"""TRANSFORM_TEST: a transform is run on messages; what became of them is shown, and the cost."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field

from google.protobuf.duration_pb2 import Duration

from lineproto.reply import Listing, Ready, Reply
from lineproto.stuffing import END, WireEncoder
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.transform_words import parse_version
from pop3mgmt.v1.transforms_pb2 import (
    StoredMessage,
    TestTransformRequest,
    TransformProgramReport,
    TransformTestReport,
    TransformVersion,
)
from scmp_gateway.command import Line, after_words

MAX_SHOWN = 1024 * 1024
"""Octets of the results that are shown, of all together."""


@dataclass
class Tested:
    """What came of one message."""

    report: TransformTestReport
    result: bytearray = field(default_factory=bytearray)

    @property
    def what(self) -> str:
        """The sample, or the message that was chosen."""
        sample = self.report.sample_name
        return f"sample:{sample}" if sample else "message"


async def test(caller: Caller, line: Line) -> Reply:
    """Run a transform on a message of an account, or on samples."""
    found, whole = await _run(caller, request_of(line))
    lines = [told for it in found for told in _report_lines(it)]
    if not whole:
        lines.append("the result has more than 1 MiB; pop3ctl shows it")
    head = Listing(_outcome(found), lines).encode().removesuffix(END)
    return Ready(head + (_results(found) if whole else b"") + END)


def request_of(line: Line) -> TestTransformRequest:
    """Read ``[ON <uidl>] [OF <username>] <name[@version] | RUN command_line>``.

    A keyword is one only where something follows it, so a transform may be called ``run``.

    Raises:
        ManagementError: it is something else, or says a thing twice.
    """
    request = TestTransformRequest()
    words, at = line.words, 0
    given: dict[str, str] = {}
    while words[at].upper() in ("ON", "OF") and at + 2 < len(words):
        key = words[at].upper()
        if key in given:
            raise _invalid(f"{key} is given twice")
        given[key] = words[at + 1]
        at += 2
    if "OF" in given and "ON" not in given:
        raise _invalid("name the message as well, by ON and its unique id; MAIL lists them")
    if "ON" in given:
        stored = StoredMessage(uidl=given["ON"], account_name=given.get("OF", ""))
        request.stored_message.CopyFrom(stored)
    if words[at].upper() == "RUN" and at + 1 < len(words):
        request.command_line = after_words(line, at + 1)
    elif at + 1 == len(words):
        request.transform.CopyFrom(_version(words[at]))
    else:
        raise _invalid(f"{words[at + 1]} has no place there; a command line comes behind RUN")
    return request


async def _run(caller: Caller, request: TestTransformRequest) -> tuple[list[Tested], bool]:
    """Give what came of each message, and whether the results are there or too large."""
    found: list[Tested] = []
    expected = 0
    async with contextlib.aclosing(caller.test_transform(request)) as parts:
        async for part in parts:
            if part.HasField("report"):
                found.append(Tested(part.report))
                expected += part.report.result_bytes
            elif expected <= MAX_SHOWN:
                found[-1].result += part.chunk
            elif not found[-1].report.sample_name:
                break  # no other report comes
    return found, expected <= MAX_SHOWN


def _outcome(found: list[Tested]) -> str:
    failed = [it for it in found if it.report.has_failed]
    if failed:
        return f"it FAILED, {failed[0].what}: {failed[0].report.failure_text}"
    return f"it works on {len(found)} samples" if found[0].report.sample_name else "it works"


def _report_lines(tested: Tested) -> list[str]:
    report = tested.report
    result = "-" if report.has_failed else report.result_bytes
    texts = {"failed": report.failure_text, "error": report.error_text}
    told = [f" {key}={json.dumps(text, ensure_ascii=False)}" for key, text in texts.items() if text]
    return [
        f"{tested.what} octets={report.message_bytes} result={result}"
        f" seconds={_seconds(report.run_duration)} cpu-seconds={_seconds(report.cpu_duration)}"
        f" peak-memory={report.peak_memory_bytes or '-'}{''.join(told)}",
        *(
            f"{tested.what}/{number} {_program(program)}"
            for number, program in enumerate(report.programs, 1)
        ),
    ]


def _program(report: TransformProgramReport) -> str:
    words = [report.program]
    if report.HasField("exit_status"):
        words.append(f"status={report.exit_status}")
    if report.HasField("signal"):
        words.append(f"signal={report.signal}")
    return " ".join(words)


def _results(found: list[Tested]) -> bytes:
    """Give the results as RETR would send them, each behind a line that says what it is of."""
    body = b""
    for it in found:
        if not it.report.has_failed:
            encoder = WireEncoder()
            of = f"--- {it.what}\r\n".encode() if it.report.sample_name else b"\r\n"
            body += of + encoder.feed(bytes(it.result)) + encoder.finish()
    return body


def _seconds(duration: Duration) -> str:
    return f"{duration.ToTimedelta().total_seconds():.3f}"


def _version(word: str) -> TransformVersion:
    try:
        name, version = parse_version(word)
    except ValueError as error:
        raise _invalid(str(error)) from None
    return TransformVersion(name=name, version=version)


def _invalid(text: str) -> ManagementError:
    return ManagementError(Reason.INVALID_ARGUMENT, text)

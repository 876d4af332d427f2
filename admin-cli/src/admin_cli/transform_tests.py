"""transform test: a transform is run on messages, and what becomes of them is shown."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING

import click

from admin_cli.commands import TEXT, Command, Parsed
from admin_cli.connection import call
from admin_cli.errors import Refused
from admin_cli.output import Record, as_json, note, safe, show_done, show_octets, size
from pop3mgmt.reasons import Reason
from pop3mgmt.transform_words import parse_version

if TYPE_CHECKING:
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.transforms_pb2 import (
        TestTransformRequest,
        TransformProgramReport,
        TransformTestReport,
    )

IN_MEMORY = 1 << 20
"""Octets of a result that are kept in memory; what is more goes to a file without a name."""
PIECE = 1 << 18


@dataclass(frozen=True)
class Tested:
    """What came of one message; ``result`` is what it became."""

    report: TransformTestReport
    result: IO[bytes]

    @property
    def what(self) -> str:
        """The sample, or the message that was chosen."""
        sample = self.report.sample_name
        return f"sample:{sample}" if sample else "message"

    def pieces(self) -> Iterator[bytes]:
        """Give the result, from its beginning."""
        self.result.seek(0)
        return iter(partial(self.result.read, PIECE), b"")


@click.command(
    "test",
    cls=Command,
    calls=("TransformsService/TestTransform",),
    examples=(
        "pop3ctl transform test banner@2 --message letter.eml",
        "pop3ctl transform test banner --account alice --uidl 1700000000.M1P2.mail",
        "pop3ctl transform test --run 'valija-transform text-only | tr a-z A-Z'",
        "pop3ctl transform test banner --message - --output plain.eml < letter.eml",
        "pop3ctl transform test banner --json | jq '.messages[].run_seconds'",
    ),
)
@click.argument(
    "what", type=Parsed("transform", parse_version), required=False, metavar="[NAME[@VERSION]]"
)
@click.option("--run", "line", type=TEXT, metavar="COMMAND_LINE", help="Test this, not a NAME.")
@click.option("--message", type=click.File("rb"), help="A message in a file; - is stdin.")
@click.option("--account", type=TEXT, metavar="NAME", help="Whose message it is; yours without.")
@click.option(
    "--uidl", type=TEXT, metavar="UIDL", help="A message of an account, by its unique id."
)
@click.option("--output", type=click.Path(), metavar="FILE", help="Where the result goes.")
def test_transform(
    what: tuple[str, int] | None,
    line: str | None,
    message: IO[bytes] | None,
    account: str | None,
    uidl: str | None,
    output: str | None,
) -> None:
    """Run a transform on a message and show the result and its cost. Nothing is changed.

    Without a message it runs on samples. The result goes to stdout or to --output, what it cost
    to stderr. If it fails the exit code is 10.
    """
    if (what is None) is (line is None):
        raise click.UsageError("give either NAME or --run")
    if message and (uidl or account):
        raise click.UsageError("give a message of an account or --message, not both")
    if account and not uidl:
        raise click.UsageError("--account asks for --uidl; 'pop3ctl maildrop list' shows them")
    if output and not (message or uidl):
        raise click.UsageError("--output is for the result of one message: --message or --uidl")
    content = _read(message) if message else None
    found = call(lambda caller: _run(caller, _request(what, line, content, account, uidl)))
    _show(found, output)


def _read(file: IO[bytes]) -> bytes:
    from pop3mgmt.calls.transforms import MAX_MESSAGE

    if file.isatty():
        raise click.UsageError("stdin is a terminal; give a file, or pipe the message in")
    content = file.read(MAX_MESSAGE + 1)
    if len(content) > MAX_MESSAGE:
        raise click.UsageError(
            f"--message takes {size(MAX_MESSAGE)}; put a larger one into a maildrop"
            " ('pop3ctl maildrop put') and give --account and --uidl"
        )
    return content


def _request(
    what: tuple[str, int] | None,
    line: str | None,
    content: bytes | None,
    account: str | None,
    uidl: str | None,
) -> TestTransformRequest:
    from pop3mgmt.v1 import transforms_pb2 as pb2

    request = pb2.TestTransformRequest()
    if content is not None:
        request.message = content
    if line is not None:
        request.command_line = line
    if what is not None:
        request.transform.CopyFrom(pb2.TransformVersion(name=what[0], version=what[1]))
    if uidl is not None:
        request.stored_message.CopyFrom(pb2.StoredMessage(account_name=account or "", uidl=uidl))
    return request


async def _run(caller: Caller, request: TestTransformRequest) -> list[Tested]:
    found: list[Tested] = []
    async for part in caller.test_transform(request):
        if part.HasField("report"):
            found.append(Tested(part.report, tempfile.SpooledTemporaryFile(IN_MEMORY)))
        else:
            found[-1].result.write(part.chunk)
    return found


def _show(found: list[Tested], output: str | None) -> None:
    """Show what came of it; a transform that failed is how the command ends, too.

    Raises:
        Refused: it failed.
    """
    failed = [it for it in found if it.report.has_failed]
    if output and not failed:
        with open(output, "wb") as file:
            found[0].result.seek(0)
            shutil.copyfileobj(found[0].result, file)
    if as_json():
        with_content = output is None
        records = [_record(it, with_content=with_content) for it in found]
        show_done({"works": not failed, "messages": records}, "")
    else:
        _show_text(found, note if output is None else _say, with_results=output is None)
    if failed:
        text = f"{failed[0].what}: {failed[0].report.failure_text}"
        raise Refused(Reason.TRANSFORM_FAILED, text)


def _say(line: str) -> None:
    click.echo(safe(line))


def _show_text(found: list[Tested], tell: Callable[[str], None], *, with_results: bool) -> None:
    for it in found:
        for line in _cost(it):
            tell(line)
    for it in found if with_results else ():
        if it.report.has_failed:
            continue
        if it.report.sample_name:
            click.echo(f"--- {it.what}")
        show_octets(it.pieces())


def _cost(tested: Tested) -> Iterator[str]:
    report = tested.report
    seconds = report.run_duration.ToTimedelta().total_seconds()
    cpu = report.cpu_duration.ToTimedelta().total_seconds()
    became = "FAILED" if report.has_failed else f"became {size(report.result_bytes)}"
    peak = report.peak_memory_bytes
    memory = f", memory {size(peak)}" if peak else ""
    yield (
        f"{tested.what}: {size(report.message_bytes)} {became} in {seconds:.3f} s"
        f" (CPU {cpu:.3f} s{memory})"
    )
    for number, program in enumerate(report.programs if report.has_failed else (), 1):
        yield f"  {number} {program.program}: {_ending(program)}"
    for line in report.error_text.splitlines():
        yield f"  error output: {line}"


def _ending(program: TransformProgramReport) -> str:
    if program.HasField("signal"):
        return f"signal {program.signal}"
    return f"status {program.exit_status}" if program.HasField("exit_status") else "not ended"


def _record(tested: Tested, *, with_content: bool) -> Record:
    """Give a report's values under their names in the contract, times in seconds."""
    import base64

    report = tested.report
    content = b"".join(tested.pieces()) if with_content and not report.has_failed else None
    return {
        "sample_name": report.sample_name,
        "has_failed": report.has_failed,
        "failure_text": report.failure_text,
        "message_bytes": report.message_bytes,
        "result_bytes": report.result_bytes,
        "run_seconds": report.run_duration.ToTimedelta().total_seconds(),
        "cpu_seconds": report.cpu_duration.ToTimedelta().total_seconds(),
        "peak_memory_bytes": report.peak_memory_bytes,
        "programs": [
            {
                "program": it.program,
                "exit_status": it.exit_status if it.HasField("exit_status") else None,
                "signal": it.signal if it.HasField("signal") else None,
            }
            for it in report.programs
        ],
        "error_text": report.error_text,
        "content_base64": None if content is None else base64.b64encode(content).decode(),
    }

"""The programs in the box, in the sandbox that transforms run in, with the limits that it has."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pop3_service.transform.command_line import find_program
from pop3_service.transform.limits import Limits
from support.programs import ALL, HTML, PDF, PLAIN, multipart, part, passed
from support.sandboxed import GENEROUS, Cell, cell

LIMITS = replace(Limits(), seconds=GENEROUS.seconds)
"""A busy machine takes longer, and no more of anything else."""

MESSAGE = multipart(
    "mixed",
    [multipart("alternative", [PLAIN, HTML], boundary="inner"), PDF,
     part("text/csv; name*=utf-8''%C3%A4.csv", "me@example.org;4111111111111111")],
)  # fmt: skip


@pytest.fixture
async def jail() -> AsyncIterator[Cell]:
    with cell() as made:
        yield made
        await made.launcher.close()


def program(*options: str) -> tuple[str, ...]:
    return (find_program(("valija-transform",)), *options)


@pytest.mark.parametrize("options", ALL)
async def test_each_command_works_in_the_sandbox(jail: Cell, options: tuple[str, ...]) -> None:
    ran = await jail.run(program(*options), message=MESSAGE, limits=LIMITS)
    assert ran.result.succeeded, ran.result
    assert ran.output == passed(MESSAGE, *options)


async def test_they_are_chained(jail: Cell) -> None:
    chain = [program(*options) for options in (ALL[0], ALL[3], ALL[5])]
    ran = await jail.run(*chain, message=MESSAGE, limits=LIMITS)
    assert ran.result.succeeded, ran.result
    expected = MESSAGE
    for options in (ALL[0], ALL[3], ALL[5]):
        expected = passed(expected, *options)
    assert ran.output == expected


@pytest.mark.parametrize(
    ("kind", "body", "options"),
    [
        ("text/html", b"<pre>" + bytes([0x0A]) * 2_000_000, ("text-only",)),
        ("text/plain", b"4" * 4_000_000, ("redact", "--find", "card")),
        ("text/plain", b"4 " * 1_900_000, ("redact", "--find", "card")),
    ],
    ids=["empty lines", "digits", "digits with gaps"],
)
async def test_text_that_repeats_itself_takes_no_more_memory_than_other_text(
    jail: Cell, kind: str, body: bytes, options: tuple[str, ...]
) -> None:
    before = b"Content-Type: %s\n\n%s" % (kind.encode(), body)
    limits = Limits(seconds=120, memory_bytes=384 << 20)
    ran = await jail.run(program(*options), message=before, limits=limits)
    assert ran.result.succeeded, ran.result


async def test_what_is_wrong_with_the_options_is_told(jail: Cell) -> None:
    ran = await jail.run(program("redact", "--pattern", "(", "x"), message=MESSAGE)
    assert not ran.result.succeeded
    assert "valija-transform redact: pattern '('" in str(ran.result)


async def test_large_mail_fits_the_sandbox(jail: Cell) -> None:
    """63 MiB are worked on, 80 are copied through, in the memory that programs have."""
    line = b"QUFB" * 19 + b"\n"
    for size, changed in ((62, True), (80, False)):
        attachment = PDF.replace(b"JVBERi0xLjQK", line * ((size << 20) // len(line)))
        before = multipart("mixed", [PLAIN, attachment])
        limits = replace(LIMITS, output_bytes=2 * len(before))
        ran = await jail.run(program("strip-attachments"), message=before, limits=limits)
        assert ran.result.succeeded, ran.result
        expected = multipart("mixed", [PLAIN]) if changed else before[: 1 << 24]
        assert ran.output == expected

"""The program itself: what its exit codes and its one line on stderr say, and how much it takes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from support.programs import PDF, PLAIN, mail, multipart
from valija_transform import cli
from valija_transform.cli import COMMANDS

PROGRAM = (sys.executable, "-m", "valija_transform")
MIB = 1024 * 1024
MESSAGE = multipart("mixed", [PLAIN, PDF])


def run(
    *arguments: str | bytes, given: bytes = MESSAGE, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, *arguments], input=given, capture_output=True, env=env, timeout=120
    )


def test_its_name_is_beside_this_python() -> None:
    script = Path(sys.executable).parent / "valija-transform"
    ran = subprocess.run([script, "defang"], input=MESSAGE, capture_output=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"hxxp://evil[.]example/x" in ran.stdout


def test_commands_are_chained_by_pipes() -> None:
    first = run("strip-attachments").stdout
    second = run("defang", given=first).stdout
    assert run("header", "--add", "X-Seen: yes", given=second).stdout == multipart(
        "mixed", [PLAIN.replace(b"http://evil.", b"hxxp://evil[.]")]
    ).replace(b"\n\nThis", b"\nX-Seen: yes\n\nThis")


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_help_fits_a_terminal_of_80_columns(words: tuple[str, ...]) -> None:
    told = run(*words, "--help").stdout.decode()
    assert "usage: valija-transform" in told
    assert [line for line in told.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 64, b"usage: valija-transform COMMAND"),
        (("shred",), 64, b"valija-transform: there is no command 'shred'"),
        (("defang", "--fast"), 64, b"valija-transform defang: unrecognized arguments: --fast"),
        (("defang", "--max-size", "big"), 64, b"valija-transform defang: argument --max-size"),
        (("defang", "--signed", "burn"), 64, b"valija-transform defang: argument --signed"),
        (("banner",), 64, b"valija-transform banner: one of the arguments --text --file"),
        (("banner", "--file", "/none"), 66, b"valija-transform banner: /none: No such file"),
        (("redact", "--pattern", "(", "x"), 64, b"valija-transform redact: pattern '('"),
        (("header", "--add", "X: a\nY: b"), 64, b"valija-transform header: a field holds no line"),
        (("header", "--add", b"X: \xff"), 64, b"valija-transform header: an argument is not UTF-8"),
        (("defang", "--strict"), 65, b"valija-transform defang: a header has a NUL"),
        (
            ("defang", "--strict", "--max-size", "3"),
            65,
            b"valija-transform defang: the message has",
        ),
    ],
)
def test_failures(arguments: tuple[str | bytes, ...], code: int, said: bytes) -> None:
    ran = run(*arguments, given=b"Subject: \0\n\n")
    assert ran.returncode == code
    assert ran.stdout == b""
    assert ran.stderr.startswith(said)
    assert len(ran.stderr.splitlines()) == 1 or not arguments


def test_help_tells_each_command() -> None:
    told = run("--help").stdout.decode()
    assert [name for name in COMMANDS if name not in told] == []
    for name in COMMANDS:
        ran = run(name, "--help")
        assert ran.returncode == 0
        assert b"--signed" in ran.stdout


def test_a_reader_that_went_away_is_a_failure() -> None:
    readable, writable = os.pipe()
    os.close(readable)
    ran = subprocess.run(
        [*PROGRAM, "defang"], input=MESSAGE, stdout=writable, stderr=subprocess.PIPE, timeout=120
    )
    os.close(writable)
    assert ran.returncode == 74
    assert ran.stderr == b"valija-transform defang: the result cannot be written: Broken pipe\n"


def test_a_message_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    unreadable = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    ran = subprocess.run([*PROGRAM, "defang"], stdin=unreadable, capture_output=True, timeout=120)
    os.close(unreadable)
    assert ran.returncode == 74
    assert (
        ran.stderr == b"valija-transform defang: the message cannot be read: Bad file descriptor\n"
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "valija-transform defang: out of memory\n"),
        (
            KeyError("x\ny"),
            "valija-transform defang: a mistake in the program: KeyError: 'x\\ny'\n",
        ),
    ],
)
def test_what_nobody_foresaw_is_one_line_too(
    error: Exception,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "run", fails)
    assert cli.main(["defang"]) == 70
    assert capfd.readouterr() == ("", said)


@pytest.mark.parametrize("name", ["defang", "text-only", "strip-attachments"])
def test_nothing_in_is_nothing_out(name: str) -> None:
    ran = run(name, given=b"")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout == b""


def test_no_locale_and_no_environment_make_a_difference() -> None:
    wanted = run("banner", "--text", "Von außen").stdout
    for env in ({}, {"LC_ALL": "C"}, {"LANG": "tr_TR.ISO-8859-9", "PYTHONUTF8": "0"}):
        assert run("banner", "--text", "Von außen", env=env).stdout == wanted


@pytest.mark.parametrize("piped", [True, False])
def test_mail_above_the_limit_is_copied_in_bounded_memory(tmp_path: Path, piped: bool) -> None:
    """300 MiB through a process that may have no more than 200."""
    large, copy = tmp_path / "large", tmp_path / "copy"
    with large.open("wb") as file:
        file.write(MESSAGE)
        file.truncate(300 * MIB)
        file.seek(0, os.SEEK_END)
        file.write(b"http://evil.example\n")

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (200 * MIB, 200 * MIB))

    source = subprocess.Popen(["cat", large], stdout=subprocess.PIPE) if piped else None
    with large.open("rb") as file, copy.open("wb") as out:
        ran = subprocess.run(
            [*PROGRAM, "defang"],
            stdin=source.stdout if source else file,
            stdout=out,
            stderr=subprocess.PIPE,
            preexec_fn=bounded,
            timeout=240,
        )
    if source is not None and source.stdout is not None:
        source.stdout.close()
        source.wait()
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert subprocess.run(["cmp", large, copy], timeout=240).returncode == 0


@pytest.mark.parametrize("name", ["strip-attachments", "defang", "text-only"])
def test_mail_up_to_the_limit_fits_the_sandboxs_memory(tmp_path: Path, name: str) -> None:
    """63 MiB in 512 MiB of addresses, as in a sandbox."""
    large = tmp_path / "large"
    line = b"QUFB" * 19 + b"\n"
    attachment = PDF.replace(b"JVBERi0xLjQK", line * (62 * MIB // len(line)))
    large.write_bytes(multipart("mixed", [PLAIN, attachment]))

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (512 * MIB, 512 * MIB))

    with large.open("rb") as file:
        ran = subprocess.run(
            [*PROGRAM, name], stdin=file, capture_output=True, preexec_fn=bounded, timeout=240
        )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert (len(ran.stdout) < 1000) is (name != "defang")


def test_what_a_command_does_not_need_is_not_imported() -> None:
    heavy = ("email.message", "selectolax", "re2", "html", "asyncio", "socket", "ssl", "tempfile")
    code = (
        "import sys; before = set(sys.modules); from valija_transform.cli import main; "
        "main(sys.argv[1:]); "
        f"sys.exit(str(sorted({set(heavy)!r} & (set(sys.modules) - before)) or ''))"
    )
    for arguments in (
        ("strip-attachments",),
        ("header", "--set", "Subject: Grüße"),
        ("text-only",),
        ("redact", "--find", "card"),
    ):
        given = mail("Subject: x", "Content-Type: text/plain; charset=utf-8", "", "text")
        ran = subprocess.run(
            [sys.executable, "-c", code, *arguments], input=given, capture_output=True, timeout=120
        )
        assert ran.stderr == b"\n"

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pop3_service.domain.errors import TransformInvalid
from pop3_service.domain.transforms import MAX_PROGRAMS
from pop3_service.transform.command_line import MAX_OCTETS, PATH, find_program, parse, parse_chain
from scale import EXAMPLES


@settings(max_examples=EXAMPLES)
@given(st.one_of(st.text(max_size=60), st.text("ab '\"\\|;&$`()<>\n\t", max_size=12)))
def test_any_text_is_words_or_refused(text: str) -> None:
    try:
        programs = parse_chain(text)
    except TransformInvalid:
        return
    assert len(programs) <= MAX_PROGRAMS
    assert all(words and words[0] for words in programs)
    assert bool(programs) is bool(text.strip())


@settings(max_examples=EXAMPLES)
@given(
    st.lists(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=9), min_size=1)
)
def test_quoted_words_come_back_as_they_were(words: list[str]) -> None:
    printable = [word for word in words if word.isprintable()]
    quoted = shlex.join(printable)
    if printable and printable[0] and len(quoted.encode()) <= MAX_OCTETS:
        assert parse(quoted) == tuple(printable)


@settings(max_examples=EXAMPLES)
@given(
    st.lists(
        st.lists(st.text("ab '\"\\|;&$`()<>é", min_size=1, max_size=5), min_size=1, max_size=3),
        min_size=1,
        max_size=MAX_PROGRAMS,
    )
)
def test_a_chain_comes_back_as_it_was(programs: list[list[str]]) -> None:
    quoted = "|".join(map(shlex.join, programs))
    assert parse_chain(quoted) == tuple(map(tuple, programs))


@pytest.mark.parametrize(
    ("text", "programs"),
    [
        ("", ()),
        (" ", ()),
        ("wc -l", (("wc", "-l"),)),
        ("strip | tr a-z A-Z", (("strip",), ("tr", "a-z", "A-Z"))),
        ("a|b|c", (("a",), ("b",), ("c",))),
        ("sed 's/|/x/' | tr '|' x", (("sed", "s/|/x/"), ("tr", "|", "x"))),
        ('sed "|" | cat', (("sed", "|"), ("cat",))),
        ("sed \\| | cat", (("sed", "|"), ("cat",))),
        ('sed "\\"|" | cat', (("sed", '"|'), ("cat",))),
    ],
)
def test_programs_are_parted_by_a_bar_of_ours(
    text: str, programs: tuple[tuple[str, ...], ...]
) -> None:
    assert parse_chain(text) == programs


@pytest.mark.parametrize(
    "text",
    ["|", "wc |", "| wc", "a || b", "a | | b", "a | ''", "a |& b", "a | b > c", "a | 'b", "a | b &",
     " | ".join(["cat"] * (MAX_PROGRAMS + 1))],
)  # fmt: skip
def test_no_chain(text: str) -> None:
    with pytest.raises(TransformInvalid):
        parse_chain(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("  ", ()),
        ("wc", ("wc",)),
        ("tr a-z A-Z", ("tr", "a-z", "A-Z")),
        ("sed 's/a|b/; $(x)/'", ("sed", "s/a|b/; $(x)/")),
        ('sed "s/`a`/b/"', ("sed", "s/`a`/b/")),
        ("sed s/a\\|b/c/", ("sed", "s/a|b/c/")),
        ("echo $HOME *", ("echo", "$HOME", "*")),
        ("cat ''", ("cat", "")),
        ("cat 'é ñ'", ("cat", "é ñ")),
    ],
)
def test_a_command_line_is_split_as_a_shell_would(text: str, words: tuple[str, ...]) -> None:
    assert parse(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "wc | cat",
        "wc; rm x",
        "wc && rm x",
        "wc > /tmp/x",
        "wc < /etc/passwd",
        "wc `id`",
        "wc $(id)",
        "wc '",
        'wc "',
        "wc \\",
        "wc\nrm x",
        "wc\0",
        "wc\t-l",
        "wc \x1b[31m",
        "'' x",
        "x" * (MAX_OCTETS + 1),
        "é" * (MAX_OCTETS // 2 + 1),
    ],
)
def test_what_would_need_a_shell_or_is_not_complete_is_refused(text: str) -> None:
    with pytest.raises(TransformInvalid):
        parse(text)


def test_a_program_is_found_where_programs_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_program(("wc",)) in ("/usr/bin/wc", "/bin/wc")
    assert find_program(("/bin/sh", "-c")) == "/bin/sh"


def test_the_services_own_path_is_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_text("#!/bin/sh\n")
    (tmp_path / "mine").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TransformInvalid):
        find_program(("mine",))


def test_what_is_no_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain, fifo, dangling = tmp_path / "plain", tmp_path / "fifo", tmp_path / "dangling"
    plain.write_text("")
    plain.chmod(0o644)
    os.mkfifo(fifo, 0o755)
    dangling.symlink_to("nothing")
    for name in (plain, fifo, dangling, tmp_path, "/dev/null", "no-such-thing", "./plain", "a/b"):
        with pytest.raises(TransformInvalid):
            find_program((str(name),))


def test_a_program_that_may_be_run_and_not_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_program((str(program),)) == str(program)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK)  # root may read all
    with pytest.raises(TransformInvalid, match="cannot be read"):
        find_program((str(program),))


def test_the_programs_in_the_box_are_found_by_name_and_others_are_the_systems() -> None:
    beside = Path(sys.executable).parent
    assert Path(find_program(("valija-transform", "defang"))).name == "valija-transform"
    assert PATH[:3] == ("/usr/local/bin", "/usr/bin", "/bin")
    assert str(beside) in PATH

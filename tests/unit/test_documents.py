"""The documents: what they link to is there, and the first of them is short."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import click
import pytest

from admin_cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "*/*.md", "tests/*/*.md")
    for path in ROOT.glob(pattern)
    if not path.relative_to(ROOT).parts[0].startswith(".")
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"#+ (.*)")


def outside_blocks(document: str) -> list[str]:
    """Give a document's lines without those of its blocks of commands."""
    lines, within = [], False
    for line in (ROOT / document).read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            within = not within
        elif not within:
            lines.append(line)
    assert not within, f"{document} has a block without an end"
    return lines


def anchors(document: str) -> set[str]:
    """Give the names by which its headings can be linked to, as GitHub makes them."""
    titles = (found[1] for line in outside_blocks(document) if (found := HEADING.match(line)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_of_a_document_leads_somewhere(document: str) -> None:
    for target in LINK.findall("\n".join(outside_blocks(document))):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = ((ROOT / document).parent / name).resolve() if name else ROOT / document
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.relative_to(ROOT).as_posix()), target


def test_the_readme_leads_to_every_document_for_readers() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    of_a_folder = {f"{it}/README.md" for it in ("proto", "scmp-gateway", "pop3-service")}
    for document in set(DOCUMENTS) - of_a_folder - {"README.md", "maildir-volume/README.md"}:
        assert f"({document.removesuffix('/README.md')}" in readme, document


def test_the_quick_start_fits_a_screen() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("## ")]
    sections = {lines[start]: end - start for start, end in pairwise([*starts, len(lines)])}
    assert next(iter(sections)) == "## Quick start"
    assert sections["## Quick start"] <= 40


@pytest.mark.parametrize("document", ["README.md", "OPERATING.md"])
def test_the_image_of_pop3ctl_is_built_before_its_output_is_kept(document: str) -> None:
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    built = next(n for n, line in enumerate(lines) if "compose build admin-cli" in line)
    first = next(n for n, line in enumerate(lines) if "admin-cli " in line and " run --rm" in line)
    assert built < first, "compose writes what it builds to stdout, into a backup for instance"


def typed(document: str) -> list[list[str]]:
    """Give the words behind pop3ctl in a document's blocks of commands."""
    found = []
    text = (ROOT / document).read_text(encoding="utf-8").replace("\\\n", " ")
    for block in re.split(r"^ *```.*$", text, flags=re.MULTILINE)[1::2]:
        for line in block.splitlines():
            command = re.search(
                r"(?:^|\$ |; )(?:pop3ctl|docker compose run .*admin-cli) (.*)", line
            )
            if command and "$(" not in command[1]:
                lexer = shlex.shlex(command[1], posix=True, punctuation_chars=True)
                lexer.whitespace_split = True
                words = list(lexer)
                ends = [n for n, word in enumerate(words) if set(word) <= set("<>|();&")]
                found.append(words[: min(ends, default=len(words))])
    return found


TYPED = [(document, words) for document in DOCUMENTS for words in typed(document)]


@pytest.mark.parametrize(("document", "words"), TYPED, ids=str)
def test_a_command_of_pop3ctl_in_a_document_is_one(document: str, words: list[str]) -> None:
    options = {it for option in cli.params for it in (*option.opts, *option.secondary_opts)}
    while words[0].startswith("-"):
        assert words[0] in options | {"--json"}, words
        words = words[1:] if words[0] == "--json" else words[2:]
    command = COMMANDS[words[0]].load()
    rest = words[1:]
    if isinstance(command, click.Group):
        assert rest, words
        command = command.commands[rest[0]]
        rest = rest[1:]
    known = {it for option in command.params for it in option.opts} | {"--help"}
    if words[:2] not in (["transform", "set"], ["transform", "use"]):
        assert [word for word in rest if word.startswith("--") and word not in known] == []


def test_the_documents_show_many_commands() -> None:
    assert len(TYPED) > 60

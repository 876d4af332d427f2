"""Every reply has its words in every language, and none has words of its own."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import pop3_service
from lineproto.reply import LINE_LIMIT
from pop3_service.pop3.catalogue import LANGUAGES, Language, Text
from pop3_service.pop3.command import NUMBER_DIGITS

SOURCES = Path(pop3_service.__file__).parent
SPEAKERS = [
    path
    for room in ("pop3", "worker")
    for path in sorted((SOURCES / room).rglob("*.py"))
    if path.name != "catalogue.py"
]
NUMBER = "9" * NUMBER_DIGITS
WIDEST = {
    "host": "ñ" * 126 + ".es",  # 255 octets, the longest host name
    "product": "Valija",
    "version": "100.100.100",
    "number": NUMBER,
    "count": NUMBER,
    "failed": NUMBER,
    "done": NUMBER,
    "total": NUMBER,
    "octets": "9" * 19,
    "keyword": "STAT",
    "state": "AUTHORIZATION",
    "tag": "es",
}
"""The longest that each placeholder can be: a new one has to say so here."""
LONGEST_CODE = "LOGIN-DELAY"


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("text", Text)
def test_a_text_is_there_in_every_language_with_the_same_placeholders(text: Text) -> None:
    for tag in LANGUAGES:
        said = getattr(text, tag)
        assert said.strip() == said != ""
        assert placeholders(said) == placeholders(text.en)


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES.keys())
@pytest.mark.parametrize("text", Text)
def test_the_longest_reply_fits_in_a_line(text: Text, language: Language) -> None:
    arguments = {name: WIDEST[name] for name in placeholders(text.en)}
    said = language.say(text, **arguments)
    assert said.isprintable()
    whole = f"[{LONGEST_CODE}] {said}"
    assert len(f"-ERR {whole}\r\n".encode()) <= LINE_LIMIT  # more would be cut
    assert language.err(text, LONGEST_CODE, **arguments).encode() == f"-ERR {whole}\r\n".encode()
    assert language.ok(text, **arguments).encode() == f"+OK {said}\r\n".encode()


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES.keys())
def test_what_is_ready_is_what_would_be_said(language: Language) -> None:
    assert language.name_accepted.encode() == language.ok(Text.NAME_ACCEPTED).encode()
    assert language.bye.encode() == language.ok(Text.BYE).encode()
    assert language.logged_in.encode() == language.ok(Text.LOGGED_IN).encode()
    assert language.deleted % 12 == language.ok(Text.DELETED, number=12).encode()
    assert language.octets % 12 == language.ok(Text.MESSAGE, octets=12).encode()


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES.keys())
def test_a_language_without_accents_is_ascii_and_loses_no_word(language: Language) -> None:
    plain = language.in_ascii
    for text in Text:
        arguments = {name: "1" for name in placeholders(text.en)}
        said, folded = language.say(text, **arguments), plain.say(text, **arguments)
        assert folded.isascii()
        assert len(folded) == len(said)
        assert [(a, b) for a, b in zip(said, folded, strict=True) if a.isascii() and a != b] == []


@pytest.mark.parametrize("path", SPEAKERS, ids=lambda path: path.stem)
def test_no_reply_has_words_outside_the_catalogue(path: Path) -> None:
    assert list(literal_words(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "source",
    [
        "Ok('bye')",
        "reply.Err(f'no {n}', 'AUTH')",
        "Listing(text='follows', lines=[])",
        "BadCommand('what?')",
        "write(b'-ERR go away\\r\\n')",
        "x = f'+OK {n} octets'",
        "Ok('a' + word)",
    ],
)
def test_words_outside_the_catalogue_are_found(source: str) -> None:
    assert list(literal_words(ast.parse(source)))


def test_a_number_and_the_catalogues_own_words_are_no_literal_words() -> None:
    source = "b'+OK %d %d\\r\\n'; Err(text, 'AUTH'); Ok(say(Text.BYE, keyword='STAT')); Ok()"
    assert list(literal_words(ast.parse(source))) == []


def literal_words(tree: ast.AST) -> Iterator[str]:
    """What is sent without coming out of the catalogue."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                if name in ("Ok", "Err", "Listing", "BadCommand"):
                    words = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "text")]
                    yield from (ast.unparse(it) for it in words if is_literal(it))
            case ast.Constant(value=bytes() as octets) if octets.startswith((b"+OK", b"-ERR")):
                if octets.translate(None, b"\r\n +-").removeprefix(b"OK").strip(b"%db"):
                    yield ast.unparse(node)
            case ast.Constant(value=str() as text) if text.startswith(("+OK", "-ERR")):
                yield ast.unparse(node)


def is_literal(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str() | bytes()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, right=right):
            return is_literal(left) or is_literal(right)
        case ast.IfExp(body=body, orelse=orelse):
            return is_literal(body) or is_literal(orelse)
    return False

"""Dialogues by RFC section and by SCMP verb, as they are written in ``transcripts``."""

import re
from pathlib import Path

import pytest

from conformance.transcript import Mismatch, Player, Programs, octets

TRANSCRIPTS = sorted(Path(__file__).parent.glob("transcripts/*.txt"))
OF_TLS = [
    path for path in TRANSCRIPTS if path.stem.startswith(("rfc2595-", "rfc8314-", "scmp-tls-"))
]
OTHERS = [path for path in TRANSCRIPTS if path not in OF_TLS]


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_a_dialogue_goes_as_written(programs: Programs, path: Path) -> None:
    Player(programs, path.stem).play(path.read_text())


@pytest.mark.parametrize("path", OF_TLS, ids=lambda path: path.stem)
def test_a_dialogue_of_tls_goes_as_written(tls_programs: Programs, path: Path) -> None:
    Player(tls_programs, path.stem).play(path.read_text())


# --- a transcript that is wrong fails --------------------

RIGHT = """\
account: ana secret
mail: one\\n
mail: two\\n
pop3: first
S: +OK POP3 *
login: ana secret
C: DELE 1
C: LIST
S: +OK message 1 deleted
S: +OK 1 messages (5 octets)
S: 2 5
S: .
C: QUIT
S: +OK {count} messages deleted, bye
closed
kept: 2
"""


def test_a_right_transcript_passes(programs: Programs) -> None:
    Player(programs, "right").play(RIGHT)


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("S: 2 5\n", "S: 2 6\n", "line 11: expected '2 6', got"),
        ("S: +OK message 1 deleted\n", "S: +OK message\n", "line 9: expected"),
        ("S: +OK POP3 *\n", "S: -ERR *\n", "line 5: expected"),
        ("S: .\n", "", "line 13: expected"),
        ("S: .\n", "S: 3 5\nS: .\n", "line 12: expected"),
        ("S: .\n", "S: .\nS: +OK\n", "line 13: "),
        ("closed\n", "S: +OK\n", "the server has closed"),
        ("C: QUIT\nS: +OK {count} messages deleted, bye\nclosed", "closed", "line 13: "),
        (
            "C: QUIT\nS: +OK {count} messages deleted, bye\nclosed\nkept: 2\n",
            "C: STAT",
            "more came",
        ),
        ("kept: 2\n", "kept: 1 2\n", "line 16: kept are [2]"),
        ("kept: 2\n", "nonsense: 2\n", "there is no directive 'nonsense'"),
        ("login: ana secret", "login: ana wrong", "no login"),
        ("{count}", "{count} {count}", "expected"),
    ],
)
def test_a_wrong_transcript_fails_and_names_the_line(
    programs: Programs, right: str, wrong: str, told: str
) -> None:
    text = RIGHT.replace(right, wrong, 1)
    assert text != RIGHT
    with pytest.raises(Mismatch, match=re.escape(told)):
        Player(programs, "wrong", timeout_s=2).play(text)


def test_a_greeting_that_is_not_in_the_transcript_is_a_fault(programs: Programs) -> None:
    with pytest.raises(Mismatch, match="greeting"):
        Player(programs, "wrong").play("pop3: first")


@pytest.mark.parametrize("wrong", ["count + 1 = count", "count < 1", "2 = count"])
def test_a_comparison_that_does_not_hold_is_a_fault(programs: Programs, wrong: str) -> None:
    right = RIGHT + "compare: count + 1 = 2\ncompare: count < 2\n"
    with pytest.raises(Mismatch, match="line 19: "):
        Player(programs, "wrong").play(right + f"compare: {wrong}\n")


def test_escapes_stand_for_octets() -> None:
    assert octets(r"a\r\n\t\\n\xff\x0aé") == b"a\r\n\t\\n\xff\n\xc3\xa9"

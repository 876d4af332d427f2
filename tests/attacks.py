"""What a hostile or careless world does to the service, by number: the map from attack to test.

A test names what it stands up to: ``@pytest.mark.attack(29, "fifo", "device")``, or by its own
name, ``test_attack_17_...``. Of an attack with parts, each part needs a test. Run this file to see
where they are.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent
NUMBERS = tuple(range(1, 61))
"""The attacks on the POP3 port, its maildrops, its transforms and its network."""


class Attack(NamedTuple):
    """What is done, and what of it needs a test of its own."""

    what: str
    parts: tuple[str, ...] = ()


ATTACKS: dict[int, Attack] = {
    1: Attack("a line of a gibibyte that never ends"),
    2: Attack("octets that trickle in, one at a time", ("before login", "after login")),
    3: Attack("a client that never reads its replies"),
    4: Attack("odd octets and line ends", ("nul", "8-bit", "cr", "lf", "cut")),
    5: Attack("lines of no or strange words", ("empty", "blanks", "case")),
    6: Attack("what a command does not take", ("numbers", "arguments", "states")),
    7: Attack("100,000 commands sent at once", ("pipelined", "after quit")),
    8: Attack("an interrupted RETR", ("command", "disconnect")),
    9: Attack("control characters given back", ("replies", "logs")),
    10: Attack("formats and lookups in place of words", ("user", "pass")),
    11: Attack("commands in the segment of STLS"),
    12: Attack("half a command behind STLS, finished in TLS"),
    13: Attack("USER in clear text, PASS in TLS"),
    14: Attack("STLS where it has no place", ("refused", "required")),
    15: Attack("bad handshakes", ("flood", "stall", "old versions", "alpn")),
    16: Attack("a new certificate whose key is another's"),
    17: Attack("users found by text, code or time"),
    18: Attack("broken SASL exchanges"),
    19: Attack("others who log in meanwhile"),
    20: Attack("long, blank and composed passwords"),
    21: Attack("guessing from everywhere", ("one user", "one address", "ipv6")),
    22: Attack("locking somebody else out"),
    23: Attack("an APOP digest seen before"),
    24: Attack("a token seen before, or too old", ("pop3", "management")),
    25: Attack("an account that changes while in use", ("changed", "deleted", "suspended")),
    26: Attack("two logins that race for one maildrop"),
    27: Attack("the password that everybody knows"),
    28: Attack("names that are paths", ("paths", "nul", "long", "case")),
    29: Attack(
        "what is no message where one should be",
        ("symlink", "hard link", "fifo", "device", "directory", "unreadable", "swapped"),
    ),
    30: Attack("odd file names", ("newline", "flags", "long", "false sizes")),
    31: Attack("a file changed while it is sent", ("truncated", "grown", "deleted")),
    32: Attack("another program in the same Maildir", ("delivery", "rename")),
    33: Attack("huge mail", ("a million files", "10 GiB", "sparse")),
    34: Attack("a file system that fails", ("EIO", "ENOSPC", "EROFS", "EMFILE")),
    35: Attack("a sudden end in QUIT", ("kill", "power loss")),
    36: Attack("time and inodes that come again", ("clock", "inode")),
    37: Attack(
        "content that looks like protocol",
        ("dots", "bare lf", "edges", "no newline", "empty", "headers only", "nul"),
    ),
    38: Attack("TOP at its ends", ("0", "1", "huge", "no blank line")),
    39: Attack(
        "a transform that does not end",
        ("hangs", "ignores SIGTERM", "daemonises", "fork bomb"),
    ),
    40: Attack("a transform's output", ("output bomb", "no output", "part and exit 1")),
    41: Attack("a transform that does not read its input"),
    42: Attack(
        "a transform that prints what looks like protocol",
        ("terminator", "cr", "reply", "nul", "no end"),
    ),
    43: Attack(
        "a transform that looks around",
        ("environment", "others' mail", "control socket", "network", "processes"),
    ),
    44: Attack(
        "a shell's words in a transform's command line",
        ("refused", "newline", "scmp", "pop3ctl"),
    ),
    45: Attack("a transform changed while 50 clients read", ("sessions", "logins")),
    46: Attack("sizes of transformed mail", ("stat", "list", "retr", "retr first")),
    47: Attack("a transform whose output differs from run to run", ("octets", "size")),
    48: Attack("a transform given a zip bomb"),
    49: Attack("SCMP misused", ("before login", "as non-admin", "pipelined", "crlf in names")),
    50: Attack(
        "the number of accounts at its ends",
        ("twice", "at the maximum", "below the count", "0", "negative", "2^63", "raced"),
    ),
    51: Attack("deleting whom one should not", ("oneself", "the last admin", "logged in")),
    52: Attack(
        "gRPC misused",
        ("no token", "wrong role", "100 MiB", "10,000 streams", "slow watcher", "pings"),
    ),
    53: Attack("the gateway used to gain rights", ("secret alone", "no secret", "other words")),
    54: Attack("gateway or service alone", ("service down", "gateway down")),
    55: Attack("counters under abrupt closes", ("resets", "killed worker")),
    56: Attack("a PROXY header that is false, broken or missing"),
    57: Attack("more connections than there is room for", ("10,000", "descriptors")),
    58: Attack("an IPv4 address written as an IPv6 one", ("bans", "allow lists")),
    59: Attack("a flood of log lines", ("log", "audit")),
    60: Attack("a stop in the middle", ("retr", "quit")),
}

_NAME = re.compile(r"test_attack_(\d\d)_")


class Named(NamedTuple):
    """A test that names an attack, whole or in parts."""

    attack: int
    parts: tuple[str, ...]
    where: str


def named() -> dict[int, list[Named]]:
    """Give the tests by attack, as their sources tell."""
    found: dict[int, list[Named]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                where = f"{path.relative_to(TESTS)}:{node.lineno} {node.name}"
                for number, parts in _named_by(node):
                    found[number].append(Named(number, parts, where))
    return found


def _named_by(
    test: ast.FunctionDef | ast.AsyncFunctionDef,
) -> Iterator[tuple[int, tuple[str, ...]]]:
    if match := _NAME.match(test.name):
        yield int(match[1]), ()
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.attack":
            number, *parts = (ast.literal_eval(argument) for argument in decorator.args)
            yield number, tuple(parts)


def missing() -> dict[int, set[str]]:
    """Give what has no test: numbers, with the parts that nobody names."""
    tests = named()
    found: dict[int, set[str]] = {}
    for number, attack in ATTACKS.items():
        done = {part for test in tests[number] for part in test.parts}
        if not tests[number] or set(attack.parts) - done:
            found[number] = set(attack.parts) - done
    return found


def told() -> str:
    """Give the map as text."""
    tests = named()
    lines = []
    for number, attack in ATTACKS.items():
        lines.append(f"{number} {attack.what}")
        lines += [f"    {it.where}  {', '.join(it.parts)}".rstrip() for it in tests[number]]
    return "\n".join(lines)


if __name__ == "__main__":
    print(told())

"""Varied mail out of a seed: every line ending, dots everywhere, odd sizes, all octets."""

import random
from collections.abc import Iterator
from pathlib import Path

_CORPUS = Path(__file__).parents[3] / "shared/corpus"

_ENDS = (b"\n", b"\r\n")
_EDGES = (1024, 4096, 64 * 1024, 256 * 1024)


def varied(count: int, seed: int = 1939) -> Iterator[bytes]:
    """Messages; the first few are the hard cases by name, the rest come out of the seed."""
    fixed = [
        b"",
        b"\n",
        b"\r\n",
        b".",
        b".\r\n",
        b"..\n",
        b"\r",
        b"a\rb\r\r\n\r",
        b"Subject: headers only\n",
        b"Subject: no end",
        b"\n.\n..\n...\n",
        b"A: b\n\nbody\n.\nQUIT\r\n",
        bytes(range(256)) * 3,
    ]
    for edge in _EDGES:  # a dot, a CR and an LF on each side of every edge
        for shift in (-2, -1, 0, 1):
            head = b"Subject: edge\n\n"
            fixed.append(head + b"x" * (edge + shift - len(head) - 1) + b"\r\n.\r\n\n.y")
    random_ = random.Random(seed)
    for number in range(count):
        yield fixed[number] if number < len(fixed) else _message(random_, number)


def collected() -> Iterator[bytes]:
    """Mail that other projects collected, where this machine has it beside the project."""
    for path in sorted(_CORPUS.rglob("*")):
        if path.is_file():
            yield path.read_bytes()


def _message(random_: random.Random, number: int) -> bytes:
    end = random_.choice(_ENDS)
    lines = [b"Subject: varied %d" % number, b"From: a@example.org", b""]
    for _ in range(random_.choice((0, 1, 3, 30, 400))):
        start = random_.choice((b"", b".", b"..", b"From ", b"\xff\0", b"\r"))
        lines.append(start + random_.randbytes(random_.choice((0, 1, 70, 990))).translate(_SAFE))
    mixed = random_.random() < 0.3
    text = b"".join(line + (random_.choice(_ENDS) if mixed else end) for line in lines)
    return text.rstrip(b"\r\n") if random_.random() < 0.2 else text


_SAFE = bytes(0x20 if octet in b"\r\n" else octet for octet in range(256))


def crlf_form(message: bytes) -> bytes:
    """What a client must have after unstuffing: every line ended by CRLF, by the one rule."""
    parts = message.split(b"\n")
    last = parts.pop()
    lines = [part.removesuffix(b"\r") for part in parts]
    if last or not message:
        lines.append(last)
    return b"".join(line + b"\r\n" for line in lines)

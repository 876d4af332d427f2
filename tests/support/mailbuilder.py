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


def for_clients(count: int = 40, seed: int = 1939) -> dict[str, bytes]:
    """Mail as clients meet it, by name: one message a trait, the rest ordinary out of the seed.

    What some client is known to lose (NUL, a lone CR, very long lines) is in messages of its own.
    """
    head = b"From: a@example.org\nSubject: trait\n"
    hard = {
        "empty": b"",
        "one line end": b"\n",
        "headers alone": head,
        "header cut off": b"Subject: no end",
        "no final line end": head + b"\nlast line",
        "many blank lines": head + b"\n\n\n\nend\n\n\n",
        "crlf": (head + b"\none\n\ntwo\n").replace(b"\n", b"\r\n"),
        "mixed ends": head + b"\none\r\ntwo\nthree\r\n",
        "dots": head + b"\n.\n..\n...\n.x\n. \nend\n.\n",
        "dot first": b".\n" + head + b"\nbody\n",
        "a reply in the body": head + b"\n.\n-ERR no\n+OK yes\n.\nQUIT\n",
        "From lines": head + b"\nFrom a to z\n>From here\n>>From there\nfrom\n",
        "eight bit": head + b"\n" + bytes(range(0x80, 0x100)) + b"\n",
        "eight bit header": b"Subject: caf\xc3\xa9\nFrom: \xe9@example.org\n\n\xc3\xa9\n",
        "control characters": head
        + b"\n"
        + bytes(it for it in range(1, 32) if it not in b"\r\n")
        + b"\x7f\n",
        "blanks at the end": head + b"\nx  \n\t\n \ny\t\n",
        "998 octets": head + b"\n" + b"x" * 998 + b"\n",
        "3000 octets": head + b"\n" + b"x" * 3000 + b"\n",
        "70000 octets": head + b"\n" + b"x" * 70_000 + b"\n.y\n",
        "folded headers": b"Subject: one\n two\n\tthree\nX-Empty:\nX-Long: "
        + b"w " * 400
        + b"\n\nb\n",
        "half a megabyte": head + b"\n" + b".line of text\n" * 40_000,
        "NUL": head + b"\na\0b\n\0\n",
        "lone CR": head + b"\na\rb\n\r\rc\n",
    }
    random_ = random.Random(seed)
    rest = {f"ordinary {number}": _ordinary(random_, number) for number in range(count - len(hard))}
    return hard | rest


def _ordinary(random_: random.Random, number: int) -> bytes:
    end = random_.choice(_ENDS)
    lines = [b"Subject: ordinary %d" % number, b"From: a@example.org", b""]
    for _ in range(random_.choice((0, 1, 3, 30, 400))):
        start = random_.choice((b"", b".", b"..", b"From ", b"\xff", b"\t"))
        lines.append(start + random_.randbytes(random_.choice((0, 1, 70, 900))).translate(_PRINTED))
    return end.join(lines) + (end if random_.random() < 0.8 else b"")


_PRINTED = bytes(octet if octet >= 0x20 else octet + 0x40 for octet in range(256))

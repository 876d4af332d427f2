"""A very large message through a transform: what memory it takes, of whom."""

from __future__ import annotations

import zlib

import pytest

import scale
from component.conftest import Service, Start
from support.events import wait_for
from support.peaks import Peaks

PIECE = b"A line of a message that is far too large to be held.\n" * 20_000
MORE_KB = 16 * 1024
"""What a process may take more than for a small message."""


def piece_by_piece(service: Service, name: str) -> tuple[int, int]:
    """Fetch message 1 and drop it; give its octets (no line begins with a dot) and their CRC."""
    with service.connect(timeout=3600) as client:
        assert client.log_in(name) == "+OK Logged in"
        client.send(b"RETR 1\r\n")
        first = client.line()
        assert first.startswith(b"+OK "), first
        told = int(first.split()[1])
        crc, left = 0, told + len(b".\r\n")
        while left > 3:
            chunk = client.file.read(min(left - 3, 1 << 20))
            crc = zlib.crc32(chunk, crc)
            left -= len(chunk)
        assert client.file.read(3) == b".\r\n"
        assert client.ask("NOOP").startswith("+OK")
    return told, crc


def peaks(service: Service, name: str) -> tuple[int, int, dict[str, int]]:
    """Fetch message 1; give its octets, their CRC, and the peaks by role."""
    watched = Peaks(service.daemon.process.pid)
    told, crc = piece_by_piece(service, name)
    return told, crc, watched.stop()


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("command_line", ["cat", "wc"])
def test_a_very_large_message_takes_no_more_memory_than_a_small_one(
    with_workers: Start, command_line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service = with_workers(POP3_TRANSFORM_CACHE_MIB="8192")
    service.transform(command_line)
    box = service.account()
    box.deliver(b"Subject: small\n\none\n", "1000.M1P1.host")
    wait_for(lambda: service.transformed_mail().done_count == 1)  # its process is there, whole
    before = peaks(service, box.name)[2]
    (box.path / "new/1000.M1P1.host").unlink()
    count = scale.LARGE_MESSAGE // len(PIECE)
    with open(box.path / "new/2000.M1P1.host", "wb") as file:
        for _ in range(count):
            file.write(PIECE)
    told, crc, kb = peaks(service, box.name)
    rows = (
        f"{name} {before.get(name, 0) / 1024:.1f} to {most / 1024:.1f}"
        for name, most in sorted(kb.items())
    )
    with capsys.disabled():
        print(f"\n{command_line}, {count * len(PIECE) >> 20} MiB; peaks in MiB:", ", ".join(rows))
    if command_line == "cat":
        sent = PIECE.replace(b"\n", b"\r\n")
        assert told == count * len(sent)
        expected = 0
        for _ in range(count):
            expected = zlib.crc32(sent, expected)
        assert crc == expected
    assert {"worker", "service", "launcher, keepers"} <= kb.keys()
    assert all(most < before.get(name, 0) + MORE_KB for name, most in kb.items()), (before, kb)

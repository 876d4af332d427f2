"""Opening a message to read it leaves no trace, and works for another's file too."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pop3_service.maildir.opening import TRACELESS_FLAGS, open_to_read

LONG_AGO_NS = 10**18


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_reading_a_message_does_not_touch_it(tmp_path: Path, folder: int) -> None:
    path = tmp_path / "1.a"
    path.write_bytes(b"x\n")
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS + 1))  # a plain read would renew the first
    with open(open_to_read(folder, "1.a"), "rb") as file:
        assert file.read() == b"x\n"
    assert path.stat().st_atime_ns == LONG_AGO_NS


def test_a_file_of_another_owner_is_opened_all_the_same(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1.a").write_bytes(b"x\n")
    opened: list[int] = []
    real = os.open

    def for_owners_alone(path: str, flags: int, *, dir_fd: int) -> int:
        opened.append(flags)
        if flags == TRACELESS_FLAGS:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", for_owners_alone)
    fd = open_to_read(folder, "1.a")
    assert os.read(fd, 9) == b"x\n"
    os.close(fd)
    assert len(opened) == 2


def test_a_file_that_may_not_be_read_is_tried_once(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    def refuse(path: str, flags: int, *, dir_fd: int) -> int:
        opened.append(flags)
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        open_to_read(folder, "1.a")
    assert len(opened) == 1


def test_a_link_is_not_followed(tmp_path: Path, folder: int) -> None:
    (tmp_path / "secret").write_bytes(b"x\n")
    (tmp_path / "1.a").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        open_to_read(folder, "1.a")

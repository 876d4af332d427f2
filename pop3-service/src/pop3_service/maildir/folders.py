"""A Maildir's folders, held open: what is done in them needs no path, and one sync each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Self

from pop3_service.maildir.index import FolderState
from pop3_service.maildir.opening import FOLDER_FLAGS


class Folders:
    """A Maildir, and its ``new`` and ``cur`` as they are needed; a context that closes them."""

    __slots__ = ("_parts", "maildir")

    def __init__(self, maildir: int, parts: dict[str, int] | None = None) -> None:
        """Take over the descriptor of a Maildir, and those of its folders that are open."""
        self.maildir = maildir
        self._parts = parts or {}

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of them."""
        for fd in (self.maildir, *self._parts.values()):
            os.close(fd)

    def of(self, folder: str) -> int:
        """Give the descriptor of ``new`` or ``cur``.

        Raises:
            OSError: it is missing, a link, or no folder.
        """
        fd = self._parts.get(folder)
        if fd is None:
            fd = self._parts[folder] = os.open(folder, FOLDER_FLAGS, dir_fd=self.maildir)
        return fd

    def are_in(self, state: FolderState | None, parts: Iterable[str]) -> bool:
        """Whether these are open, and nothing came, went or was renamed there since then."""
        if state is None:
            return False
        was = {"new": state[:3], "cur": state[3:]}
        for folder in parts:
            fd = self._parts.get(folder)
            if fd is None:
                return False
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino, status.st_mtime_ns) != was[folder]:
                return False
        return True

    def sync(self, folder: str) -> bool:
        """Make a folder's removals durable; False if that failed."""
        try:
            os.fsync(self.of(folder))
        except OSError:
            return False
        return True

"""The mail root, and reads from it that never wait for a disk.

A message that the kernel has in memory is read in the loop, without a thread's two hops: openat2
with RESOLVE_CACHED and preadv with RWF_NOWAIT refuse where they would have to wait, and the caller
then goes the long way. Where the kernel or the file system knows neither, all reads do.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pop3_service.domain.errors import MaildropUnavailable
from pop3_service.maildir.folders import Folders
from pop3_service.maildir.imported import are_imported
from pop3_service.maildir.listing import Scan, Snapshot
from pop3_service.maildir.message import Message
from pop3_service.maildir.syscalls import OpenCached, cached_opener, status_reader

AT_ONCE = 100
"""Messages of a maildrop that is listed at once; a larger one is the business of a thread."""
LONG_FOLDER = 64 * 1024
"""Octets of a folder itself that is not read at once, whatever its entries are."""
SMALL = 64 * 1024
"""Octets of a message that is read and sent at once."""
LOCAL_FILE_SYSTEMS = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "overlay"}
)
"""Where the state of a folder in use is in the kernel's memory; elsewhere a stat may wait."""


class ListedAtOnce(NamedTuple):
    """A listing, and the stored octets of the messages that were read for it, by inode."""

    snapshot: Snapshot
    octets: dict[int, bytes]


class WouldWait(Exception):
    """It cannot be done without waiting, or is too much to be done at once."""


class MailRoot:
    """The folder that all Maildirs are in, opened once. ``is_local``: a stat in it is quick."""

    def __init__(self, path: Path) -> None:
        """Open the folder.

        Raises:
            MaildropUnavailable: it cannot be opened.
        """
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise MaildropUnavailable(f"cannot open the mail folder: {error.strerror}") from error
        self.path = path
        self.is_local = _file_system(path) in LOCAL_FILE_SYSTEMS
        self._buffer = bytearray(SMALL)
        self._view = memoryview(self._buffer)
        self._open_cached = cached_opener(self.fd) if self.is_local else None
        self._status = status_reader() if self.is_local else None

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self.fd)

    def read_cached(self, folder: bytes, message: Message) -> bytes | None:
        """Give a small message's stored octets, if that takes no wait and it is as it was listed.

        ``folder`` is its Maildir beneath the root. None says nothing but that ``Maildrop`` must
        open it. Not to be called from two threads at a time.
        """
        size = message.size
        if self._open_cached is None or not 0 < size < SMALL:
            return None
        fd = self._open_cached(self.fd, _path(folder, message))
        if fd < 0:
            return None
        try:
            return self.read_whole(fd, size) if message.is_in(os.fstat(fd)) else None
        except (WouldWait, OSError):
            return None
        finally:
            os.close(fd)

    def is_untouched(self, folder: bytes, message: Message) -> bool:
        """Whether nothing at all was done to a message's file since it was listed.

        ``folder`` is its Maildir beneath the root. Not to be called from two threads at a time.
        """
        if self._status is None:
            return False
        status = self._status(self.fd, _path(folder, message))
        return (
            status is not None and status.st_ctime_ns == message.ctime_ns and message.is_in(status)
        )

    def list_cached(self, folder: bytes, known: Iterable[Message]) -> ListedAtOnce | None:
        """List a small Maildir's messages as a login does, if that takes no wait.

        What ``known`` says of a file spares reading it. None says nothing but that
        ``list_messages`` must do it. Not to be called from two threads at a time.
        """
        if self._open_cached is None:
            return None
        fd = self._open_cached(self.fd, folder)
        if fd < 0:
            return None
        try:
            eye = _Impatient(self, self._open_cached)
            return ListedAtOnce(Scan(fd, known, eye).run(), eye.kept)
        except (WouldWait, OSError):
            return None
        finally:
            os.close(fd)

    def open_folders(self, folder: bytes, parts: Iterable[str]) -> Folders | None:
        """Open a Maildir and those of its folders, if that takes no wait. None says nothing."""
        if self._open_cached is None:
            return None
        maildir = self._open_cached(self.fd, folder)
        if maildir < 0:
            return None
        opened = {part: self._open_cached(maildir, part.encode()) for part in parts}
        if min(opened.values(), default=0) < 0:
            with Folders(maildir, {part: fd for part, fd in opened.items() if fd >= 0}):
                return None
        return Folders(maildir, opened)

    def read_whole(self, fd: int, size: int) -> bytes:
        """Give all octets of an open file.

        Raises:
            WouldWait: not all are in the kernel's memory, or the file is too long.
        """
        if size >= SMALL:
            raise WouldWait
        try:
            # A buffer with room for more than there should be: the end is seen as well.
            count = os.preadv(fd, (self._buffer,), 0, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
                self._open_cached = None  # the file system knows no such read
            raise WouldWait from None
        if count != size:
            raise WouldWait
        return bytes(self._view[:size])


class _Impatient:
    """A ``listing.Eye`` that never waits, and gives up where it would have to."""

    def __init__(self, root: MailRoot, open_cached: OpenCached) -> None:
        self.kept: dict[int, bytes] = {}
        self._root = root
        self._open_cached = open_cached
        self._looks = 0

    def imported(self, maildir_fd: int) -> Mapping[str, str]:
        """Give no imported ids; to read some is the business of a thread."""
        if are_imported(maildir_fd):
            raise WouldWait
        return {}

    def open_folder(self, maildir_fd: int, folder: str) -> int:
        """Open ``new`` or ``cur``, unless it takes long to be read."""
        fd = self._open_cached(maildir_fd, folder.encode())
        if fd < 0:
            raise WouldWait
        if os.fstat(fd).st_size > LONG_FOLDER:
            os.close(fd)
            raise WouldWait
        return fd

    def status(self, folder_fd: int, entry: os.DirEntry[str]) -> os.stat_result:
        """Give a file's status."""
        fd = self.open(folder_fd, entry.name)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def read(self, fd: int, most: int) -> bytes:
        """Give all octets of a file, which are one less than may be asked for."""
        return self._root.read_whole(fd, most - 1) if most > 1 else b""

    def measure_on(self, fd: int, begun: bytes) -> tuple[int, int]:
        """Do not read on; to do so is the business of a thread."""
        raise WouldWait

    def open(self, folder_fd: int, name: str) -> int:
        """Open a file."""
        self._looks += 1
        fd = self._open_cached(folder_fd, os.fsencode(name)) if self._looks <= AT_ONCE else -1
        if fd < 0:  # the kernel does not say whether it would wait or may not
            raise WouldWait
        return fd


def _path(folder: bytes, message: Message) -> bytes:
    return b"%b/%b/%b" % (folder, message.folder.encode(), os.fsencode(message.name))


def read_piece(fd: int, offset: int, buffer: bytearray) -> bytes | None:
    """Read the next octets of a file into ``buffer`` if the kernel has them; None if not."""
    try:
        count = os.preadv(fd, (buffer,), offset, os.RWF_NOWAIT)
    except OSError:
        return None
    return bytes(buffer) if count == len(buffer) else bytes(memoryview(buffer)[:count])


def _file_system(path: Path) -> str:
    """Give the type of the file system that a folder is on; empty if that cannot be told."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, rest = line.partition(" - ")
            if fields.split()[2] == wanted:
                return rest.split()[0]
    return ""

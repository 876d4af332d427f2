"""Listing: the messages of a Maildir, in order, with their sizes and unique ids.

Only regular files with one name are mail. Dot-names, directories, FIFOs, sockets, devices, links
and files that cannot be read are passed over and counted. Folders that did not change since an
earlier listing are not read again.
"""

from __future__ import annotations

import os
import time

import msgspec

from lineproto.stuffing import OctetCounter
from pop3_service.maildir import index
from pop3_service.maildir.index import FolderState
from pop3_service.maildir.message import Message, base_name, is_mail, order, unique_id

CHUNK = 256 * 1024
RESCANS = 3
FOLDERS = ("new", "cur")
"""``new`` first: a file that moves to ``cur`` meanwhile is seen twice rather than not at all."""
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
TICK_NS = 50_000_000
"""Two changes of a folder within this time may have one mtime: kernels tick in up to 10 ms."""
COARSE_TICK_NS = 2_000_000_000
"""The same where a file system keeps whole seconds only."""
LARGE = 1000
"""Messages from which it is worth an index of its own to know that a listing holds."""


class Snapshot(msgspec.Struct, frozen=True):
    """The messages, and how many entries were no mail.

    ``state`` is that of the folders while they had just these messages; None if they may have
    changed since without a trace, so that the next listing must look again.
    """

    messages: tuple[Message, ...]
    passed_over: int
    state: FolderState | None = None


class _Entry(msgspec.Struct, frozen=True, gc=False):
    folder: str
    name: str
    inode: int
    size: int
    mtime_ns: int


def folder_state(dir_fd: int, path: str = "") -> FolderState:
    """Give what changes when a message comes, goes or is renamed.

    Raises:
        OSError: ``new`` or ``cur`` is missing.
    """
    new, cur = os.stat(path + "new", dir_fd=dir_fd), os.stat(path + "cur", dir_fd=dir_fd)
    return new.st_dev, new.st_ino, new.st_mtime_ns, cur.st_dev, cur.st_ino, cur.st_mtime_ns


def list_messages(
    folder_fd: int, *, known: Snapshot | None = None, update_index: bool = True
) -> Snapshot:
    """List a Maildir's messages. Reads only files that neither ``known`` nor the index knows.

    Raises:
        OSError: ``cur`` or ``new`` cannot be read.
    """
    state = folder_state(folder_fd)
    if known is None:
        stored = index.load(folder_fd)
        known = Snapshot(stored.messages, 0, stored.state)
    if known.state == state:
        return known
    entries, passed_over, settled_state = _stable_scan(folder_fd)
    sizes = {(it.inode, it.size, it.mtime_ns): it for it in known.messages}
    messages, measured = _with_sizes(folder_fd, entries, sizes)
    passed_over += len(entries) - len(messages)
    if passed_over:  # such an entry can become mail without a trace in its folder
        settled_state = None
    changed = measured or len(known.messages) != len(messages)
    if update_index and (changed or (settled_state and len(messages) >= LARGE)):
        index.save(folder_fd, messages, settled_state)
    return Snapshot(messages, passed_over, settled_state)


def _with_sizes(
    folder_fd: int, entries: list[_Entry], sizes: dict[tuple[int, int, int], Message]
) -> tuple[tuple[Message, ...], int]:
    """Make messages of the entries that can be read; give how many had to be."""
    messages: list[Message] = []
    seen: dict[str, int] = {}
    measured = 0
    for entry in entries:
        known = sizes.get((entry.inode, entry.size, entry.mtime_ns))
        if known is not None:
            octets, form = known.octets, known.form
        else:
            found = _measure(folder_fd, entry)
            if found is None:
                continue
            octets, form = found
            measured += 1
        base = base_name(entry.name)
        seen[base] = occurrence = seen.get(base, 0) + 1
        messages.append(
            Message(
                entry.folder,
                entry.name,
                unique_id(entry.name, occurrence),
                octets,
                form,
                entry.inode,
                entry.size,
                entry.mtime_ns,
            )
        )
    return tuple(messages), measured


def _stable_scan(folder_fd: int) -> tuple[list[_Entry], int, FolderState | None]:
    """Scan until nothing was renamed meanwhile, a few times at most; in order."""
    for _ in range(RESCANS):
        began_ns = time.time_ns()  # of the clock that file systems use
        before = folder_state(folder_fd)
        entries, passed_over = _scan(folder_fd)
        if folder_state(folder_fd) == before:
            break
    else:
        before = None
    entries.sort(key=lambda entry: order(entry.name, entry.mtime_ns))
    return entries, passed_over, before if before and _is_settled(before, began_ns) else None


def _is_settled(state: FolderState, now_ns: int) -> bool:
    """Whether a change from now on is certain to show in the mtimes."""
    mtimes = state[2], state[5]
    coarse = all(mtime_ns % 1_000_000_000 == 0 for mtime_ns in mtimes)
    return max(mtimes) + (COARSE_TICK_NS if coarse else TICK_NS) < now_ns


def _scan(folder_fd: int) -> tuple[list[_Entry], int]:
    entries: dict[int, _Entry] = {}
    passed_over = 0
    for folder in FOLDERS:
        fd = os.open(folder, FOLDER_FLAGS, dir_fd=folder_fd)
        try:
            with os.scandir(fd) as found:
                for item in found:
                    name = item.name
                    if name.startswith("."):
                        continue
                    try:
                        status = item.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if not is_mail(status):
                        passed_over += 1
                        continue
                    inode = status.st_ino
                    entries[inode] = _Entry(folder, name, inode, status.st_size, status.st_mtime_ns)
        finally:
            os.close(fd)
    return list(entries.values()), passed_over


def _measure(folder_fd: int, entry: _Entry) -> tuple[int, int] | None:
    """Give a message's octets and form by reading it; None if it cannot be read or is gone."""
    try:
        fd = os.open(f"{entry.folder}/{entry.name}", READ_FLAGS, dir_fd=folder_fd)
    except OSError:
        return None
    try:
        if not is_mail(os.fstat(fd)):
            return None
        counter = OctetCounter()
        while chunk := os.read(fd, min(entry.size + 1, CHUNK)):
            counter.feed(chunk)
            if len(chunk) == entry.size:
                break
        return counter.finish(), counter.form
    except OSError:
        return None
    finally:
        os.close(fd)

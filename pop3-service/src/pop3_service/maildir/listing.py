"""Listing: the messages of a Maildir, in order, with their sizes and unique ids.

Only regular files with one name are mail. Dot-names, directories, FIFOs, sockets, devices, links
and files that cannot be read are passed over and counted. Folders that did not change since an
earlier listing are not read again. A message has the id that it was imported with, or one made of
its name (``message.id_of_base``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from stat import S_IFREG
from typing import NamedTuple, Protocol

import msgspec

from lineproto.stuffing import LF_ONLY, OctetCounter, header_form
from pop3_service.maildir import imported, index
from pop3_service.maildir.imported import NO_ROOM
from pop3_service.maildir.index import FolderState
from pop3_service.maildir.message import (
    FLAGS_BEGIN,
    KIND,
    Message,
    are_unique_ids,
    id_of_base,
    order,
)
from pop3_service.maildir.opening import FOLDER_FLAGS, open_to_read

CHUNK = 256 * 1024
OPEN_AT_ONCE = 64
"""Files that are open at a time while a folder is read, and closed together."""
RESCANS = 3
FOLDERS = ("new", "cur")
"""``new`` first: a file that moves to ``cur`` meanwhile is seen twice rather than not at all."""
TICK_NS = 50_000_000
"""Two changes of a folder within this time may have one mtime: kernels tick in up to 10 ms."""
COARSE_TICK_NS = 2_000_000_000
"""The same where a file system keeps whole seconds only."""
LARGE = 1000
"""Messages from which it is worth an index of its own to know that a listing holds."""


class Snapshot(msgspec.Struct, frozen=True):
    """The messages, and how many entries were no mail.

    ``state`` is that of the folders while they had just these messages; None if they may have
    changed since without a trace, so that the next listing must look again. ``changed_ids``
    counts messages that were known by another id before and were not imported: never to be.
    """

    messages: tuple[Message, ...]
    passed_over: int
    state: FolderState | None = None
    changed_ids: int = 0


def folder_state(dir_fd: int, path: str = "") -> FolderState:
    """Give what changes when a message comes, goes or is renamed.

    Raises:
        OSError: ``new`` or ``cur`` is missing.
    """
    new, cur = os.stat(path + "new", dir_fd=dir_fd), os.stat(path + "cur", dir_fd=dir_fd)
    return new.st_dev, new.st_ino, new.st_mtime_ns, cur.st_dev, cur.st_ino, cur.st_mtime_ns


class Listed(NamedTuple):
    """A listing; ``index_is_old`` where the index file should say more than it does."""

    snapshot: Snapshot
    index_is_old: bool = False


def list_messages(folder_fd: int, *, known: Snapshot | None = None) -> Listed:
    """List a Maildir's messages. Reads only files that neither ``known`` nor the index knows.

    Raises:
        OSError: ``cur`` or ``new`` cannot be read.
        MaildropDamaged: its imported ids cannot be read.
    """
    state = folder_state(folder_fd)
    if known is None:
        stored = index.load(folder_fd)
        known = Snapshot(stored.messages, 0, stored.state)
    if known.state == state:
        return Listed(known)
    scan = Scan(folder_fd, known.messages, Patient())
    snapshot = scan.run()
    changed = scan.measured or snapshot.changed_ids or len(known.messages) != len(snapshot.messages)
    holds = snapshot.state is not None and len(snapshot.messages) >= LARGE
    return Listed(snapshot, bool(changed) or holds)


def _order(message: Message) -> tuple[int, int, str]:
    return order(message.name, message.mtime_ns)


def _in_order(found: Iterable[Message]) -> list[Message]:
    """Sort messages by ``order``; by name alone where that comes to the same, in a fifth of it."""
    messages = sorted(found, key=attrgetter("name"))
    if not _have_seconds_of_their_own([message.name[:11] for message in messages]):
        messages.sort(key=_order)
    return messages


def _have_seconds_of_their_own(starts: Sequence[str]) -> bool:
    """Whether all names that begin so have ten digits of seconds and a dot, no two the same."""
    count, text = len(starts), "".join(starts)
    seconds = text.replace(".", "")
    return (
        len(set(starts)) == count
        and len(text) == 11 * count
        and text[10::11] == "." * count
        and len(seconds) == 10 * count
        and seconds.isascii()
        and seconds.isdigit()
    )


def _give_ids(messages: list[Message], of_old: Mapping[str, str]) -> int:
    """Give all their ids; tell how many were known by another one, and not by import.

    ``of_old`` are the imported ids.
    """
    changed = 0
    bases = [message.name.partition(FLAGS_BEGIN)[0] for message in messages]
    imported_ids = frozenset(of_old.values())
    ids = bases if not of_old and are_unique_ids(bases) else _ids(bases, of_old, imported_ids)
    for at, (message, uidl) in enumerate(zip(messages, ids, strict=True)):
        if not message.uidl:
            message.uidl = uidl
        elif message.uidl != uidl:  # other sessions may know it by its former id
            messages[at] = msgspec.structs.replace(message, uidl=uidl)
            changed += uidl not in imported_ids
    return changed


def _ids(
    bases: Iterable[str], of_old: Mapping[str, str], imported_ids: Container[str]
) -> Iterator[str]:
    """Give the id of each base name. Files of one base name are told apart by their order."""
    seen: dict[str, int] = {}
    for base in bases:
        seen[base] = occurrence = seen.get(base, 0) + 1
        old = of_old.get(base) if occurrence == 1 else None
        uidl = old or id_of_base(base, occurrence)
        if not old and uidl in imported_ids:
            uidl = id_of_base(base, -occurrence)  # that of no other file of this name
        yield uidl


class Eye(Protocol):
    """How files are looked at. ``folder_fd`` is a descriptor of ``new`` or ``cur``."""

    @property
    def kept(self) -> dict[int, bytes] | None:
        """Where the octets of messages go that were read whole, by inode; None to keep none."""

    def imported(self, maildir_fd: int) -> Mapping[str, str]:
        """Give the imported ids of a Maildir by base name.

        Raises:
            MaildropDamaged: they cannot be read.
        """

    def open_folder(self, maildir_fd: int, folder: str) -> int:
        """Open ``new`` or ``cur`` of a Maildir; give its descriptor.

        Raises:
            OSError: it is missing, or no folder.
        """

    def status(self, folder_fd: int, entry: os.DirEntry[str]) -> os.stat_result:
        """Give a file's status, not that of what it links to."""

    def open(self, folder_fd: int, name: str) -> int:
        """Open a file that is to be measured; give its descriptor.

        Raises:
            OSError: it cannot be read.
        """

    def read(self, fd: int, most: int) -> bytes:
        """Give the next octets of an open file, up to so many."""

    def measure_on(self, fd: int, begun: bytes) -> tuple[int, int]:
        """Give the octets and the form of a message of which only the beginning was read."""


class Patient:
    """An ``Eye`` that waits for the disk; for threads. It keeps nothing."""

    kept = None

    def imported(self, maildir_fd: int) -> Mapping[str, str]:
        """Read the imported ids."""
        return imported.load(maildir_fd)

    def open_folder(self, maildir_fd: int, folder: str) -> int:
        """Open ``new`` or ``cur``."""
        return os.open(folder, FOLDER_FLAGS, dir_fd=maildir_fd)

    def status(self, _: int, entry: os.DirEntry[str]) -> os.stat_result:
        """Give a file's status."""
        return entry.stat(follow_symlinks=False)

    open = staticmethod(open_to_read)
    read = staticmethod(os.read)

    def measure_on(self, fd: int, begun: bytes) -> tuple[int, int]:
        """Read the rest of a message, in pieces."""
        counter, chunk = OctetCounter(), begun
        while chunk:
            counter.feed(chunk)
            chunk = os.read(fd, CHUNK)
        return counter.finish(), counter.form | header_form(begun)


class Scan:
    """A look at both folders. What ``known`` says of a file spares reading it."""

    def __init__(self, folder_fd: int, known: Iterable[Message], eye: Eye) -> None:
        self.measured = 0
        self._found: dict[int, Message] = {}  # by inode; new ones have no unique id yet
        self._passed_over = 0
        self._eye = eye
        self._folder_fd = folder_fd
        self._known = {message.inode: message for message in known}

    def run(self) -> Snapshot:
        """Look until nothing was renamed meanwhile, a few times at most.

        Raises:
            OSError: a folder cannot be read.
            MaildropDamaged: the imported ids cannot be read.
        """
        of_old = self._eye.imported(self._folder_fd)
        state = self._settled_state()
        if self._passed_over:  # such an entry can become mail without a trace in its folder
            state = None
        messages = _in_order(self._found.values())
        changed_ids = _give_ids(messages, of_old)
        return Snapshot(tuple(messages), self._passed_over, state, changed_ids)

    def _settled_state(self) -> FolderState | None:
        """Look; give the state that the listing holds for, or None if it may not hold."""
        for _ in range(RESCANS):
            began_ns = time.time_ns()  # of the clock that file systems use
            before = folder_state(self._folder_fd)
            self._known.update(self._found)
            self._found, self._passed_over = {}, 0
            for folder in FOLDERS:
                self._look_into(folder)
            if folder_state(self._folder_fd) == before:
                return before if is_settled(before, began_ns) else None
        return None

    def _look_into(self, folder: str) -> None:
        fd = self._eye.open_folder(self._folder_fd, folder)
        try:
            unknown = []
            with os.scandir(fd) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith("."):
                        continue
                    if not entry.is_file(follow_symlinks=False):
                        self._passed_over += 1
                    elif not (self._known and self._recognize(folder, fd, entry)):
                        unknown.append(name)
            unknown.sort()  # now, while only names are in the processor's cache
            self._measure(folder, fd, unknown)
        finally:
            os.close(fd)

    def _recognize(self, folder: str, fd: int, entry: os.DirEntry[str]) -> bool:
        """Find a file that is known and has not changed; False for one that is to be read."""
        known = self._known.get(entry.inode())
        if known is None:
            return False
        try:
            if not known.is_in(self._eye.status(fd, entry)):
                return False
        except FileNotFoundError:
            return True  # the folder's state tells
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            self._passed_over += 1
            return True
        if known.name != entry.name or known.folder != folder:
            known = msgspec.structs.replace(known, folder=folder, name=entry.name)
        self._found[known.inode] = known
        return True

    def _measure(self, folder: str, fd: int, names: Sequence[str]) -> None:
        """Read the messages of these names."""
        begun = 0
        while begun < len(names):
            files: dict[int, str] = {}
            try:
                begun += self._open(fd, names[begun : begun + OPEN_AT_ONCE], files)
                self._measure_open(folder, files)
            finally:
                close_all(files)

    def _open(self, fd: int, names: Iterable[str], files: dict[int, str]) -> int:
        """Open files of a folder, into ``files`` by descriptor; give how many names that settles.

        Raises:
            OSError: there is no room to open even one.
        """
        open_file = self._eye.open
        settled = 0
        for name in names:
            try:
                files[open_file(fd, name)] = name
            except FileNotFoundError:
                pass  # the folder's state tells
            except OSError as error:
                if error.errno not in NO_ROOM:
                    self._passed_over += 1
                elif files:
                    break  # there is when these are closed
                else:
                    raise
            settled += 1
        return settled

    def _measure_open(self, folder: str, files: Mapping[int, str]) -> None:
        """Read messages by descriptor; the loop that a large mailbox is read in."""
        fstat, read, kept, found = os.fstat, self._eye.read, self._eye.kept, self._found
        passed_over = 0
        for file, name in files.items():
            try:
                status = fstat(file)
                # As ``is_mail`` has it, without a call for each.
                if status.st_nlink != 1 or status.st_mode & KIND != S_IFREG:
                    passed_over += 1
                    continue
                size = status.st_size
                # Up to the end, which is seen as well; of a long one only the beginning.
                chunk = read(file, size + 1 if size < CHUNK else CHUNK)
                if len(chunk) != size:
                    octets, form = self._eye.measure_on(file, chunk)
                elif (
                    b"\r" in chunk
                    or not chunk.endswith(b"\n")
                    or not (bare := chunk.replace(b"\n", b"")).isascii()
                ):
                    octets, form = measured(chunk)
                else:  # as most are: what ``measured`` has, without a call for each
                    octets, form = 2 * size - len(bare), LF_ONLY
            except OSError as error:
                if error.errno in NO_ROOM:
                    raise
                passed_over += 1
                continue
            inode, mtime_ns, ctime_ns = status.st_ino, status.st_mtime_ns, status.st_ctime_ns
            found[inode] = Message(folder, name, "", octets, form, inode, size, mtime_ns, ctime_ns)
            if kept is not None:
                kept[inode] = chunk
        self._passed_over += passed_over
        self.measured += len(files) - passed_over


def close_all(files: Collection[int]) -> None:
    """Close descriptors; where they are in a row, as most often, by one call for all."""
    if not files:
        return
    first, last = min(files), max(files)
    if last - first + 1 == len(files):
        os.closerange(first, last + 1)
    else:
        for file in files:
            os.close(file)


def is_settled(state: FolderState, now_ns: int) -> bool:
    """Whether a change from now on (Unix, ns) is certain to show in the mtimes."""
    mtimes = state[2], state[5]
    coarse = all(mtime_ns % 1_000_000_000 == 0 for mtime_ns in mtimes)
    return max(mtimes) + (COARSE_TICK_NS if coarse else TICK_NS) < now_ns


def measured(message: bytes) -> tuple[int, int]:
    """Give the octets and the form of a whole message."""
    if b"\r" not in message:  # most are small, with bare LF
        # In a quarter of the time of ``count``.
        octets = 2 * len(message) - len(message.replace(b"\n", b""))
        form = LF_ONLY if message.isascii() else LF_ONLY | header_form(message)
        return octets if message.endswith(b"\n") else octets + 2, form
    counter = OctetCounter()
    counter.feed(message)
    return counter.finish(), counter.form | header_form(message)

"""A maildrop: one account's Maildir, locked for one session, as it was at login.

Every method but ``close`` may block on the disk; the worker calls them in threads.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Self

from pop3_service.domain.errors import MaildropUnavailable, MessageNotFound
from pop3_service.maildir import index
from pop3_service.maildir.folders import Folders
from pop3_service.maildir.listing import FOLDERS, Listed, Snapshot, list_messages
from pop3_service.maildir.lock import MaildropLock, lock_key
from pop3_service.maildir.message import Message, base_name
from pop3_service.maildir.opening import FOLDER_FLAGS, open_to_read
from pop3_service.maildir.paths import maildrop_error, make_folder, open_folder


class Maildrop:
    """A locked Maildir.

    ``snapshot`` is what there was at login. Where ``index_is_old``, the next login would gain
    by ``save_index``; that is for the session's end, when nobody waits for it.
    """

    __slots__ = ("_deleted", "_key", "_lock", "_parts", "_root", "index_is_old", "snapshot")

    def __init__(
        self,
        root: Path,
        parts: tuple[str, ...],
        lock: MaildropLock,
        key: int,
        snapshot: Snapshot,
        *,
        index_is_old: bool = False,
    ) -> None:
        """Take over a lock that is held."""
        self._root = root
        self._parts = parts
        self._lock = lock
        self._key = key
        self._deleted: set[int] = set()  # inodes
        self.snapshot = snapshot
        self.index_is_old = index_is_old

    @classmethod
    def open(
        cls,
        root: Path,
        parts: tuple[str, ...],
        lock: MaildropLock,
        known: Snapshot | None = None,
    ) -> Self:
        """Lock a maildrop and list its messages; a missing Maildir is made.

        ``known`` is an earlier snapshot of it: what did not change since is not read again.

        Raises:
            MaildropInUse: another session holds it.
            MaildropUnavailable, MaildropUnusable: it cannot be read, now or until it is mended.
        """
        key = lock_key(parts)
        lock.acquire(key)
        try:
            snapshot, index_is_old = _listed(root, parts, known)
            return cls(root, parts, lock, key, snapshot, index_is_old=index_is_old)
        except BaseException:
            lock.release(key)
            raise

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages there were at login."""
        return self.snapshot.messages

    def open_message(self, message: Message) -> int:
        """Open a message for reading; give a descriptor that the caller closes.

        A file that is not at its name is searched again in both folders, by its base name.

        Raises:
            MessageNotFound: it is gone, or its file is another than at login.
            MaildropUnavailable: it is there and cannot be read.
        """
        try:
            folder_fd = open_folder(self._root, self._parts)
            try:
                return self._open_message(folder_fd, message)
            finally:
                os.close(folder_fd)
        except OSError as error:
            raise MaildropUnavailable(f"cannot read the message: {error.strerror}") from error

    def delete(self, messages: list[Message], folders: Folders | None = None) -> tuple[int, int]:
        """Delete messages durably: give how many are gone for certain, and how many are not.

        ``folders`` is the Maildir, if it is open; it is closed. A message that is gone already
        counts as deleted. When a directory cannot be synced, none of the deletions in it is
        claimed.
        """
        if folders is None:
            try:
                folders = Folders(open_folder(self._root, self._parts))
            except OSError:
                return 0, len(messages)
        touched: dict[str, int] = dict.fromkeys(FOLDERS, 0)
        failed = 0
        with folders:
            used = {message.folder for message in messages}
            for folder in used:
                with contextlib.suppress(OSError):
                    folders.of(folder)
            # In folders that nobody touched since, each name stands for the file it did.
            untouched = folders.are_in(self.snapshot.state, used)
            for message in messages:
                try:
                    touched[_remove(folders, message, untouched)] += 1
                    self._deleted.add(message.inode)
                except OSError:
                    failed += 1
            lost = sum(n for folder, n in touched.items() if n and not folders.sync(folder))
        return len(messages) - failed - lost, failed + lost

    def save_index(self) -> None:
        """Write what was listed, and learnt since, to the index; a failure is no harm.

        The lock need not be held: a reader believes no entry that does not fit its file.
        """
        messages, state = self.snapshot.messages, self.snapshot.state
        if self._deleted:
            messages = tuple(it for it in messages if it.inode not in self._deleted)
            state = None
        with contextlib.suppress(OSError):
            folder_fd = open_folder(self._root, self._parts)
            try:
                index.save(folder_fd, messages, state)
            finally:
                os.close(folder_fd)

    def forget_sizes(self) -> None:
        """Remove the index, so that the next listing measures all messages anew."""
        self.index_is_old = False
        with contextlib.suppress(OSError):
            folder_fd = open_folder(self._root, self._parts)
            index.remove(folder_fd)
            os.close(folder_fd)

    def close(self) -> None:
        """Unlock."""
        self._lock.release(self._key)

    def _open_message(self, folder_fd: int, message: Message) -> int:
        try:
            fd = open_to_read(folder_fd, f"{message.folder}/{message.name}")
        except FileNotFoundError:
            folder, name = _find(folder_fd, message)
            fd = open_to_read(folder_fd, f"{folder}/{name}")
        status = os.fstat(fd)
        if not message.is_in(status):
            os.close(fd)
            index.remove(folder_fd)
            raise MessageNotFound("the message was changed by another program")
        return fd


def _remove(folders: Folders, message: Message, is_it: bool) -> str:
    """Remove a message's file; give the folder whose sync makes that durable.

    ``is_it`` says that the name stands for the message for certain.

    Raises:
        OSError: it is still there, or another file has its name.
    """
    folder, name = message.folder, message.name
    for _ in range(3):  # another program may rename it each time
        try:
            fd = folders.of(folder)
            if not is_it:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if status.st_ino != message.inode:
                    raise PermissionError("the file is another than at login")
            os.unlink(name, dir_fd=fd)
            return folder
        except FileNotFoundError:
            is_it = False
            try:
                folder, name = _find(folders.maildir, message)
            except MessageNotFound:
                return folder
    raise FileNotFoundError(name)


def _listed(root: Path, parts: tuple[str, ...], known: Snapshot | None) -> Listed:
    try:
        try:
            folder_fd = open_folder(root, parts)
        except FileNotFoundError:
            make_folder(root, parts)
            folder_fd = open_folder(root, parts)
        try:
            try:
                return list_messages(folder_fd, known=known)
            except FileNotFoundError:
                make_folder(root, parts)
                return list_messages(folder_fd)
        finally:
            os.close(folder_fd)
    except OSError as error:
        raise maildrop_error("cannot read the maildrop", error) from error


def _find(folder_fd: int, message: Message) -> tuple[str, str]:
    """Search a renamed message by its base name and inode.

    Raises:
        MessageNotFound: it is in neither folder.
    """
    base = base_name(message.name)
    for folder in (*FOLDERS, *FOLDERS):  # twice: it may move while we look
        fd = os.open(folder, FOLDER_FLAGS, dir_fd=folder_fd)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if base_name(entry.name) == base and entry.inode() == message.inode:
                        return folder, entry.name
        finally:
            os.close(fd)
    raise MessageNotFound("the message was removed by another program")

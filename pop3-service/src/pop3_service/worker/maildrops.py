"""Maildrops of one worker: locked, listed, and remembered while they do not change.

All sessions share what is kept: a maildrop costs its memory once, however often it is opened.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import NamedTuple

import structlog

from lineproto.obtaining import obtain
from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import MaildropDamaged, MaildropUnusable
from pop3_service.maildir.cached import AT_ONCE, MailRoot
from pop3_service.maildir.listing import Snapshot, folder_state
from pop3_service.maildir.lock import MaildropLock, lock_key
from pop3_service.maildir.maildrop import Maildrop
from pop3_service.maildir.message import Message
from pop3_service.maildir.paths import MailPaths
from pop3_service.pop3.contents import Contents

MAX_MESSAGES = 100_000
"""Messages kept over all maildrops; a single larger maildrop is kept while it is alone."""
MAILDROP_MESSAGES = 10
"""What a kept maildrop counts besides its messages."""

READ_OCTETS = 4 * 1024 * 1024
"""Octets kept over all sessions of messages that a login had to read: most clients ask for what
is new at once, and it is not read twice."""

log = structlog.get_logger()

DELETIONS_AHEAD = 20
"""Deletions whose folders are opened before their thread is free: each has three descriptors."""

OnDisk = Callable[[Callable[[], Maildrop]], Awaitable[Maildrop]]
DeleteOnDisk = Callable[[Callable[[], tuple[int, int]]], Awaitable[tuple[int, int]]]


class _Kept(NamedTuple):
    """What is kept of a maildrop that no session need have open."""

    parts: tuple[str, ...]
    folder: str
    key: int
    snapshot: Snapshot
    contents: Contents

    @property
    def cost(self) -> int:
        return len(self.snapshot.messages) + MAILDROP_MESSAGES


class OpenMaildrop:
    """A maildrop that a session has locked, and its contents as the protocol sees them.

    ``read`` are the stored octets of messages, by inode, that were read at login.
    """

    __slots__ = ("_account", "_drop", "_folder", "_maildrops", "_read", "_root", "contents")

    def __init__(
        self,
        account: str,
        drop: Maildrop,
        contents: Contents,
        folder: bytes,
        root: MailRoot,
        maildrops: Maildrops,
        read: dict[int, bytes],
    ) -> None:
        self.contents = contents
        self._account = account
        self._drop = drop
        self._folder = folder
        self._root = root
        self._maildrops = maildrops
        self._read = read

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages there were at login."""
        return self._drop.snapshot.messages

    @property
    def passed_over(self) -> int:
        """Entries that were no mail."""
        return self._drop.snapshot.passed_over

    def read_at_once(self, message: Message) -> bytes | None:
        """Give a small message's stored octets if that takes no wait; None says nothing.

        What was read at login is not read again, once, if its file is as it was then.
        """
        if self._read:
            octets = self._read.pop(message.inode, None)
            if octets is not None:
                self._maildrops.read_octets -= len(octets)
                if self._root.is_untouched(self._folder, message):
                    return octets
        return self._root.read_cached(self._folder, message)

    def open_message(self, message: Message) -> int:
        """Open a message for reading; may wait for the disk. See ``Maildrop.open_message``."""
        return self._drop.open_message(message)

    @property
    def index_is_old(self) -> bool:
        """Whether ``save_index`` would spare the next login something."""
        return self._drop.index_is_old

    async def delete(self, messages: list[Message], on_disk: DeleteOnDisk) -> tuple[int, int]:
        """Delete messages durably, in a thread: see ``Maildrop.delete``.

        In a thread each call to the system may cost a turn of the interpreter, so what takes no
        wait is done before; not for all that wait for a thread, which would take descriptors.
        """
        maildrops, folders = self._maildrops, None
        if maildrops.deletions < DELETIONS_AHEAD:
            parts = {message.folder for message in messages}
            folders = self._root.open_folders(self._folder, parts)
        maildrops.deletions += 1
        try:
            return await on_disk(partial(self._drop.delete, messages, folders))
        finally:
            maildrops.deletions -= 1

    def save_index(self) -> None:
        """Write the index; may wait for the disk. See ``Maildrop.save_index``."""
        self._drop.save_index()

    def forget(self) -> None:
        """Let the next login look again: the maildrop is not as it was listed."""
        self._maildrops.forget(self._account)

    def forget_sizes(self) -> None:
        """Let listings measure all messages anew; may wait. See ``Maildrop.forget_sizes``."""
        self._drop.forget_sizes()

    def shrink(self, deleted: list[Message]) -> None:
        """Let the next login look again: these messages are to go."""
        self._maildrops.shrink(self._account, deleted)

    def close(self) -> None:
        """Unlock."""
        self._drop.close()
        self._maildrops.forget_read(self)

    def forget_read(self) -> int:
        """Let go of what was read at login; give how many octets that was."""
        octets = sum(map(len, self._read.values()))
        self._read = {}
        return octets


class Maildrops:
    """Opens maildrops. What it keeps is used in the loop alone."""

    def __init__(self, paths: MailPaths) -> None:
        """Open the mail root and its lock files.

        Raises:
            MaildropUnavailable: the mail root cannot be written to.
        """
        self._paths = paths
        self._root = MailRoot(paths.root)
        self._lock = MaildropLock(paths.root)
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._cost = 0
        self.deletions = 0  # under way
        self.read_octets = 0
        self._lately_read: set[OpenMaildrop] = set()  # since the last sweep
        self._long_read: set[OpenMaildrop] = set()

    def close(self) -> None:
        """Let go of every lock."""
        self._lock.close()
        self._root.close()

    def open_at_once(self, account: str) -> OpenMaildrop | None:
        """Lock a maildrop that has not changed, or is small; None says nothing.

        Raises:
            InvalidArgument: the account's name gives no mail path.
            MaildropInUse: another session holds it.
        """
        if not self._root.is_local:
            return None
        kept = self._kept.get(account)
        if kept is None:
            kept = self._made(self._paths.parts(AccountName(account)), Snapshot((), 0))
        self._lock.acquire(kept.key)
        found = None
        try:
            found = self._current(account, kept)
        finally:
            if found is None:
                self._lock.release(kept.key)
        if found is None:
            return None
        current, read = found
        drop = Maildrop(self._paths.root, current.parts, self._lock, current.key, current.snapshot)
        return self._opened(account, drop, current, read)

    def _current(self, account: str, kept: _Kept) -> tuple[_Kept, dict[int, bytes]] | None:
        """Give what there is now, and what of it was read to know, if that takes no wait."""
        try:
            unchanged = folder_state(self._root.fd, kept.folder) == kept.snapshot.state
        except OSError:
            return None
        if unchanged:
            self._kept.move_to_end(account)
            return kept, {}
        if len(kept.snapshot.messages) > AT_ONCE:
            return None
        folder = os.fsencode(kept.folder.removesuffix("/"))
        listed = self._root.list_cached(folder, kept.snapshot.messages)
        if listed is None:
            return None
        return self._keep(account, kept.parts, listed.snapshot), listed.octets

    async def open(self, account: str, on_disk: OnDisk) -> OpenMaildrop:
        """Lock and list a maildrop, with what waits for the disk in a thread.

        If the caller is cancelled meanwhile, it is unlocked again.

        Raises:
            InvalidArgument: the account's name gives no mail path.
            MaildropInUse: another session holds it.
            MaildropUnavailable, MaildropUnusable: it cannot be read, now or until it is mended.
            MaildropDamaged: its imported unique ids cannot be read.
        """
        parts = self._paths.parts(AccountName(account))
        kept = self._kept.get(account)
        work = partial(
            Maildrop.open, self._paths.root, parts, self._lock, kept.snapshot if kept else None
        )
        try:
            drop = await obtain(on_disk(work), Maildrop.close)
        except (MaildropDamaged, MaildropUnusable) as error:
            log.error("maildrop is shut", account=account, reason=str(error))
            raise
        return self._opened(account, drop, self._keep(account, parts, drop.snapshot))

    def shrink(self, account: str, deleted: Iterable[Message]) -> None:
        """Keep what is known of a small maildrop's other messages; the next login looks again."""
        kept = self._kept.get(account)
        if kept is None or len(kept.snapshot.messages) > AT_ONCE:
            self.forget(account)
            return
        gone = {message.inode for message in deleted}
        rest = tuple(it for it in kept.snapshot.messages if it.inode not in gone)
        self._keep(account, kept.parts, Snapshot(rest, 0))

    def forget_read(self, drop: OpenMaildrop) -> None:
        """Let go of what was read when a maildrop was opened."""
        self._lately_read.discard(drop)
        self._long_read.discard(drop)
        self.read_octets -= drop.forget_read()

    def sweep(self) -> None:
        """Let go of what was read before the last sweep: its client is in no hurry."""
        for drop in list(self._long_read):
            self.forget_read(drop)
        self._long_read, self._lately_read = self._lately_read, self._long_read

    def forget(self, account: str) -> None:
        """Keep nothing of a maildrop."""
        kept = self._kept.pop(account, None)
        if kept is not None:
            self._cost -= kept.cost

    def _keep(self, account: str, parts: tuple[str, ...], snapshot: Snapshot) -> _Kept:
        kept = self._kept.get(account)
        if kept is not None and kept.snapshot is snapshot:
            return kept
        if snapshot.changed_ids:
            log.error("unique ids changed", account=account, count=snapshot.changed_ids)
        self.forget(account)
        kept = self._made(parts, snapshot)
        self._kept[account] = kept
        self._cost += kept.cost
        while self._cost > MAX_MESSAGES and len(self._kept) > 1:
            self.forget(next(iter(self._kept)))
        return kept

    def _made(self, parts: tuple[str, ...], snapshot: Snapshot) -> _Kept:
        folder = "/".join(parts) + "/"
        return _Kept(parts, folder, lock_key(parts), snapshot, Contents(snapshot.messages))

    def _opened(
        self, account: str, drop: Maildrop, kept: _Kept, read: dict[int, bytes] | None = None
    ) -> OpenMaildrop:
        folder = os.fsencode(kept.folder.removesuffix("/"))
        octets = sum(map(len, read.values())) if read else 0
        if not read or self.read_octets + octets > READ_OCTETS:
            return OpenMaildrop(account, drop, kept.contents, folder, self._root, self, {})
        opened = OpenMaildrop(account, drop, kept.contents, folder, self._root, self, read)
        self.read_octets += octets
        self._lately_read.add(opened)
        return opened

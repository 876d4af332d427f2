"""Arrivals: whose mail has changed since it was last looked at, found without a maildrop's lock.

A folder that changed within the same tick of the clock as it was listed counts as changed once
more: no change is missed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable

from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import InvalidArgument, MessageNotFound
from pop3_service.maildir import index
from pop3_service.maildir.listing import folder_state, is_settled, list_messages
from pop3_service.maildir.message import Message
from pop3_service.maildir.opening import open_to_read
from pop3_service.maildir.paths import MailPaths, open_folder


class Arrivals:
    """What has changed in many maildrops. Every method may wait for the disk.

    One thread at a time may call ``changed`` and ``look``.
    """

    def __init__(self, paths: MailPaths) -> None:
        self._paths = paths
        self._seen: dict[str, int] = {}
        """Hashes of the folders' states at the last look, by account."""

    def changed(self, accounts: Iterable[str]) -> list[str]:
        """Give those whose folders are not as they were seen; who has none has no mail.

        Raises:
            OSError: the mail root cannot be opened.
        """
        found = []
        root_fd = os.open(self._paths.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for account in accounts:
                with contextlib.suppress(OSError, InvalidArgument):
                    folder = "/".join(self._paths.parts(AccountName(account))) + "/"
                    if hash(folder_state(root_fd, folder)) != self._seen.get(account):
                        found.append(account)
        finally:
            os.close(root_fd)
        return found

    def look(self, account: str) -> tuple[Message, ...]:
        """List an account's messages, oldest first, and note that they were seen.

        Raises:
            OSError: the maildrop cannot be read.
            MaildropDamaged: its imported ids cannot be read.
        """
        self._seen.pop(account, None)
        folder_fd = open_folder(self._paths.root, self._paths.parts(AccountName(account)))
        try:
            began_ns = time.time_ns()
            before = folder_state(folder_fd)
            snapshot, index_is_old = list_messages(folder_fd)
            if folder_state(folder_fd) == before and is_settled(before, began_ns):
                self._seen[account] = hash(before)
            if index_is_old:  # the next login need not read what was read here
                index.save(folder_fd, snapshot.messages, snapshot.state)
        finally:
            os.close(folder_fd)
        return snapshot.messages

    def forget(self, account: str) -> None:
        """Let an account count as changed."""
        self._seen.pop(account, None)

    def keep(self, accounts: Iterable[str]) -> None:
        """Forget all but these."""
        self._seen = {it: self._seen[it] for it in accounts if it in self._seen}

    def open_message(self, account: str, message: Message) -> int:
        """Open a message that was listed; give a descriptor that the caller closes.

        Raises:
            MessageNotFound: it is not there as it was; a look finds what it is now.
            OSError: it cannot be read.
        """
        folder_fd = open_folder(self._paths.root, self._paths.parts(AccountName(account)))
        try:
            fd = open_to_read(folder_fd, f"{message.folder}/{message.name}")
        except FileNotFoundError:
            raise MessageNotFound("the message is not where it was") from None
        finally:
            os.close(folder_fd)
        if not message.is_in(os.fstat(fd)):
            os.close(fd)
            raise MessageNotFound("the message was changed by another program")
        return fd

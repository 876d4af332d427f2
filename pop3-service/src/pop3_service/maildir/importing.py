"""Taking over the unique ids of another server: what it would change, and the import itself."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pop3_service.domain.errors import InvalidArgument, MaildropUnavailable
from pop3_service.maildir import imported
from pop3_service.maildir.listing import FOLDERS, list_messages
from pop3_service.maildir.lock import MaildropLock, lock_key
from pop3_service.maildir.message import Message, base_name, id_of_base, is_unique_id
from pop3_service.maildir.old_ids import IdSource, OldIds, read_old_ids
from pop3_service.maildir.opening import open_to_read
from pop3_service.maildir.paths import make_folder, open_folder

LONGEST_FILE = 256 * 1024 * 1024
"""Octets of another server's file; a million messages are some 100 MiB."""
PROBLEMS = 10
"""Refused ids that are told one by one."""


@dataclass(slots=True)
class Messages:
    """Some messages: how many, and their octets in CRLF form."""

    count: int = 0
    octets: int = 0

    def add(self, message: Message) -> None:
        """Count one more."""
        self.count += 1
        self.octets += message.octets


@dataclass(slots=True)
class IdImport:
    """What an import does to one maildrop, or did.

    ``kept`` messages have their old id afterwards; ``changed`` are those of them that have another
    one before. ``refused`` have an old id that cannot be one (RFC 1939 section 7), or is that of
    several; ``missing`` have none in the file. ``gone`` counts ids of messages that are not there.
    """

    source_found: bool = False
    all: Messages = field(default_factory=Messages)
    kept: Messages = field(default_factory=Messages)
    changed: Messages = field(default_factory=Messages)
    refused: Messages = field(default_factory=Messages)
    missing: Messages = field(default_factory=Messages)
    gone: int = 0
    broken_lines: int = 0
    problems: list[str] = field(default_factory=list)


def import_ids(
    root: Path,
    parts: tuple[str, ...],
    source: IdSource,
    uidl_format: str = "",
    *,
    dry_run: bool = False,
) -> IdImport:
    """Take over the ids from the server's file in the Maildir; ``dry_run`` only tells.

    A missing ``new`` or ``cur`` beside the other is made in any case, as a login does.

    Raises:
        InvalidArgument: the file or the format cannot be read.
        MaildropInUse: a session holds the maildrop.
        MaildropUnavailable: it cannot be read or written.
        MaildropDamaged: what was imported before cannot be read.
    """
    read_old_ids(source, b"3 V1\n" if source is IdSource.DOVECOT else b"", uidl_format)
    if dry_run:
        return _import(root, parts, source, uidl_format, dry_run=True)
    lock = MaildropLock(root)
    try:
        lock.acquire(lock_key(parts))
        return _import(root, parts, source, uidl_format, dry_run=False)
    finally:
        lock.close()


def _import(
    root: Path, parts: tuple[str, ...], source: IdSource, uidl_format: str, *, dry_run: bool
) -> IdImport:
    result = IdImport()
    try:
        folder_fd = open_folder(root, parts)
    except FileNotFoundError:
        return result
    except OSError as error:
        raise MaildropUnavailable(f"cannot open the maildrop: {error.strerror}") from error
    try:
        if _lacks_a_folder(folder_fd):
            make_folder(root, parts)
        data = _read(folder_fd, source.file)
        result.source_found = data is not None
        old = OldIds() if data is None else read_old_ids(source, data, uidl_format)
        before = imported.load(folder_fd)
        messages = list_messages(folder_fd).snapshot.messages
        after = _decide(result, messages, before, old)
        if not dry_run and after != before:
            imported.save(folder_fd, after)
        elif not dry_run and after:
            imported.settle(folder_fd)
    except FileNotFoundError:  # no cur and no new: there is no mail
        return result
    except OSError as error:
        raise MaildropUnavailable(f"cannot import the unique ids: {error.strerror}") from error
    finally:
        os.close(folder_fd)
    return result


def _decide(
    result: IdImport, messages: tuple[Message, ...], before: Mapping[str, str], old: OldIds
) -> dict[str, str]:
    """Count what is to be counted; give the imported ids as they are to be."""
    result.broken_lines = old.broken_lines
    first: dict[str, Message] = {}
    for message in messages:
        result.all.add(message)
        if first.setdefault(base_name(message.name), message) is not message:
            result.missing.add(message)  # two files of one name: the id is the first one's
    result.gone = sum(base not in first for base in old.ids)
    uses = Counter(uidl for base, uidl in old.ids.items() if base in first)
    kept: dict[str, str] = {}
    for base, message in first.items():
        uidl = old.ids.get(base)
        if uidl is None:
            result.missing.add(message)
        elif why := _why_not(uidl, uses[uidl]):
            result.refused.add(message)
            if len(result.problems) < PROBLEMS:
                result.problems.append(f"{base!a}: {why}")
        else:
            kept[base] = uidl
            result.kept.add(message)
            if message.uidl != uidl:
                result.changed.add(message)
    taken = set(kept.values())
    stay = {
        base: uidl for base, uidl in before.items() if base in first and uidl not in taken
    } | kept
    # What the name gives by itself need not be stored.
    return {base: uidl for base, uidl in stay.items() if uidl != id_of_base(base, 1)}


def _lacks_a_folder(folder_fd: int) -> bool:
    """Whether one of the folders was empty and did not move; a login makes it anew, too."""
    there = (os.access(it, os.F_OK, dir_fd=folder_fd, follow_symlinks=False) for it in FOLDERS)
    return sum(there) == 1


def _why_not(uidl: str, uses: int) -> str:
    if not is_unique_id(uidl):
        return f"{uidl[:100]!a} is not 1 to 70 visible ASCII characters"
    return f"{uidl} is the id of {uses} messages" if uses > 1 else ""


def _read(folder_fd: int, name: str) -> bytes | None:
    """Give a server's file whole; None if there is none."""
    try:
        fd = open_to_read(folder_fd, name)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidArgument(f"{name} is no regular file")
        if status.st_size > LONGEST_FILE:
            raise InvalidArgument(f"{name} has more than {LONGEST_FILE} octets")
        with open(fd, "rb", closefd=False) as file:
            return file.read(LONGEST_FILE)
    finally:
        os.close(fd)

"""Where an account's Maildir is: a template, checked after it is expanded.

Folders are opened one component at a time beneath the mail root's descriptor and never through a
link, so no name and no link leads outside.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import InvalidArgument, MaildropUnavailable, MaildropUnusable
from pop3_service.maildir.opening import FOLDER_FLAGS

DEFAULT_TEMPLATE = "{user}"
SUBFOLDERS = ("cur", "new", "tmp")
_FIELD = re.compile(r"\{([^{}]*)\}")
_FIELDS = frozenset({"user", "local", "domain"})


class MailPaths:
    """The mail root and the template of the paths beneath it.

    ``{user}`` is the whole name, ``{local}`` and ``{domain}`` its parts around the last ``@``.
    """

    def __init__(self, root: Path, template: str = DEFAULT_TEMPLATE) -> None:
        """Check the template.

        Raises:
            InvalidArgument: it has an unknown field, none at all, or leads outside.
        """
        unknown = set(_FIELD.findall(template)) - _FIELDS
        if unknown or not _FIELD.search(template):
            raise InvalidArgument(f"mail path {template!r}: use {{user}}, {{local}}, {{domain}}")
        self.root = root
        self.template = template
        if template.startswith("/"):
            raise InvalidArgument(f"mail path {template!r} must be relative")
        if not _safe(tuple(_FIELD.sub("x", template).split("/"))):
            raise InvalidArgument(
                f"mail path {template!r}: no part may be empty or begin with a dot"
            )

    def parts(self, name: AccountName) -> tuple[str, ...]:
        """Give the folder's path beneath the root.

        Raises:
            InvalidArgument: the name lacks a part that the template asks for, or the expanded
                path has a component that is empty or begins with a dot.
        """
        local, at, domain = name.rpartition("@")
        if not at:
            local, domain = str(name), ""
        values = {"user": str(name), "local": local, "domain": domain}
        if "{domain}" in self.template and not domain:
            raise InvalidArgument(f"account name {str(name)!r} needs a domain, as in name@domain")
        expanded = _FIELD.sub(lambda match: values[match.group(1)], self.template)
        parts = tuple(expanded.split("/"))
        if not _safe(parts):
            raise InvalidArgument(f"account name {str(name)!r} gives no safe mail path")
        return parts


def _safe(parts: tuple[str, ...]) -> bool:
    return all(
        part and not part.startswith(".") and "\0" not in part and len(os.fsencode(part)) <= 255
        for part in parts
    )


def open_folder(root: Path, parts: tuple[str, ...]) -> int:
    """Open a folder beneath the root, never through a link; give its descriptor.

    Raises:
        OSError: a component is missing, a link, or no folder.
    """
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            inner = os.open(part, FOLDER_FLAGS, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


PERMANENT = frozenset({errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""Errors that come again until somebody mends the folder (RFC 3206 section 4, SYS/PERM)."""


def maildrop_error(text: str, error: OSError) -> MaildropUnavailable | MaildropUnusable:
    """Give the failure that an error of the system means for a maildrop."""
    told = f"{text}: {error.strerror}"
    return MaildropUnusable(told) if error.errno in PERMANENT else MaildropUnavailable(told)


def make_folder(root: Path, parts: tuple[str, ...]) -> None:
    """Make a Maildir and what leads to it; what is there stays.

    Raises:
        MaildropUnavailable, MaildropUnusable: it cannot be made.
    """
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in parts:
            try:
                _mkdir(part, fd)
                inner = os.open(part, FOLDER_FLAGS, dir_fd=fd)
            finally:
                os.close(fd)
            fd = inner
        try:
            for part in SUBFOLDERS:
                _mkdir(part, fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise maildrop_error("cannot make the Maildir", error) from error


def _mkdir(name: str, dir_fd: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=dir_fd)
    except FileExistsError:
        return
    os.fsync(dir_fd)

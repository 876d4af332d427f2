"""Landlock: which files, ports and processes a program can reach at all (landlock(7))."""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from .kernel import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:  # as typing has it, without its import
    from collections.abc import Iterable, Sequence

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""From which ABI on how many rights over files there are."""
TRUNCATE_ABI, NETWORK_ABI, SCOPE_ABI = 3, 4, 6
"""From which ABI on it holds truncate(2) back, TCP ports, and signals and abstract sockets."""

READABLE = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt",
)  # fmt: skip
ETC = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "timezone",
    "mime.types", "magic", "passwd", "group", "nsswitch.conf", "locale.alias", "perl", "python3",
)  # fmt: skip
"""What programs look for beneath /etc; no password is among it."""
DEVICES = ("null", "full", "urandom", "random")
READ_DEVICES = ("zero",)
"""A mapping of it that can be written to is shared memory, which programs cannot have."""


def abi() -> int:
    """Say what the kernel offers; 0 is nothing."""
    try:
        return syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return 0
        raise


class Ruleset:
    """What is allowed; everything else of what this kernel's Landlock knows is not."""

    def __init__(self, abi: int) -> None:
        count = max(bits for since, bits in _FILE_RIGHTS.items() if abi >= since)
        self._rights = (1 << count) - 1
        words = [self._rights]
        if abi >= NETWORK_ABI:
            words.append(_BIND_TCP | _CONNECT_TCP)
        if abi >= SCOPE_ABI:
            words.append(_ABSTRACT_SOCKETS | _SIGNALS)
        attributes = (ctypes.c_uint64 * len(words))(*words)
        self.fd = syscall(_CREATE_RULESET, ctypes.byref(attributes), 8 * len(words), 0)

    def allow(self, path: str | int, rights: int) -> None:
        """Allow rights beneath a folder, or over a file, by its path or an open descriptor.

        What is not there, or cannot be opened, needs no rule.
        """
        if isinstance(path, int):
            return self._add(path, rights)
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            self._add(fd, rights)
        finally:
            os.close(fd)

    def _add(self, fd: int, rights: int) -> None:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _OF_FILES
        rule = ctypes.create_string_buffer(12)
        ctypes.c_uint64.from_buffer(rule).value = rights & self._rights
        ctypes.c_int32.from_buffer(rule, 8).value = fd
        syscall(_ADD_RULE, self.fd, _PATH_BENEATH, ctypes.byref(rule), 0)

    def allow_programs(self, folders: Iterable[str]) -> None:
        """Allow to read and run what is beneath folders, and to read what programs look for."""
        for folder in (*READABLE, *folders):
            self.allow(folder, EXECUTE | READ_FILE | READ_DIR)
        for name in ETC:
            self.allow(f"/etc/{name}", READ_FILE | READ_DIR)
        for name in DEVICES:
            self.allow(f"/dev/{name}", READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV)
        for name in READ_DEVICES:
            self.allow(f"/dev/{name}", READ_FILE | IOCTL_DEV)

    def allow_all(self, folder: str) -> None:
        """Allow everything beneath a folder."""
        self.allow(folder, self._rights)

    def enforce(self) -> None:
        """Hold this process to it from now on, and all that come from it."""
        syscall(_RESTRICT_SELF, self.fd, 0)


def readable(folders: Sequence[str]) -> tuple[str, ...]:
    """Give the folders beneath which programs may read, given those of the configuration."""
    return (*READABLE, *folders, *(f"/etc/{name}" for name in ETC))

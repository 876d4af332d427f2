"""System calls for the loop: they wait for no disk.

They are made without letting go of the interpreter, as ``os`` would: while threads want it, to get
it back takes longer than the call.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from typing import NamedTuple

from pop3_service.maildir.opening import READ_FLAGS, TRACELESS_FLAGS

_OPENAT2 = 437  # on every architecture
_NO_MAGIC_LINKS, _NO_LINKS, _BENEATH, _CACHED = 0x02, 0x04, 0x08, 0x20

_SYMLINK_NOFOLLOW, _DO_NOT_SYNC = 0x100, 0x4000
_BASIC = 0x7FF
_STATX_SIZE = 256
_STATX = struct.Struct("=16xI8xH2xQQ48xqI4xqI")
"""Of struct statx, the same on every architecture: links, mode, inode, size, ctime and mtime."""

OpenCached = Callable[[int, bytes], int]


class FileStatus(NamedTuple):
    """What ``os.stat`` tells of a file, as far as a message's identity goes."""

    st_nlink: int
    st_mode: int
    st_ino: int
    st_size: int
    st_ctime_ns: int
    st_mtime_ns: int


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def cached_opener(root_fd: int) -> OpenCached | None:
    """Give a function that opens a path beneath a folder without waiting; None if there is none.

    It follows no link, and gives a negative number where it cannot open.
    """
    how, plain = _how(TRACELESS_FLAGS), _how(READ_FLAGS)
    try:
        syscall = ctypes.PyDLL(None).syscall
    except (OSError, AttributeError):
        return None
    syscall.restype = ctypes.c_long
    # The rest is converted once: with ``argtypes`` each call would do it anew.
    first, second = ctypes.byref(how), ctypes.byref(plain)
    size = ctypes.c_size_t(ctypes.sizeof(how))

    def open_cached(dir_fd: int, path: bytes) -> int:
        fd: int = syscall(_OPENAT2, dir_fd, path, first, size)
        if fd < 0:  # another's file, maybe
            fd = syscall(_OPENAT2, dir_fd, path, second, size)
        return fd

    # A program under a seccomp filter or on an old kernel finds out here.
    probe = open_cached(root_fd, b".")
    if probe < 0:
        return None
    os.close(probe)
    return open_cached


def status_reader() -> Callable[[int, bytes], FileStatus | None] | None:
    """Give a function that tells a file's status by its path beneath a folder; None without one.

    It does not follow a link at the path's end, and gives None where it cannot tell. It is not
    for two threads at a time.
    """
    try:
        statx = ctypes.PyDLL(None).statx
    except (OSError, AttributeError):  # a C library from before 2018
        return None
    found = ctypes.create_string_buffer(_STATX_SIZE)

    def status(dir_fd: int, path: bytes) -> FileStatus | None:
        if statx(dir_fd, path, _SYMLINK_NOFOLLOW | _DO_NOT_SYNC, _BASIC, found) != 0:
            return None
        links, mode, inode, size, ctime_s, ctime_ns, mtime_s, mtime_ns = _STATX.unpack_from(found)
        ctime_ns += ctime_s * 1_000_000_000
        return FileStatus(links, mode, inode, size, ctime_ns, mtime_ns + mtime_s * 1_000_000_000)

    return status


def _how(flags: int) -> _OpenHow:
    return _OpenHow(flags, 0, _NO_MAGIC_LINKS | _NO_LINKS | _BENEATH | _CACHED)

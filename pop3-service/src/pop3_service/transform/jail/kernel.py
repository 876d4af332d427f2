"""System calls that Python has no name for."""

from __future__ import annotations

import ctypes
import os
from ctypes import c_long, c_ulong

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = c_long

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 24, 36, 38
PR_SCHED_CORE, PR_CAP_AMBIENT = 62, 47
_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_CLOSE_RANGE, _CLOSE_RANGE_CLOEXEC = 436, 4
_SIG_DFL, _SIG_IGN = 0, 1
SIGNALS = range(1, 65)
_NO_SIGNALS = ctypes.create_string_buffer(128)


def syscall(number: int, *arguments: object) -> int:
    """Make a system call; integers are passed as longs.

    Raises:
        OSError: it failed.
    """
    plain = [c_ulong(it) if isinstance(it, int) else it for it in arguments]
    result: int = _libc.syscall(c_long(number), *plain)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def prctl(option: int, *arguments: object) -> int:
    """Change something of this process.

    Raises:
        OSError: the kernel refuses.
    """
    plain = [c_ulong(it) if isinstance(it, int) else it for it in arguments]
    plain += [c_ulong(0)] * (4 - len(plain))
    result: int = _libc.prctl(option, *plain)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def ignore_signal(number: int) -> None:
    """Let a signal do nothing."""
    _libc.signal(number, ctypes.c_void_p(_SIG_IGN))


def ignored_signals() -> tuple[int, ...]:
    """Say which signals this process ignores: an execve keeps that."""
    with open("/proc/self/status") as file:
        mask = next(int(line[7:], 16) for line in file if line.startswith("SigIgn:"))
    return tuple(number for number in SIGNALS if mask >> (number - 1) & 1)


def reset_signals(ignored: tuple[int, ...]) -> None:
    """Give signals that were ignored their default meaning, and block none."""
    for number in ignored:
        _libc.signal(number, ctypes.c_void_p(_SIG_DFL))
    _libc.sigprocmask(2, _NO_SIGNALS, None)


def close_at_exec() -> None:
    """Let no descriptor but 0, 1 and 2 reach the program, whoever opened it."""
    try:
        syscall(_CLOSE_RANGE, 3, 0xFFFFFFFF, _CLOSE_RANGE_CLOEXEC)
    except OSError:  # before Linux 5.11
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2:
                try:
                    os.set_inheritable(int(name), False)
                except OSError:
                    continue


def bound_capabilities() -> None:
    """Let no execve give root any capability again."""
    for number in range(64):
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError:
            break


def drop_capabilities() -> None:
    """Give up all capabilities: root is then a user like any other."""
    try:
        prctl(PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    except OSError:  # it has none, before Linux 4.3
        pass
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    if _libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

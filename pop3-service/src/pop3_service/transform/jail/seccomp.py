"""A seccomp filter: a BPF program that the kernel runs over every system call (seccomp(2)).

It denies what ``syscalls`` lists and looks at the arguments of some others; whatever is called by
the rules of another machine ends the program. Addresses are beyond it: paths are Landlock's.
"""

from __future__ import annotations

import ctypes
import errno
import os

from .kernel import PR_SCHED_CORE, PR_SET_DUMPABLE, PR_SET_PDEATHSIG, PR_SET_SECCOMP, prctl
from .syscalls import DENIED, LAST_KNOWN, NUMBERS, SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:  # as typing has it, without its import
    from collections.abc import Callable, Sequence

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""How the kernel calls a machine in what a filter sees (AUDIT_ARCH)."""
X32_BIT = 0x40000000
ALLOW, KILL = 0x7FFF0000, 0x80000000
_ERRNO = 0x00050000
_MODE_FILTER = 2

LOAD, AND, RETURN = 0x20, 0x54, 0x06
EQUAL, AT_LEAST, ANY_BIT = 0x15, 0x35, 0x45
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16

NEW_NAMESPACES = 0x7E020000
"""All flags of clone(2) that make a namespace."""
IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: a file's flags are not among them."""
FCNTLS = (8, 10, 15, 1024, 1026, 1040)
"""F_SETOWN, F_SETSIG, F_SETOWN_EX (they signal others), F_SETLEASE, F_NOTIFY, F_SETDELEG (a lease
on the message would hold up who opens it)."""
F_SETFL = 4
_MAP_ANONYMOUS, _MAP_TYPE, _MAP_PRIVATE = 0x20, 0xF, 2
_O_ASYNC = 0x2000
_O_DIRECT = {"x86_64": 0x4000, "aarch64": 0x10000}

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, value."""


def denied(number: int = errno.EPERM) -> int:
    """Give what a filter returns for an error."""
    return _ERRNO | number


def _load(offset: int) -> Instruction:
    return LOAD, 0, 0, offset


def _argument(index: int) -> Instruction:
    """Load an argument's lower half: all of it where it is an int."""
    return _load(ARGUMENTS_AT + 8 * index)


def _return(value: int) -> Instruction:
    return RETURN, 0, 0, value


def _if_equal(value: int, then: Sequence[Instruction]) -> list[Instruction]:
    return [(EQUAL, 0, len(then), value), *then]


def _only_zero(index: int) -> list[Instruction]:
    """Allow it where an argument is 0, which stands for the caller itself."""
    allow = _if_equal(0, [_return(ALLOW)])
    return [_argument(index), *allow, _return(denied())]


def _only_two(first: int, second: int) -> list[Instruction]:
    """Allow it where the first two arguments are these."""
    inner = [_argument(1), *_if_equal(second, [_return(ALLOW)]), _return(denied())]
    return [_argument(0), *_if_equal(first, inner), _return(denied())]


def _clone() -> list[Instruction]:
    return [_argument(0), (ANY_BIT, 0, 1, NEW_NAMESPACES), _return(denied()), _return(ALLOW)]


def _ioctl() -> list[Instruction]:
    body = [_argument(1)]
    for command in IOCTLS:
        body += _if_equal(command, [_return(ALLOW)])
    return [*body, _return(denied(errno.ENOTTY))]


def _fcntl(machine: str) -> list[Instruction]:
    flags = _O_ASYNC | _O_DIRECT[machine]
    body = [_argument(1)]
    for command in FCNTLS:
        body += _if_equal(command, [_return(denied())])
    inner = [_argument(2), (ANY_BIT, 0, 1, flags), _return(denied()), _return(ALLOW)]
    return [*body, *_if_equal(F_SETFL, inner), _return(ALLOW)]


def _socketpair() -> list[Instruction]:
    """Only connected streams: a datagram socket could be pointed at somebody else's."""
    inner = [_argument(1), (AND, 0, 0, 0xF), *_if_equal(1, [_return(ALLOW)]), _return(denied())]
    return [_argument(0), *_if_equal(1, inner), _return(denied())]


def _mmap() -> list[Instruction]:
    """No shared memory without a file: what of it is not mapped any more stays, and is unseen."""
    private = _if_equal(_MAP_PRIVATE, [_return(ALLOW)])
    return [
        _argument(3),
        (ANY_BIT, 1, 0, _MAP_ANONYMOUS),
        _return(ALLOW),
        (AND, 0, 0, _MAP_TYPE),
        *private,
        _return(denied()),
    ]


def _prctl() -> list[Instruction]:
    """No way to outlive the keeper, nor to hide from it."""
    hide = [_argument(1), *_if_equal(1, [_return(ALLOW)]), _return(denied())]
    return [
        _argument(0),
        *_if_equal(PR_SET_PDEATHSIG, [_return(denied())]),
        *_if_equal(PR_SCHED_CORE, [_return(denied())]),
        *_if_equal(PR_SET_DUMPABLE, hide),
        _return(ALLOW),
    ]


def watched(machine: str) -> dict[str, list[Instruction]]:
    """Calls that depend on their arguments."""
    return {
        "clone3": [_return(denied(errno.ENOSYS))],  # its flags are behind a pointer
        "clone": _clone(),
        "prlimit64": _only_zero(0),
        "sched_setaffinity": _only_zero(0),
        "sched_setscheduler": _only_zero(0),
        "sched_setparam": _only_zero(0),
        "sched_setattr": _only_zero(0),
        "setpriority": _only_two(0, 0),
        "ioprio_set": _only_two(1, 0),
        "ioctl": _ioctl(),
        "fcntl": _fcntl(machine),
        "mmap": _mmap(),
        "socketpair": _socketpair(),
        "prctl": _prctl(),
        # They seem to work. All that comes from a program stays in its group, and a group is
        # killed at once, however fast it multiplies.
        "setsid": [_return(denied(0))],
        "setpgid": [_return(denied(0))],
    }


def build(
    machine: str, *, deny_signals: bool = False, deny_truncate: bool = False
) -> list[Instruction]:
    """Build the filter for a machine.

    ``deny_signals`` and ``deny_truncate`` are for kernels whose Landlock does not hold those back.
    """
    column = list(MACHINES).index(machine)
    program = [_load(ARCH_AT), (EQUAL, 1, 0, MACHINES[machine]), _return(KILL), _load(NUMBER_AT)]
    if machine == "x86_64":
        program += [(AT_LEAST, 0, 1, X32_BIT), _return(KILL)]
    program += [(AT_LEAST, 0, 1, LAST_KNOWN + 1), _return(denied(errno.ENOSYS))]
    bodies = {name: [_return(denied())] for names in DENIED.values() for name in names}
    bodies |= watched(machine)
    if deny_signals:
        bodies |= {name: [_return(denied())] for name in SIGNALS} | {"kill": _only_zero(0)}
    if deny_truncate:
        bodies["truncate"] = [_return(denied())]
    for name, body in bodies.items():
        number = NUMBERS[name][column]
        if number is not None:
            program += _if_equal(number, body)
    return [*program, _return(ALLOW)]


def make(*, deny_signals: bool, deny_truncate: bool) -> Callable[[], None] | None:
    """Make what puts the filter in force; None on a machine that there is none for."""
    machine = os.uname().machine
    if machine not in MACHINES:
        return None
    program = build(machine, deny_signals=deny_signals, deny_truncate=deny_truncate)
    words = b"".join(
        code.to_bytes(2, "little") + bytes((yes, no)) + value.to_bytes(4, "little")
        for code, yes, no, value in program
    )
    instructions = ctypes.create_string_buffer(words, len(words))
    head = ctypes.create_string_buffer(16)
    ctypes.c_uint16.from_buffer(head).value = len(program)
    ctypes.c_uint64.from_buffer(head, 8).value = ctypes.addressof(instructions)

    def enforce() -> None:
        # It names the instructions so that they live as long as what points to them.
        assert len(instructions) == len(words)  # noqa: S101
        prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(head))

    return enforce

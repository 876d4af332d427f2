"""The seccomp filter, run over system calls by an interpreter of its own."""

import errno

import pytest

from pop3_service.transform.jail import seccomp
from pop3_service.transform.jail.syscalls import DENIED, LAST_KNOWN, NUMBERS, SIGNALS

EPERM, ENOSYS, ENOTTY = map(seccomp.denied, (errno.EPERM, errno.ENOSYS, errno.ENOTTY))
MACHINES = tuple(seccomp.MACHINES)
ALIKE_FROM = 424
"""From this number on, all machines have the same calls."""


def verdict(
    machine: str, number: int, *arguments: int, arch: int | None = None, **options: bool
) -> int:
    """Run a filter over a call, as the kernel would."""
    words = {seccomp.NUMBER_AT: number}
    words[seccomp.ARCH_AT] = seccomp.MACHINES[machine] if arch is None else arch
    for index in range(6):
        value = arguments[index] if index < len(arguments) else 0
        words[seccomp.ARGUMENTS_AT + 8 * index] = value & 0xFFFFFFFF
        words[seccomp.ARGUMENTS_AT + 8 * index + 4] = value >> 32 & 0xFFFFFFFF
    program, at, held = seccomp.build(machine, **options), 0, 0
    while True:
        code, yes, no, value = program[at]
        at += 1
        match code:
            case seccomp.LOAD:
                held = words[value]
            case seccomp.AND:
                held &= value
            case seccomp.EQUAL:
                at += yes if held == value else no
            case seccomp.AT_LEAST:
                at += yes if held >= value else no
            case seccomp.ANY_BIT:
                at += yes if held & value else no
            case seccomp.RETURN:
                return value
            case _:
                raise AssertionError(code)


def call(machine: str, name: str, *arguments: int, **options: bool) -> int:
    number = NUMBERS[name][MACHINES.index(machine)]
    assert number is not None
    return verdict(machine, number, *arguments, **options)


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_denied_is_denied_and_all_else_allowed(machine: str) -> None:
    column = MACHINES.index(machine)
    denied = {NUMBERS[name][column] for names in DENIED.values() for name in names} - {None}
    watched = {NUMBERS[name][column] for name in seccomp.watched(machine)}
    for number in range(LAST_KNOWN + 1):
        if number in denied:
            assert verdict(machine, number) == EPERM
        elif number not in watched:
            assert verdict(machine, number) == seccomp.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_what_kernels_will_have_one_day_does_not_exist(machine: str) -> None:
    for number in (LAST_KNOWN + 1, 1000, 0x3FFFFFFF):
        assert verdict(machine, number) == ENOSYS


def test_calls_by_the_rules_of_another_machine_end_the_program() -> None:
    i386, arm = 0x40000003, 0x40000028
    assert verdict("x86_64", 0, arch=i386) == seccomp.KILL
    assert verdict("aarch64", 0, arch=arm) == seccomp.KILL
    assert verdict("x86_64", seccomp.X32_BIT | 1) == seccomp.KILL
    assert verdict("x86_64", 0xFFFFFFFF) == seccomp.KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_processes_are_made_but_no_namespaces(machine: str) -> None:
    threads = 0x3D0F00
    assert call(machine, "clone", 17) == call(machine, "clone", threads) == seccomp.ALLOW
    for bit in (17, 25, 26, 27, 28, 29, 30):
        assert call(machine, "clone", 17 | 1 << bit) == EPERM
    assert call(machine, "clone3") == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_a_program_changes_itself_and_nobody_else(machine: str) -> None:
    for name in ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setattr"):
        assert (call(machine, name, 0), call(machine, name, 77)) == (seccomp.ALLOW, EPERM)
    assert call(machine, "setpriority", 0, 0, 19) == seccomp.ALLOW
    assert call(machine, "setpriority", 0, 77, 19) == EPERM
    assert call(machine, "setpriority", 2, 0, 19) == EPERM
    assert call(machine, "ioprio_set", 1, 0) == seccomp.ALLOW
    assert call(machine, "ioprio_set", 3, 0) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_an_open_file_is_read_and_no_more(machine: str) -> None:
    for command in (0, 1, 2, 3, 5, 6, 7, 1030, 1031):
        assert call(machine, "fcntl", 0, command) == seccomp.ALLOW
    for command in seccomp.FCNTLS:
        assert call(machine, "fcntl", 0, command, 1) == EPERM
    direct = {"x86_64": 0x4000, "aarch64": 0x10000}[machine]
    assert call(machine, "fcntl", 0, 4, 0x800) == seccomp.ALLOW
    assert call(machine, "fcntl", 0, 4, 0x800 | direct) == EPERM
    assert call(machine, "ioctl", 0, 0x5413) == seccomp.ALLOW
    for command in (0x5412, 0x40086602, 0x8904, 0x1_0000_0000 | 0x5412):
        assert call(machine, "ioctl", 0, command) == ENOTTY


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_are_pairs_of_streams(machine: str) -> None:
    close_at_exec = 0x80000
    assert call(machine, "socketpair", 1, 1 | close_at_exec) == seccomp.ALLOW
    for family, kind in ((1, 2), (1, 5), (2, 1), (16, 3)):
        assert call(machine, "socketpair", family, kind) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_memory_is_shared_by_files_alone(machine: str) -> None:
    shared, private, validated, anonymous = 1, 2, 3, 0x20
    for flags in (shared, private, validated, private | anonymous, 0x4000 | private | anonymous):
        assert call(machine, "mmap", 0, 4096, 3, flags) == seccomp.ALLOW
    for kind in (0, shared, validated):
        assert call(machine, "mmap", 0, 4096, 3, kind | anonymous) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_a_program_neither_hides_nor_leaves_its_group(machine: str) -> None:
    assert call(machine, "prctl", 1, 9) == call(machine, "prctl", 4, 0) == EPERM
    assert call(machine, "prctl", 62, 1) == EPERM
    assert call(machine, "prctl", 4, 1) == call(machine, "prctl", 15) == seccomp.ALLOW
    assert call(machine, "setsid") == call(machine, "setpgid") == seccomp.denied(0)


@pytest.mark.parametrize("machine", MACHINES)
def test_signals_are_denied_where_landlock_does_not_hold_them(machine: str) -> None:
    for name in SIGNALS:
        assert call(machine, name, 77, 9) == seccomp.ALLOW
        assert call(machine, name, 77, 9, deny_signals=True) == EPERM
    assert call(machine, "kill", 0, 9, deny_signals=True) == seccomp.ALLOW
    assert call(machine, "truncate") == seccomp.ALLOW
    assert call(machine, "truncate", deny_truncate=True) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_is_one_that_the_kernel_takes(machine: str) -> None:
    program = seccomp.build(machine, deny_signals=True, deny_truncate=True)
    assert len(program) <= 4096
    for at, (code, yes, no, value) in enumerate(program):
        assert 0 <= value <= 0xFFFFFFFF
        if code in (seccomp.EQUAL, seccomp.AT_LEAST, seccomp.ANY_BIT):
            assert max(yes, no) <= 255
            assert at + 1 + max(yes, no) < len(program)
    assert program[-1] == (seccomp.RETURN, 0, 0, seccomp.ALLOW)


def test_numbers_are_alike_where_machines_have_them_alike() -> None:
    for name, (one, other) in NUMBERS.items():
        if ALIKE_FROM <= (one or 0) or ALIKE_FROM <= (other or 0):
            assert one == other, name
    for column in (0, 1):
        numbers = [it[column] for it in NUMBERS.values() if it[column] is not None]
        assert len(numbers) == len(set(numbers))
    named = {name for names in DENIED.values() for name in names} | set(SIGNALS)
    assert NUMBERS.keys() == named | set(seccomp.watched("x86_64")) | {"truncate"}

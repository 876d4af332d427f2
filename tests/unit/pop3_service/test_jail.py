"""What the launcher reads of /proc, and what it makes and removes."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pop3_service.transform.jail import scratch, tree
from pop3_service.transform.jail.room import processes_ceiling

NOBODY: tuple[int, ...] = ()
NOTHING = (0, 0)


def stat(*, ppid: int = 1, cpu: tuple[int, ...] = (0, 0, 0, 0), threads: int = 1,
         pages: int = 0, state: bytes = b"S") -> list[bytes]:  # fmt: skip
    """Make the fields of a process, in ticks and pages."""
    fields = [b"0"] * 22
    fields[0], fields[1] = state, b"%d" % ppid
    fields[11:15] = [b"%d" % it for it in cpu]
    fields[17], fields[21] = b"%d" % threads, b"%d" % pages
    return fields


@pytest.mark.parametrize("name", [b"cat", b"a) R 1 (b", b") ) )", b"x\ny", b""])
def test_a_programs_name_does_not_confuse_its_state(name: bytes) -> None:
    assert tree.parse_stat(b"12 (%s) S 7 8 9" % name) == [b"S", b"7", b"8", b"9"]


def test_this_process_is_read_as_it_is() -> None:
    fields = tree.parse_stat(Path("/proc/self/stat").read_bytes())
    assert int(fields[1]) == os.getppid()
    assert int(fields[2]) == os.getpgrp()
    assert int(fields[17]) >= 1
    assert int(fields[21]) > 100


FAMILY = """
import os, signal
from pop3_service.transform.jail import tree

reading, writing = os.pipe()
children = []
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        os.fork()
        os.write(writing, b"x")
        signal.pause()
        os._exit(0)
    children.append(pid)
for _ in range(4):
    assert os.read(reading, 1) == b"x"
found = tree.descendants()
near = tree.near_descendants(100)
spared = tree.descendants([children[0]])
tree.kill(found)
ends = [os.waitpid(pid, 0)[1] for pid in children]
assert (len(found), set(children) <= found.keys()) == (4, True), found
assert len(spared) == 2, spared
assert near is None or near.keys() == found.keys(), near
assert ends == [signal.SIGKILL] * 2, ends
"""


def test_descendants_are_all_that_came_of_it_but_those_spared() -> None:
    """In a process that has no others: that of the tests has what they have started."""
    subprocess.run([sys.executable, "-c", FAMILY], check=True, timeout=60)


def test_time_counts_once_whether_it_was_waited_for_or_only_seen() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    usage = tree.Usage()
    usage.look({7: stat(cpu=(tick, tick, 0, 0)), 8: stat(cpu=(tick, 0, 0, 0))}, 0.0, 1 << 40)
    assert usage.cpu_s == 3
    usage.look({7: stat(cpu=(tick, tick, tick, 0))}, 0.0, 1 << 40)  # 7 has waited for 8
    assert usage.cpu_s == 3
    usage.look({7: stat(cpu=(tick, 2 * tick, tick, 0))}, 0.0, 1 << 40)
    assert usage.cpu_s == 4
    usage.look({}, 5.0, 1 << 40)  # all were reaped here
    assert usage.cpu_s == 5


def test_threads_and_memory_are_those_of_all_at_the_moment() -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    usage = tree.Usage()
    usage.look({7: stat(threads=3, pages=10), 8: stat(threads=0, pages=5, state=b"Z")}, 0, 1 << 40)
    assert (usage.threads, usage.memory_bytes) == (4, 15 * page)
    assert usage.pids == (7, 8)  # one that seems dead may have threads, and files
    usage.look({7: stat(pages=2)}, 0, 1 << 40)
    assert (usage.memory_bytes, usage.peak_bytes) == (2 * page, 15 * page)


def test_a_folder_of_any_depth_goes(tmp_path: Path) -> None:
    path, held = scratch.make(str(tmp_path))
    os.close(held)
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_bytes(b"x")
    here = os.open(path, os.O_RDONLY)
    for _ in range(1500):  # longer than any path may be, deeper than any recursion
        os.mkdir("folder", dir_fd=here)
        os.symlink(kept, "link", dir_fd=here)
        inner = os.open("folder", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    with pytest.raises(scratch.TooMuch):
        scratch.measure(path, 1 << 40, NOBODY, NOTHING)
    scratch.remove(path)
    assert [it.name for it in tmp_path.iterdir()] == ["kept"]
    assert (kept / "file").read_bytes() == b"x"


def test_a_folder_is_measured_by_blocks_and_by_number(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "large").write_bytes(bytes(1 << 20))
    (tmp_path / "link").symlink_to("/")
    (tmp_path / "empty").touch()
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 30)
    found = scratch.measure(str(tmp_path), 1 << 22, NOBODY, NOTHING)
    assert 1 << 20 < found < 1 << 21
    for limit in (found - 1, 1 << 20, 0):
        with pytest.raises(scratch.TooMuch):
            scratch.measure(str(tmp_path), limit, NOBODY, NOTHING)


def test_open_files_without_a_name_are_measured_too_but_not_the_output(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as file:
        file.write(bytes(1 << 20))
        file.flush()
        os.unlink(tmp_path / "a")
        status = os.fstat(file.fileno())
        me = (os.getpid(), os.getpid())
        assert scratch.measure(str(tmp_path), 1 << 22, me, NOTHING) == 1 << 20
        output = (status.st_dev, status.st_ino)
        assert scratch.measure(str(tmp_path), 1 << 22, me, output) == 0
        with pytest.raises(scratch.TooMuch):
            scratch.measure(str(tmp_path), 1 << 19, me, NOTHING)


def test_what_is_left_is_swept_up_and_what_is_in_use_stays(tmp_path: Path) -> None:
    used, held = scratch.make(str(tmp_path))
    left, dropped = scratch.make(str(tmp_path))
    Path(left, "file").touch()
    os.close(dropped)
    scratch.sweep(str(tmp_path))
    assert [str(it) for it in tmp_path.iterdir()] == [used]
    other = os.open(used, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    os.close(held)


def made(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_programs_leave_the_service_a_quarter_of_the_containers_processes(tmp_path: Path) -> None:
    memberships, mounted = tmp_path / "cgroup", tmp_path / "mounted"

    def ceiling() -> int | None:
        return processes_ceiling(str(memberships), str(mounted))

    assert ceiling() is None
    memberships.write_text("0::/\n")
    assert ceiling() is None
    made(mounted, "pids.max", "max\n")
    assert ceiling() is None
    made(mounted, "pids.max", "4096\n")
    assert ceiling() == 3072
    memberships.write_text("0::/a/b\n")
    made(mounted, "a/pids.max", "max\n")
    made(mounted, "a/b/pids.max", "100\n")
    assert ceiling() == 75
    memberships.write_text("9:name=systemd:/\n4:cpu,pids:/c\n")
    made(mounted, "pids/c/pids.max", "400\n")
    assert ceiling() == 300

"""Programs in the sandbox, for tests: run as this user, as an ordinary one, on a lesser kernel."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pop3_service.transform.launcher import Launcher, RunResult
from pop3_service.transform.limits import Limits

ORDINARY_UID = 65534
GENEROUS = Limits(seconds=120, cpu_s=60)
"""No program of a test that is to end by itself comes near."""

NO_LANDLOCK = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
words = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (6, 0, 0, 0x50026), (6, 0, 0, 0x7fff0000)]
octets = b"".join(c.to_bytes(2, "little") + bytes((t, f)) + k.to_bytes(4, "little")
                  for c, t, f, k in words)
inner = ctypes.create_string_buffer(octets, len(octets))
outer = ctypes.create_string_buffer(16)
ctypes.c_uint16.from_buffer(outer).value = len(words)
ctypes.c_uint64.from_buffer(outer, 8).value = ctypes.addressof(inner)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(outer), 0, 0) == 0
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Becomes Python on a kernel without Landlock: its first call does not exist (ENOSYS)."""


AGAIN = "import os, sys; os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', 'pass'])"


def _works(command: list[str]) -> bool:
    """Whether it starts, and the user that it runs as may start it again."""
    done = subprocess.run([*command, "-I", "-S", "-c", AGAIN], capture_output=True, cwd="/")
    return done.returncode == 0


def _ordinary() -> list[str]:
    """Say how to start Python as an ordinary user, if we may and one is within its reach."""
    prefix = [shutil.which("setpriv") or "setpriv", f"--reuid={ORDINARY_UID}",
              f"--regid={ORDINARY_UID}", "--clear-groups"]  # fmt: skip
    if os.getuid() != 0:
        return []
    found = [sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"]
    return next(([*prefix, it] for it in found if _works([*prefix, it])), [])


ORDINARY = _ordinary()
USERS = ("own", "ordinary") if ORDINARY else ("own",)
"""As whom tests run: as who runs them, and as an ordinary user too if that is root."""


@dataclass
class Ran:
    """What came of a run."""

    result: RunResult
    output: bytes

    @property
    def lines(self) -> list[str]:
        return self.output.decode("utf-8", "replace").splitlines()


@dataclass
class Cell:
    """A launcher, with a folder that belongs to the user that it runs as."""

    folder: Path
    python: str
    launcher: Launcher
    uid: int
    files: list[int] = field(default_factory=list)

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def file(self, name: str, content: bytes) -> Path:
        """Make a file of the user's own, beside what programs may see."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        for it in (path.parent, path):
            os.chown(it, self.uid, -1)
        return path

    async def run(
        self,
        *programs: tuple[str, ...],
        limits: Limits = GENEROUS,
        message: bytes = b"From: a\r\n",
        require: bool = False,
    ) -> Ran:
        """Pass a message through programs."""
        path = self.file("cur/message", message)
        source = os.open(path, os.O_RDONLY)
        with tempfile.TemporaryFile(dir=self.folder) as output:
            os.chown(output.fileno(), self.uid, -1)
            try:
                result = await self.launcher.run(
                    programs, source, output.fileno(), limits, require=require
                )
            finally:
                os.close(source)
            output.seek(0)
            return Ran(result, output.read(1 << 24))

    async def code(self, source: str, *words: str, limits: Limits = GENEROUS, **more: bytes) -> Ran:
        """Run a program in Python."""
        return await self.run(self.as_program(source, *words), limits=limits, **more)

    def as_program(self, source: str, *words: str) -> tuple[str, ...]:
        return (self.python, "-I", "-S", "-c", source, *words)

    def alive(self) -> list[int]:
        """Give the processes that work in a run's folder."""
        return [pid for pid in _pids() if _where(pid).startswith(str(self.scratch))]


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _where(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


@contextmanager
def cell(user: str = "own", *, landlock: bool = True) -> Iterator[Cell]:
    """Make a launcher; ``close`` it in the test's loop."""
    command = ORDINARY if user == "ordinary" else [sys.executable]
    uid = ORDINARY_UID if user == "ordinary" else os.getuid()
    python = command[-1]
    if not landlock:
        command = [*command[:-1], python, "-I", "-S", "-c", NO_LANDLOCK]
    folder = Path(tempfile.mkdtemp(prefix="valija-cell-"))
    try:
        (folder / "scratch").mkdir()
        for path in (folder, folder / "scratch"):
            os.chown(path, uid, -1)
        yield Cell(folder, python, Launcher(folder / "scratch", python=command), uid)
    finally:
        for path, names, _ in os.walk(folder):
            for name in names:
                if not stat.S_ISLNK(os.lstat(f"{path}/{name}").st_mode):
                    os.chmod(f"{path}/{name}", 0o700)
        shutil.rmtree(folder)


Make = Callable[..., Cell]

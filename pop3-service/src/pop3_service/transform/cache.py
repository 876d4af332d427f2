"""Results of transforms, kept on the disk and shared by the processes of a service.

``boot id/results/account/fingerprint/message``: what is there was written since the machine
started, so nothing has to be synced to be whole; what an earlier start left goes at a sweep. A
result is in CRLF form: its file's size is the message's. It comes to its name by a link, and
never changes. Sessions hold a shared lock on their folder, and nothing in it is evicted then.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from lineproto.clock import Clock
from pop3_service.transform import sweeping
from pop3_service.transform.once import Once
from pop3_service.transform.recent import RecentFailures
from pop3_service.transform.results import Draft, Folder

THREADS = 8
"""Threads that wait for the disk."""
PAUSE_S = 10.0
"""Time until room is looked for again, once none could be made."""
TRIES = 10
"""A folder that is swept away each time is given up."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

T = TypeVar("T")

log = structlog.get_logger()


class Cache:
    """The results there are; ``quota`` gives the octets that all may take on the disk.

    ``folder`` is made when it is needed. Where it cannot be used, or is another's, nothing is
    kept, and an output is in ``spare`` until it was sent.
    """

    def __init__(
        self, folder: Path, spare: Path, quota: Callable[[], int], clock: Clock, boot: str = ""
    ) -> None:
        """``boot`` names the machine's present start."""
        self.failures = RecentFailures(clock)
        self._boot = boot or boot_id()
        self._root = folder
        self._base = folder / self._boot
        self._spare = spare
        self._quota = quota
        self._clock = clock
        self.once = Once(self._base / "locks", clock)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="results")
        self._full_until_s = 0.0
        self._complained = False

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do something that may wait for the disk.

        Who is cancelled meanwhile waits all the same: what it works on must not be closed before.
        """
        done = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(done)
        finally:
            while not done.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([done])

    def in_background(self, work: Callable[[], object]) -> None:
        """Do something on the disk that nobody waits for."""
        with contextlib.suppress(RuntimeError):
            self._threads.submit(work)

    def close(self) -> None:
        """Wait for what the disk is doing, and let go."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.once.close()

    # --- all that follows may wait for the disk --------------------

    def lease(self, account: str, fingerprint: str) -> Folder | None:
        """Give an account's results of one transform, to be kept until they are let go.

        None if nothing can be kept.
        """
        path = self._base / sweeping.RESULTS / _digest(account) / fingerprint
        try:
            for _ in range(TRIES):
                with contextlib.suppress(FileNotFoundError):  # it was swept away meanwhile
                    self._make()
                    return Folder(self, self._locked(path))
        except OSError as error:
            self._complain(str(error))
        return None

    def open_draft(self) -> Draft:
        """Give an empty draft, where it can become a result if that is possible.

        Raises:
            OSError: there is no room for one.
        """
        try:
            self._make()
            return Draft.make(self._base / sweeping.SPOOL)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._complain(str(error))
        self._spare.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Draft.make(self._spare)

    def used(self) -> int:
        """Give the octets that all results take, as counted."""
        with contextlib.suppress(OSError):
            return sweeping.count(self._base, 0)
        return 0

    def forget(self, account: str) -> None:
        """Remove all results of an account that is deleted, held or not."""
        self.give_room(sweeping.remove_account(self._base / sweeping.RESULTS / _digest(account)))

    def sweep_if_due(self) -> None:
        """Sweep if nobody has for a while."""
        with contextlib.suppress(OSError):
            if sweeping.is_due(self._base, self.now_s()):
                self._sweep(self._quota())

    # --- for folders --------------------

    @contextlib.contextmanager
    def room(self, octets: int) -> Iterator[bool]:
        """Count a result that is published within the block, if there is room for it.

        Where there is none, some is made if that is possible.
        """
        taken = self._take(octets)
        if taken < 0 and octets <= self._quota() and self._may_sweep():
            # A little more, so that not each result sweeps.
            with contextlib.suppress(OSError):
                self._sweep(max(self._quota() * 9 // 10 - octets, 0))
            taken = self._take(octets)
            if taken < 0:
                self._full_until_s = self._clock.monotonic() + PAUSE_S
        try:
            yield taken >= 0
        finally:
            if taken >= 0:
                os.close(taken)

    def give_room(self, octets: int) -> None:
        """Count less."""
        with contextlib.suppress(OSError):
            sweeping.count(self._base, -octets)

    def now_s(self) -> float:
        """Give the time (Unix)."""
        return self._clock.now().timestamp()

    # --- within --------------------

    def _make(self) -> None:
        """Make what is missing of the folder, and see that it is ours."""
        if not self._boot:
            raise OSError(errno.ENOTSUP, "the kernel does not tell", str(BOOT_ID))
        self._root.mkdir(0o700, parents=True, exist_ok=True)
        status = os.lstat(self._root)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "not a folder of ours", str(self._root))
        if status.st_mode & 0o077:
            self._root.chmod(0o700)
        for folder in (self._base, self._base / sweeping.RESULTS, self._base / sweeping.SPOOL):
            folder.mkdir(0o700, exist_ok=True)

    def _locked(self, path: Path) -> int:
        """Make and open a folder, lock it for a reader and note the use.

        Raises:
            FileNotFoundError: it was removed meanwhile.
        """
        for folder in (path.parent, path):
            # Not exist_ok: it fails on what a sweep removes while it looks whether it is there.
            with contextlib.suppress(FileExistsError):
                folder.mkdir(0o700)
        fd = os.open(path, sweeping.FOLDER_FLAGS)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            if not os.path.samestat(os.lstat(path), os.fstat(fd)):
                raise FileNotFoundError(path)
            os.utime(fd, (self.now_s(), self.now_s()))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _take(self, octets: int) -> int:
        """Give a lock that keeps sweeps from counting meanwhile; -1 if there is no room."""
        with contextlib.suppress(OSError):
            return sweeping.take(self._base, octets, self._quota())
        return -1

    def _may_sweep(self) -> bool:
        return self._clock.monotonic() >= self._full_until_s

    def _sweep(self, target: int) -> None:
        swept = sweeping.sweep(self._root, self._boot, target, self.now_s())
        if swept is not None and swept.removed:
            log.info("transformed mail evicted", results=swept.removed, used_bytes=swept.used)

    def _complain(self, error: str) -> None:
        if not self._complained:
            self._complained = True
            log.warning("transformed mail cannot be kept", folder=str(self._root), error=error)


def _digest(account: str) -> str:
    """Give an account's name as a folder's: no name is a path, and none is told."""
    octets = account.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(octets, digest_size=16).hexdigest()


def boot_id() -> str:
    """Give what names the machine's present start; empty if the kernel does not tell."""
    with contextlib.suppress(OSError):
        return BOOT_ID.read_text().strip()
    return ""

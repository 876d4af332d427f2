"""Making a message's result: its programs run, and what they wrote turned into the form kept."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from lineproto.obtaining import obtain
from pop3_service.domain.errors import TransformFailed, TransformInvalid
from pop3_service.domain.settings import Settings
from pop3_service.transform.cache import Cache
from pop3_service.transform.crlf import converted, form_of
from pop3_service.transform.fingerprint import Programs, fingerprint
from pop3_service.transform.results import Draft, Folder
from pop3_service.transform.runner import Output, RunFailed, Runner, is_full

HEAD = 64 * 1024
"""Octets that a result's form is told by."""

OnRun = Callable[[float, str], None]
"""Is told of each run: how many seconds it took, and why it failed, empty if it did not."""


@dataclass(frozen=True, slots=True)
class Original:
    """A message as it is stored.

    ``key`` is its ``Message.identity``, ``size`` the octets of its file, ``octets`` those of its
    CRLF form. ``open`` gives a descriptor that reads it, raises ServiceError, and may wait for
    the disk.
    """

    key: str
    size: int
    octets: int
    open: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Result:
    """A transformed message: a file to be read from 0, of ``size`` octets in CRLF form.

    ``form`` is what is known of them, for ``WireEncoder``; whether the header is in UTF-8 too.
    """

    fd: int
    size: int
    form: int

    @classmethod
    def take(cls, fd: int) -> Result:
        """Take an open file over."""
        try:
            return cls(fd, os.fstat(fd).st_size, form_of(os.pread(fd, HEAD, 0)))
        except BaseException:
            os.close(fd)
            raise

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


class Maker:
    """Makes results of one account's mail by one chain of programs."""

    def __init__(
        self,
        runner: Runner,
        cache: Cache,
        account: str,
        programs: Programs,
        settings: Callable[[], Settings],
        on_run: OnRun,
    ) -> None:
        self._runner = runner
        self._cache = cache
        self._account = account
        self._programs = programs
        self._settings = settings
        self._on_run = on_run

    async def make(self, original: Original, *, background: bool) -> Draft:
        """Run the programs on a message, and give what they wrote in the form that is kept.

        Raises:
            RunFailed: the programs failed.
            TransformFailed: there is no room, or the message changed meanwhile.
            ServiceError: the message cannot be read.
        """
        fd = await obtain(self._cache.in_thread(original.open), os.close)
        try:
            before = os.fstat(fd)
            with contextlib.closing(await self._run(original, fd, background)) as output:
                draft = await self._draft(output)
            after = os.fstat(fd)
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                draft.close()
                raise TransformFailed("the message was changed by another program")
            return draft
        except OSError as error:
            raise TransformFailed(f"no room for the transform: {error.strerror}") from error
        finally:
            os.close(fd)

    def publish(self, folder: Folder, mark: str, key: str, draft: Draft) -> bool:
        """Keep a draft if the programs are still those of that fingerprint; waits for the disk.

        False if there is a result already.
        """
        try:
            same = fingerprint(self._programs) == mark
        except (TransformInvalid, OSError):
            same = False
        return folder.publish(key, draft) if same else True

    async def _run(self, original: Original, fd: int, background: bool) -> Output:
        try:
            output = await self._runner.run(
                self._programs,
                fd,
                original.size,
                self._settings(),
                account=self._account,
                background=background,
            )
        except RunFailed as error:
            self._on_run(error.cost.seconds, f"{error}: {error.note}" if error.note else str(error))
            raise
        self._on_run(output.cost.seconds, "")
        return output

    async def _draft(self, output: Output) -> Draft:
        draft = await obtain(self._cache.in_thread(self._cache.open_draft), _close)
        try:
            steps = converted(output.file, draft.file)
            fd = draft.file.fileno()
            while await self._cache.in_thread(partial(_step, steps, fd)):
                pass
        except BaseException:
            draft.close()
            raise
        return draft


def _close(draft: Draft) -> None:
    draft.close()


def _step(steps: Iterator[None], fd: int) -> bool:
    """Go a step; False at the end.

    Raises:
        OSError: the disk is full, or what stays free would be used up.
    """
    if is_full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return next(steps, "end") is None

"""One session's mail through one version of a transform: sizes that hold, and results to send.

What was found out about a message, its size or that it failed, is so until the session ends. A
result is computed once, whoever asks for it, and another size than the one told is an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from lineproto.obtaining import obtain
from pop3_service.domain.errors import ServiceError, TransformFailed, TransformInvalid
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import OnFailure, Transform
from pop3_service.transform.cache import Cache
from pop3_service.transform.crlf import converted, form_of
from pop3_service.transform.fingerprint import fingerprint
from pop3_service.transform.results import Draft, Folder
from pop3_service.transform.runner import Output, RunFailed, Runner

HEAD = 64 * 1024
"""Octets that a result's form is told by."""

log = structlog.get_logger()

OnRun = Callable[[float, str], None]
"""Is told of each run: how many seconds it took, and why it failed, empty if it did not."""


class TransformPending(Exception):
    """Not all sizes are found yet: ``done`` of ``total`` are. The work goes on."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(f"{done} of {total} messages are transformed")
        self.done = done
        self.total = total


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

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


class SessionTransform:
    """A session's mail; to be used by one event loop, by as many tasks as like."""

    def __init__(
        self,
        runner: Runner,
        cache: Cache,
        account: str,
        transform: Transform,
        settings: Callable[[], Settings],
        *,
        on_run: OnRun | None = None,
        background: bool = False,
    ) -> None:
        """Nothing is looked at or held until the first call; in the ``background`` nobody waits."""
        self.transform = transform
        self._runner = runner
        self._cache = cache
        self._account = account
        self._settings = settings
        self._on_run = on_run or _ignore
        self._background = background
        self._waiting = 0
        self._closed = False
        self._tidied = False
        self._beginning = asyncio.Lock()
        self._fingerprint = ""
        self._folder: Folder | None = None
        self._octets: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self._finding: asyncio.Task[None] | None = None

    async def find_sizes(self, originals: Sequence[Original], wait_s: float) -> None:
        """Find the size of every message of the maildrop; afterwards ``octets`` tells each.

        Raises:
            TransformPending: they were not found in time. The work goes on, in this order, and
                another call waits for it again.
        """
        await self._begin()
        await self._tidy(originals)
        if self._finding is None or self._finding.done():
            missing = [it for it in originals if not self._is_known(it)]
            if not missing:
                return
            self._finding = asyncio.create_task(self._find(missing))
        self._waiting += 1
        try:
            async with asyncio.timeout(wait_s):
                await asyncio.shield(self._finding)
        except TimeoutError:
            done, total = self.progress(originals)
            if done < total:
                raise TransformPending(done, total) from None
        finally:
            self._waiting -= 1

    def progress(self, originals: Sequence[Original]) -> tuple[int, int]:
        """Give how many messages' sizes are found, and how many messages there are."""
        return sum(map(self._is_known, originals)), len(originals)

    def octets(self, original: Original) -> int:
        """Give a message's octets as the session tells them; it was found."""
        if original.key in self._failed:
            return original.octets
        return self._octets[original.key]

    def failure(self, original: Original) -> str:
        """Say why a message failed; empty if it did not, as far as is known."""
        return self._failed.get(original.key, "")

    async def open(self, original: Original) -> Result | None:
        """Give a message's result, from the cache or by a run.

        None says that it failed, and that the stored message is to be sent then.

        Raises:
            TransformFailed: it failed, or gave another size than was told before.
            ServiceError: the message cannot be read.
        """
        await self._begin()
        self._waiting += 1
        try:
            return await self._result(original)
        except TransformFailed:
            # A message whose size was told is not replaced by another one.
            if self.transform.on_failure is OnFailure.ORIGINAL and original.key in self._failed:
                return None
            raise
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End what runs, and give the results back; to be called once, and nothing after it."""
        self._closed = True
        if self._finding is not None:
            self._finding.cancel()
        if self._folder is not None:
            folder, self._folder = self._folder, None
            folder.close()
            self._cache.in_background(self._cache.sweep_if_due)

    # --- within --------------------

    def _is_known(self, original: Original) -> bool:
        return original.key in self._octets or original.key in self._failed

    async def _begin(self) -> None:
        """Find the results that there are, once."""
        if self._closed:
            raise TransformFailed("the session has ended")
        if self._fingerprint:
            return
        async with self._beginning:
            if self._fingerprint:
                return
            ready = self._cache.in_thread(self._look)
            mark, folder, sizes = await obtain(ready, lambda it: _close(it[1]))
            if self._closed:
                _close(folder)
                raise TransformFailed("the session has ended")
            self._fingerprint, self._folder, self._octets = mark, folder, sizes

    def _look(self) -> tuple[str, Folder | None, dict[str, int]]:
        try:
            mark = fingerprint(self.transform.programs)
        except (TransformInvalid, OSError):  # each run will say so
            return "none", None, {}
        folder = self._cache.lease(self._account, mark)
        if folder is None:
            return mark, None, {}
        try:
            return mark, folder, folder.sizes()
        except OSError:
            folder.close()
            return mark, None, {}

    async def _tidy(self, originals: Sequence[Original]) -> None:
        """Let results go whose messages are gone, once; what runs ahead may not know all mail."""
        if self._tidied or self._background or self._folder is None:
            return
        self._tidied = True
        keys = {original.key for original in originals}
        if not self._octets.keys() <= keys:
            await self._cache.in_thread(partial(self._folder.keep_only, keys))

    async def _find(self, missing: Sequence[Original]) -> None:
        todo = iter(missing)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(missing), self._runner.at_a_time)):
                group.create_task(self._find_next(todo))

    async def _find_next(self, todo: Iterator[Original]) -> None:
        for original in todo:
            if self._is_known(original):
                continue
            try:
                result = await self._result(original)
                result.close()
            except TransformFailed:
                pass  # it is noted
            except ServiceError as error:  # the message is gone, or cannot be read
                self._fail(original, str(error))

    async def _result(self, original: Original) -> Result:
        if why := self._failed.get(original.key):
            raise TransformFailed(why)
        if original.key in self._octets and (result := await self._kept(original)):
            return result
        run = f"{self._account}/{self._fingerprint}/{original.key}"
        try:
            async with self._cache.once.alone(run):
                if why := self._cache.failures.find(run):
                    raise TransformFailed(why)
                return await self._kept(original) or await self._computed(original, run)
        except TransformFailed as error:
            if original.key not in self._octets:
                self._fail(original, str(error))
            raise

    def _fail(self, original: Original, why: str) -> None:
        self._failed[original.key] = why

    async def _kept(self, original: Original) -> Result | None:
        """Give a message's result if there is one."""
        if self._folder is None:
            return None
        opening = self._cache.in_thread(partial(_open, self._folder, original.key))
        result = await obtain(opening, _close)
        return None if result is None else self._checked(original, result)

    async def _computed(self, original: Original, run: str) -> Result:
        """Run the programs on a message, and keep what comes of it."""
        fd = await obtain(self._cache.in_thread(original.open), os.close)
        try:
            before = os.fstat(fd)
            with contextlib.closing(await self._run(original, fd, run)) as output:
                draft = await self._draft(output)
            with contextlib.closing(draft):
                after = os.fstat(fd)
                if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                    raise TransformFailed("the message was changed by another program")
                return await self._published(original, draft)
        except OSError as error:
            raise TransformFailed(f"no room for the transform: {error.strerror}") from error
        finally:
            os.close(fd)

    async def _draft(self, output: Output) -> Draft:
        """Write an output in CRLF form to a file that can become a result."""
        draft = await obtain(self._cache.in_thread(self._cache.open_draft), _close)
        try:
            steps = converted(output.file, draft.file)
            while await self._cache.in_thread(partial(_step, steps)):
                pass
        except BaseException:
            draft.close()
            raise
        return draft

    async def _run(self, original: Original, fd: int, run: str) -> Output:
        try:
            output = await self._runner.run(
                self.transform.programs,
                fd,
                original.size,
                self._settings(),
                account=self._account,
                background=self._background or not self._waiting,
            )
        except RunFailed as error:
            self._cache.failures.add(run, str(error))
            self._on_run(error.cost.seconds, _told(error))
            raise
        self._on_run(output.cost.seconds, "")
        return output

    async def _published(self, original: Original, draft: Draft) -> Result:
        """Keep a draft; give it, or the result of another process that was first."""
        result = _result_of(os.dup(draft.file.fileno()))
        try:
            self._compare(original, result)
            if self._folder is not None:
                publishing = partial(self._publish, self._folder, original.key, draft)
                if not await self._cache.in_thread(publishing):
                    kept = await self._kept(original)
                    if kept is not None:
                        result.close()
                        return kept
        except BaseException:
            result.close()
            raise
        return self._checked(original, result)

    def _publish(self, folder: Folder, key: str, draft: Draft) -> bool:
        try:
            same = fingerprint(self.transform.programs) == self._fingerprint
        except (TransformInvalid, OSError):
            same = False
        return folder.publish(key, draft) if same else True

    def _checked(self, original: Original, result: Result) -> Result:
        """Hold a result to the size that was told, or tell its size from now on."""
        try:
            self._compare(original, result)
        except TransformFailed:
            result.close()
            raise
        self._octets[original.key] = result.size
        return result

    def _compare(self, original: Original, result: Result) -> None:
        told = self._octets.get(original.key, result.size)
        if result.size != told:
            raise TransformFailed(f"{result.size} octets, where {told} were told before")


def _open(folder: Folder, key: str) -> Result | None:
    fd = folder.open(key)
    return None if fd is None else _result_of(fd)


def _result_of(fd: int) -> Result:
    """Take over an open file of a message in CRLF form."""
    try:
        return Result(fd, os.fstat(fd).st_size, form_of(os.pread(fd, HEAD, 0)))
    except BaseException:
        os.close(fd)
        raise


def _close(it: Result | Draft | Folder | None) -> None:
    if it is not None:
        it.close()


def _step(steps: Iterator[None]) -> bool:
    """Go a step; False at the end."""
    return next(steps, "end") is None


def _told(error: RunFailed) -> str:
    return f"{error}: {error.note}" if error.note else str(error)


def _ignore(seconds: float, failure: str) -> None:
    """Tell nobody."""

"""One session's mail through one version of a transform: sizes that hold, and results to send.

What was found out about a message, its size or that it failed, is so until the session ends. A
result is computed once, whoever asks for it, and another size than the one told is an error.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial

from lineproto.obtaining import obtain
from pop3_service.domain.errors import ServiceError, TransformFailed, TransformInvalid
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import OnFailure, Transform
from pop3_service.transform.cache import Cache
from pop3_service.transform.fingerprint import fingerprint
from pop3_service.transform.making import Maker, OnRun, Original, Result
from pop3_service.transform.results import Draft, Folder
from pop3_service.transform.runner import RunFailed, Runner

__all__ = ["OnRun", "Original", "Result", "SessionTransform", "TransformPending"]


class TransformPending(Exception):
    """Not all sizes are found yet: ``done`` of ``total`` are. The work goes on."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(f"{done} of {total} messages are transformed")
        self.done = done
        self.total = total


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
        self._maker = Maker(runner, cache, account, transform.programs, settings, on_run or _ignore)
        self._background = background
        self._waiting = 0
        self._closed = False
        self._listed = False
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
        await self._list(originals)
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
            ready = self._cache.in_thread(self._prepare)
            mark, folder = await obtain(ready, lambda it: _close(it[1]))
            if self._closed:
                _close(folder)
                raise TransformFailed("the session has ended")
            self._fingerprint, self._folder = mark, folder

    def _prepare(self) -> tuple[str, Folder | None]:
        try:
            mark = fingerprint(self.transform.programs)
        except (TransformInvalid, OSError):  # each run will say so
            return "none", None
        return mark, self._cache.lease(self._account, mark)

    async def _list(self, originals: Sequence[Original]) -> None:
        """Find the sizes that are there, once; let results go whose messages are gone.

        In the background not all mail may be known, and nothing is let go.
        """
        if self._listed or self._folder is None:
            return
        self._listed = True
        listing = partial(_sizes, self._folder, {original.key for original in originals})
        found, others = await self._cache.in_thread(listing)
        self._octets = found | self._octets
        if others and not self._background and self._folder is not None:
            keys = {original.key for original in originals}
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
            except ServiceError:
                # It is gone or cannot be read, which is no failure of the transform: nothing else
                # may be sent in its place, should it be read later.
                self._octets.setdefault(original.key, original.octets)

    async def _result(self, original: Original) -> Result:
        if why := self._failed.get(original.key):
            raise TransformFailed(why)
        if result := await self._kept(original):
            return result
        run = f"{self._account}/{self._fingerprint}/{original.key}"
        try:
            async with self._cache.once.alone(run):
                if why := self._cache.failures.find(run):
                    raise TransformFailed(why)
                return await self._kept(original) or await self._made(original, run)
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

    async def _made(self, original: Original, run: str) -> Result:
        """Run the programs on a message, and keep what comes of it."""
        background = self._background or not self._waiting
        try:
            draft = await self._maker.make(original, background=background)
        except RunFailed as error:
            self._cache.failures.add(run, str(error))
            raise
        with closing(draft):
            return await self._published(original, draft)

    async def _published(self, original: Original, draft: Draft) -> Result:
        """Keep a draft; give it, or the result of another process that was first."""
        try:
            result = Result.take(os.dup(draft.file.fileno()))
        except OSError as error:
            raise TransformFailed(f"no room for the transform: {error.strerror}") from error
        try:
            self._compare(original, result)
            if self._folder is not None:
                publishing = partial(
                    self._maker.publish, self._folder, self._fingerprint, original.key, draft
                )
                if not await self._cache.in_thread(publishing):
                    kept = await self._kept(original)
                    if kept is not None:
                        result.close()
                        return kept
        except BaseException:
            result.close()
            raise
        return self._checked(original, result)

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


def _sizes(folder: Folder, wanted: set[str]) -> tuple[dict[str, int], bool]:
    """Give the sizes there are of what is wanted, and whether there are others."""
    try:
        sizes = folder.sizes()
    except OSError:
        return {}, False
    return {key: size for key, size in sizes.items() if key in wanted}, not sizes.keys() <= wanted


def _open(folder: Folder, key: str) -> Result | None:
    fd = folder.open(key)
    try:
        return None if fd is None else Result.take(fd)
    except OSError:  # the disk does not give it any more
        return None


def _close(it: Result | Draft | Folder | None) -> None:
    if it is not None:
        it.close()


def _ignore(seconds: float, failure: str) -> None:
    """Tell nobody."""

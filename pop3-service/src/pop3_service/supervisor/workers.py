"""Worker processes kept alive: seen dead by the end of their channel, started again, replaced.

Each slot keeps its listening sockets and its counters over its workers' lives, so what waits in a
listening queue is served by the successor, and no count is lost.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from lineproto.clock import Clock
from pop3_service.control.counters import CounterBoard
from pop3_service.control.messages import WorkerConfig
from pop3_service.control.plane import CertificatePair, ControlPlane, Worker
from pop3_service.domain.address_rules import AccessTable
from pop3_service.domain.errors import InvalidArgument, ServiceUnavailable, WorkersBusy
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import NOTHING_ACTIVE, TransformTable
from pop3_service.supervisor.remote_worker import RemoteWorker, Slot

BACKOFF_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Wait before a restart, by the number of quick deaths in a row."""
QUICK_DEATH_S = 10.0
RETIRE_S = 900.0
"""How long a worker that was replaced may go on with the sessions it has."""
RETIRE_GRACE_S = 25.0
COUNTERS_A_SLOT = 2
"""A worker that was replaced counts on beside its successor."""

log = structlog.get_logger()


class WorkerPool:
    """All worker processes. ``make_config`` gives a worker's start-up values by slot and tag.

    The board has ``COUNTERS_A_SLOT`` slots for each of theirs.
    """

    def __init__(
        self,
        slots: list[Slot],
        board: CounterBoard,
        control: ControlPlane,
        make_config: Callable[[Slot, str], WorkerConfig],
        clock: Clock,
    ) -> None:
        self.restarts = 0
        self.watched = False
        self._slots = slots
        self._board = board
        self._control = control
        self._make_config = make_config
        self._clock = clock
        self._lives = [itertools.count(1) for _ in slots]
        self._live: dict[int, RemoteWorker] = {}
        self._retiring: dict[RemoteWorker, asyncio.Task[None] | None] = {}
        self._wanted: dict[int, asyncio.Future[None]] = {}
        self._asked = {slot.index: asyncio.Event() for slot in slots}
        self._keepers: list[asyncio.Task[None]] = []
        self._settings: Settings
        self._certificates: Sequence[CertificatePair] = ()
        self._least_retention_days = 0
        self._access = AccessTable()
        self._transforms = NOTHING_ACTIVE
        self._stopping = False

    def workers(self) -> list[Worker]:
        """The workers there are now, those that were replaced and still have sessions too."""
        return [*self._live.values(), *self._retiring]

    @property
    def draining(self) -> int:
        """How many workers were replaced and still have sessions."""
        return len(self._retiring)

    async def start(
        self,
        settings: Settings,
        certificates: Sequence[CertificatePair] = (),
        access: AccessTable | None = None,
        transforms: TransformTable = NOTHING_ACTIVE,
    ) -> None:
        """Start a worker in each slot and wait until all serve.

        Raises:
            ServiceUnavailable: one of them did not start.
        """
        self._settings = settings
        self._certificates = certificates
        self._access = access or AccessTable()
        self._transforms = transforms
        started = [asyncio.get_running_loop().create_future() for _ in self._slots]
        self._keepers = [
            asyncio.create_task(self._keep(slot, first))
            for slot, first in zip(self._slots, started, strict=True)
        ]
        await asyncio.gather(*started)

    async def apply(self, settings: Settings) -> None:
        """Put settings in force on every worker."""
        self._settings = settings
        await asyncio.gather(*(worker.configure(settings) for worker in self.workers()))

    async def set_certificates(self, pairs: Sequence[CertificatePair]) -> None:
        """Put certificates in force on every worker, and on those that start later."""
        self._certificates = pairs
        await asyncio.gather(*(it.set_certificates(list(pairs)) for it in self.workers()))

    async def set_least_retention(self, days: int) -> None:
        """Say what the shortest retention is, to every worker and to those that start later."""
        self._least_retention_days = days
        await asyncio.gather(*(it.set_least_retention(days) for it in self.workers()))

    async def set_access(self, table: AccessTable) -> int:
        """Put rules in force on every worker, and on those that start later."""
        self._access = table
        return sum(await asyncio.gather(*(it.set_access(table) for it in self.workers())))

    async def set_transforms(self, table: TransformTable) -> None:
        """Put what is active in force on every worker, and on those that start later."""
        self._transforms = table
        await asyncio.gather(*(it.set_transforms(table) for it in self.workers()))

    async def restart(self) -> int:
        """Replace every worker by a new one, slot by slot; give how many.

        A new worker serves before the old one stops accepting, and the old one ends with its last
        session: no connection is reset.

        Raises:
            WorkersBusy: workers are being replaced, or one replaced before still has sessions.
            ServiceUnavailable: a new one did not come up, and the old one serves on; or the service
                is stopping.
        """
        if self._wanted:
            raise WorkersBusy("workers are being replaced already")
        if self._retiring:
            raise WorkersBusy("workers that were replaced before still have sessions")
        for slot in self._slots:
            if self._stopping:
                raise ServiceUnavailable("the service is stopping")
            wanted = asyncio.get_running_loop().create_future()
            self._wanted[slot.index] = wanted
            self._asked[slot.index].set()
            try:
                await wanted
            finally:
                self._wanted.pop(slot.index, None)
        return len(self._slots)

    async def stop(self, grace_s: float) -> None:
        """Let all workers finish and end them."""
        self._stopping = True
        for wanted in self._wanted.values():
            if not wanted.done():
                wanted.set_exception(ServiceUnavailable("the service is stopping"))
        workers = {*self._live.values(), *self._retiring}
        await asyncio.gather(*(worker.stop(grace_s) for worker in workers))
        tasks = [*self._keepers, *(task for task in self._retiring.values() if task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A successor that came up meanwhile has none of the sessions that the grace was for.
        late = {*self._live.values(), *self._retiring} - workers
        await asyncio.gather(*(worker.stop(0.0) for worker in late))

    # --- a slot --------------------

    async def _keep(self, slot: Slot, first: asyncio.Future[None]) -> None:
        """Keep a worker in a slot, over and over; the first one must come up."""
        quick_deaths = 0
        while True:
            began_s = self._clock.monotonic()
            try:
                worker = await self._come_up(slot)
            except (ServiceUnavailable, OSError) as error:
                log.error("worker did not start", slot=slot.index, reason=str(error))
                if not first.done():
                    first.set_exception(ServiceUnavailable(str(error)))
                    return
            else:
                if not first.done():
                    first.set_result(None)
                await self._serve_out(slot, worker)
            if self._stopping:
                return
            self.restarts += 1
            quick = self._clock.monotonic() - began_s < QUICK_DEATH_S
            quick_deaths = quick_deaths + 1 if quick else 0
            await self._clock.sleep(BACKOFF_S[min(quick_deaths, len(BACKOFF_S) - 1)])

    async def _come_up(self, slot: Slot) -> RemoteWorker:
        """Make a worker and wait until it serves.

        Raises:
            OSError: it could not be made.
            ServiceUnavailable: it did not come up.
        """
        config = self._make_config(slot, f"{slot.index}.{next(self._lives[slot.index])}-")
        config = msgspec.structs.replace(config, slot=self._free_counters(slot))
        worker = await RemoteWorker.spawn(slot, self._control, config)
        # Among the live ones before it is told the settings of this moment: no change passes it by.
        self._live[slot.index] = worker
        try:
            await worker.set_up(
                config,
                self._settings,
                self.watched,
                self._certificates,
                self._least_retention_days,
                self._access,
                self._transforms,
            )
        except BaseException:
            worker.kill("did not start")
            await self._bury(worker)
            raise
        log.info("worker started", slot=slot.index, pid=worker.pid)
        return worker

    def _free_counters(self, slot: Slot) -> int:
        taken = {worker.counters for worker in self._retiring}
        own = range(slot.index * COUNTERS_A_SLOT, (slot.index + 1) * COUNTERS_A_SLOT)
        return next(index for index in own if index not in taken)

    async def _serve_out(self, slot: Slot, worker: RemoteWorker) -> None:
        """Come back when the slot's worker has died; replace it whenever that is asked for."""
        while await self._is_asked_for(slot, worker):
            self._retiring[worker] = None
            try:
                successor = await self._come_up(slot)
            except (ServiceUnavailable, OSError) as error:
                log.error("worker was not replaced", slot=slot.index, reason=str(error))
                del self._retiring[worker]
                self._live[slot.index] = worker
                self._replaced(slot, ServiceUnavailable(f"no new worker came up: {error}"))
                continue
            self._retiring[worker] = asyncio.create_task(self._retire(worker))
            worker = successor
            self._replaced(slot)
        # Whoever waits for another worker gets one as it is.
        self._asked[slot.index].clear()
        self._replaced(slot)
        status = await self._bury(worker)
        if not self._stopping:
            log.error("worker died", slot=slot.index, pid=worker.pid, status=status)

    def _replaced(self, slot: Slot, error: ServiceUnavailable | None = None) -> None:
        """Tell whoever asked for another worker; it may have given up meanwhile."""
        wanted = self._wanted.get(slot.index)
        if wanted is None or wanted.done():
            return
        if error is None:
            wanted.set_result(None)
        else:
            wanted.set_exception(error)

    async def _is_asked_for(self, slot: Slot, worker: RemoteWorker) -> bool:
        """Whether the slot is to have another worker; False once this one is dead."""
        asked = self._asked[slot.index]
        waits = [asyncio.create_task(it) for it in (asked.wait(), worker.channel.closed.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if worker.channel.closed.is_set():
            return False
        asked.clear()
        return True

    async def _retire(self, worker: RemoteWorker) -> None:
        """Let a worker that was replaced end with its sessions, or after a long time."""
        try:
            await worker.retire()
            async with asyncio.timeout(RETIRE_S):
                await worker.channel.closed.wait()
        except TimeoutError:
            await worker.stop(RETIRE_GRACE_S)
        finally:
            await self._bury(worker)
        log.info("worker retired", slot=worker.slot.index, pid=worker.pid)

    async def _bury(self, worker: RemoteWorker) -> int:
        """Wait for the end of a worker; what it had open counts as closed."""
        status = await worker.ended()
        if self._live.get(worker.slot.index) is worker:
            del self._live[worker.slot.index]
        self._retiring.pop(worker, None)
        self._board.slot(worker.counters)
        return status


class LocalPool:
    """``workers=0``: the one worker is in this process."""

    restarts = 0
    draining = 0

    def __init__(self, worker: Worker, stop: Callable[[float], Awaitable[object]]) -> None:
        self.watched = False
        self._worker = worker
        self._stop = stop

    def workers(self) -> list[Worker]:
        """The worker."""
        return [self._worker]

    async def apply(self, settings: Settings) -> None:
        """Put settings in force."""
        await self._worker.configure(settings)

    async def set_certificates(self, pairs: Sequence[CertificatePair]) -> None:
        """Put certificates in force."""
        await self._worker.set_certificates(list(pairs))

    async def set_least_retention(self, days: int) -> None:
        """Say what the shortest retention is."""
        await self._worker.set_least_retention(days)

    async def set_access(self, table: AccessTable) -> int:
        """Put rules in force."""
        return await self._worker.set_access(table)

    async def set_transforms(self, table: TransformTable) -> None:
        """Put what is active in force."""
        await self._worker.set_transforms(table)

    async def restart(self) -> int:
        """Refuse: there is nothing that could be replaced.

        Raises:
            InvalidArgument: always.
        """
        raise InvalidArgument("everything runs in one process; there are no workers to restart")

    async def stop(self, grace_s: float) -> None:
        """Let its sessions finish."""
        await self._stop(grace_s)

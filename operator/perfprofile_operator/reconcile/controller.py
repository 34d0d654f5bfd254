"""The workers: take keys from the queue, have the blocking work done in a few threads, and look again as it says."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from perfprofile_cluster.errors import ClusterError
from perfprofile_operator.errors import OperatorError
from perfprofile_operator.reconcile.queue import WorkQueue
from perfprofile_operator.reconcile.work import Key, Outcome, Work

log = logging.getLogger(__name__)

Reconcile = Callable[[Key], Outcome]


class Controller:
    """Runs the reconcilers. Everything but :meth:`wake` belongs to the event loop it is started in."""

    def __init__(self, reconcilers: Mapping[Work, Reconcile], *, workers: int) -> None:
        self._reconcilers = reconcilers
        self._count = workers
        self._queue: WorkQueue[Key] = WorkQueue()
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="reconcile")
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._succeeded = {work: asyncio.Event() for work in Work}
        self.last_progress = time.monotonic()

    def wake(self, key: Key) -> None:
        """Have ``key`` looked at soon. From any thread; a key that comes before the start or after the end is left to the resync."""
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._queue.add, key)
        except RuntimeError:  # the loop is closed
            log.debug("Not looking at %s any more", key)

    async def start(self) -> None:
        """Start working: certificates first, so that no agent starts without a CA to trust; then everything else."""
        self._loop = asyncio.get_running_loop()
        await self._work_on_next(Key(Work.CERTIFICATES))
        for work in (Work.RESYNC, Work.SWEEP):
            self._queue.add(Key(work))
        self._tasks = [asyncio.create_task(self._work(), name=f"worker {number}") for number in range(self._count)]

    async def stop(self) -> None:
        """Stop working. A call that is under way ends by its own timeout."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._queue.close()
        self._loop = None
        self._pool.shutdown(wait=False, cancel_futures=True)

    def has_done(self, work: Work) -> bool:
        """Whether this kind of work has succeeded at least once."""
        return self._succeeded[work].is_set()

    async def until_done(self, work: Work) -> None:
        """Wait until this kind of work has succeeded once."""
        await self._succeeded[work].wait()

    @property
    def failed(self) -> bool:
        """Whether a worker has ended, which none does."""
        return any(task.done() for task in self._tasks)

    async def _work(self) -> None:
        while True:
            await self._work_on(await self._queue.take())

    async def _work_on_next(self, key: Key) -> None:
        self._queue.add(key)
        await self._work_on(await self._queue.take())

    async def _work_on(self, key: Key) -> None:
        try:
            outcome = await asyncio.get_running_loop().run_in_executor(self._pool, self._reconcilers[key.work], key)
        except ClusterError as error:
            self._retry(key, error, at_least=error.retry_after or 0.0)
        except OperatorError as error:
            self._retry(key, error)
        except Exception:
            # A bug that shows with one object must not stop the work on all others.
            log.exception("Could not reconcile %s; trying again", key)
            self._queue.failed(key)
        else:
            self._succeeded[key.work].set()
            self._queue.done(key)
            self._follow(key, outcome)
        self.last_progress = time.monotonic()

    def _retry(self, key: Key, error: Exception, *, at_least: float = 0.0) -> None:
        delay = self._queue.failed(key, at_least=at_least)
        # Somebody else wrote in between, the gateway for example: that is how it is meant to be noticed.
        level = logging.DEBUG if isinstance(error, ClusterError) and error.conflict else logging.WARNING
        log.log(level, "Could not reconcile %s: %s; trying again in %.1f s", key, error, delay)

    def _follow(self, key: Key, outcome: Outcome) -> None:
        for other in outcome.wake:
            self._queue.add(other)
        if outcome.again is not None:
            self._queue.add_after(key, outcome.again.total_seconds())

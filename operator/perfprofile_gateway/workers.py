"""Processes that parse profiles: apart from the event loop for its latency, and from the gateway's memory for its safety.

What agents send was made from what containers hold. So it is parsed in processes that may use only so much memory; one that dies (out of
memory, a crash) costs the request that killed it, and is replaced.

The jobs are functions of this package and take paths and small values; profiles don't pass between processes.
"""

import asyncio
import logging
import multiprocessing
import resource
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from http import HTTPStatus
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from perfprofile_gateway.errors import Refusal

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

_LEAST_MEMORY: Final = 384 * 2**20
"""Bytes of address space that a worker gets at least: the interpreter takes a third of it, a profile of 100,000 stacks another."""
_MOST_MEMORY: Final = 1536 * 2**20
_PARENT_MEMORY: Final = 160 * 2**20
_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
JOB_SECONDS: Final = 120.0
_MAX_WAITING: Final = 256
"""Jobs that may wait: more would wait longer than the callers do."""


class Workers:
    """A few processes, started when first needed."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None
        self._waiting = 0

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job in a worker and give what it returns.

        Raises:
            Refusal: 429, too many jobs wait; 503, the worker died or took too long.
        """
        if self._waiting >= _MAX_WAITING:
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "The gateway has too much to do: wait and try again.", retry_after=3)
        self._waiting += 1
        try:
            pool = self._pool = self._pool or self._start()
            async with asyncio.timeout(JOB_SECONDS):
                return await asyncio.wrap_future(_submit(pool, job, *args, **kwargs))
        except BrokenProcessPool:
            self._drop(pool)
            log.exception("A worker died", extra={"job": job.__name__})
            message = "The gateway's worker died over this, perhaps for lack of memory: try a smaller profile, or give it more memory."
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, retry_after=5) from None
        except MemoryError:
            message = "This takes more memory than the gateway's workers may use: raise the memory limit of its pod."
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message) from None
        except TimeoutError:
            self._kill(pool)
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"This took more than {JOB_SECONDS:.0f} s: try a smaller profile.") from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Stop the workers."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        # spawn, not fork: a fork of a process with threads may inherit a lock that nobody will ever release.
        context = multiprocessing.get_context("spawn")
        memory = memory_for_worker(self._count, _container_limit())
        return ProcessPoolExecutor(self._count, mp_context=context, initializer=_confine, initargs=(memory,), max_tasks_per_child=2000)

    def _drop(self, pool: ProcessPoolExecutor) -> None:
        if self._pool is pool:
            self._pool = None
        pool.shutdown(wait=False, cancel_futures=True)

    def _kill(self, pool: ProcessPoolExecutor) -> None:
        for process in list(getattr(pool, "_processes", {}).values()):
            process.kill()  # a running job can't be cancelled otherwise; Python 3.14 has kill_workers() for it
        self._drop(pool)


def _submit(pool: ProcessPoolExecutor, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
    try:
        return pool.submit(job, *args, **kwargs)
    except RuntimeError as error:  # shut down meanwhile
        raise BrokenProcessPool from error


def memory_for_worker(count: int, container: int | None) -> int:
    """Share what the container may use among the workers, in bytes; ``container`` is None where nothing limits it."""
    if container is None:
        return _MOST_MEMORY
    return max(_LEAST_MEMORY, min(_MOST_MEMORY, (container - _PARENT_MEMORY) // count))


def _container_limit() -> int | None:
    try:
        text = _CGROUP_LIMIT.read_text().strip()
    except OSError:  # cgroup v1, or no cgroups at all
        return None
    return int(text) if text.isdecimal() else None


def _confine(memory: int) -> None:
    """Limit a worker; the parent decides when it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

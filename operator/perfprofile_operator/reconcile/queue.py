"""The work queue: which key is looked at when. Knows nothing of Kubernetes; lives in one event loop.

The rules are those of client-go's workqueue: a key that is added twice is handed out once; a key that is added while it is worked on is
handed out again afterwards, never to two workers at a time; failures of a key delay that key alone.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_BACKOFF: Final = 0.5
"""Seconds after the first failure of a key; doubles with each further one."""
LAST_BACKOFF: Final = 30.0
"""Seconds at most: half of the time in which everything should have converged after the last fault."""


class WorkQueue(Generic[K]):
    """Keys to be worked on. Not thread-safe: use it from its event loop (``call_soon_threadsafe`` from elsewhere)."""

    def __init__(self, *, jitter: Callable[[], float] = random.random) -> None:
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()  # in _ready, or to be put there when they are done
        self._working: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._something = asyncio.Event()
        self._jitter = jitter

    def add(self, key: K) -> None:
        """Have ``key`` worked on as soon as a worker is free."""
        self._cancel_timer(key)
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._ready.append(key)
            self._something.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Have ``key`` worked on after so many seconds; of several such wishes, the earliest counts."""
        if key in self._waiting:
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_later(seconds, self.add, key)

    async def take(self) -> K:
        """Give the next key; it must be given back with :meth:`done` or :meth:`failed`."""
        while not self._ready:
            self._something.clear()
            await self._something.wait()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """Say that ``key`` was worked on with success."""
        self._failures.pop(key, None)
        self._give_back(key)

    def failed(self, key: K, *, at_least: float = 0.0) -> float:
        """Say that it was not, and have it worked on again later; gives the seconds until then.

        The delay doubles with each failure and carries jitter (between half and all of it), so that many keys that fail for one
        reason don't come back together.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        longest = min(LAST_BACKOFF, FIRST_BACKOFF * float(1 << min(failures, 16)))
        delay = max(at_least, longest * (0.5 + self._jitter() / 2))
        self._give_back(key)
        self.add_after(key, delay)
        return delay

    def __len__(self) -> int:
        return len(self._ready)

    def close(self) -> None:
        """Forget all timers."""
        for key in list(self._timers):
            self._cancel_timer(key)

    def _give_back(self, key: K) -> None:
        self._working.discard(key)
        if key in self._waiting:
            self._ready.append(key)
            self._something.set()

    def _cancel_timer(self, key: K) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

"""Trying again: exponential backoff with full jitter, so that many agents never come back in step; Retry-After wins."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from perfprofile_agent.sinks.errors import SinkError

T = TypeVar("T")
_LONGEST_RETRY_AFTER: Final = 120.0
"""Seconds; a longer one is an error of the other side, or an attack."""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before attempt ``n + 1``."""

    first: float = 0.5
    """Seconds; the ceiling of the first wait, doubled each time."""
    longest: float = 20.0
    """Seconds; no wait is longer unless the other side asks for it."""
    random: Callable[[], float] = random.random
    """Uniform in [0, 1)."""

    def delay(self, failures: int, retry_after: float | None = None) -> float:
        """Give the seconds to wait after the ``failures``-th failure in a row (from 1)."""
        if retry_after is not None:
            return min(retry_after, _LONGEST_RETRY_AFTER) * (1 + 0.1 * self.random())
        ceiling = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return ceiling * self.random()


def keep_trying(
    operation: Callable[[], T],
    *,
    until: Callable[[], float],
    backoff: Backoff,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    on_failure: Callable[[SinkError, float], None] = lambda _error, _delay: None,
) -> T:
    """Call ``operation`` until it succeeds, and give its result.

    Args:
        operation: what may raise SinkError.
        until: reading of ``clock`` at which to give up; asked each time, since a signal may bring it forward.
        backoff: how long to wait.
        clock: seconds, monotonic.
        sleep: waits so many seconds, or less if it is interrupted.
        on_failure: told of each failure that will be retried, and of the wait before.

    Raises:
        SinkError: the last one, when it isn't retryable or the time is over.
    """
    failures = 0
    while True:
        try:
            return operation()
        except SinkError as error:
            failures += 1
            delay = backoff.delay(failures, error.retry_after)
            if not error.retryable or clock() + delay > until():
                raise
            on_failure(error, delay)
            sleep(delay)

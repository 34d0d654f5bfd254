"""Tell what is being done, how long it may take and how long it took; do independent things side by side."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager

_one_at_a_time = threading.Lock()
_began = time.monotonic()


def say(text: str) -> None:
    """Print a line, whole even when several threads speak."""
    with _one_at_a_time:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


@contextmanager
def step(what: str, about: str) -> Iterator[None]:
    """Announce a step with the time it may take, and say when it is done."""
    say(f"[{time.monotonic() - _began:5.1f} s] {what} (about {about}) …")
    start = time.monotonic()
    yield
    say(f"[{time.monotonic() - _began:5.1f} s] done: {what}, {time.monotonic() - start:.1f} s")


def side_by_side(*jobs: Callable[[], object]) -> list[object]:
    """Run all jobs at the same time and give their results; the first failure is raised once all running ones have ended."""
    with ThreadPoolExecutor(max_workers=max(1, len(jobs))) as pool:
        futures = [pool.submit(job) for job in jobs]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            if future.done():
                future.result()
    return [future.result() for future in futures]


class NotReadyError(TimeoutError):
    """Something didn't become ready in time."""


def until(ready: Callable[[], bool], *, what: str, within: float, every: float = 0.1) -> None:
    """Wait until ``ready()`` is true.

    Raises:
        NotReadyError: it wasn't within that many seconds; ``what`` says what was awaited and where to look.
    """
    deadline = time.monotonic() + within
    while not ready():
        if time.monotonic() > deadline:
            raise NotReadyError(f"not within {within:.0f} s: {what}")
        time.sleep(every)

"""One command at a time: two that change the cluster together would undo each other."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.layout import CACHE
from cluster.steps import say

LOCK = CACHE / "lock"


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other command changes the cluster or the cache, and keep others waiting meanwhile."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for another `python3 -m cluster` to end (it holds {LOCK}) …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield

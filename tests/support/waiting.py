"""Waiting for what comes by and by: the one loop behind every ``eventually`` of the tests, which differ in patience only."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    observe: Callable[[], T],
    *,
    within: float,
    every: float,
    tolerating: tuple[type[Exception], ...] = (),
    describe: Callable[[], str] = lambda: "",
) -> T:
    """Call ``observe`` every so many seconds until it gives something true; give that.

    ``tolerating`` are errors that count as not yet. After ``within`` seconds it fails with what was seen last and what ``describe`` tells.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            seen = observe()
        except tolerating as error:
            trouble = str(error)
        else:
            if seen:
                return seen
            trouble = f"{observe} gave {seen!r}"
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:.0f} s: {describe() or trouble}")
        time.sleep(every)

"""SIGTERM and SIGINT: noted when they come, and waking whoever sleeps. One instance per program, made on the main thread."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Self

_ALL = 4096


class StopSignal:
    """Notes the first request to stop. A pipe wakes sleepers; locks are no option, since a handler may interrupt their owner."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self.at: float | None = None
        """Reading of the clock when the first request came; None until then."""

    @classmethod
    def install(cls) -> Self:
        """Make one that SIGTERM and SIGINT are told to; a second SIGINT ends the program at once, for who can't wait."""
        stop = cls()

        def handle(number: int, _frame: FrameType | None) -> None:
            stop.request()
            if number == signal.SIGINT:
                signal.signal(number, signal.SIG_DFL)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handle)
        return stop

    @property
    def requested(self) -> bool:
        """Whether a request came."""
        return self.at is not None

    def request(self) -> None:
        """Ask the program to stop; safe in a signal handler."""
        if self.at is None:
            self.at = self._clock()
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b".")

    def sleep(self, seconds: float) -> None:
        """Sleep ``seconds``, less if a request comes, or has come since the last sleep: each request ends one sleep."""
        if select.select([self._wake], [], [], seconds)[0]:
            os.read(self._wake, _ALL)

    def sleep_until_requested(self) -> None:
        """Sleep until a request comes."""
        while not self.requested:
            self.sleep(3600)

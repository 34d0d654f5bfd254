"""Reports while perf records, on a thread of their own, so that a slow gateway never holds up the reading of perf's output.

Each report renews the node's recording slot at the gateway. The answer tells whether the run is still wanted; no answer for
long is taken as a no (dead-man's switch).
"""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from perfprofile_agent.sinks.errors import RunOver, SinkError

_LOG = logging.getLogger(__name__)
_END_SECONDS = 1.0
"""How long the end of the recording waits for a report that is under way."""


class Heartbeat:
    """Sends a report again and again from :meth:`start` to the end of its ``with`` block.

    perf must have been started before: forking a process with several threads is asking for trouble.
    """

    def __init__(
        self, send: Callable[[], None], *, interval: float, unreachable_limit: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._interval = interval
        self._unreachable_limit = unreachable_limit
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._answered_at = clock()
        self.over = False
        """The gateway said that the run is over or gone."""

    def __enter__(self) -> Self:
        """Nothing is sent before :meth:`start`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the thread; a report that hangs in the network is left to end by itself."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS)

    def start(self) -> None:
        """Begin, with a first report at once."""
        self._answered_at = self._clock()
        self._thread.start()

    @property
    def unreachable(self) -> bool:
        """Whether the gateway has been silent for longer than the limit."""
        return self._thread.is_alive() and self._clock() - self._answered_at > self._unreachable_limit

    def _beat(self) -> None:
        while not self._ended.is_set() and not self.over:
            try:
                self._send()
                self._answered_at = self._clock()
            except RunOver:
                self.over = True
            except SinkError as error:
                if not error.unreachable:
                    self._answered_at = self._clock()
                _LOG.warning("report not taken", extra={"error": str(error)})
            self._ended.wait(self._interval)

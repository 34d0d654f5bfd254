"""Ordering: records of several CPUs' buffers, made one stream in order of time, with bounded memory.

perf empties the buffers of all CPUs in turn and writes FINISHED_ROUND after each turn. Within a buffer times ascend; between buffers
of one round they don't. What round N + 1 delivers may be older than the newest of round N (that CPU's buffer was read first), but
not older than the newest of round N - 1, because every buffer was read once in between::

    round     1          2            3
    CPU 0   10 20      40 50       70 80
    CPU 1   15 25      35 55       60 90
                ^ after round 2, everything up to 25 (the newest of round 1) is final

So with the end of each round all records up to the newest of the round before go out, sorted. (perf does the same in
tools/perf/util/ordered-events.c.) A recording without rounds is bounded by force: past ``limit`` records the older half goes out.
"""

from bisect import bisect_right
from operator import itemgetter
from typing import Final

from perfprofile_agent.perfdata.records import Record

_time = itemgetter(0)

DEFAULT_LIMIT: Final = 200_000
"""Records held at most: some 80 MiB of samples with usual stacks."""


class Rounds:
    """Holds the records of two rounds at most."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.pending: list[Record] = []
        """Records that came and can't go out yet, in order of arrival since the last round; append to it."""
        self.forced = 0
        """How often records had to go out before their round was over: their order may be wrong."""
        self._limit = limit
        self._final = 0
        """Time up to which the next end of a round makes everything final."""

    def finished_round(self) -> list[Record]:
        """A round is over: the records that are final now, in order."""
        pending = self.pending
        pending.sort(key=_time)
        out = self._split(bisect_right(pending, self._final, key=_time))
        if self.pending:
            self._final = max(self._final, self.pending[-1][0])
        return out

    def relieve(self) -> list[Record]:
        """If more records are held than allowed, the older half of them, in order."""
        if len(self.pending) <= self._limit:
            return []
        self.forced += 1
        self.pending.sort(key=_time)
        return self._split(len(self.pending) // 2)

    def flush(self) -> list[Record]:
        """The stream is over: everything that is held, in order."""
        self.pending.sort(key=_time)
        return self._split(len(self.pending))

    def _split(self, count: int) -> list[Record]:
        # The list itself must stay the same object: the reader appends to it in its innermost loop.
        out = self.pending[:count]
        del self.pending[:count]
        return out

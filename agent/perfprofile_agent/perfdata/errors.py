"""What can be wrong with a recording.

::

    PerfProfileError
    └── PerfDataError   bytes that are no perf.data, or contradict themselves
"""

from perfprofile_agent.errors import PerfProfileError


class PerfDataError(PerfProfileError):
    """The bytes at ``offset`` are not what the format says: ``record`` is the part that was being read, ``problem`` what is wrong with it."""

    def __init__(self, offset: int, record: str, problem: str) -> None:
        super().__init__(f"{record} at byte {offset}: {problem}; make a new recording, and compare it with `perf script -D`")
        self.offset = offset
        self.record = record
        self.problem = problem

    def moved(self, base: int) -> "PerfDataError":
        """The same error told from the start of the stream, where the buffer it was found in begins at byte ``base``."""
        return PerfDataError(self.offset + base, self.record, self.problem)

"""What can be wrong with a profile.

::

    PerfProfileError
    └── ProfileError   bytes that are no pprof profile, or a profile that contradicts itself
"""

from perfprofile_agent.errors import PerfProfileError


class ProfileError(PerfProfileError):
    """``problem`` is what is wrong; ``offset`` the byte of the unzipped message, or -1 where the problem isn't at one place."""

    def __init__(self, problem: str, offset: int = -1) -> None:
        place = f" at byte {offset}" if offset >= 0 else ""
        super().__init__(f"not a valid pprof profile{place}: {problem}; `go tool pprof -raw` shows what is in it")
        self.problem = problem
        self.offset = offset

"""What can be wrong with bytes that should tell names.

PerfProfileError
└── SymbolError     a malformed, oversized or unsupported file, with the place where it went wrong
"""

from perfprofile_agent.errors import PerfProfileError


class SymbolError(PerfProfileError):
    """Bytes of a file that names are read from are not what their format says, or more than we are willing to read.

    Attributes:
        place: The part of the file, in the format's own words, for example ``section header 3``.
        problem: What is wrong with it, with the numbers that disagree.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem

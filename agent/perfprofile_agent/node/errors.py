"""What can go wrong on this machine; the reason and message go into node reports as they are."""

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.errors import PerfProfileError


class NodeError(PerfProfileError):
    """This machine could not do what was asked.

    Attributes:
        reason: the word for it out of the closed list.
        message: cause and next step, for people.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

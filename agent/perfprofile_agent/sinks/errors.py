"""What can go wrong with a delivery.

``SinkError``            ← ``PerfProfileError``
``├── RunOver``          the run is over or gone: nothing more is wanted
``├── ProfileNotHeld``   a report speaks of a profile that the gateway doesn't hold
``└── SpoolError``       the local disk
"""

from perfprofile_agent.errors import PerfProfileError


class SinkError(PerfProfileError):
    """A delivery failed.

    Attributes:
        retryable: the same may succeed later.
        retry_after: seconds that the other side asked to wait; None if it said nothing.
        unreachable: no answer came at all.
    """

    def __init__(self, message: str, *, retryable: bool, retry_after: float | None = None, unreachable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after
        self.unreachable = unreachable


class RunOver(SinkError):  # noqa: N818 - it is how a run ends, told apart from failures
    """The gateway said that the run is over or gone (HTTP 410)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class ProfileNotHeld(SinkError):  # noqa: N818 - the way back to delivering, not the end
    """The gateway doesn't hold the profile that a report speaks of (HTTP 409)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class SpoolError(SinkError):
    """The spool could not be written."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)

"""What the gateway raises on purpose.

::

    GatewayError
    ├── ConfigurationError   a setting is wrong; the gateway doesn't start
    ├── StoreError           the data directory can't be used
    └── Refusal              a request is answered with an HTTP error; translated at the rim, in one place per port
"""

from perfprofile_agent.errors import PerfProfileError


class GatewayError(PerfProfileError):
    """Root of the gateway's errors."""


class ConfigurationError(GatewayError):
    """A setting can't be used; the message names the variable and what it may be."""


class StoreError(GatewayError):
    """The data directory can't be used; the message says what to look at."""


class Refusal(GatewayError):  # noqa: N818 - it is an answer to somebody, not a fault of ours
    """A request is refused.

    Attributes:
        status: HTTP status.
        message: a sentence with the cause and the next step; shown to the caller, so it holds no secret.
        retry_after: seconds after which the caller may try again, or None where trying again is no use.
    """

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after

"""What can go wrong in the operator, besides the Kubernetes API (:class:`perfprofile_cluster.errors.ClusterError`).

::

    PerfProfileError
    └── OperatorError
        ├── SettingsError   the environment says something that can't be used
        └── GatewayError    the gateway could not be reached, or refused
"""

from perfprofile_agent.errors import PerfProfileError


class OperatorError(PerfProfileError):
    """Root of the operator's own errors."""


class SettingsError(OperatorError):
    """A setting can't be used; ``name`` is the environment variable."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}. Correct it in the Deployment perfprofile-operator (chart value or manifest)")
        self.name = name


class GatewayError(OperatorError):
    """The gateway did not take what we sent; ``status`` is its HTTP status, or 0 if it gave no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"Gateway answered {status}: {message}" if status else f"Could not reach the gateway: {message}")
        self.status = status

"""What can go wrong between us and the Kubernetes API: one error type, carrying what the API server said."""

from http import HTTPStatus
from typing import Final

from perfprofile_agent.errors import PerfProfileError

UNREACHABLE: Final = 0
"""``status`` of a call that got no answer at all."""

_REFUSALS: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)


class ClusterError(PerfProfileError):
    """The API server refused a call, or could not be reached.

    Attributes:
        status: HTTP status code, or :data:`UNREACHABLE`.
        reason: ``reason`` of the meta/v1 Status in the answer (``Conflict``, ``AlreadyExists``, ``Forbidden``, …); ours are
            ``Unreachable`` and ``Undecodable``.
        message: The API server's own sentence.
        retry_after: Seconds that the API server asks to wait, or None.
        terminating: Whether it was refused because the namespace is being deleted.
    """

    def __init__(self, status: int, reason: str, message: str, *, retry_after: float | None = None, terminating: bool = False) -> None:
        super().__init__(
            f"Kubernetes API answered {status} {reason}: {message}" if status else f"Could not reach the Kubernetes API: {message}"
        )
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.terminating = terminating

    @property
    def already_exists(self) -> bool:
        """Whether an object of this name is there already."""
        return self.reason == "AlreadyExists"

    @property
    def conflict(self) -> bool:
        """Whether the object has changed since it was read (or is another one by now): read it again."""
        return self.status == HTTPStatus.CONFLICT and not self.already_exists

    @property
    def not_found(self) -> bool:
        """Whether the object, its kind or its namespace is not there."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def refused(self) -> bool:
        """Whether asking again the same way can't help: RBAC, Pod Security, a quota, an admission policy, an invalid object."""
        return self.status in _REFUSALS

    @property
    def transient(self) -> bool:
        """Whether the same call may well work later: no answer, too many requests, trouble of the server itself."""
        return self.status in {UNREACHABLE, HTTPStatus.TOO_MANY_REQUESTS} or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

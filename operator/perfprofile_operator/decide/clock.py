"""Times as Kubernetes writes them (RFC 3339, whole seconds, UTC)."""

from datetime import UTC, datetime


def text_of(moment: datetime) -> str:
    """Give ``2026-11-23T11:00:00Z``."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def moment_of(text: str) -> datetime:
    """Read what :func:`text_of` and the API server write.

    Raises:
        ValueError: It is not a time.
    """
    return datetime.fromisoformat(text)

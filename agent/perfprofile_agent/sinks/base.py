"""What every sink is: something that takes a finished profile and gives a receipt."""

import hashlib
from typing import NamedTuple, Protocol


class ProfileMeta(NamedTuple):
    """What a sink may want to know of a profile besides its bytes."""

    window: int = 0
    """Number of the window within its run."""
    node: str = ""


class Receipt(NamedTuple):
    """Proof of a delivery."""

    where: str
    """For people: a path or an address without credentials."""
    size: int
    """Bytes."""
    sha256: str
    """Hex digest of the bytes."""
    known: bool = False
    """The sink had the same bytes already."""


class Sink(Protocol):
    """A place where profiles are delivered. Delivering the same profile twice is the same as once."""

    def deliver(self, profile: bytes, meta: ProfileMeta) -> Receipt:
        """Deliver ``profile``, a gzipped pprof.

        Raises:
            SinkError: it wasn't delivered; ``retryable`` says whether trying again may help.
        """


def digest(profile: bytes) -> str:
    """Give the hex SHA-256 of ``profile``, by which gateway and agent know it."""
    return hashlib.sha256(profile).hexdigest()

"""What there is to reconcile, and what a reconcile says at its end."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Work(StrEnum):
    """Kinds of work; one reconciler each."""

    PROFILE = "profile"
    RUN = "run"
    RESYNC = "resync"
    SWEEP = "sweep"
    CERTIFICATES = "certificates"


@dataclass(frozen=True)
class Key:
    """One thing to look at: an object by its name, or one of the chores."""

    work: Work
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:  # type: ignore[explicit-override]  # typing.override comes with Python 3.12
        return f"{self.work} {self.namespace}/{self.name}" if self.name else str(self.work)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is to be looked at afterwards."""

    again: timedelta | None = None
    """This one again after so long; None: not until somebody says so."""
    wake: tuple[Key, ...] = ()
    """Others, at once."""


DONE = Outcome()

"""What a window came to, and the node reports made of it. Pure."""

from dataclasses import dataclass
from typing import Final

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.api.report import NodeReport, NodeState
from perfprofile_agent.sinks.base import Receipt

MAX_MESSAGE: Final = 1024
_MAX_NOTICES = 16


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of a window's samples, and how they were taken."""

    recorded: int = 0
    shown: int = 0
    lost: int = 0
    event: str = ""
    """Really used, comma separated if several."""
    perf_version: str = ""
    kernel: str = ""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A recorded and converted window."""

    profile: bytes
    """Gzipped pprof; empty if nothing may be shown."""
    counts: Counts


@dataclass(frozen=True)
class Failure:
    """Why a window came to nothing."""

    reason: Reason
    message: str


def recording(window: int, counts: Counts) -> NodeReport:
    """Give the report of an agent whose perf is recording."""
    return _report(window, NodeState.RECORDING, counts)


def succeeded(window: int, counts: Counts, receipt: Receipt) -> NodeReport:
    """Give the report of a window whose profile was delivered as ``receipt`` says."""
    return _report(window, NodeState.SUCCEEDED, counts, receipt=receipt)


def failed(window: int, counts: Counts, failure: Failure) -> NodeReport:
    """Give the report of a window without a profile."""
    return _report(window, NodeState.FAILED, counts, failure=failure)


def without_samples(counts: Counts, seconds: float) -> Failure | None:
    """Give the failure of a window in which nothing may be shown; None if there is something."""
    if counts.shown:
        return None
    event = counts.event or "the event"
    seen = (
        f"recorded {counts.recorded} samples of {event}, all of them outside the target's containers"
        if counts.recorded
        else f"recorded no sample of {event}"
    )
    return Failure(
        Reason.NO_SAMPLES,
        f"perf ran {seconds:.0f} s and {seen}. Record while the workload is busy, record longer, or use another event.",
    )


def _report(window: int, state: NodeState, counts: Counts, *, receipt: Receipt | None = None, failure: Failure | None = None) -> NodeReport:
    return NodeReport(
        window=window,
        state=state,
        reason=failure.reason if failure else "",
        message=failure.message[:MAX_MESSAGE] if failure else "",
        samples_recorded=counts.recorded,
        samples_shown=counts.shown,
        samples_out_of_scope=counts.recorded - counts.shown,
        samples_lost=counts.lost,
        profile_bytes=receipt.size if receipt else 0,
        profile_sha256=receipt.sha256 if receipt else "",
        event=counts.event,
        perf_version=counts.perf_version,
        kernel=counts.kernel,
        notices=counts.notices[:_MAX_NOTICES],
    )

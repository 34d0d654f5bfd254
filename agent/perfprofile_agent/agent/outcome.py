"""What a window came to, and the node reports made of it. Pure."""

from dataclasses import dataclass
from typing import Final

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.api.report import NodeReport, NodeState
from perfprofile_agent.sinks.base import Receipt

MAX_MESSAGE: Final = 1024
LOST_WORTH_TELLING: Final = 0.05
"""Share of lost samples above which the profile may mislead."""
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


def lost_notice(counts: Counts) -> str:
    """Give the sentence on lost samples that belongs to ``counts``; empty if the share is small."""
    total = counts.recorded + counts.lost
    if not counts.lost or counts.lost / total <= LOST_WORTH_TELLING:
        return ""
    return f"{counts.lost} of {total} samples ({counts.lost / total:.0%}) were lost because perf could not keep up; record at a lower frequency."


def _report(window: int, state: NodeState, counts: Counts, *, receipt: Receipt | None = None, failure: Failure | None = None) -> NodeReport:
    notices = tuple(notice for notice in (lost_notice(counts), *counts.notices) if notice)
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
        notices=notices[:_MAX_NOTICES],
    )

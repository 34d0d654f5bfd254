"""Where a run is and what is to be done next, from its status, its DaemonSet and the time.

::

    (new) ──place──▶ Pending ──▶ Recording ──▶ Collecting ──▶ Succeeded | PartiallySucceeded | Failed
      │                 │            │             │
      └─ nowhere, ──────┴────────────┴─────────────┴── PerfProfile deleted or changed ──▶ Cancelled
         refused ──▶ Failed

The gateway counts the nodes' reports into the status; what follows from the counts is decided here. A run is over when every chosen node
has a terminal record. Nodes that stay silent get theirs from the operator at the deadline (``failures`` of the plan), by way of the
gateway, so that one place alone says what happened on a node.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from msgspec.structs import replace

from perfprofile_agent.api.conditions import EXPLANATIONS, ConditionType, Phase, Reason, Status
from perfprofile_agent.api.durations import parse_duration
from perfprofile_agent.api.run import NodeFailure, PerfProfileRunStatus
from perfprofile_cluster.objects import DaemonSet, RunObject
from perfprofile_operator.decide.clock import moment_of, text_of
from perfprofile_operator.decide.conditions import with_condition

START_ALLOWANCE: Final = timedelta(seconds=180)
"""Added to the duration: image pulls, a busy kubelet, conversion and upload. Nodes that are silent after that are given up."""
GATEWAY_ALLOWANCE: Final = timedelta(seconds=120)
"""After the deadline: how long a gateway that is away is waited for before the run ends without it."""
POLL: Final = timedelta(seconds=10)
"""How often an unfinished run is looked at without being told."""
INSPECTIONS: Final = timedelta(seconds=10)
"""Least time between two looks at the agents' pods."""
NODES_A_SECOND: Final = 100
"""The more nodes, the rarer the looks: on average no more pods than this are listed a second."""
NAMED_FAILURES: Final = 3
"""Failed nodes that the message of the condition names; the status names more."""


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """An Event to be told about the run and its PerfProfile."""

    type: str
    reason: Reason
    note: str
    action: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done for a run, in this order: announce, write the status, remove the agents, look again."""

    status: PerfProfileRunStatus
    announcement: Announcement | None = None
    remove_agents: bool = False
    look_again: timedelta | None = None


class Inspection(Enum):
    """Whether somebody has to look at the agents' pods now."""

    NOT_NEEDED = auto()
    FOR_THE_HOPELESS = auto()
    FOR_ALL_SILENT = auto()


def phase_of(run: RunObject) -> Phase:
    """Give the phase; a run without one is Pending."""
    return Phase(run.status.phase) if run.status.phase else Phase.PENDING


def with_agents(run: RunObject, daemonset: DaemonSet, now: datetime) -> PerfProfileRunStatus:
    """Give the status of a run whose DaemonSet is there. Times come from the DaemonSet, so that a restart in between changes none."""
    status = run.status
    started = moment_of(status.start_time) if status.start_time else daemonset.metadata.creation_timestamp or now
    nodes = len(daemonset.hostnames)
    placed = with_condition(
        status.conditions, ConditionType.PLACED, Status.TRUE, Reason.PLACED, f"Agents were asked for on {_nodes(nodes)}.", now=now
    )
    return replace(
        status,
        phase=status.phase or str(Phase.PENDING),
        start_time=text_of(started),
        deadline=status.deadline or text_of(started + _duration(run) + START_ALLOWANCE),
        nodes=replace(status.nodes, desired=nodes),
        conditions=placed,
    )


def wants_agents(run: RunObject, now: datetime) -> bool:
    """Whether the run needs a DaemonSet: it was not placed yet, or somebody deleted the one it had while nodes were still to report."""
    status = run.status
    return not status.deadline or (now < moment_of(status.deadline) and _ended(status) < status.nodes.desired)


def inspection(run: RunObject, last: datetime | None, now: datetime) -> Inspection:
    """Say whether the agents' pods have to be looked at; ``last`` is when that was done last."""
    status = run.status
    if not status.deadline or _ended(status) >= status.nodes.desired:
        return Inspection.NOT_NEEDED
    if now >= moment_of(status.deadline):
        return Inspection.FOR_ALL_SILENT
    if _ended(status) + status.nodes.recording >= status.nodes.desired:
        return Inspection.NOT_NEEDED
    pause = max(INSPECTIONS, timedelta(seconds=status.nodes.desired / NODES_A_SECOND))
    return Inspection.FOR_THE_HOPELESS if last is None or now - last >= pause else Inspection.NOT_NEEDED


def progress(run: RunObject, *, agents_present: bool, now: datetime) -> Plan:
    """Say how a placed run goes on (its status is that of :func:`with_agents`)."""
    status = run.status
    if _ended(status) >= status.nodes.desired:
        return _finished(run, now)
    deadline = moment_of(status.deadline) if status.deadline else now
    if now >= deadline and not agents_present:
        return _ended_early(run, Reason.INTERRUPTED, "The run's DaemonSet was deleted by somebody before all nodes had reported", now)
    if now >= deadline + GATEWAY_ALLOWANCE:
        return _ended_early(run, Reason.GATEWAY_UNAVAILABLE, "The gateway did not count all nodes within 2 minutes of the deadline", now)
    return _going_on(run, deadline, now)


def cancelled(run: RunObject, reason: Reason, now: datetime) -> Plan:
    """End a run that nobody asks for any more: ProfileDeleted, Superseded or RunDeleted."""
    return _over(run, Phase.CANCELLED, reason, _sentence(reason), now, warning=False)


def unplaceable(run: RunObject, why: str, now: datetime) -> Plan:
    """End a run that has no node to record on."""
    message = f"{why} {EXPLANATIONS[Reason.NO_MATCHING_PODS].next_step}"
    return _over(run, Phase.FAILED, Reason.NO_MATCHING_PODS, message, now)


def rejected(run: RunObject, reason: Reason, why: str, now: datetime) -> Plan:
    """End a run whose selector or DaemonSet the API server refused."""
    return _over(run, Phase.FAILED, reason, f"{why} {EXPLANATIONS[reason].next_step}", now)


def expires(run: RunObject) -> datetime | None:
    """Give when a finished run is to be deleted; None for one that goes on."""
    if not run.status.completion_time:
        return None
    return moment_of(run.status.completion_time) + timedelta(seconds=parse_duration(run.spec.ttl_after_finished))


def _going_on(run: RunObject, deadline: datetime, now: datetime) -> Plan:
    status = run.status
    seen_recording = status.nodes.recording + status.nodes.succeeded > 0
    began = moment_of(status.recording_time) if status.recording_time else now if seen_recording else None
    # At the deadline nobody records any more, even if the operator was away and sees the first report only then.
    over = min(began + _duration(run), deadline) if began is not None else deadline
    if now >= over:
        phase, reason, said = Phase.COLLECTING, Reason.COLLECTING, "The window is over; some nodes have not reported yet."
    elif began is not None:
        phase, reason, said = Phase.RECORDING, Reason.RECORDING, f"perf records, on the first nodes until {text_of(over)}."
    else:
        phase, reason, said = Phase.PENDING, Reason.WAITING_FOR_AGENTS, f"Waiting for agents on {_nodes(status.nodes.desired)}."
    conditions = with_condition(status.conditions, ConditionType.COMPLETE, Status.FALSE, reason, said, now=now)
    recording_time = text_of(began) if began is not None else None
    following = [moment - now for moment in (over, deadline) if moment > now]
    return Plan(
        status=replace(status, phase=str(phase), recording_time=recording_time, conditions=conditions),
        look_again=min([POLL, *following]),
    )


def _finished(run: RunObject, now: datetime) -> Plan:
    counts = run.status.nodes
    if counts.failed == 0:
        said = f"All {_nodes(counts.desired)} delivered their profile. {_where(run)}"
        return _over(run, Phase.SUCCEEDED, Reason.SUCCEEDED, said, now, warning=False)
    if counts.succeeded:
        said = f"{counts.succeeded} of {_nodes(counts.desired)} delivered their profile. {_where(run)} {_failures(run.status.failures)}"
        return _over(run, Phase.PARTIALLY_SUCCEEDED, Reason.SOME_NODES_FAILED, said, now)
    return _over(run, Phase.FAILED, Reason.ALL_NODES_FAILED, f"No node delivered a profile. {_failures(run.status.failures)}", now)


def _ended_early(run: RunObject, reason: Reason, why: str, now: datetime) -> Plan:
    counts = run.status.nodes
    phase = Phase.PARTIALLY_SUCCEEDED if counts.succeeded else Phase.FAILED
    seen = f"{counts.succeeded} of {_nodes(counts.desired)} are known to have delivered their profile."
    return _over(run, phase, reason, f"{why}; {seen} {EXPLANATIONS[reason].next_step}", now)


def _over(run: RunObject, phase: Phase, reason: Reason, message: str, now: datetime, *, warning: bool = True) -> Plan:
    conditions = with_condition(run.status.conditions, ConditionType.COMPLETE, Status.TRUE, reason, message, now=now)
    note = f"Run {run.metadata.name} ended {phase}: {message}"
    return Plan(
        status=replace(run.status, phase=str(phase), completion_time=text_of(now), conditions=conditions),
        announcement=Announcement(type="Warning" if warning else "Normal", reason=reason, note=note, action="Finish"),
        remove_agents=True,
    )


def _where(run: RunObject) -> str:
    status = run.status
    read = f" Read them: kubectl get --raw {status.profile_path}" if status.profile_path else ""
    return f"{status.samples.shown} samples are shown.{read}"


def _failures(failures: tuple[NodeFailure, ...]) -> str:
    if not failures:
        return "The gateway names no reason; look at its log."
    named = [f"{failure.node}: {failure.reason}: {failure.message}" for failure in failures[:NAMED_FAILURES]]
    more = f" (and {len(failures) - NAMED_FAILURES} more in status.failures)" if len(failures) > NAMED_FAILURES else ""
    return " | ".join(named) + more


def _ended(status: PerfProfileRunStatus) -> int:
    return status.nodes.succeeded + status.nodes.failed


def _duration(run: RunObject) -> timedelta:
    return timedelta(seconds=parse_duration(run.spec.duration))


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _sentence(reason: Reason) -> str:
    return f"{EXPLANATIONS[reason].meaning} {EXPLANATIONS[reason].next_step}"

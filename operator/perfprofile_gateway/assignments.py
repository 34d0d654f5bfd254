"""What an agent is to do now: decided from the run, its pods, the window's state and the time. Pure.

::

    deadline not set ──────────────────────────────> Later (WaitingForAgents)
    too late to finish ────────────────────────────> Over  (DeadlineExceeded, recorded)
    no target pod on the node, for a while ────────> Later (TargetGone), then Over (TargetGone, recorded)
    all slots of the node taken ───────────────────> Later (NodeBusy), then Over (NodeBusy, recorded)
    else ──────────────────────────────────────────> Go
"""

import random
from collections.abc import Iterable
from typing import Final

from perfprofile_agent.api.assignment import Assignment, TargetContainer, TargetPod, Wait
from perfprofile_agent.api.conditions import EXPLANATIONS, Reason
from perfprofile_agent.api.durations import parse_duration
from perfprofile_agent.api.report import NodeReport, NodeState
from perfprofile_cluster.objects import ContainerStatus, Pod, RunObject

TARGET_GRACE_SECONDS: Final = 15.0
"""How long a node without target pods is waited for: a container that restarts is back by then."""
DELIVERY_SECONDS: Final = 60.0
"""How long a node's recording slot is held after its window: for converting and delivering."""
_STATIC_POD_HASH: Final = "kubernetes.io/config.hash"
"""Annotation that static pods carry: the kubelet uses its value, not the mirror pod's uid, in the cgroup's path."""


def targets(pods: Iterable[Pod], *, node: str, containers: tuple[str, ...]) -> tuple[TargetPod, ...]:
    """Give the pods on a node whose samples may be shown, with the running containers that ``containers`` names (all if empty)."""
    found = []
    for pod in pods:
        if pod.node_name != node or pod.phase != "Running":
            continue
        statuses = (*pod.container_statuses, *pod.init_container_statuses)
        shown = tuple(TargetContainer(name=one.name, id=container_id(one)) for one in statuses if _counts(one, containers))
        if shown:
            meta = pod.metadata
            uid = meta.annotations.get(_STATIC_POD_HASH) or meta.uid
            found.append(TargetPod(namespace=meta.namespace, name=meta.name, uid=uid, containers=shown))
    return tuple(found)


def container_id(status: ContainerStatus) -> str:
    """Give a container's id as its cgroup is named: without the runtime's name in front."""
    return status.container_id.rpartition("//")[2]


def _counts(status: ContainerStatus, containers: tuple[str, ...]) -> bool:
    return status.running and bool(container_id(status)) and (not containers or status.name in containers)


def assignment(run: RunObject, *, node: str, window: int, pods: tuple[TargetPod, ...], remaining: float) -> Assignment:
    """Put an assignment together."""
    return Assignment(
        run_uid=run.metadata.uid,
        run_namespace=run.metadata.namespace,
        run_name=run.metadata.name,
        node=node,
        window=window,
        perf=run.spec.perf,
        duration_seconds=parse_duration(run.spec.duration),
        remaining_seconds=remaining,
        pods=pods,
        labels=dict(run.spec.labels),
    )


def wait(seconds: float, reason: Reason, message: str) -> Wait:
    """Ask an agent to come back; spread by a fifth either way, so that thousands don't come at once."""
    return Wait(retry_after_seconds=round(seconds * random.uniform(0.8, 1.2), 2), reason=reason, message=message)  # noqa: S311 - no secret


def failure(window: int, reason: Reason, message: str = "") -> NodeReport:
    """A terminal report that the gateway makes itself, where the agent can't know better."""
    explanation = EXPLANATIONS[reason]
    return NodeReport(
        window=window,
        state=NodeState.FAILED,
        reason=reason,
        message=message or f"{explanation.meaning} {explanation.next_step}",
    )

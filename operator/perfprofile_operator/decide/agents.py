"""What has become of a run's agents, node by node, as their pods tell: which nodes there is no hope for, and why.

Two questions are asked of the same pods. *Before the deadline*: which nodes will never report, so that nobody need wait for them? Only what
can't get better by itself counts then. *At the deadline*: why has this node not reported? Then every node gets an answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from perfprofile_agent.api.conditions import EXPLANATIONS, Reason
from perfprofile_agent.api.run import NodeFailure
from perfprofile_cluster.objects import ContainerStatus, Event, Node, Pod

PATIENCE: Final = timedelta(seconds=20)
"""How long a state that looks hopeless may last before it counts: a registry that refuses once may answer the second time."""
CRASHES: Final = 3
"""Restarts after which a container that the kubelet holds back counts as crashing again and again."""
MAX_MESSAGE: Final = 1024
"""Characters of a failure's message; the schema's limit."""

IMAGE_TROUBLE: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
START_TROUBLE: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


@dataclass(frozen=True, kw_only=True)
class Agents:
    """What was observed of a run's agents."""

    chosen: Mapping[str, str]
    """Hostname label to node name, of the chosen nodes."""
    pods: tuple[Pod, ...]
    nodes: tuple[Node, ...]
    """All nodes of the cluster."""
    events: tuple[Event, ...] = ()
    """What the DaemonSet controller told of the DaemonSet."""
    waiting_since: Mapping[str, datetime]
    """Pod uid to when it was first seen in the state it is in now."""
    placed: datetime
    """When the DaemonSet was made."""


def hopeless(agents: Agents, now: datetime) -> tuple[NodeFailure, ...]:
    """Give the failures that are certain before the deadline."""
    return tuple(failure for node in _views(agents, now) if (failure := _certain(node)) is not None)


def silent(agents: Agents, now: datetime) -> tuple[NodeFailure, ...]:
    """Give a failure for every chosen node, to be posted at the deadline; nodes that did report keep what they reported."""
    return tuple(_certain(node) or _likely(node) for node in _views(agents, now))


@dataclass(frozen=True, kw_only=True)
class _View:
    """One chosen node."""

    name: str
    node: Node | None
    pod: Pod | None
    refusal: str
    """What the DaemonSet controller says of pods that it may not create; "" if it says nothing."""
    patience_over: bool

    def failure(self, reason: Reason, cause: str) -> NodeFailure:
        text = f"{cause.strip().rstrip('.')}. {EXPLANATIONS[reason].next_step}"
        return NodeFailure(node=self.name, reason=str(reason), message=text[:MAX_MESSAGE])

    @property
    def container(self) -> ContainerStatus | None:
        return next(iter(self.pod.container_statuses), None) if self.pod is not None else None


def _views(agents: Agents, now: datetime) -> Iterable[_View]:
    nodes = {node.metadata.name: node for node in agents.nodes}
    pods: dict[str, Pod] = {}
    for pod in sorted(agents.pods, key=lambda pod: (pod.metadata.creation_timestamp or now, pod.metadata.name)):
        pods[pod.node_name or pod.destined_node] = pod
    refusal = next((event.note for event in agents.events if event.reason == "FailedCreate"), "")
    for name in agents.chosen.values():
        found = pods.get(name)
        since = agents.placed if found is None else agents.waiting_since.get(found.metadata.uid, now)
        yield _View(name=name, node=nodes.get(name), pod=found, refusal=refusal, patience_over=now - since >= PATIENCE)


def _certain(view: _View) -> NodeFailure | None:
    if view.node is None:
        return view.failure(Reason.NODE_LOST, f"Node {view.name} is not in the cluster any more")
    if not view.patience_over:
        return None
    if view.pod is None:
        return view.failure(Reason.POD_REJECTED, f"Could not create the agent's pod: {view.refusal}") if view.refusal else None
    return _certain_by_container(view, view.container)


def _certain_by_container(view: _View, container: ContainerStatus | None) -> NodeFailure | None:
    if container is None:
        return None
    waiting = f"{container.waiting_reason}: {container.waiting_message}"
    if container.waiting_reason in IMAGE_TROUBLE:
        return view.failure(Reason.IMAGE_PULL_FAILED, waiting)
    if container.waiting_reason in START_TROUBLE:
        return view.failure(Reason.POD_REJECTED, f"Could not start the agent's container: {waiting}")
    if container.waiting_reason == "CrashLoopBackOff" and container.restart_count >= CRASHES:
        return view.failure(Reason.AGENT_CRASHED, _crash(container))
    return None


def _likely(view: _View) -> NodeFailure:
    """Say why a node has not reported, where nothing is certain: the first of these that fits."""
    if view.node is not None and not view.node.ready:
        return view.failure(Reason.NODE_NOT_READY, f"Node {view.name} is not ready, and did not report before the deadline")
    if view.pod is not None:
        return _likely_by_pod(view, view.pod)
    if view.refusal:
        return view.failure(Reason.POD_REJECTED, f"Could not create the agent's pod: {view.refusal}")
    return view.failure(Reason.DEADLINE_EXCEEDED, f"No agent's pod was on node {view.name} at the deadline")


def _likely_by_pod(view: _View, pod: Pod) -> NodeFailure:
    container = view.container
    if pod.phase == "Failed" or not pod.node_name:
        return view.failure(Reason.POD_REJECTED, _rejection(pod))
    if container is None or container.waiting_reason not in {"", "CrashLoopBackOff"}:
        state = "" if container is None else f" ({container.waiting_reason} {container.waiting_message}".rstrip() + ")"
        return view.failure(Reason.DEADLINE_EXCEEDED, f"The agent's container had not started at the deadline{state}")
    if not container.running:
        return view.failure(Reason.AGENT_CRASHED, _crash(container))
    return view.failure(Reason.DEADLINE_EXCEEDED, "The agent runs, but did not report before the deadline")


def _rejection(pod: Pod) -> str:
    if pod.phase == "Failed":
        return f"The node refused the agent's pod: {pod.reason} {pod.message}"
    unscheduled = next((one for one in pod.conditions if one.type == "PodScheduled" and one.status == "False"), None)
    return f"The agent's pod could not be scheduled: {unscheduled.message if unscheduled else 'the scheduler said nothing'}"


def _crash(container: ContainerStatus) -> str:
    code = container.exit_code if container.exit_code is not None else container.last_exit_code
    reason = container.terminated_reason or container.last_terminated_reason or "Error"
    words = (container.terminated_message or container.last_terminated_message).strip()
    ended = f"The agent's container ended ({reason}, exit code {code}) after {container.restart_count} restarts"
    # The last line is what a program says when it gives up.
    return f"{ended}: {words.splitlines()[-1]}" if words else ended

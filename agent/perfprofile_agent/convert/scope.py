"""Scope: decides, cgroup by cgroup, whether a sample may be shown. What isn't certainly in scope is not shown.

The cgroup decides, never the pid: several nodes on one kernel (kind) see each other's processes with pid 0, and pids are used again.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeAlias

from perfprofile_agent.api.assignment import TargetPod
from perfprofile_agent.replay.containers import ContainerRef, parse_cgroup_path


class DropReason(StrEnum):
    """Why a sample is not in the profile; the keys of ``Conversion.dropped``."""

    UNKNOWN_CGROUP = "unknown-cgroup"
    """Its cgroup isn't told, or its id is that of no cgroup known by path."""
    NO_POD = "no-pod"
    """It is of a process of the host."""
    OTHER_POD = "other-pod"
    OTHER_CONTAINER = "other-container"
    """Of a target pod, but none of the containers asked for (also: started after the recording began)."""
    MALFORMED = "malformed"
    """Its bytes contradict themselves."""
    UNKNOWN_EVENT = "unknown-event"
    """It belongs to no event that the recording describes."""


class Shown(NamedTuple):
    """The sample may be shown, with these labels as (key, text)."""

    labels: tuple[tuple[str, str], ...]


class Dropped(NamedTuple):
    """The sample must not be shown."""

    reason: str


Decision: TypeAlias = Shown | Dropped


class Scope(Protocol):
    """The rule. Must give the same answer for the same question: answers are kept."""

    def decide(self, cgroup_path: str | None, pid: int) -> Decision:
        """Whether samples of the cgroup at ``cgroup_path`` (None: not known) may be shown, and how they are labelled."""


class Everything:
    """For an agent that runs by itself: shows all of the machine, and says of which pod and container a sample is where it can tell."""

    def __init__(self, anchor: str | None = None) -> None:
        self._anchor = anchor

    def decide(self, cgroup_path: str | None, pid: int) -> Decision:  # noqa: ARG002 - the cgroup tells enough
        """Always shown."""
        found = parse_cgroup_path(cgroup_path, self._anchor) if cgroup_path is not None else None
        if found is None:
            return Shown(())
        labels = (("pod_uid", found.pod_uid), ("container_id", found.container_id))
        return Shown(tuple(label for label in labels if label[1]))


class TargetScope:
    """For a run in a cluster: shows the containers of the assignment, under the names the assignment gives them."""

    def __init__(self, pods: Iterable[TargetPod], node: str = "", *, anchor: str | None = None) -> None:
        self._anchor = anchor
        self._pods: set[str] = set()
        self._labels: dict[ContainerRef, tuple[tuple[str, str], ...]] = {}
        for pod in pods:
            self._pods.add(pod.uid)
            for container in pod.containers:
                labels = (("namespace", pod.namespace), ("pod", pod.name), ("container", container.name), ("node", node))
                self._labels[ContainerRef(pod.uid, container.id)] = labels if node else labels[:-1]

    def decide(self, cgroup_path: str | None, pid: int) -> Decision:  # noqa: ARG002 - the cgroup decides, never the pid
        """Shown only if the path is certainly that of a target container or lies beneath it."""
        if cgroup_path is None:
            return Dropped(DropReason.UNKNOWN_CGROUP)
        found = parse_cgroup_path(cgroup_path, self._anchor)
        if found is None:
            return Dropped(DropReason.NO_POD)
        labels = self._labels.get(found)
        if labels is not None and found.container_id:
            return Shown(labels)
        return Dropped(DropReason.OTHER_CONTAINER if found.pod_uid in self._pods else DropReason.OTHER_POD)

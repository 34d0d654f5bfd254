"""From the pods that match to the nodes that get an agent."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from perfprofile_agent.api.profile import NodeSample, Target
from perfprofile_cluster.objects import Node, Pod


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Agents go to these nodes, ordered by name."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class Nowhere:
    """No node is to get an agent; why, and what to compare."""

    message: str


def place(run_uid: str, target: Target, pods: Iterable[Pod], nodes: Iterable[Node]) -> Placed | Nowhere:
    """Choose the nodes of a run.

    Args:
        run_uid: Seeds the sample, so that the choice is the same however often it is made.
        target: Whose samples are wanted.
        pods: Pods of the namespace that match ``target.pod_selector``, in any phase.
        nodes: All nodes.
    """
    matching = tuple(pods)
    running = [pod for pod in matching if pod.phase == "Running" and pod.metadata.deletion_timestamp is None]
    if not running:
        if matching:
            return Nowhere(message=f"{len(matching)} pods match spec.target.podSelector, but none of them is running.")
        return Nowhere(message="No pod of this namespace matches spec.target.podSelector.")
    wanted = [pod for pod in running if not target.containers or set(target.containers) & set(pod.containers)]
    if not wanted:
        return Nowhere(message=f"{len(running)} running pods match, but none has a container named {' or '.join(target.containers)}.")
    hosts = {pod.node_name for pod in wanted}
    hosting = [node for node in nodes if node.metadata.name in hosts]
    suitable = [node for node in hosting if _carries(node, target.node_selector)]
    if not suitable:
        return Nowhere(message=f"{len(wanted)} running pods match, but none of their {len(hosts)} nodes carries spec.target.nodeSelector.")
    return Placed(nodes=_sampled(run_uid, suitable, target.node_sample))


def _carries(node: Node, selector: dict[str, str]) -> bool:
    return selector.items() <= node.metadata.labels.items()


def _sampled(run_uid: str, nodes: list[Node], sample: NodeSample | None) -> tuple[Node, ...]:
    """Give the sample: the nodes whose names hash lowest with the run's uid.

    Each node's rank depends on itself and the run alone, so that a node which comes or goes changes the choice by at most one.
    """
    ranked = sorted(nodes, key=lambda node: hashlib.sha256(f"{run_uid}\0{node.metadata.name}".encode()).digest())
    return tuple(sorted(ranked[: _sample_size(len(nodes), sample)], key=lambda node: node.metadata.name))


def _sample_size(nodes: int, sample: NodeSample | None) -> int:
    if sample is None:
        return nodes
    if sample.count is not None:
        return sample.count
    return math.ceil(nodes * (sample.percent or 100) / 100)

"""Puts the agent together: from settings and an assignment to the things that do the work. The only place where all rooms meet."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from perfprofile_agent.agent.config import JoinSettings
from perfprofile_agent.agent.cycle import Stop, Surroundings
from perfprofile_agent.agent.window import NodeWindow
from perfprofile_agent.api.assignment import Assignment
from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.api.profile import DEFAULT_FREQUENCY, CallGraph, Perf
from perfprofile_agent.convert.pipeline import Converter, Options
from perfprofile_agent.convert.scope import Scope, TargetScope
from perfprofile_agent.node import cgroups, events, procfs
from perfprofile_agent.node.command import RecordOptions, buffer_bytes
from perfprofile_agent.node.errors import NodeError
from perfprofile_agent.node.perf import PerfProgram, find_perf
from perfprofile_agent.node.symbolizer import NodeSymbolizer
from perfprofile_agent.sinks.gateway import GatewayClient
from perfprofile_agent.sinks.retry import Backoff
from perfprofile_agent.sinks.spool import Spool

MAX_FILTERED_EVENTS: Final = 16
"""Up to so many pairs of event and pod are filtered by the kernel: each costs a file descriptor on every CPU, and work at each context
switch between cgroups. Beyond, all is recorded, and the scope drops what is out of it."""


def surroundings(settings: JoinSettings, stop: Stop, *, clock: Callable[[], float], backoff: Backoff) -> Surroundings:
    """Give what a cycle needs to work for the gateway of ``settings``.

    Raises:
        ValueError: the gateway's URL isn't one.
        OSError: the spool can't be used.
    """
    settings.spool.mkdir(parents=True, exist_ok=True)

    def client() -> GatewayClient:
        return GatewayClient(settings.gateway, ca_file=settings.gateway_ca, token_file=settings.token_file)

    return Surroundings(
        gateway=client(),
        heartbeat_gateway=client(),
        open_window=lambda assignment: assigned_window(assignment, settings),
        spool=Spool(settings.spool, max_bytes=settings.spool_bytes),
        stop=stop,
        clock=clock,
        backoff=backoff,
    )


def assigned_window(assignment: Assignment, settings: JoinSettings) -> NodeWindow:
    """Prepare the window of ``assignment``: only samples of its pods will be shown.

    Raises:
        NodeError: perf is missing, no event works, or the pods are gone.
    """
    program = find_perf()
    real_events = events.resolve(assignment.perf.events)
    tree, anchor, found = _targets(assignment, settings.pod_uid)
    wanted = {pod.uid for pod in assignment.pods}
    few = len(wanted) * len(real_events) <= MAX_FILTERED_EVENTS
    paths = tuple(sorted(found.values())) if few and set(found) == wanted else ()
    return window(
        program,
        record_options(assignment.perf, real_events, target_cgroups=paths),
        TargetScope(assignment.pods, assignment.node, anchor=anchor),
        Options(
            node=assignment.node,
            labels=dict(assignment.labels),
            kernel_frames=assignment.perf.kernel_frames,
            requested_events=real_events,
        ),
        tree=tree,
        home=settings.spool,
    )


def window(
    program: PerfProgram, options: RecordOptions, scope: Scope, conversion: Options, *, tree: cgroups.CgroupTree | None, home: Path
) -> NodeWindow:
    """Put a window together; close it after use."""
    symbolizer = NodeSymbolizer()
    converter = Converter(scope=scope, symbolizer=symbolizer, options=conversion, cgroups=tree.paths if tree else None)
    return NodeWindow(program, options, converter, home=home, close=symbolizer.close)


def record_options(
    perf: Perf, real_events: tuple[str, ...], *, pids: tuple[int, ...] = (), target_cgroups: tuple[str, ...] = ()
) -> RecordOptions:
    """Give perf's options for what a spec asks for."""
    frequency = None if perf.period else perf.frequency or DEFAULT_FREQUENCY
    return RecordOptions(
        events=real_events,
        frequency=frequency,
        period=perf.period,
        call_graph=perf.call_graph,
        kernel_frames=perf.kernel_frames,
        pids=pids,
        cgroups=target_cgroups,
        buffer_bytes=_buffers(frequency, perf.call_graph),
    )


def _targets(assignment: Assignment, own_pod_uid: str) -> tuple[cgroups.CgroupTree, str | None, dict[str, str]]:
    """Give the cgroups of this machine, where the kubelet keeps its own, and those of the target pods by uid."""
    hierarchy = cgroups.find_hierarchy()
    if hierarchy is None:
        raise NodeError(
            Reason.PERF_FAILED,
            "No cgroup file system is to be seen, so samples can't be told apart by pod. Mount the host's /sys/fs/cgroup into the agent's pod.",
        )
    tree = cgroups.scan(hierarchy)
    anchor = cgroups.find_anchor(tree, own_pod_uid)
    found = cgroups.pod_cgroups(tree, [pod.uid for pod in assignment.pods], anchor)
    if not found and tree.complete:
        names = ", ".join(f"{pod.namespace}/{pod.name}" for pod in assignment.pods[:3]) or "none at all"
        raise NodeError(
            Reason.TARGET_GONE,
            f"None of the {len(assignment.pods)} target pods ({names}) has a cgroup on this node any more. "
            "Apply again; the nodes are chosen anew.",
        )
    return tree, anchor, found


def _buffers(frequency: int | None, call_graph: CallGraph) -> int | None:
    """Give the size of perf's buffers, where the kernel lets this process lock so much; otherwise perf keeps to what it may."""
    if not procfs.may(procfs.CAP_IPC_LOCK):
        return None
    return buffer_bytes(frequency=frequency, call_graph=call_graph, cpus=os.cpu_count() or 1)

"""PerfProfileRuns: placed, watched and ended. Each call looks at what there is and does the next thing; none relies on an earlier one.

What is kept in memory (which pods have been waiting since when, what was posted already) only spares work: without it, after a restart,
patience starts anew and a failure is posted twice, which the gateway ignores.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from msgspec.structs import replace

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.api.names import LABEL_PROFILE_GENERATION, LABEL_RUN_UID
from perfprofile_agent.api.run import NodeFailure
from perfprofile_cluster.client import Cluster
from perfprofile_cluster.errors import ClusterError
from perfprofile_cluster.objects import DaemonSet, Pod, RunObject
from perfprofile_operator.decide import agents, completion, placement
from perfprofile_operator.decide.completion import Inspection, Plan, phase_of
from perfprofile_operator.decide.patches import run_status_patch
from perfprofile_operator.errors import GatewayError
from perfprofile_operator.manifests.daemonset import AgentShape, chosen_node_names, daemonset_manifest, daemonset_name
from perfprofile_operator.reconcile.announcing import announce, owner_reference, run_reference
from perfprofile_operator.reconcile.orphans import Orphans
from perfprofile_operator.reconcile.work import DONE, Key, Outcome, Work

log = logging.getLogger(__name__)

CREATION_PATIENCE: Final = timedelta(minutes=2)
"""How long the DaemonSet of a new run is tried for while the API server fails to create it (a webhook that is down, for example)."""
AFTER_POSTING: Final = timedelta(seconds=2)
"""Until the gateway has counted what was posted: it writes a run's status at most once a second."""


class FailurePost(Protocol):
    """Where the failures of silent nodes are posted: the gateway."""

    def post_failures(self, run: RunObject, failures: Iterable[NodeFailure]) -> None:
        """Post them; nodes that have a terminal record keep it.

        Raises:
            GatewayError: They were not taken.
        """


@dataclass
class _Memory:
    """What is remembered of an unfinished run."""

    inspected: datetime | None = None
    waiting: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    posted: set[str] = field(default_factory=set)


class Runs:
    """Reconciles one run at a time; different runs at the same time in different threads."""

    def __init__(
        self, cluster: Cluster, gateway: FailurePost, orphans: Orphans, shape: AgentShape, *, clock: Callable[[], datetime]
    ) -> None:
        self._cluster = cluster
        self._gateway = gateway
        self._orphans = orphans
        self._shape = shape
        self._clock = clock
        self._memory: dict[tuple[str, str], _Memory] = {}

    def reconcile(self, namespace: str, name: str) -> Outcome:
        """Do the next thing for a run."""
        run = self._cluster.get_run(namespace, name)
        if run is None:
            self._memory.pop((namespace, name), None)
            return Outcome(wake=self._orphans.remove_of(namespace, name))
        if phase_of(run).terminal:
            return self._tidy(run)
        nobody_asks = self._why_nobody_asks(run)
        if nobody_asks is not None:
            return self._apply(run, completion.cancelled(run, nobody_asks, self._clock()))
        daemonset = self._cluster.get_daemonset(self._shape.namespace, daemonset_name(run.metadata.uid))
        if daemonset is None and completion.wants_agents(run, self._clock()):
            placed = self._place(run)
            if isinstance(placed, Outcome):
                return placed
            daemonset = placed
        return self._go_on(run, daemonset)

    def _why_nobody_asks(self, run: RunObject) -> Reason | None:
        if run.metadata.deletion_timestamp is not None:
            return Reason.RUN_DELETED
        reference = owner_reference(run)
        profile = self._cluster.get_profile(run.metadata.namespace, run.spec.profile)
        if reference is None or profile is None or profile.metadata.uid != reference.uid or profile.metadata.deletion_timestamp:
            return Reason.PROFILE_DELETED
        same = run.metadata.labels.get(LABEL_PROFILE_GENERATION) == str(profile.metadata.generation)
        return None if same else Reason.SUPERSEDED

    # ---- Placing

    def _place(self, run: RunObject) -> DaemonSet | Outcome:
        """Choose the nodes and ask for agents there, or end the run if that can't be."""
        try:
            pods = self._cluster.list_pods(run.metadata.namespace, run.spec.target.pod_selector)
        except ClusterError as error:
            if not error.refused:
                raise
            return self._apply(run, completion.rejected(run, Reason.INVALID_SPEC, error.message, self._clock()))
        placed = placement.place(run.metadata.uid, run.spec.target, pods, self._cluster.list_nodes() if pods else ())
        if isinstance(placed, placement.Nowhere):
            return self._apply(run, completion.unplaceable(run, placed.message, self._clock()))
        try:
            return self._ask_for_agents(run, placed)
        except ClusterError as error:
            if not self._creation_is_hopeless(run, error):
                raise
            said = f"Could not create the DaemonSet of the agents: {error.message}."
            return self._apply(run, completion.rejected(run, Reason.POD_REJECTED, said, self._clock()))

    def _ask_for_agents(self, run: RunObject, placed: placement.Placed) -> DaemonSet:
        manifest = daemonset_manifest(run, placed.nodes, self._shape)
        try:
            daemonset = self._cluster.create_daemonset(self._shape.namespace, manifest)
        except ClusterError as error:
            found = self._cluster.get_daemonset(self._shape.namespace, manifest["metadata"]["name"]) if error.already_exists else None
            if found is None:
                raise
            return found
        log.info("Asked for agents of run %s/%s on %d nodes", run.metadata.namespace, run.metadata.name, len(placed.nodes))
        return daemonset

    def _creation_is_hopeless(self, run: RunObject, error: ClusterError) -> bool:
        created = run.metadata.creation_timestamp or self._clock()
        return error.refused or (self._clock() - created >= CREATION_PATIENCE and not error.already_exists)

    # ---- Watching

    def _go_on(self, run: RunObject, daemonset: DaemonSet | None) -> Outcome:
        now = self._clock()
        seen = run if daemonset is None else replace(run, status=completion.with_agents(run, daemonset, now))
        posted = daemonset is not None and self._inspect(seen, daemonset, now)
        plan = completion.progress(seen, agents_present=daemonset is not None, now=now)
        outcome = self._apply(run, plan)
        return sooner(outcome, AFTER_POSTING) if posted and not plan.remove_agents else outcome

    def _inspect(self, run: RunObject, daemonset: DaemonSet, now: datetime) -> bool:
        """Look at the agents' pods if it is time to; gives whether failures were posted."""
        memory = self._memory.setdefault(_place_of(run), _Memory())
        wanted = completion.inspection(run, memory.inspected, now)
        if wanted is Inspection.NOT_NEEDED:
            return False
        if memory.posted >= set(chosen_node_names(daemonset).values()):
            return False  # all is said; the gateway has yet to count it
        memory.inspected = now
        observed = self._observe(run, daemonset, memory, now)
        found = agents.silent(observed, now) if wanted is Inspection.FOR_ALL_SILENT else agents.hopeless(observed, now)
        news = [failure for failure in found if failure.node not in memory.posted]
        if not news:
            return False
        try:
            self._gateway.post_failures(run, news)
        except GatewayError as error:
            log.warning("Could not post %d node failures of run %s/%s: %s", len(news), run.metadata.namespace, run.metadata.name, error)
            return False
        memory.posted.update(failure.node for failure in news)
        return True

    def _observe(self, run: RunObject, daemonset: DaemonSet, memory: _Memory, now: datetime) -> agents.Agents:
        pods = tuple(self._cluster.list_pods(self._shape.namespace, f"{LABEL_RUN_UID}={run.metadata.uid}"))
        memory.waiting = {pod.metadata.uid: _since(memory, pod, now) for pod in pods}
        chosen = chosen_node_names(daemonset)
        missing = set(chosen.values()) - {pod.node_name or pod.destined_node for pod in pods}
        events = self._cluster.list_events(self._shape.namespace, regarding_uid=daemonset.metadata.uid) if missing else []
        return agents.Agents(
            chosen=chosen,
            pods=pods,
            nodes=tuple(self._cluster.list_nodes()),
            events=tuple(events),
            waiting_since={uid: since for uid, (_, since) in memory.waiting.items()},
            placed=daemonset.metadata.creation_timestamp or now,
        )

    # ---- Ending

    def _apply(self, run: RunObject, plan: Plan) -> Outcome:
        """Do what the plan says. In this order: a restart in between repeats the Event, which changes nothing, and loses none."""
        if plan.announcement is not None:
            reference = run_reference(run.metadata.namespace, run.metadata.name, run.metadata.uid)
            announce(self._cluster, plan.announcement, reference, owner_reference(run))
        patch = run_status_patch(run.status, plan.status)
        if patch:
            self._cluster.patch_run_status(run.metadata.namespace, run.metadata.name, patch, resource_version=run.metadata.resource_version)
        if plan.remove_agents:
            self._cluster.delete_daemonset(self._shape.namespace, daemonset_name(run.metadata.uid))
            self._memory.pop(_place_of(run), None)
            log.info("Run %s/%s ended %s", run.metadata.namespace, run.metadata.name, plan.status.phase)
        wake = (Key(Work.PROFILE, run.metadata.namespace, run.spec.profile),) if patch else ()
        return Outcome(again=plan.look_again, wake=wake)

    def _tidy(self, run: RunObject) -> Outcome:
        """Remove what a finished run may have left, and the run itself when its time has come."""
        self._memory.pop(_place_of(run), None)
        daemonset = daemonset_name(run.metadata.uid)
        if self._cluster.get_daemonset(self._shape.namespace, daemonset) is not None:
            self._cluster.delete_daemonset(self._shape.namespace, daemonset)
        expires = completion.expires(run)
        if expires is not None and expires <= self._clock():
            self._cluster.delete_run(run.metadata.namespace, run.metadata.name, uid=run.metadata.uid)
            log.info("Deleted run %s/%s after its ttlAfterFinished", run.metadata.namespace, run.metadata.name)
        return DONE


def _place_of(run: RunObject) -> tuple[str, str]:
    return run.metadata.namespace, run.metadata.name


def _since(memory: _Memory, pod: Pod, now: datetime) -> tuple[str, datetime]:
    """Give a pod's state and since when it has been seen in it."""
    container = next(iter(pod.container_statuses), None)
    # A pull that fails alternates between ErrImagePull and ImagePullBackOff: both are the one state of not having an image.
    waiting = container.waiting_reason if container is not None else ""
    state = "image" if waiting in agents.IMAGE_TROUBLE else waiting
    before = memory.waiting.get(pod.metadata.uid)
    return before if before is not None and before[0] == state else (state, now)


def sooner(outcome: Outcome, again: timedelta) -> Outcome:
    """Give the outcome with a look no later than ``again``."""
    return Outcome(again=min(again, outcome.again or again), wake=outcome.wake)

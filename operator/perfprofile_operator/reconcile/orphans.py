"""DaemonSets without a run. No finalizer holds a run until its DaemonSet is gone, so here is where what is left over is removed.

A DaemonSet remembers (in labels and annotations) for whom it was made, so that users can be told even when run and PerfProfile are gone.
"""

import logging
from datetime import timedelta

from perfprofile_agent.api.conditions import EXPLANATIONS, Reason
from perfprofile_agent.api.names import LABEL_RUN, LABEL_RUN_NAMESPACE, LABEL_RUN_UID
from perfprofile_cluster.client import Cluster
from perfprofile_cluster.objects import DaemonSet
from perfprofile_operator.decide.completion import Announcement, phase_of
from perfprofile_operator.manifests.daemonset import ANNOTATION_PROFILE, ANNOTATION_PROFILE_UID
from perfprofile_operator.reconcile.announcing import announce, profile_reference, run_reference
from perfprofile_operator.reconcile.work import Key, Outcome, Work

log = logging.getLogger(__name__)


class Orphans:
    """Removes what nobody asks for any more."""

    def __init__(self, cluster: Cluster, *, agents_namespace: str, every: timedelta) -> None:
        self._cluster = cluster
        self._namespace = agents_namespace
        self._every = every

    def sweep(self) -> Outcome:
        """Remove every DaemonSet whose run is gone or over."""
        # In this order: a run is always older than its DaemonSet, so a DaemonSet that is seen here has its run in the later list.
        daemonsets = self._cluster.list_daemonsets(self._namespace, LABEL_RUN_UID)
        wake: list[Key] = []
        if daemonsets:
            unfinished = {run.metadata.uid for run in self._cluster.list_runs() if not phase_of(run).terminal}
            for daemonset in daemonsets:
                if daemonset.metadata.labels.get(LABEL_RUN_UID) not in unfinished:
                    wake.extend(self._remove(daemonset))
        return Outcome(again=self._every, wake=tuple(wake))

    def remove_of(self, run_namespace: str, run_name: str, *, except_uid: str = "") -> tuple[Key, ...]:
        """Remove the DaemonSets of a run by its name, whatever its uid was, but not those of ``except_uid``."""
        selector = f"{LABEL_RUN}={run_name},{LABEL_RUN_NAMESPACE}={run_namespace}"
        wake: list[Key] = []
        for daemonset in self._cluster.list_daemonsets(self._namespace, selector):
            if daemonset.metadata.labels.get(LABEL_RUN_UID) != except_uid:
                wake.extend(self._remove(daemonset))
        return tuple(wake)

    def _remove(self, daemonset: DaemonSet) -> tuple[Key, ...]:
        """Tell about it, then remove: the other way round, a restart in between would leave it untold."""
        metadata = daemonset.metadata
        if metadata.deletion_timestamp is not None:
            return ()
        namespace, run = metadata.labels.get(LABEL_RUN_NAMESPACE, ""), metadata.labels.get(LABEL_RUN, "")
        profile = metadata.annotations.get(ANNOTATION_PROFILE, "")
        self._tell(daemonset, namespace, run, profile)
        self._cluster.delete_daemonset(self._namespace, metadata.name, uid=metadata.uid)
        log.info("Removed DaemonSet %s of run %s/%s, which is gone or over", metadata.name, namespace, run)
        return (Key(Work.PROFILE, namespace, profile),) if namespace and profile else ()

    def _tell(self, daemonset: DaemonSet, namespace: str, run: str, profile: str) -> None:
        metadata = daemonset.metadata
        if not (namespace and run and profile):
            return
        if self._cluster.get_run(namespace, run) is not None:
            return  # it is over, and its end was told then
        profile_uid = metadata.annotations.get(ANNOTATION_PROFILE_UID, "")
        found = self._cluster.get_profile(namespace, profile)
        present = found is not None and found.metadata.uid == profile_uid and found.metadata.deletion_timestamp is None
        reason = Reason.RUN_DELETED if present else Reason.PROFILE_DELETED
        explanation = EXPLANATIONS[reason]
        announcement = Announcement(
            type="Warning" if present else "Normal",
            reason=reason,
            note=f"Run {run} was cancelled: {explanation.meaning} {explanation.next_step}",
            action="Cancel",
        )
        announce(
            self._cluster,
            announcement,
            profile_reference(namespace, profile, profile_uid),
            run_reference(namespace, run, metadata.labels.get(LABEL_RUN_UID, "")),
        )

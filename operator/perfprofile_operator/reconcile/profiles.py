"""PerfProfiles: accepted or refused, one run for each spec, and a status that says how it goes."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.api.names import LABEL_PROFILE
from perfprofile_agent.api.profile import PerfProfileSpec, PerfProfileStatus
from perfprofile_cluster.client import Cluster
from perfprofile_cluster.errors import ClusterError
from perfprofile_cluster.objects import ProfileObject, RunObject
from perfprofile_operator.decide import mirror
from perfprofile_operator.decide.admission import Accepted, admit
from perfprofile_operator.decide.completion import Announcement, phase_of
from perfprofile_operator.decide.patches import profile_status_patch
from perfprofile_operator.manifests.run import run_manifest, run_name
from perfprofile_operator.reconcile.announcing import announce, profile_reference
from perfprofile_operator.reconcile.work import DONE, Key, Outcome, Work

log = logging.getLogger(__name__)

REFUSED_RUN_PAUSE: Final = timedelta(seconds=60)
"""After the API server refused to create a run: a quota may be free again by then."""


class Profiles:
    """Reconciles one PerfProfile at a time."""

    def __init__(self, cluster: Cluster, *, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._clock = clock

    def reconcile(self, namespace: str, name: str) -> Outcome:
        """Bring a PerfProfile's run and status to where its spec says."""
        profile = self._cluster.get_profile(namespace, name)
        runs = self._cluster.list_runs(namespace, f"{LABEL_PROFILE}={name}")
        unfinished = tuple(_key(run) for run in runs if not phase_of(run).terminal)
        if profile is None or profile.metadata.deletion_timestamp is not None:
            return Outcome(wake=unfinished)  # each of them sees for itself that nobody asks for it any more
        situation = mirror.Situation(profile=profile, run_name=run_name(profile.metadata), runs=mirror.owned(profile.metadata, runs))
        verdict = admit(profile.spec)
        if isinstance(verdict, Accepted) and not situation.run_was_made:
            created = self._create_run(situation, verdict.spec)
            if isinstance(created, Outcome):
                return Outcome(again=created.again, wake=unfinished)
            situation = replace(situation, runs=(*situation.runs, created))
        self._tell_once(situation)
        self._write(profile, mirror.status_of(situation, verdict, self._clock()))
        latest = () if situation.run is None else (_key(situation.run),)
        is_new = profile.status.latest_run != situation.run_name
        outdated = tuple(key for key in unfinished if key not in latest)
        return Outcome(wake=(*outdated, *latest) if is_new else outdated)

    def _create_run(self, situation: mirror.Situation, spec: PerfProfileSpec) -> RunObject | Outcome:
        """Create the run; what is to be done instead if the API server won't have it."""
        profile = situation.profile
        try:
            run = self._cluster.create_run(profile.metadata.namespace, run_manifest(profile.metadata, spec))
        except ClusterError as error:
            if error.terminating:
                return DONE  # everything in this namespace is going away, the PerfProfile too
            if not error.refused:
                raise
            self._write(profile, mirror.with_refused_run(situation, error.message, self._clock()))
            return Outcome(again=REFUSED_RUN_PAUSE)
        log.info("Created run %s/%s", run.metadata.namespace, run.metadata.name)
        return run

    def _tell_once(self, situation: mirror.Situation) -> None:
        """Tell of a run that the status doesn't name yet: it was made now, or by a life of the operator that ended right afterwards."""
        profile = situation.profile
        if situation.run is None or profile.status.latest_run == situation.run_name:
            return
        reference = profile_reference(profile.metadata.namespace, profile.metadata.name, profile.metadata.uid)
        note = f"Made run {situation.run_name}."
        announce(self._cluster, Announcement(type="Normal", reason=Reason.RUN_CREATED, note=note, action="CreateRun"), reference)

    def _write(self, profile: ProfileObject, status: PerfProfileStatus) -> None:
        patch = profile_status_patch(profile.status, status)
        if patch:
            self._cluster.patch_profile_status(
                profile.metadata.namespace, profile.metadata.name, patch, resource_version=profile.metadata.resource_version
            )


def _key(run: RunObject) -> Key:
    return Key(Work.RUN, run.metadata.namespace, run.metadata.name)

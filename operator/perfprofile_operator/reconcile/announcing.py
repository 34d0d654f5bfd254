"""Telling users by Events what happened, so that they find it in `kubectl describe`. Nothing depends on an Event having arrived."""

import logging
from typing import Final

from perfprofile_agent.api.names import API_VERSION, GROUP
from perfprofile_cluster.client import Cluster
from perfprofile_cluster.errors import ClusterError
from perfprofile_cluster.objects import Regarding, RunObject
from perfprofile_operator.decide.completion import Announcement

log = logging.getLogger(__name__)

REPORTER: Final = f"{GROUP}/operator"


def profile_reference(namespace: str, name: str, uid: str) -> Regarding:
    """Name a PerfProfile, which may be gone."""
    return Regarding(api_version=API_VERSION, kind="PerfProfile", namespace=namespace, name=name, uid=uid)


def run_reference(namespace: str, name: str, uid: str) -> Regarding:
    """Name a PerfProfileRun, which may be gone."""
    return Regarding(api_version=API_VERSION, kind="PerfProfileRun", namespace=namespace, name=name, uid=uid)


def owner_reference(run: RunObject) -> Regarding | None:
    """Name the PerfProfile that a run belongs to."""
    owners = (owner for owner in run.metadata.owner_references if owner.kind == "PerfProfile")
    return next((profile_reference(run.metadata.namespace, owner.name, owner.uid) for owner in owners), None)


def announce(cluster: Cluster, announcement: Announcement, *regarding: Regarding | None) -> None:
    """Tell it about each of the objects. What can't be told is logged: an Event is never worth stopping work for."""
    for one in regarding:
        if one is None or not one.uid:
            continue
        try:
            cluster.create_event(
                one,
                type_=announcement.type,
                reason=str(announcement.reason),
                note=announcement.note,
                action=announcement.action,
                reporter=REPORTER,
            )
        except ClusterError as error:
            log.info("Could not write an Event about %s %s/%s: %s", one.kind, one.namespace, one.name, error)

"""The PerfProfileRun of a PerfProfile: an unchangeable copy of what was asked for, owned by the PerfProfile."""

import hashlib
from typing import Any

import msgspec

from perfprofile_agent.api.names import API_VERSION, LABEL_PROFILE, LABEL_PROFILE_GENERATION
from perfprofile_agent.api.profile import PerfProfileSpec
from perfprofile_agent.api.run import PerfProfileRunSpec
from perfprofile_cluster.objects import ObjectMeta


def run_name(profile: ObjectMeta) -> str:
    """Give the one name that the run of this PerfProfile's present spec has.

    A name that follows from the spec's generation is what makes creation idempotent. The digits of the PerfProfile's uid keep a PerfProfile
    that was deleted and made anew, and so starts again at generation 1, apart from runs of the old one that are still going away.
    """
    return f"{profile.name}-{hashlib.sha256(profile.uid.encode()).hexdigest()[:5]}-{profile.generation}"


def run_manifest(profile: ObjectMeta, spec: PerfProfileSpec) -> dict[str, Any]:
    """Give the PerfProfileRun to create."""
    run_spec = PerfProfileRunSpec(
        profile=profile.name,
        target=spec.target,
        perf=spec.perf,
        duration=spec.duration,
        sinks=spec.sinks,
        labels=spec.labels,
        ttl_after_finished=spec.ttl_after_finished,
    )
    return {
        "apiVersion": API_VERSION,
        "kind": "PerfProfileRun",
        "metadata": {
            "name": run_name(profile),
            "namespace": profile.namespace,
            "labels": {
                LABEL_PROFILE: profile.name,
                LABEL_PROFILE_GENERATION: str(profile.generation),
                "app.kubernetes.io/managed-by": "perfprofile-operator",
            },
            # Without blockOwnerDeletion: that would need rights on the finalizers of users' objects.
            "ownerReferences": [
                {"apiVersion": API_VERSION, "kind": "PerfProfile", "name": profile.name, "uid": profile.uid, "controller": True}
            ],
        },
        "spec": msgspec.to_builtins(run_spec),
    }

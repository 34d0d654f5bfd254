"""Names that more than one program must spell alike: API group, labels, audiences, paths."""

from typing import Final

GROUP: Final = "perfprofile.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

DATA_GROUP: Final = "data.perfprofile.dev"
"""The aggregated API through which profiles are read; served by the gateway."""
DATA_API_VERSION: Final = f"{DATA_GROUP}/{VERSION}"

TOKEN_AUDIENCE: Final = "perfprofile-gateway"  # noqa: S105 - a public name
"""Audience of the projected tokens with which agents and operator speak to the gateway."""

LABEL_RUN_UID: Final = f"{GROUP}/run-uid"
"""On DaemonSets and agent pods: metadata.uid of the PerfProfileRun they work for."""
LABEL_RUN: Final = f"{GROUP}/run"
"""On DaemonSets and agent pods: metadata.name of the PerfProfileRun."""
LABEL_RUN_NAMESPACE: Final = f"{GROUP}/run-namespace"
"""On DaemonSets and agent pods: metadata.namespace of the PerfProfileRun."""
LABEL_PROFILE: Final = f"{GROUP}/profile"
"""On PerfProfileRuns: metadata.name of the PerfProfile."""
LABEL_PROFILE_GENERATION: Final = f"{GROUP}/profile-generation"
"""On PerfProfileRuns: metadata.generation of the PerfProfile they were made from."""

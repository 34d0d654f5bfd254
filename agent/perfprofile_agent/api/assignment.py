"""Assignment: what the gateway tells one agent to record on its own node.

On the wire it is the JSON body of ``GET /v1/assignment`` on the gateway's agents port. A wire model: decoded with
:func:`msgspec.json.decode`, so an answer of another shape raises :class:`msgspec.ValidationError` with the place.
"""

from perfprofile_agent.api.profile import Model, Perf


class TargetContainer(Model, frozen=True, kw_only=True):
    """One container whose samples may be shown."""

    name: str
    id: str
    """Container id as in the cgroup path: 64 hexadecimal digits, without the ``containerd://`` in front."""


class TargetPod(Model, frozen=True, kw_only=True):
    """One pod of the agent's own node whose samples may be shown."""

    namespace: str
    name: str
    uid: str
    """metadata.uid; for static pods the value of the annotation kubernetes.io/config.hash, which the cgroup path carries."""
    containers: tuple[TargetContainer, ...]


class Assignment(Model, frozen=True, kw_only=True):
    """One window on one node."""

    run_uid: str
    run_namespace: str
    run_name: str
    node: str
    """The node as the gateway knows it from the token; goes into the profile's `node` label."""
    window: int
    """Number of the window within the run, from 0."""
    perf: Perf
    duration_seconds: float
    remaining_seconds: float
    """Time until the run's deadline, from now; the agent gives up by itself when it is over (monotonic clock)."""
    pods: tuple[TargetPod, ...]
    labels: dict[str, str]
    """Labels added to every sample."""


class Wait(Model, frozen=True, kw_only=True):
    """No assignment now: ask again later (HTTP 202)."""

    retry_after_seconds: float
    reason: str
    """One of :class:`perfprofile_agent.api.conditions.Reason`."""
    message: str

"""Settings of the agent when it works for a gateway: one typed place, each with its unit and its reason."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class JoinSettings:
    """What ``perfprofile-agent join`` is told, and its fixed limits. Times are seconds."""

    gateway: str
    """https URL of the gateway's agents port."""
    gateway_ca: Path
    """PEM file with the CA that signed the gateway's certificate."""
    token_file: Path
    """Projected service-account token, renewed in place by the kubelet."""
    spool: Path
    """Writable directory; finished profiles stand in it until they are delivered."""
    pod_uid: str = ""
    """uid of the agent's own pod, by which it finds the kubelet's cgroup; empty: the topmost kubepods is taken."""
    spool_bytes: int = 192 << 20
    """Below the emptyDir's size limit, so that the kubelet never evicts the pod for it."""
    heartbeat: float = 30.0
    """How often a recording agent reports, which keeps its recording slot and tells it when the run is cancelled."""
    unreachable_limit: float = 600.0
    """Dead-man's switch: an agent that can't reach the gateway for so long stops by itself. Longer than a gateway's upgrade or a short outage."""
    flush: float = 8.0
    """How long an agent that was told to stop goes on delivering: below the pod's terminationGracePeriodSeconds of 10."""
    delivery_margin: float = 15.0
    """Kept free between the end of a window and the run's deadline, for conversion and delivery."""

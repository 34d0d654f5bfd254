"""Node report: what one agent says of one window on one node."""

from enum import StrEnum

from perfprofile_agent.api.profile import Model


class NodeState(StrEnum):
    """State of a window on a node; Succeeded and Failed are terminal, and the first terminal report stands for ever."""

    RECORDING = "Recording"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def terminal(self) -> bool:
        """Whether no later report may change this one."""
        return self is not NodeState.RECORDING


class NodeReport(Model, frozen=True, kw_only=True):
    """One report. JSON body of ``POST /v1/reports``; the gateway takes node and run from the token, never from the body."""

    window: int
    state: NodeState
    reason: str = ""
    """One of :class:`perfprofile_agent.api.conditions.Reason`; empty unless failed."""
    message: str = ""
    """Cause and next step, at most 1024 characters."""
    samples_recorded: int = 0
    samples_shown: int = 0
    samples_out_of_scope: int = 0
    samples_lost: int = 0
    profile_bytes: int = 0
    """Size of the gzipped profile."""
    profile_sha256: str = ""
    """Hex digest of the gzipped profile; the gateway refuses a Succeeded report whose profile it doesn't hold."""
    event: str = ""
    """The event that perf really used, for example ``cpu-clock`` where cycles were asked for on a virtual machine."""
    perf_version: str = ""
    kernel: str = ""
    notices: tuple[str, ...] = ()
    """What a reader of the profile should know: lost ratio, hidden kernel symbols, skipped records."""

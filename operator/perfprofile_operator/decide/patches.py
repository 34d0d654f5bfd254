"""The difference between two statuses as a JSON merge patch (RFC 7396), of the fields that the operator owns and no others."""

from typing import Any, Final

import msgspec

from perfprofile_agent.api.profile import PerfProfileStatus
from perfprofile_agent.api.run import PerfProfileRunStatus

_RUN_FIELDS: Final = {
    "phase": "phase",
    "start_time": "startTime",
    "recording_time": "recordingTime",
    "deadline": "deadline",
    "completion_time": "completionTime",
    "conditions": "conditions",
}
_PROFILE_FIELDS: Final = {
    "observed_generation": "observedGeneration",
    "phase": "phase",
    "latest_run": "latestRun",
    "active_runs": "activeRuns",
    "last_run_time": "lastRunTime",
    "conditions": "conditions",
}


def run_status_patch(before: PerfProfileRunStatus, after: PerfProfileRunStatus) -> dict[str, Any]:
    """Give the patch; {} if nothing is to be written. The gateway's counts are never in it, whatever has become of them meanwhile."""
    patch = _patch(before, after, _RUN_FIELDS)
    if before.nodes.desired != after.nodes.desired:
        patch["nodes"] = {"desired": after.nodes.desired}
    return patch


def profile_status_patch(before: PerfProfileStatus, after: PerfProfileStatus) -> dict[str, Any]:
    """Give the patch; {} if nothing is to be written."""
    return _patch(before, after, _PROFILE_FIELDS)


def _patch(before: msgspec.Struct, after: msgspec.Struct, fields: dict[str, str]) -> dict[str, Any]:
    # A merge patch replaces lists whole, and null removes a field.
    changed = {name for name in fields if getattr(before, name) != getattr(after, name)}
    return {wire: msgspec.to_builtins(getattr(after, name)) for name, wire in fields.items() if name in changed}

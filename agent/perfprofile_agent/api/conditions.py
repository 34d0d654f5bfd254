"""How things stand: phases, conditions and the closed list of reasons, each with what it means and the next step."""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta


class Phase(StrEnum):
    """Where a run is."""

    PENDING = "Pending"
    RECORDING = "Recording"
    COLLECTING = "Collecting"
    SUCCEEDED = "Succeeded"
    PARTIALLY_SUCCEEDED = "PartiallySucceeded"
    FAILED = "Failed"
    DENIED = "Denied"
    CANCELLED = "Cancelled"

    @property
    def terminal(self) -> bool:
        """Whether a run in this phase stays in it for ever."""
        return self not in {Phase.PENDING, Phase.RECORDING, Phase.COLLECTING}


class ConditionType(StrEnum):
    """Types of conditions: Accepted stands on PerfProfiles, Placed on runs, Complete on both."""

    ACCEPTED = "Accepted"
    PLACED = "Placed"
    COMPLETE = "Complete"


class Status(StrEnum):
    """Status of a condition (meta/v1 ConditionStatus)."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One aspect of a resource's state (meta/v1 Condition)."""

    list_map_keys: ClassVar[tuple[str, ...]] = ("type",)

    type: Annotated[str, Meta(max_length=316, description="What the condition is about: Accepted, Placed or Complete.")]
    status: Annotated[Status, Meta(description="Whether it holds.")]
    reason: Annotated[
        str,
        Meta(min_length=1, max_length=128, pattern=r"^[A-Z][A-Za-z0-9]*$", description="One word out of the documented list of reasons."),
    ]
    message: Annotated[str, Meta(max_length=4096, description="The cause, and the next step.")] = ""
    last_transition_time: Annotated[str, Meta(description="When the status last changed.", extra_json_schema={"format": "date-time"})]
    observed_generation: Annotated[int, Meta(description="metadata.generation that the condition is about.")] = 0


class Reason(StrEnum):
    """Every reason that a condition, an Event, a node report or a node failure may carry. docs/reference/reasons.md is made from this list."""

    # Of a PerfProfile or a run
    ACCEPTED = "Accepted"
    NOT_YET_SUPPORTED = "NotYetSupported"
    INVALID_SPEC = "InvalidSpec"
    WAITING_FOR_AGENTS = "WaitingForAgents"
    RECORDING = "Recording"
    COLLECTING = "Collecting"
    SUCCEEDED = "Succeeded"
    SOME_NODES_FAILED = "SomeNodesFailed"
    ALL_NODES_FAILED = "AllNodesFailed"
    PLACED = "Placed"
    NO_MATCHING_PODS = "NoMatchingPods"
    PROFILE_DELETED = "ProfileDeleted"
    RUN_DELETED = "RunDeleted"
    RUN_CREATED = "RunCreated"
    RUN_REFUSED = "RunRefused"
    SUPERSEDED = "Superseded"
    GATEWAY_UNAVAILABLE = "GatewayUnavailable"

    # Of one node
    EVENT_NOT_SUPPORTED = "EventNotSupported"
    PERF_NOT_PERMITTED = "PerfNotPermitted"
    PERF_MISSING = "PerfMissing"
    PERF_FAILED = "PerfFailed"
    NO_SAMPLES = "NoSamples"
    TARGET_GONE = "TargetGone"
    CONVERSION_FAILED = "ConversionFailed"
    UPLOAD_REFUSED = "UploadRefused"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    POD_REJECTED = "PodRejected"
    AGENT_CRASHED = "AgentCrashed"
    NODE_NOT_READY = "NodeNotReady"
    NODE_LOST = "NodeLost"
    NODE_BUSY = "NodeBusy"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    INTERRUPTED = "Interrupted"


class Explanation(msgspec.Struct, frozen=True):
    """What a reason means, and what a reader of it can do."""

    meaning: str
    next_step: str


EXPLANATIONS: Final[dict[Reason, Explanation]] = {
    Reason.ACCEPTED: Explanation("The spec is valid and the namespace may ask for it.", "Nothing; a run follows."),
    Reason.NOT_YET_SUPPORTED: Explanation(
        "The spec asks for something that this version of the operator knows but can't do yet.",
        "Remove the field that the message names, or install a version that supports it.",
    ),
    Reason.INVALID_SPEC: Explanation(
        "The spec says something that can't be carried out.", "Correct the field that the message names and apply again."
    ),
    Reason.WAITING_FOR_AGENTS: Explanation(
        "Agent pods are being started on the chosen nodes.", "Wait; the kubelet starts them within seconds once the image is on the node."
    ),
    Reason.RECORDING: Explanation("perf is recording on at least one node.", "Wait until the window is over."),
    Reason.COLLECTING: Explanation(
        "The window is over; some nodes have not delivered yet.", "Wait; nodes that stay silent are given up at the deadline."
    ),
    Reason.SUCCEEDED: Explanation("Every chosen node delivered its profile.", "Read the profile; the run's status says how."),
    Reason.SOME_NODES_FAILED: Explanation(
        "Some nodes delivered their profile, others failed.",
        "Read the profile of the others; status.failures names the failed nodes with their reasons.",
    ),
    Reason.ALL_NODES_FAILED: Explanation("No node delivered a profile.", "See status.failures for each node's reason and next step."),
    Reason.PLACED: Explanation("The nodes that host target pods were chosen and agents were asked for.", "Nothing."),
    Reason.NO_MATCHING_PODS: Explanation(
        "No running pod of this namespace matches spec.target.",
        "Compare `kubectl get pods --show-labels` with spec.target.podSelector, containers and nodeSelector, then apply again.",
    ),
    Reason.PROFILE_DELETED: Explanation(
        "The PerfProfile was deleted while its run went on, so the run was cancelled.", "Apply the PerfProfile again to record anew."
    ),
    Reason.RUN_DELETED: Explanation(
        "The run was deleted before it ended, and its agents were removed.", "Delete the PerfProfile and apply it again to record anew."
    ),
    Reason.RUN_CREATED: Explanation("A run was made for the PerfProfile.", "Wait for it: kubectl get perfprofileruns."),
    Reason.RUN_REFUSED: Explanation(
        "The API server refused to create the run: a quota or an admission policy of the namespace stands against it.",
        "Read the API server's words in the message, change what they name, and wait: it is tried again every minute.",
    ),
    Reason.SUPERSEDED: Explanation(
        "The PerfProfile was changed while this run went on, so the run was cancelled.", "Look at the run of the new spec."
    ),
    Reason.GATEWAY_UNAVAILABLE: Explanation(
        "The gateway did not answer, so results of this run are unknown.",
        "Ask a cluster administrator to look at the perfprofile-gateway Deployment's pods and logs, then apply again.",
    ),
    Reason.EVENT_NOT_SUPPORTED: Explanation(
        "perf on the node does not know an event of spec.perf.events, or the hardware can't count it.",
        "Use events: [auto], or an event that `perf list` shows on that node. Virtual machines often have no hardware counters.",
    ),
    Reason.PERF_NOT_PERMITTED: Explanation(
        "The kernel refused perf: capabilities, seccomp, a security module or kernel.perf_event_paranoid stand against it.",
        "Check that the agent's pod has CAP_PERFMON (kernel 5.8 or later) and that no security profile denies perf_event_open.",
    ),
    Reason.PERF_MISSING: Explanation(
        "The perf program was not found where the agent runs.",
        "Use the project's image, or install the distribution's perf package (linux-perf, linux-tools).",
    ),
    Reason.PERF_FAILED: Explanation("perf ended with an error.", "Read perf's own words in the message."),
    Reason.NO_SAMPLES: Explanation(
        "perf ran but the target's containers used no CPU in the window, or the event never fired.",
        "Record while the workload is busy, record longer, or use another event.",
    ),
    Reason.TARGET_GONE: Explanation("The target's pods left the node before recording started.", "Apply again; the nodes are chosen anew."),
    Reason.CONVERSION_FAILED: Explanation(
        "perf's output could not be turned into a profile.", "Report it with the message, which names the record and offset."
    ),
    Reason.UPLOAD_REFUSED: Explanation("The profile was recorded, but the sink refused it.", "Read the sink's answer in the message."),
    Reason.IMAGE_PULL_FAILED: Explanation(
        "The node could not pull the agent's image.", "Check the image name, the registry and the pull secrets in the chart's values."
    ),
    Reason.POD_REJECTED: Explanation(
        "The agent's pod was refused, or could not start.",
        "Read the message; Pod Security or a quota in the agents' namespace may stand against it.",
    ),
    Reason.AGENT_CRASHED: Explanation(
        "The agent's container ended again and again.", "Look at its log: kubectl logs in the agents' namespace."
    ),
    Reason.NODE_NOT_READY: Explanation("The node was not ready to start an agent.", "Look at the node: kubectl describe node."),
    Reason.NODE_LOST: Explanation("The node left the cluster during the run.", "Apply again; the nodes are chosen anew."),
    Reason.NODE_BUSY: Explanation("All recording slots of the node were taken by other runs.", "Apply again later."),
    Reason.DEADLINE_EXCEEDED: Explanation(
        "The node did not report before the run's deadline.", "Look at the agent's pod on that node and at its events, then apply again."
    ),
    Reason.INTERRUPTED: Explanation("The agent was stopped before its window was over.", "Apply again."),
}

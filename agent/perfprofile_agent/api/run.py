"""PerfProfileRun: one execution of a PerfProfile, made by the operator as a Job is made under a CronJob."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from perfprofile_agent.api.conditions import Condition
from perfprofile_agent.api.profile import Duration, LabelText, Model, Name, Perf, Target
from perfprofile_agent.api.schema import Rule

MAX_FAILURES = 20
"""How many node failures a run's status names; the gateway keeps all of them."""


class PerfProfileRunSpec(Model, frozen=True, kw_only=True):
    """What this run records: a copy of its PerfProfile's spec at the time it was made, never changed afterwards."""

    validations: ClassVar[tuple[Rule, ...]] = (Rule("self == oldSelf", "the spec of a run never changes: apply the PerfProfile anew"),)

    profile: Annotated[Name, Meta(description="Name of the PerfProfile, in this namespace.")]
    target: Annotated[Target, Meta(description="Whose samples are recorded.")] = Target()
    perf: Annotated[Perf, Meta(description="What perf records.")] = Perf()
    duration: Annotated[Duration, Meta(description="How long the window records.")] = "30s"
    sinks: Annotated[tuple[Name, ...], Meta(description="Where profiles are delivered.", min_length=1, max_length=8)] = ("store",)
    labels: Annotated[dict[LabelText, LabelText], Meta(description="Labels added to every sample.", max_length=32)] = msgspec.field(
        default_factory=dict
    )
    ttl_after_finished: Annotated[Duration, Meta(description="How long the finished run is kept.")] = "168h"


class NodeCounts(Model, frozen=True, kw_only=True):
    """How many nodes stand where. `desired` is the operator's, the others are counted by the gateway from the node reports."""

    desired: Annotated[int, Meta(description="Nodes chosen when the run was placed.")] = 0
    recording: Annotated[int, Meta(description="Nodes on which perf records now.")] = 0
    succeeded: Annotated[int, Meta(description="Nodes that delivered a profile.")] = 0
    failed: Annotated[int, Meta(description="Nodes that ended without a profile.")] = 0


class SampleCounts(Model, frozen=True, kw_only=True):
    """What became of the samples of all nodes: recorded = shown + outOfScope; lost ones were never recorded."""

    recorded: Annotated[int, Meta(description="Samples perf delivered.")] = 0
    shown: Annotated[int, Meta(description="Samples in the profile.")] = 0
    out_of_scope: Annotated[int, Meta(description="Samples dropped because they belong to no target container.")] = 0
    lost: Annotated[int, Meta(description="Samples the kernel lost because perf could not keep up.")] = 0


class NodeFailure(Model, frozen=True, kw_only=True):
    """Why one node has no profile."""

    node: Annotated[str, Meta(max_length=253, description="Name of the node.")]
    reason: Annotated[str, Meta(max_length=128, description="One word out of the documented list of reasons.")]
    message: Annotated[str, Meta(max_length=1024, description="The cause, and the next step.")] = ""


class PerfProfileRunStatus(Model, frozen=True, kw_only=True):
    """How the run goes. The gateway writes nodes.recording/succeeded/failed, samples and failures; the operator writes the rest."""

    phase: Annotated[
        str, Meta(description="Pending, Recording, Collecting, Succeeded, PartiallySucceeded, Failed, Denied or Cancelled.")
    ] = ""
    start_time: Annotated[str, Meta(description="When agents were asked for.", extra_json_schema={"format": "date-time"})] | None = None
    recording_time: (
        Annotated[str, Meta(description="When the first node was seen recording.", extra_json_schema={"format": "date-time"})] | None
    ) = None
    deadline: (
        Annotated[str, Meta(description="When nodes that have not reported are given up.", extra_json_schema={"format": "date-time"})]
        | None
    ) = None
    completion_time: Annotated[str, Meta(description="When the run ended.", extra_json_schema={"format": "date-time"})] | None = None
    nodes: Annotated[NodeCounts, Meta(description="How many nodes stand where.")] = NodeCounts()
    samples: Annotated[SampleCounts, Meta(description="What became of the samples, over all nodes.")] = SampleCounts()
    failures: Annotated[tuple[NodeFailure, ...], Meta(description="The first 20 nodes that failed.", max_length=MAX_FAILURES)] = ()
    profile_path: Annotated[
        str, Meta(description="Where the merged profile is: a path for `kubectl get --raw`; the page is beside it under /flamegraph.")
    ] = ""
    conditions: Annotated[tuple[Condition, ...], Meta(description="Placed: nodes were chosen. Complete: the run is over, and how.")] = ()

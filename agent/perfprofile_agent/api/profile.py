"""PerfProfile: what a team applies in its own namespace to ask for profiles of its pods."""

from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from perfprofile_agent.api import durations
from perfprofile_agent.api.conditions import Condition
from perfprofile_agent.api.schema import Rule

Duration = Annotated[str, Meta(pattern=durations.PATTERN, max_length=32)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", max_length=253)]
LabelText = Annotated[str, Meta(max_length=253)]


class Model(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The shape all resource models share: immutable, camelCase on the wire, absent where the default holds."""


class CallGraph(StrEnum):
    """How perf gathers the callers of a sampled function (``perf record --call-graph``)."""

    FRAME_POINTER = "FramePointer"
    DWARF = "Dwarf"
    LBR = "LBR"
    NONE = "None"


class ConcurrencyPolicy(StrEnum):
    """What happens when a scheduled run is due while the last one still goes on; the words of CronJob."""

    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"


class SelectorOperator(StrEnum):
    """Operators of a label selector's expressions (Kubernetes meta/v1 LabelSelectorRequirement)."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelSelectorRequirement(Model, frozen=True, kw_only=True):
    """One expression of a label selector."""

    validations: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
            "In and NotIn need values, Exists and DoesNotExist take none",
        ),
    )

    key: Annotated[LabelText, Meta(description="Label key that the expression is about.")]
    operator: Annotated[SelectorOperator, Meta(description="How the label's value is compared with the values.")]
    values: Annotated[
        tuple[LabelText, ...], Meta(description="Values for In and NotIn; empty for Exists and DoesNotExist.", max_length=64)
    ] = ()


class LabelSelector(Model, frozen=True, kw_only=True):
    """Which pods are meant, as in meta/v1 LabelSelector; the empty selector means every pod of the namespace."""

    match_labels: Annotated[
        dict[LabelText, LabelText], Meta(description="Labels that a pod must carry, each with this value.", max_length=64)
    ] = msgspec.field(default_factory=dict)
    match_expressions: Annotated[
        tuple[LabelSelectorRequirement, ...], Meta(description="Further requirements, all of which must hold.", max_length=64)
    ] = ()


class NodeSample(Model, frozen=True, kw_only=True):
    """How many of the nodes that host target pods are profiled; exactly one of count and percent."""

    validations: ClassVar[tuple[Rule, ...]] = (Rule("has(self.count) != has(self.percent)", "set exactly one of count and percent"),)

    count: Annotated[int, Meta(ge=1, le=100_000, description="This many nodes, or all if there are fewer.")] | None = None
    percent: Annotated[int, Meta(ge=1, le=100, description="This share of the nodes, rounded up.")] | None = None


class Target(Model, frozen=True, kw_only=True):
    """The pods, containers and nodes whose samples the profile may show; never another namespace's."""

    pod_selector: Annotated[LabelSelector, Meta(description="Pods of this namespace to profile; {} means every pod of this namespace.")] = (
        LabelSelector()
    )
    containers: Annotated[
        tuple[Name, ...], Meta(description="Only these containers of the pods; absent means all of them.", max_length=64)
    ] = ()
    node_selector: Annotated[dict[LabelText, LabelText], Meta(description="Only nodes that carry these labels.", max_length=64)] = (
        msgspec.field(default_factory=dict)
    )
    node_sample: (
        Annotated[
            NodeSample, Meta(description="Only a random sample of the nodes that host target pods; the choice is stable within a run.")
        ]
        | None
    ) = None


class Perf(Model, frozen=True, kw_only=True):
    """What perf records."""

    validations: ClassVar[tuple[Rule, ...]] = (
        Rule("!(has(self.frequency) && has(self.period))", "frequency and period exclude each other: set one of them"),
        # perf takes a name that ends in .c or .o for a program to compile and load into the kernel.
        # `has` because the API server checks rules against the default of the field, {}, before it fills in events.
        Rule(
            "!has(self.events) || !self.events.exists(e, e.matches('[.](c|o|bpf)($|[:/,])'))",
            "events are names that `perf list` shows, never files",
        ),
    )

    events: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:/=,@-]*$")], ...],
        Meta(
            description="Events as `perf list` names them. `auto` takes the first of cycles, cpu-clock and task-clock that yields samples on the node.",
            min_length=1,
            max_length=8,
        ),
    ] = ("auto",)
    frequency: (
        Annotated[int, Meta(ge=1, le=10_000, description="Samples a second and CPU. Absent means 99, unless a period is set.")] | None
    ) = None
    period: (
        Annotated[int, Meta(ge=1, le=2**53, description="Take a sample each time this many events have happened; excludes frequency.")]
        | None
    ) = None
    call_graph: Annotated[
        CallGraph,
        Meta(
            description="How callers are found: FramePointer (cheap), Dwarf (costly, for code built without frame pointers), LBR (Intel hardware), None."
        ),
    ] = CallGraph.FRAME_POINTER
    kernel_frames: Annotated[bool, Meta(description="Whether samples and frames of the kernel are kept.")] = True
    extra_args: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...],
        Meta(description="Further options of `perf record`, out of those the policy allows.", max_length=16),
    ] = ()


DEFAULT_FREQUENCY = 99
"""Hz; odd, so that sampling doesn't run in step with timers of 100 or 1000 Hz."""


class Schedule(Model, frozen=True, kw_only=True):
    """When runs start, with the fields and the rules of CronJob."""

    cron: Annotated[
        str, Meta(min_length=1, max_length=128, description="When to start, as five cron fields, for example `*/15 8-18 * * 1-5`.")
    ]
    time_zone: (
        Annotated[str, Meta(max_length=64, description="Time zone of the cron fields, by its IANA name; absent means UTC.")] | None
    ) = None
    concurrency_policy: Annotated[ConcurrencyPolicy, Meta(description="What happens when a run is due while the last one goes on.")] = (
        ConcurrencyPolicy.FORBID
    )
    starting_deadline: Annotated[Duration, Meta(description="How late a run may start; later it is counted as missed.")] | None = None
    suspend: Annotated[bool, Meta(description="True starts no further runs until it is false again.")] = False
    successful_runs_history_limit: Annotated[int, Meta(ge=0, le=100, description="How many succeeded runs are kept.")] = 3
    failed_runs_history_limit: Annotated[int, Meta(ge=0, le=100, description="How many failed runs are kept.")] = 1


class PacedBy(StrEnum):
    """Who sets the cadence of a continuous profile."""

    CLOUD_PROFILER = "CloudProfiler"


class Continuous(Model, frozen=True, kw_only=True):
    """Profiles window after window until the PerfProfile is deleted."""

    every: Annotated[Duration, Meta(description="How often a window starts; its length is spec.duration.")] = "60s"
    paced_by: Annotated[PacedBy, Meta(description="Lets a service set cadence and duration in place of every.")] | None = None


class PerfProfileSpec(Model, frozen=True, kw_only=True):
    """What to profile, how, when, and where the profiles go."""

    validations: ClassVar[tuple[Rule, ...]] = (
        Rule("!(has(self.schedule) && has(self.continuous))", "schedule and continuous exclude each other: set one of them"),
        Rule("duration(self.duration) >= duration('1s') && duration(self.duration) <= duration('1h')", "duration is between 1s and 1h"),
        Rule(
            "!has(self.labels) || !self.labels.exists(key, key in ['namespace', 'pod', 'container', 'node', 'comm', 'pid', 'tid'])",
            "labels: namespace, pod, container, node, comm, pid and tid are set by PerfProfile itself; use other names",
        ),
    )

    target: Annotated[Target, Meta(description="Whose samples are recorded.")] = Target()
    perf: Annotated[Perf, Meta(description="What perf records.")] = Perf()
    duration: Annotated[Duration, Meta(description="How long a window records, for example 30s.")] = "30s"
    schedule: Annotated[Schedule, Meta(description="Runs at set times; absent means one run now.")] | None = None
    continuous: Annotated[Continuous, Meta(description="Records window after window; excludes schedule.")] | None = None
    sinks: Annotated[
        tuple[Name, ...], Meta(description="Names of the PerfProfileSinks that profiles are delivered to.", min_length=1, max_length=8)
    ] = ("store",)
    labels: Annotated[
        dict[LabelText, LabelText], Meta(description="Labels added to every sample of the profiles, for example team.", max_length=32)
    ] = msgspec.field(default_factory=dict)
    ttl_after_finished: Annotated[
        Duration, Meta(description="How long a finished run is kept before it is deleted together with its profiles.")
    ] = "168h"


class PerfProfileStatus(Model, frozen=True, kw_only=True):
    """What became of a PerfProfile; written by the operator."""

    observed_generation: Annotated[int, Meta(description="metadata.generation that this status is about.")] = 0
    phase: Annotated[str, Meta(description="Phase of the latest run, or Refused.")] = ""
    latest_run: Annotated[str, Meta(description="Name of the latest PerfProfileRun, in this namespace.")] = ""
    active_runs: Annotated[int, Meta(description="How many runs go on now.")] = 0
    last_run_time: Annotated[str, Meta(description="When the latest run was made.", extra_json_schema={"format": "date-time"})] | None = (
        None
    )
    conditions: Annotated[
        tuple[Condition, ...], Meta(description="Accepted: the spec is valid and allowed. Complete: the latest run is over, and how.")
    ] = ()

"""Whether a PerfProfile's spec can be carried out. A list of checks; the first that objects gives reason and message.

The CRD's schema and rules say much of this earlier, at `kubectl apply`. They are said again here because a CRD may be older than the
operator, and because objects that were there before a rule came are never checked against it by the API server.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.api.durations import parse_duration
from perfprofile_agent.api.profile import PerfProfileSpec, SelectorOperator

STORE: Final = "store"
MIN_DURATION, MAX_DURATION = 1.0, 3600.0
"""Seconds; below a second a window holds next to nothing, above an hour it hides more than it shows."""
RESERVED_LABELS: Final = frozenset({"namespace", "pod", "container", "node", "comm", "pid", "tid"})
"""Labels that say where a sample is from: nobody may write them by hand."""


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """The spec can be carried out."""

    spec: PerfProfileSpec


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The spec can't be carried out, and why; the message names the field and the next step."""

    reason: Reason
    message: str


def admit(raw_spec: Mapping[str, Any]) -> Accepted | Refused:
    """Judge a spec as it was written."""
    try:
        spec = msgspec.convert(raw_spec, PerfProfileSpec)
    except msgspec.ValidationError as error:
        return Refused(reason=Reason.INVALID_SPEC, message=f"{_place(str(error))}. Correct it and apply again.")
    for check in _CHECKS:
        refusal = check(spec)
        if refusal is not None:
            return refusal
    return Accepted(spec=spec)


def _place(error: str) -> str:
    """Turn msgspec's ``Expected `int` <= 10000 - at `$.perf.frequency``` into a sentence that starts with the field."""
    found = re.fullmatch(r"(?P<what>.*) - at `(?:key in )?\$(?P<path>[^`]*)`", error, re.DOTALL)
    if found is None:
        return f"spec: {error}"
    return f"spec{found['path']}: {found['what'].replace('`', '')}"


def _invalid(message: str) -> Refused:
    return Refused(reason=Reason.INVALID_SPEC, message=message)


def _unsupported(field: str, instead: str) -> Refused:
    return Refused(
        reason=Reason.NOT_YET_SUPPORTED, message=f"spec.{field} is not supported by this version yet. {instead} and apply again."
    )


def _schedule(spec: PerfProfileSpec) -> Refused | None:
    """Make sure that nobody waits for a schedule that nobody keeps."""
    return None if spec.schedule is None else _unsupported("schedule", "Remove it, which records once when applied,")


def _continuous(spec: PerfProfileSpec) -> Refused | None:
    """Make sure that nobody waits for windows that nobody starts."""
    return None if spec.continuous is None else _unsupported("continuous", "Remove it, which records once when applied,")


def _extra_args(spec: PerfProfileSpec) -> Refused | None:
    """Make sure that no text from a namespace reaches perf's command line."""
    return None if not spec.perf.extra_args else _unsupported("perf.extraArgs", "Remove it")


def _duration(spec: PerfProfileSpec) -> Refused | None:
    """Make sure that the window is neither empty nor endless."""
    seconds = parse_duration(spec.duration)
    if MIN_DURATION <= seconds <= MAX_DURATION:
        return None
    return _invalid(f"spec.duration: {spec.duration} is not between 1s and 1h. Choose a duration in between and apply again.")


def _rate(spec: PerfProfileSpec) -> Refused | None:
    """Make sure that perf is told one rate."""
    if spec.perf.frequency is None or spec.perf.period is None:
        return None
    return _invalid("spec.perf: frequency and period exclude each other. Remove one of them and apply again.")


def _events(spec: PerfProfileSpec) -> Refused | None:
    """Make sure that no event is a file: perf compiles and loads names that end in .c, .o or .bpf."""
    files = [event for event in spec.perf.events if re.search(r"\.(c|o|bpf)($|[:/,])", event)]
    return _invalid(f"spec.perf.events: {files[0]} names a file. Use names that `perf list` shows and apply again.") if files else None


def _sinks(spec: PerfProfileSpec) -> Refused | None:
    """Make sure that profiles go where somebody takes them."""
    unknown = [sink for sink in spec.sinks if sink != STORE]
    return _invalid(f"spec.sinks: no sink named {unknown[0]!r}. Use sinks: [{STORE}] and apply again.") if unknown else None


def _node_sample(spec: PerfProfileSpec) -> Refused | None:
    """Make sure that a sample has one size."""
    sample = spec.target.node_sample
    if sample is None or (sample.count is None) != (sample.percent is None):
        return None
    return _invalid("spec.target.nodeSample: set exactly one of count and percent, and apply again.")


def _selector(spec: PerfProfileSpec) -> Refused | None:
    """Make sure that the selector can be asked of the API server."""
    for requirement in spec.target.pod_selector.match_expressions:
        listing = requirement.operator in {SelectorOperator.IN, SelectorOperator.NOT_IN}
        if listing != bool(requirement.values):
            needs = "needs values" if listing else "takes no values"
            place = "spec.target.podSelector.matchExpressions"
            return _invalid(f"{place}: {requirement.operator} of {requirement.key} {needs}. Correct it and apply again.")
    return None


def _labels(spec: PerfProfileSpec) -> Refused | None:
    """Make sure that nobody says by hand where samples are from."""
    taken = sorted(RESERVED_LABELS & set(spec.labels))
    return _invalid(f"spec.labels: {taken[0]} is set by PerfProfile itself. Use another name and apply again.") if taken else None


_CHECKS: Final[tuple[Callable[[PerfProfileSpec], Refused | None], ...]] = (
    _schedule,
    _continuous,
    _extra_args,
    _duration,
    _rate,
    _events,
    _sinks,
    _node_sample,
    _selector,
    _labels,
)

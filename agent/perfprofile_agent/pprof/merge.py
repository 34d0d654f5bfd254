"""One profile out of many: of several nodes, or of several windows."""

from collections.abc import Iterable

from perfprofile_agent.pprof.builder import NO_MAPPING, Builder, MappingIndex
from perfprofile_agent.pprof.errors import ProfileError
from perfprofile_agent.pprof.model import Line, Profile, ValueType


def merge(profiles: Iterable[Profile]) -> Profile:
    """Add up profiles. Equal stacks with equal labels become one sample, so the order changes positions, never numbers.

    Sample types are united: a node that could only count ``cpu-clock`` and one that counted ``cycles`` give a profile with both, and
    zeros where a node has no such number. As in Go's profile.Merge the time is the earliest, durations are added (they are
    node-seconds then), the period is the longest; it is dropped where profiles disagree on what it counts. Raises ProfileError
    for no profiles at all, and for one sample type in two units.
    """
    parts = list(profiles)
    if not parts:
        raise ProfileError("there is nothing to merge")
    types = _united_types(parts)
    builder = Builder(types)
    columns = {value_type: column for column, value_type in enumerate(types)}
    for part in parts:
        _add(builder, part, columns)
    period_types = {part.period_type for part in parts}
    same_period = len(period_types) == 1
    return builder.build(
        default_sample_type=next((part.default_sample_type for part in parts if part.default_sample_type), ""),
        time_nanos=min((part.time_nanos for part in parts if part.time_nanos), default=0),
        duration_nanos=sum(part.duration_nanos for part in parts),
        period_type=period_types.pop() if same_period else None,
        period=max(part.period for part in parts) if same_period else 0,
        comments=tuple(dict.fromkeys(comment for part in parts for comment in part.comments)),
    )


def _united_types(parts: list[Profile]) -> tuple[ValueType, ...]:
    types = tuple(dict.fromkeys(value_type for part in parts for value_type in part.sample_types))
    units: dict[str, str] = {}
    for value_type in types:
        if units.setdefault(value_type.type, value_type.unit) != value_type.unit:
            raise ProfileError(f"{value_type.type} is in {units[value_type.type]} here and in {value_type.unit} there")
    return types


def _add(builder: Builder, part: Profile, columns: dict[ValueType, int]) -> None:
    mappings = [builder.mapping(mapping) for mapping in part.mappings]
    functions = [builder.function(function) for function in part.functions]
    locations = [
        builder.location(
            MappingIndex(mappings[location.mapping]) if location.mapping >= 0 else NO_MAPPING,
            location.address,
            tuple(Line(functions[line.function], line.line) for line in location.lines),
        )
        for location in part.locations
    ]
    at = [columns[value_type] for value_type in part.sample_types]
    straight = at == list(range(len(at)))
    for sample in part.samples:
        stack = tuple([locations[index] for index in sample.locations])
        if straight:
            builder.add(stack, sample.labels, 0, sample.values)
            continue
        for column, value in zip(at, sample.values, strict=True):
            builder.add(stack, sample.labels, column, (value,))

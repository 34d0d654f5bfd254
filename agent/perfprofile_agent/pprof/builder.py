"""Builds profiles: everything that is added is kept once, equal samples are added up; the result has passed its checks.

The same input in the same order gives the same profile, byte for byte.
"""

from collections.abc import Sequence
from typing import NewType, TypeVar

from perfprofile_agent.pprof.check import check
from perfprofile_agent.pprof.model import Function, Label, Line, Location, Mapping, Profile, Sample, ValueType

MappingIndex = NewType("MappingIndex", int)
FunctionIndex = NewType("FunctionIndex", int)
LocationIndex = NewType("LocationIndex", int)

NO_MAPPING = MappingIndex(-1)

_Kept = TypeVar("_Kept", Mapping, Function, Location)


def _index(table: dict[_Kept, int], value: _Kept) -> int:
    return table.setdefault(value, len(table))


class Builder:
    """Add mappings, functions and locations as they are met; each gives the index to refer to it by."""

    def __init__(self, sample_types: Sequence[ValueType]) -> None:
        self._types = tuple(sample_types)
        self._mappings: dict[Mapping, int] = {}
        self._functions: dict[Function, int] = {}
        self._locations: dict[Location, int] = {}
        self._samples: dict[tuple[tuple[int, ...], tuple[Label, ...]], list[int]] = {}

    def mapping(self, mapping: Mapping) -> MappingIndex:
        """Keep a mapping."""
        return MappingIndex(_index(self._mappings, mapping))

    def function(self, function: Function) -> FunctionIndex:
        """Keep a function."""
        return FunctionIndex(_index(self._functions, function))

    def location(self, mapping: MappingIndex, address: int, lines: tuple[Line, ...]) -> LocationIndex:
        """Keep a location."""
        return LocationIndex(_index(self._locations, Location(mapping, address, lines)))

    def add(self, locations: tuple[int, ...], labels: tuple[Label, ...], column: int, values: Sequence[int]) -> None:
        """Add ``values`` to the sample types from ``column`` on, for the stack ``locations`` (leaf first) with these labels."""
        row = self._samples.get((locations, labels))
        if row is None:
            row = self._samples[locations, labels] = [0] * len(self._types)
        for index, value in enumerate(values, column):
            row[index] += value

    def build(
        self,
        *,
        default_sample_type: str = "",
        time_nanos: int = 0,
        duration_nanos: int = 0,
        period_type: ValueType | None = None,
        period: int = 0,
        comments: Sequence[str] = (),
    ) -> Profile:
        """The profile; raises ProfileError if what was added doesn't fit together."""
        profile = Profile(
            sample_types=self._types,
            samples=tuple(Sample(locations, tuple(row), labels) for (locations, labels), row in self._samples.items()),
            mappings=tuple(self._mappings),
            locations=tuple(self._locations),
            functions=tuple(self._functions),
            default_sample_type=default_sample_type,
            time_nanos=time_nanos,
            duration_nanos=duration_nanos,
            period_type=period_type,
            period=period,
            comments=tuple(comments),
        )
        check(profile)
        return profile

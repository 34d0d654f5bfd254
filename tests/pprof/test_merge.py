"""Merging: a sum, whatever the order."""

from collections import Counter

import pytest
from hypothesis import given

from perfprofile_agent.pprof.errors import ProfileError
from perfprofile_agent.pprof.merge import merge
from perfprofile_agent.pprof.model import Label, Location, Profile, Sample, ValueType
from perfprofile_agent.pprof.text import text
from support.anyprofile import profiles
from support.steady import steady

SAMPLES = ValueType("samples", "count")
CPU = ValueType("cpu", "nanoseconds")
CYCLES = ValueType("cycles", "count")


def content(profile: Profile) -> Counter[tuple[object, ...]]:
    """All numbers by what they are about, free of positions."""
    found: Counter[tuple[object, ...]] = Counter()
    for sample in profile.samples:
        stack = tuple(
            (
                profile.mappings[location.mapping] if location.mapping >= 0 else None,
                location.address,
                tuple((profile.functions[line.function], line.line) for line in location.lines),
            )
            for location in (profile.locations[index] for index in sample.locations)
        )
        for kind, value in zip(profile.sample_types, sample.values, strict=True):
            found[kind, stack, sample.labels] += value
    return Counter({key: value for key, value in found.items() if value})


def summed(*parts: Profile) -> dict[tuple[object, ...], int]:
    total: dict[tuple[object, ...], int] = {}
    for part in parts:
        for key, value in content(part).items():
            total[key] = total.get(key, 0) + value
    return {key: value for key, value in total.items() if value}


@steady
@given(profiles(), profiles())
def test_a_merged_profile_is_the_sum(one: Profile, other: Profile) -> None:
    assert summed(one, other) == dict(content(merge([one, other])))


@steady
@given(profiles(), profiles())
def test_the_order_changes_no_number(one: Profile, other: Profile) -> None:
    assert content(merge([one, other])) == content(merge([other, one]))


@steady
@given(profiles(), profiles(), profiles())
def test_merging_by_steps_gives_the_same(one: Profile, two: Profile, three: Profile) -> None:
    at_once, by_steps = merge([one, two, three]), merge([merge([one, two]), three])

    assert content(at_once) == content(by_steps)
    assert at_once.duration_nanos == by_steps.duration_nanos
    assert at_once.time_nanos == by_steps.time_nanos
    assert at_once.comments == by_steps.comments


@steady
@given(profiles())
def test_one_profile_merged_says_the_same(profile: Profile) -> None:
    assert content(profile) == content(merge([profile]))
    assert text(profile).splitlines()[0] == text(merge([profile])).splitlines()[0] or len(set(profile.comments)) != len(profile.comments)


def test_equal_stacks_of_two_nodes_stay_apart_by_their_labels() -> None:
    parts = [
        Profile((SAMPLES,), (Sample((0,), (count,), (Label("node", node),)),), locations=(Location(-1, 1),))
        for node, count in (("a", 1), ("b", 2), ("a", 4))
    ]

    assert {sample.labels[0].text: sample.values for sample in merge(parts).samples} == {"a": (5,), "b": (2,)}


def test_nodes_with_other_events_give_columns_of_their_own() -> None:
    clock = Profile((SAMPLES, CPU), (Sample((), (1, 10)),), default_sample_type="cpu", period_type=CPU, period=10)
    counter = Profile((CYCLES, SAMPLES), (Sample((), (700, 1)),), default_sample_type="cycles", period_type=CYCLES, period=9)

    merged = merge([clock, counter])

    assert merged.sample_types == (SAMPLES, CPU, CYCLES)
    assert merged.samples == (Sample((), (2, 10, 700)),)
    assert merged.default_sample_type == "cpu"
    assert (merged.period_type, merged.period) == (None, 0)


def test_times_are_the_earliest_and_the_sum() -> None:
    parts = [Profile((SAMPLES,), time_nanos=time, duration_nanos=5, period_type=SAMPLES, period=time) for time in (0, 30, 20)]

    merged = merge(parts)

    assert (merged.time_nanos, merged.duration_nanos, merged.period) == (20, 15, 30)


def test_what_cannot_be_added_is_refused() -> None:
    with pytest.raises(ProfileError, match="nothing"):
        merge([])
    with pytest.raises(ProfileError, match="count here and in bytes there"):
        merge([Profile((SAMPLES,)), Profile((ValueType("samples", "bytes"),))])

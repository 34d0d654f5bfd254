"""The rules a profile must keep for every reader to accept it: those of Go's profile.CheckValid, in terms of our model."""

from perfprofile_agent.pprof.errors import ProfileError
from perfprofile_agent.pprof.model import Profile


def check(profile: Profile) -> None:
    """Raise ProfileError, naming the first thing that is wrong."""
    _check_types(profile)
    _check_samples(profile)
    _check_locations(profile)


def _check_types(profile: Profile) -> None:
    names = [value_type.type for value_type in profile.sample_types]
    if not names and profile.samples:
        raise ProfileError("it has samples but no sample types")
    # Not Go's rule, but pprof's: `-sample_index` could not tell them apart.
    if len(set(names)) != len(names):
        raise ProfileError(f"two sample types of one name among {names}")
    if profile.default_sample_type and profile.default_sample_type not in names:
        raise ProfileError(f"default sample type {profile.default_sample_type!r} is none of {names}")


def _check_samples(profile: Profile) -> None:
    width = len(profile.sample_types)
    count = len(profile.locations)
    for index, sample in enumerate(profile.samples):
        if len(sample.values) != width:
            raise ProfileError(f"sample {index} has {len(sample.values)} values for {width} sample types")
        if sample.locations and not (min(sample.locations) >= 0 and max(sample.locations) < count):
            raise ProfileError(f"sample {index} refers to a location that isn't there (there are {count})")


def _check_locations(profile: Profile) -> None:
    mappings, functions = len(profile.mappings), len(profile.functions)
    for index, location in enumerate(profile.locations):
        if not -1 <= location.mapping < mappings:
            raise ProfileError(f"location {index} refers to mapping {location.mapping} (there are {mappings})")
        for line in location.lines:
            if not 0 <= line.function < functions:
                raise ProfileError(f"location {index} refers to function {line.function} (there are {functions})")

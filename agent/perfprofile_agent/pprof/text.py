"""A profile as text, for people and for golden files: every fact once, nothing but the profile decides the order of lines."""

from collections.abc import Iterator

from perfprofile_agent.pprof.model import Label, Location, Mapping, Profile


def text(profile: Profile) -> str:
    """Header, samples, mappings. Samples are sorted, so two profiles with the same content give the same text."""
    return (
        "\n".join([*_header(profile), "Samples:", *sorted(_samples(profile)), "Mappings:", *sorted(map(_mapping, profile.mappings))]) + "\n"
    )


def _header(profile: Profile) -> Iterator[str]:
    for comment in profile.comments:
        yield f"Comment: {comment}"
    if profile.period_type is not None:
        yield f"Period: {profile.period} {profile.period_type.type}/{profile.period_type.unit}"
    if profile.time_nanos:
        yield f"Time: {profile.time_nanos}"
    if profile.duration_nanos:
        yield f"Duration: {profile.duration_nanos}"
    kinds = (f"{kind}/{unit}{'[dflt]' if kind == profile.default_sample_type else ''}" for kind, unit in profile.sample_types)
    yield "Types: " + " ".join(kinds)


def _samples(profile: Profile) -> Iterator[str]:
    frames = [_location(profile, location) for location in profile.locations]
    for sample in profile.samples:
        values = " ".join(map(str, sample.values))
        labels = " ".join(map(_label, sample.labels))
        stack = "; ".join(frames[index] for index in sample.locations)
        yield f"{values}: {stack}" + (f" {{{labels}}}" if labels else "")


def _label(label: Label) -> str:
    return f"{label.key}={label.text}" if label.text else f"{label.key}={label.number}{label.unit}"


def _location(profile: Profile, location: Location) -> str:
    """Functions of a location, innermost first, then where it is."""
    names = "<".join(profile.functions[line.function].name + (f":{line.line}" if line.line else "") for line in location.lines)
    file = profile.mappings[location.mapping].filename if location.mapping >= 0 else ""
    return f"{names or '?'} ({file}@{location.address:#x})"


def _mapping(mapping: Mapping) -> str:
    flags = "".join(
        mark for mark, on in (("[FN]", mapping.has_functions), ("[FL]", mapping.has_filenames), ("[LN]", mapping.has_line_numbers)) if on
    )
    return f"{mapping.start:#x}/{mapping.limit:#x}/{mapping.offset:#x} {mapping.filename} {mapping.build_id} {flags}".rstrip()

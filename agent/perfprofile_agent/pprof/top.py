"""The hottest functions of a profile, as a table: what ``pprof -top`` prints."""

from collections import Counter
from typing import NamedTuple

from perfprofile_agent.pprof.errors import ProfileError
from perfprofile_agent.pprof.model import Profile, ValueType

UNNAMED = "[unknown]"


class Row(NamedTuple):
    """A function: ``flat`` is what was spent in it, ``cum`` what was spent in it and in all it called."""

    name: str
    flat: int
    cum: int


class Top(NamedTuple):
    """Rows by descending flat value, then cum, then name; ``total`` is that of the whole profile, not only of the rows."""

    sample_type: ValueType
    total: int
    rows: tuple[Row, ...]


def top(profile: Profile, *, sample_type: str = "", limit: int = 20) -> Top:
    """The ``limit`` hottest functions. ``sample_type`` names what is counted, by default the profile's default type.

    Recursive functions count once per sample in ``cum``. Raises ProfileError for a sample type that isn't there.
    """
    column = column_of(profile, sample_type)
    names = [_names(profile, index) for index in range(len(profile.locations))]
    flat: Counter[str] = Counter()
    cum: Counter[str] = Counter()
    total = 0
    for sample in profile.samples:
        value = sample.values[column]
        total += value
        if value == 0 or not sample.locations:
            continue
        flat[names[sample.locations[0]][0]] += value
        for name in {name for index in sample.locations for name in names[index]}:
            cum[name] += value
    rows = sorted((Row(name, flat[name], cum[name]) for name in cum), key=lambda row: (-row.flat, -row.cum, row.name))
    return Top(profile.sample_types[column], total, tuple(rows[:limit]))


def column_of(profile: Profile, sample_type: str = "") -> int:
    """Position of a sample type among a sample's values; without a name that of the default, else the last, as pprof has it."""
    names = [value_type.type for value_type in profile.sample_types]
    wanted = sample_type or profile.default_sample_type
    if not wanted and names:
        return len(names) - 1
    if wanted not in names:
        raise ProfileError(f"it has no sample type {wanted!r}, only {names}")
    return names.index(wanted)


def _names(profile: Profile, index: int) -> tuple[str, ...]:
    """Names of a location's functions, innermost first; never empty."""
    lines = profile.locations[index].lines
    return tuple(profile.functions[line.function].name for line in lines) or (UNNAMED,)


_SCALES = {"nanoseconds": ((3_600_000_000_000, "h"), (60_000_000_000, "min"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"))}


def amount(value: int, unit: str) -> str:
    """A value for people: ``2.35s`` for nanoseconds, the plain number for counts."""
    for size, name in _SCALES.get(unit, ()):
        if abs(value) >= size:
            return f"{value / size:.2f}{name}"
    return f"{value}ns" if unit == "nanoseconds" else str(value)


def table(found: Top) -> str:
    """The rows as lines of text, with a heading that says of how much they are the top."""
    kind, unit = found.sample_type
    shown = sum(row.flat for row in found.rows)
    lines = [
        f"Type: {kind} ({unit})",
        f"Showing {len(found.rows)} functions with {amount(shown, unit)}, {_share(shown, found.total)} of {amount(found.total, unit)}",
        f"{'flat':>12} {'flat%':>7} {'cum':>12} {'cum%':>7}  function",
    ]
    lines += [
        f"{amount(row.flat, unit):>12} {_share(row.flat, found.total):>7} {amount(row.cum, unit):>12} {_share(row.cum, found.total):>7}  {row.name}"
        for row in found.rows
    ]
    return "\n".join(lines) + "\n"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "0.00%"

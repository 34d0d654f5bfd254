"""What a recording's events become in the profile, and the account of it: sample types, comments, notices, lost samples."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from perfprofile_agent.perfdata.attributes import Event, EventTable, plain_name
from perfprofile_agent.perfdata.layout import AttrFlag, ReadBit, SampleBit
from perfprofile_agent.perfdata.recording import Recording
from perfprofile_agent.pprof.model import ValueType

_SECOND: Final = 1_000_000_000
MUCH_LOST: Final = 0.05
"""From this share of lost samples on, a profile says so: what is lost is not lost evenly."""


class SampleTypes(NamedTuple):
    """The numbers that every sample of the profile carries."""

    types: tuple[ValueType, ...]
    default: str
    columns: dict[int, int]
    """Number of an event in the recording -> position of its count; its amount stands right after."""
    names: tuple[str, ...]
    """The events, in order of their columns."""
    period_type: ValueType | None
    period: int


def sample_types(table: EventTable) -> SampleTypes:
    """A single clock event gives ``samples/count`` and ``cpu/nanoseconds``, others ``<event>_samples`` and ``<event>`` for each.

    Attributes of one name are one event: perf makes one per cgroup (``-a -G``), per core type of hybrid CPUs, and so on. perf's dummy
    event gives nothing. The default is the amount of the first event.
    """
    first: dict[str, Event] = {}
    columns: dict[int, int] = {}
    for number, event in enumerate(table.events):
        if not event.attr.is_dummy:
            first.setdefault(event.name, event)
            columns[number] = 2 * list(first).index(event.name)
    names = tuple(first)
    if len(first) == 1 and first[names[0]].attr.is_clock:
        types: tuple[ValueType, ...] = (ValueType("samples", "count"), ValueType("cpu", "nanoseconds"))
    else:
        types = tuple(
            value_type
            for name, event in first.items()
            for value_type in (
                ValueType(f"{name}_samples", "count"),
                ValueType(name, "nanoseconds" if event.attr.is_clock else "count"),
            )
        )
    default = types[1] if types else None
    period = default_amount(first[names[0]]) if names else 0
    return SampleTypes(types, default.type if default else "", columns, names, default if period else None, period)


def default_amount(event: Event) -> int:
    """Events that a sample of this event stands for where it doesn't tell itself; 0 where nothing tells."""
    attr = event.attr
    if attr.period:
        return attr.period
    return _SECOND // attr.frequency if attr.is_clock and attr.frequency else 0


class Account(NamedTuple):
    """Numbers for notices and comments."""

    recorded: int
    lost: int
    throttled: int
    requested: tuple[str, ...]


def lost_samples(table: EventTable, by_samples: Counter[int], by_records: Counter[int]) -> int:
    """How many samples are missing.

    The kernel says it twice: perf 6.1 and later write LOST_SAMPLES per event at the end, which are exact; LOST comes whenever a
    buffer was full and counts records of any kind. Dummy events lose no samples.
    """
    dummies = {identifier for event in table.events if event.attr.is_dummy for identifier in event.ids}
    exact = sum(count for identifier, count in by_samples.items() if identifier not in dummies)
    return exact or by_records.total()


def comments(recording: Recording, account: Account) -> tuple[str, ...]:
    """Lines for the profile's comments; the first two in the form perf_to_profile has them."""
    told = recording.features
    lines = []
    if told.version:
        lines.append(f"perf-version:{told.version}")
    if told.command:
        lines.append(f"perf-command:{' '.join(told.command)}")
    if told.os_release:
        lines.append(f"kernel:{told.os_release}")
    lines.append(f"lost-samples:{account.lost}")
    return tuple(lines)


def notices(recording: Recording, types: SampleTypes, account: Account) -> Iterable[str]:
    """What a reader of the profile should know, one sentence each."""
    if recording.problem:
        yield f"The recording is incomplete, the profile shows a part of it: {recording.problem}."
    missing = [name for name in account.requested if plain_name(name) not in types.names]
    if missing:
        yield f"{', '.join(missing)} could not be recorded; perf recorded {', '.join(types.names) or 'nothing'}."
    if account.lost > MUCH_LOST * (account.recorded + account.lost):
        share = 100 * account.lost / (account.recorded + account.lost)
        yield f"{account.lost} samples ({share:.1f} %) were lost because perf could not keep up: lower the frequency."
    if account.throttled:
        yield f"The kernel paused sampling {account.throttled} times because it cost too much: lower the frequency."
    if recording.forced:
        yield "The recording has too many records between rounds; some samples may be attributed to a program's earlier mappings."
    if recording.first_malformed is not None:
        left_out = ", ".join(f"{count} {name}" for name, count in sorted(recording.malformed.items()))
        yield f"Records that contradict themselves were left out ({left_out}); the first: {recording.first_malformed}."
    yield from _not_yet(recording)


def _not_yet(recording: Recording) -> Iterable[str]:
    """What is in the recording and not in the profile, because this version can't read it."""
    for name, count in sorted(recording.unknown.items()):
        advice = ": record without -z" if name.startswith("COMPRESSED") else ""
        yield f"{count} records of kind {name} were skipped{advice}."
    if recording.features.unreadable:
        yield f"Features of the recording could not be read: {', '.join(recording.features.unreadable)}."
    attrs = [event.attr for event in recording.table.events]
    if any(attr.sample_type & SampleBit.STACK_USER for attr in attrs):
        yield "Stacks dumped for DWARF unwinding are not unwound yet: only leaf and kernel frames are shown; record with frame pointers."
    if any(attr.sample_type & SampleBit.READ and attr.read_format & ReadBit.GROUP for attr in attrs):
        yield "Counts of an event group are shown for its leader only."
    if any(not attr.flags & AttrFlag.SAMPLE_ID_ALL for attr in attrs):
        yield "Records carry no times (no sample_id_all), so they are taken in the order of the file."

"""Events of a recording: perf_event_attr, the ids that samples name it by, and what it is called.

File mode brings all attributes before the data and the names after it; pipe mode brings each as a record. Both end here.
"""

import re
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from perfprofile_agent.perfdata.errors import PerfDataError
from perfprofile_agent.perfdata.layout import (
    HARDWARE_NAMES,
    SECTION,
    SOFTWARE_CLOCKS,
    SOFTWARE_DUMMY,
    SOFTWARE_NAMES,
    U64,
    AttrFlag,
    EventType,
)

_MIN_ATTR_SIZE: Final = 64
"""PERF_ATTR_SIZE_VER0; later versions only append."""
_PUBLISHED: Final = struct.Struct("<IIQQQQQIIQQ")
"""type, size, config, period or frequency, sample_type, read_format, flags, wakeup, bp_type, config1, config2 (72 bytes, VER1)."""
_EXTENSION: Final = struct.Struct("<QQIiQ")
"""branch_sample_type, sample_regs_user, sample_stack_user, clockid, sample_regs_intr (from byte 72, VER2 to VER4)."""
_FULL: Final = _PUBLISHED.size + _EXTENSION.size

_MAX_EVENTS: Final = 65_536
_MAX_IDS: Final = 4_194_304
"""Far above any machine (events x CPUs), low enough that made-up counts cost little."""

_NOISE: Final = re.compile(r":[pPHGDISWe]+$")
"""Modifiers that don't change what is counted: precision, host/guest, pinning. ``:u`` and ``:k`` do, and stay."""


class Attr(NamedTuple):
    """The fields of perf_event_attr that reading samples needs; absent ones in short, old attributes are zero."""

    type: int
    config: int
    period_or_frequency: int
    sample_type: int
    read_format: int
    flags: int
    branch_sample_type: int = 0
    regs_user: int = 0
    regs_intr: int = 0

    @property
    def frequency(self) -> int:
        """Samples a second that were asked for; 0 with a fixed period."""
        return self.period_or_frequency if self.flags & AttrFlag.FREQ else 0

    @property
    def period(self) -> int:
        """Events from one sample to the next; 0 with a frequency."""
        return 0 if self.flags & AttrFlag.FREQ else self.period_or_frequency

    @property
    def is_dummy(self) -> bool:
        """Whether this is perf's helper event that never fires and only carries MMAP, COMM and the like."""
        return self.type == EventType.SOFTWARE and self.config == SOFTWARE_DUMMY

    @property
    def is_clock(self) -> bool:
        """Whether the event counts nanoseconds of CPU time."""
        return self.type == EventType.SOFTWARE and self.config in SOFTWARE_CLOCKS


class Event:
    """One attribute with its ids and, once it is known, its name."""

    def __init__(self, attr: Attr, ids: tuple[int, ...]) -> None:
        self.attr = attr
        self.ids = ids
        self.given_name = ""

    @property
    def name(self) -> str:
        """As perf names it, without modifiers that don't change what is counted: ``cpu-clock`` for ``cpu-clock:ppp``."""
        return plain_name(self.given_name) or default_name(self.attr)


def plain_name(name: str) -> str:
    """An event's name without the modifiers that don't change what is counted."""
    return _NOISE.sub("", name)


def default_name(attr: Attr) -> str:
    """Name for an event that the recording doesn't name."""
    names: tuple[str, ...] = ()
    if attr.type == EventType.HARDWARE:
        names = HARDWARE_NAMES
    elif attr.type == EventType.SOFTWARE:
        names = SOFTWARE_NAMES
    return names[attr.config] if attr.config < len(names) else f"event-{attr.type}-{attr.config:#x}"


def parse_attr(raw: bytes, offset: int) -> Attr:
    """One perf_event_attr of any version; raises PerfDataError when it is shorter than the first version was."""
    if len(raw) < _MIN_ATTR_SIZE:
        raise PerfDataError(offset, "perf_event_attr", f"{len(raw)} bytes, at least {_MIN_ATTR_SIZE} are needed")
    padded = raw if len(raw) >= _FULL else raw.ljust(_FULL, b"\0")
    kind, _, config, period, sample_type, read_format, flags, *_ = _PUBLISHED.unpack_from(padded)
    branch, regs_user, _, _, regs_intr = _EXTENSION.unpack_from(padded, _PUBLISHED.size)
    return Attr(kind, config, period, sample_type, read_format, flags, branch, regs_user, regs_intr)


def parse_ids(raw: bytes) -> tuple[int, ...]:
    """Ids at the end of an attribute; a rest of fewer than 8 bytes is ignored."""
    return struct.unpack_from(f"<{len(raw) // 8}Q", raw)


def parse_file_attrs(prelude: bytes, attr_size: int, section: tuple[int, int]) -> list[Event]:
    """Attributes of a file: ``prelude`` is everything before the data, ``section`` where the attributes stand in it."""
    start, size = section
    if attr_size < _MIN_ATTR_SIZE + SECTION.size:
        raise PerfDataError(16, "file header", f"attr_size {attr_size} is too small")
    if size == 0 or size % attr_size or start + size > len(prelude) or size // attr_size > _MAX_EVENTS:
        raise PerfDataError(start, "attributes", f"{size} bytes of {attr_size} each don't lie before the data")
    events: list[Event] = []
    budget = _MAX_IDS
    for position in range(start, start + size, attr_size):
        end = position + attr_size - SECTION.size
        ids_start, ids_size = SECTION.unpack_from(prelude, end)
        budget -= ids_size // 8
        if ids_start + ids_size > len(prelude) or budget < 0:
            raise PerfDataError(end, "event ids", f"{ids_size} bytes at {ids_start} don't lie before the data")
        events.append(Event(parse_attr(prelude[position:end], position), parse_ids(prelude[ids_start : ids_start + ids_size])))
    return events


def parse_attr_record(body: bytes, offset: int) -> Event:
    """Body of HEADER_ATTR (pipe mode): an attribute that tells its own size, then its ids."""
    if len(body) < _MIN_ATTR_SIZE:
        raise PerfDataError(offset, "HEADER_ATTR", f"{len(body)} bytes, at least {_MIN_ATTR_SIZE} are needed")
    size = int.from_bytes(body[4:8], "little") or _MIN_ATTR_SIZE
    if not _MIN_ATTR_SIZE <= size <= len(body):
        raise PerfDataError(offset, "HEADER_ATTR", f"attribute of {size} bytes in a record of {len(body)}")
    return Event(parse_attr(body[:size], offset), parse_ids(body[size:]))


class EventTable:
    """The events of one recording, found by the ids that samples carry."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.by_id: dict[int, int] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Append events; of two that claim one id the first keeps it."""
        for event in events:
            if len(self.events) >= _MAX_EVENTS or len(self.by_id) + len(event.ids) > _MAX_IDS:
                raise PerfDataError(0, "attributes", f"more than {_MAX_EVENTS} events or {_MAX_IDS} ids")
            for identifier in event.ids:
                self.by_id.setdefault(identifier, len(self.events))
            self.events.append(event)

    def rename(self, identifier: int, name: str) -> None:
        """EVENT_UPDATE: the event with this id is called ``name``."""
        index = self.by_id.get(identifier)
        if index is not None:
            self.events[index].given_name = name

    def describe(self, descriptions: Iterable[tuple[str, tuple[int, ...]]]) -> None:
        """EVENT_DESC: (name, ids) in the order of the attributes; ids decide, the order where there are none."""
        for position, (name, ids) in enumerate(descriptions):
            index = self.by_id.get(ids[0]) if ids else position
            if index is not None and index < len(self.events):
                self.events[index].given_name = name

    @property
    def real(self) -> list[Event]:
        """Events that can have samples: all but perf's dummy."""
        return [event for event in self.events if not event.attr.is_dummy]


def read_u64(raw: bytes, offset: int, record: str) -> int:
    """One 64-bit number, or PerfDataError when ``raw`` ends before it."""
    if offset < 0 or offset + 8 > len(raw):
        raise PerfDataError(offset, record, "ends too early")
    value: int = U64.unpack_from(raw, offset)[0]
    return value

"""PERF_RECORD_SAMPLE: one reader per event, made from its attribute, because the layout depends on it.

Order of the fields (perf_output_sample in kernel/events/core.c); a field is there if its bit is set in sample_type::

    IDENTIFIER IP TID TIME ADDR ID STREAM_ID CPU PERIOD      fixed size: one struct per event
    READ CALLCHAIN                                           sizes stand in the sample or in the attribute
    RAW BRANCH_STACK REGS_USER STACK_USER WEIGHT DATA_SRC TRANSACTION REGS_INTR PHYS_ADDR CGROUP
    DATA_PAGE_SIZE CODE_PAGE_SIZE AUX

Nearly all recordings have nothing between CALLCHAIN and CGROUP; for them a sample costs two struct calls and one slice.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from perfprofile_agent.perfdata.attributes import Attr
from perfprofile_agent.perfdata.errors import PerfDataError
from perfprofile_agent.perfdata.layout import (
    BRANCH_COUNTERS,
    BRANCH_HW_INDEX,
    CPUMODE_MASK,
    KNOWN_SAMPLE_BITS,
    U32,
    U64,
    ReadBit,
    SampleBit,
)


class Sample(NamedTuple):
    """One sample. ``time`` is nanoseconds of perf's clock and, as in all records, the first field: records are sorted by it."""

    time: int
    event: int
    """Index in the recording's events."""
    cpumode: int
    """CPUMODE_* of ``ip``."""
    pid: int
    """In the PID namespace of perf; 0 is the idle task or a process of another PID namespace, 2**32-1 a dead one."""
    tid: int
    ip: int
    period: int
    """Events this sample stands for; 0 where the recording doesn't tell."""
    cgroup: int
    """Id of the cgroup; 0 where the recording doesn't tell."""
    chain: bytes
    """Callchain as recorded, innermost first: little-endian 64-bit addresses and CONTEXT_* marks."""


SampleReader: TypeAlias = Callable[[bytes, int, int, int], Sample]
"""(buffer, start and end of the record's body in it, misc) -> Sample; raises PerfDataError with an offset in the buffer."""

_PREFIX: Final = (
    (SampleBit.IDENTIFIER, "Q", ("id",)),
    (SampleBit.IP, "Q", ("ip",)),
    (SampleBit.TID, "II", ("pid", "tid")),
    (SampleBit.TIME, "Q", ("time",)),
    (SampleBit.ADDR, "8x", ()),
    (SampleBit.ID, "Q", ("id",)),
    (SampleBit.STREAM_ID, "8x", ()),
    (SampleBit.CPU, "8x", ()),
    (SampleBit.PERIOD, "Q", ("period",)),
)
"""Bit, struct code and names of the fixed fields, in order; x marks what nobody needs."""

_VARIABLE: Final = (
    SampleBit.RAW
    | SampleBit.BRANCH_STACK
    | SampleBit.REGS_USER
    | SampleBit.STACK_USER
    | SampleBit.WEIGHT
    | SampleBit.WEIGHT_STRUCT
    | SampleBit.DATA_SRC
    | SampleBit.TRANSACTION
    | SampleBit.REGS_INTR
    | SampleBit.PHYS_ADDR
    | SampleBit.AUX
    | SampleBit.READ
)
"""With any of these a sample is walked field by field."""

# tuple.__new__ skips the argument handling of Sample(...), half of its cost, on the hottest line there is.
_new = tuple.__new__


def id_position(attr: Attr) -> int | None:
    """Byte within a sample's body at which the event's id stands, or None if it isn't there."""
    if attr.sample_type & SampleBit.IDENTIFIER:
        return 0
    if not attr.sample_type & SampleBit.ID:
        return None
    before = SampleBit.IP | SampleBit.TID | SampleBit.TIME | SampleBit.ADDR
    return 8 * (attr.sample_type & before).bit_count()


def sample_reader(event: int, attr: Attr) -> SampleReader:
    """The reader for samples of event number ``event``; raises PerfDataError for layouts from the future."""
    bits = attr.sample_type
    if bits & ~KNOWN_SAMPLE_BITS:
        raise PerfDataError(0, "perf_event_attr", f"sample_type {bits:#x} has fields this version doesn't know")
    fields = [field for field in _PREFIX if bits & field[0]]
    names = [name for field in fields for name in field[2]]
    fixed = struct.Struct("<" + "".join(field[1] for field in fields))
    at = _Positions(*(names.index(name) if name in names else -1 for name in _Positions._fields))
    if bits & _VARIABLE or not bits & SampleBit.CALLCHAIN or not bits & SampleBit.PERIOD:
        return _walking_reader(event, attr, fixed, at)
    return _direct_reader(event, bits, fixed.format, at)


class _Positions(NamedTuple):
    """Index of each field among the numbers the struct gives; -1 means the 0 appended to them."""

    time: int
    pid: int
    tid: int
    ip: int
    period: int


def _direct_reader(event: int, bits: int, fixed: str, at: _Positions) -> SampleReader:
    """For samples of IP, TID, TIME, PERIOD and other fixed fields, then CALLCHAIN, then at most CGROUP and page sizes."""
    prefix = struct.Struct(fixed + "Q")
    unpack, size = prefix.unpack_from, prefix.size
    cgroup_at = U64.unpack_from
    has_cgroup = bool(bits & SampleBit.CGROUP)
    rest = 8 * (bits & (SampleBit.CGROUP | SampleBit.DATA_PAGE_SIZE | SampleBit.CODE_PAGE_SIZE)).bit_count()
    time, pid, tid, ip, period = at

    def read(buffer: bytes, start: int, end: int, misc: int) -> Sample:
        chain = start + size
        if chain + rest > end:
            raise PerfDataError(start, "SAMPLE", f"{end - start} bytes, its fixed fields need {size + rest}")
        values = (*unpack(buffer, start), 0)
        chain_end = chain + 8 * values[-2]
        if chain_end + rest > end:
            raise PerfDataError(start, "SAMPLE", f"a callchain of {values[-2]} entries in {end - start} bytes")
        cgroup = cgroup_at(buffer, chain_end)[0] if has_cgroup else 0
        return _new(
            Sample,
            (
                values[time],
                event,
                misc & CPUMODE_MASK,
                values[pid],
                values[tid],
                values[ip],
                values[period],
                cgroup,
                buffer[chain:chain_end],
            ),
        )

    return read


def _walking_reader(event: int, attr: Attr, fixed: struct.Struct, at: _Positions) -> SampleReader:
    """For every other layout."""
    unpack, size = fixed.unpack_from, fixed.size

    def read(buffer: bytes, start: int, end: int, misc: int) -> Sample:
        if start + size > end:
            raise PerfDataError(start, "SAMPLE", f"{end - start} bytes, its fixed fields need {size}")
        values = (*unpack(buffer, start), 0)
        parts = walk(buffer, start + size, end, attr)
        cgroup = U64.unpack_from(buffer, parts[SampleBit.CGROUP][0])[0] if SampleBit.CGROUP in parts else 0
        chain, chain_end = parts.get(SampleBit.CALLCHAIN, (start, start))
        return Sample(
            time=values[at.time],
            event=event,
            cpumode=misc & CPUMODE_MASK,
            pid=values[at.pid],
            tid=values[at.tid],
            ip=values[at.ip],
            period=values[at.period],
            cgroup=cgroup,
            chain=buffer[chain:chain_end],
        )

    return read


def walk(buffer: bytes, start: int, end: int, attr: Attr) -> dict[SampleBit, tuple[int, int]]:
    """Where each field after the fixed ones lies, as [start, end) in ``buffer``, counts and sizes in front of it left out."""
    parts: dict[SampleBit, tuple[int, int]] = {}
    position = start
    for bit, measure in _MEASURES:
        if attr.sample_type & bit:
            if position + 8 > end:
                raise PerfDataError(position, f"SAMPLE {bit.name}", "the record ends before it")
            skipped, length, after = measure(buffer, position, attr)
            first = position + skipped
            position = first + length + after
            if position > end:
                raise PerfDataError(first, f"SAMPLE {bit.name}", f"{length} bytes, {end - first} are left")
            parts[bit] = (first, first + length)
    return parts


# Each of these looks at the field that starts at `at`, where at least 8 bytes are left, and says how many bytes of count or size
# stand before its content, how long the content is, and how much follows that isn't content.


def _read_size(buffer: bytes, at: int, attr: Attr) -> tuple[int, int, int]:
    form = attr.read_format
    times = 8 * (form & (ReadBit.TOTAL_TIME_ENABLED | ReadBit.TOTAL_TIME_RUNNING)).bit_count()
    value = 8 + 8 * (form & (ReadBit.ID | ReadBit.LOST)).bit_count()
    if form & ReadBit.GROUP:
        return 8 + times, value * int(U64.unpack_from(buffer, at)[0]), 0
    return 0, value + times, 0


def _counted(buffer: bytes, at: int, _attr: Attr) -> tuple[int, int, int]:
    return 8, 8 * int(U64.unpack_from(buffer, at)[0]), 0


def _raw_size(buffer: bytes, at: int, _attr: Attr) -> tuple[int, int, int]:
    return 4, int(U32.unpack_from(buffer, at)[0]), 0


def _branches_size(buffer: bytes, at: int, attr: Attr) -> tuple[int, int, int]:
    count = int(U64.unpack_from(buffer, at)[0])
    index = 8 if attr.branch_sample_type & BRANCH_HW_INDEX else 0
    counters = 8 * count if attr.branch_sample_type & BRANCH_COUNTERS else 0
    return 8 + index, 24 * count, counters


def _registers(mask: int, buffer: bytes, at: int) -> tuple[int, int, int]:
    """Registers are absent when the ABI in front of them is none (a kernel thread has no user registers)."""
    return 8, 8 * mask.bit_count() if U64.unpack_from(buffer, at)[0] else 0, 0


def _user_registers(buffer: bytes, at: int, attr: Attr) -> tuple[int, int, int]:
    return _registers(attr.regs_user, buffer, at)


def _interrupt_registers(buffer: bytes, at: int, attr: Attr) -> tuple[int, int, int]:
    return _registers(attr.regs_intr, buffer, at)


def _stack_size(buffer: bytes, at: int, _attr: Attr) -> tuple[int, int, int]:
    """A dumped stack is followed by how much of it is valid; an empty one isn't."""
    size = int(U64.unpack_from(buffer, at)[0])
    return 8, size, 8 if size else 0


def _sized(buffer: bytes, at: int, _attr: Attr) -> tuple[int, int, int]:
    return 8, int(U64.unpack_from(buffer, at)[0]), 0


def _word(_buffer: bytes, _at: int, _attr: Attr) -> tuple[int, int, int]:
    return 0, 8, 0


_MEASURES: Final[tuple[tuple[SampleBit, Callable[[bytes, int, Attr], tuple[int, int, int]]], ...]] = (
    (SampleBit.READ, _read_size),
    (SampleBit.CALLCHAIN, _counted),
    (SampleBit.RAW, _raw_size),
    (SampleBit.BRANCH_STACK, _branches_size),
    (SampleBit.REGS_USER, _user_registers),
    (SampleBit.STACK_USER, _stack_size),
    (SampleBit.WEIGHT, _word),
    (SampleBit.WEIGHT_STRUCT, _word),
    (SampleBit.DATA_SRC, _word),
    (SampleBit.TRANSACTION, _word),
    (SampleBit.REGS_INTR, _interrupt_registers),
    (SampleBit.PHYS_ADDR, _word),
    (SampleBit.CGROUP, _word),
    (SampleBit.DATA_PAGE_SIZE, _word),
    (SampleBit.CODE_PAGE_SIZE, _word),
    (SampleBit.AUX, _sized),
)
"""The fields after the fixed ones, in the order of the record."""

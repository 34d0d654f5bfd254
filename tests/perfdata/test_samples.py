"""Samples: every field that can stand in one, at its place."""

import struct

import pytest

from perfprofile_agent.perfdata.attributes import parse_attr
from perfprofile_agent.perfdata.errors import PerfDataError
from perfprofile_agent.perfdata.layout import CPUMODE_USER, ReadBit, SampleBit
from perfprofile_agent.perfdata.samples import id_position, sample_reader, walk
from support.perfbytes import USUAL, attr, u64

CORE = SampleBit.IP | SampleBit.TID | SampleBit.TIME | SampleBit.CALLCHAIN | SampleBit.CGROUP
CHAIN = (0x10, 0x20, 0x30)
CGROUP = 4711

VARIABLE = {
    "read": (SampleBit.READ, {}, u64(5)),
    "read with times, id and lost": (SampleBit.READ, {"read_format": 1 | 2 | ReadBit.ID | ReadBit.LOST}, u64(5, 1, 2, 3, 4)),
    "read of a group": (
        SampleBit.READ,
        {"read_format": 1 | 2 | ReadBit.ID | ReadBit.GROUP | ReadBit.LOST},
        u64(2, 10, 20, 5, 1, 0, 6, 2, 0),
    ),
    "raw": (SampleBit.RAW, {}, struct.pack("<I", 12) + b"tracepoint!!"),
    "branches": (SampleBit.BRANCH_STACK, {}, u64(2, *range(6))),
    "branches with index and counters": (SampleBit.BRANCH_STACK, {"branches": 1 << 17 | 1 << 19}, u64(2, 99, *range(6), 7, 8)),
    "no branches": (SampleBit.BRANCH_STACK, {}, u64(0)),
    "user registers": (SampleBit.REGS_USER, {"regs_user": 0b1011}, u64(2, 1, 2, 3)),
    "no user registers": (SampleBit.REGS_USER, {"regs_user": 0b1011}, u64(0)),
    "user stack": (SampleBit.STACK_USER, {}, u64(16) + b"s" * 16 + u64(8)),
    "no user stack": (SampleBit.STACK_USER, {}, u64(0)),
    "registers and stack": (
        SampleBit.REGS_USER | SampleBit.STACK_USER,
        {"regs_user": 1},
        u64(2, 1) + u64(8) + b"s" * 8 + u64(8),
    ),
    "weight": (SampleBit.WEIGHT, {}, u64(3)),
    "weight struct": (SampleBit.WEIGHT_STRUCT, {}, u64(3)),
    "data source": (SampleBit.DATA_SRC, {}, u64(3)),
    "transaction": (SampleBit.TRANSACTION, {}, u64(3)),
    "interrupt registers": (SampleBit.REGS_INTR, {"regs_intr": 0b11}, u64(1, 2, 3)),
    "physical address": (SampleBit.PHYS_ADDR, {}, u64(3)),
}
BEHIND = {
    "data page size": (SampleBit.DATA_PAGE_SIZE, u64(4096)),
    "code page size": (SampleBit.CODE_PAGE_SIZE, u64(4096)),
    "aux": (SampleBit.AUX, u64(8) + b"a" * 8),
    "all three": (SampleBit.DATA_PAGE_SIZE | SampleBit.CODE_PAGE_SIZE | SampleBit.AUX, u64(4096, 4096, 8) + b"a" * 8),
}


def body_of(bits: int, before: bytes, between: bytes, behind: bytes) -> bytes:
    fixed = b"".join(
        part
        for bit, part in (
            (SampleBit.IDENTIFIER, u64(77)),
            (SampleBit.IP, u64(0x10)),
            (SampleBit.TID, struct.pack("<II", 100, 101)),
            (SampleBit.TIME, u64(123456)),
            (SampleBit.ADDR, u64(0xDEAD)),
            (SampleBit.ID, u64(77)),
            (SampleBit.STREAM_ID, u64(78)),
            (SampleBit.CPU, struct.pack("<II", 3, 0)),
            (SampleBit.PERIOD, u64(999)),
        )
        if bits & bit
    )
    chain = u64(len(CHAIN), *CHAIN) if bits & SampleBit.CALLCHAIN else b""
    cgroup = u64(CGROUP) if bits & SampleBit.CGROUP else b""
    return fixed + before + chain + between + cgroup + behind


@pytest.mark.parametrize("name", VARIABLE)
@pytest.mark.parametrize("prefix", [SampleBit(0), SampleBit.IDENTIFIER | SampleBit.ADDR | SampleBit.CPU | SampleBit.PERIOD])
def test_what_follows_a_variable_field_is_found(name: str, prefix: SampleBit) -> None:
    bit, how, content = VARIABLE[name]
    bits = CORE | bit | prefix
    parts = (content, b"") if bit == SampleBit.READ else (b"", content)
    body = body_of(bits, *parts, b"")

    read = sample_reader(5, parse_attr(attr(bits, **how), 0))(b"??" + body + b"??", 2, 2 + len(body), CPUMODE_USER | 1 << 14)

    assert read.chain == u64(*CHAIN)
    assert read.cgroup == CGROUP
    assert (read.event, read.cpumode, read.pid, read.tid, read.time, read.ip) == (5, CPUMODE_USER, 100, 101, 123456, 0x10)
    assert read.period == (999 if prefix else 0)


@pytest.mark.parametrize("name", BEHIND)
def test_fields_behind_the_cgroup_are_found(name: str) -> None:
    bit, content = BEHIND[name]
    body = body_of(CORE | bit, b"", b"", content)

    read = sample_reader(0, parse_attr(attr(CORE | bit), 0))(body, 0, len(body), 0)
    parts = walk(body, 24, len(body), parse_attr(attr(CORE | bit), 0))

    assert read.cgroup == CGROUP
    assert max(end for _, end in parts.values()) == len(body)


FIXED = [bit for bit in SampleBit if bit <= SampleBit.STREAM_ID and bit not in (SampleBit.READ, SampleBit.CALLCHAIN)] + [
    SampleBit.IDENTIFIER
]


@pytest.mark.parametrize("absent", FIXED, ids=lambda bit: bit.name)
def test_any_fixed_field_may_be_absent(absent: SampleBit) -> None:
    bits = (sum(FIXED) | SampleBit.CALLCHAIN | SampleBit.CGROUP) & ~absent
    body = body_of(bits, b"", b"", b"")

    read = sample_reader(0, parse_attr(attr(bits), 0))(body, 0, len(body), 0)

    assert read.chain == u64(*CHAIN)
    assert read.cgroup == CGROUP
    assert read.ip == (0 if absent == SampleBit.IP else 0x10)
    assert read.tid == (0 if absent == SampleBit.TID else 101)
    assert read.time == (0 if absent == SampleBit.TIME else 123456)
    assert read.period == (0 if absent == SampleBit.PERIOD else 999)


@pytest.mark.parametrize("bits", [USUAL, USUAL & ~SampleBit.IDENTIFIER | SampleBit.ID, CORE | SampleBit.ID | SampleBit.ADDR])
def test_the_id_stands_where_it_is_looked_for(bits: int) -> None:
    position = id_position(parse_attr(attr(bits), 0))

    assert position is not None
    assert body_of(bits, b"", b"", b"")[position : position + 8] == u64(77)


def test_without_ids_there_is_no_place_for_one() -> None:
    assert id_position(parse_attr(attr(CORE), 0)) is None


@pytest.mark.parametrize("name", [*VARIABLE, "usual"])
def test_every_cut_of_a_sample_is_named(name: str) -> None:
    bit, how, content = VARIABLE.get(name, (SampleBit.PERIOD, {}, b""))
    parts = (content, b"") if bit == SampleBit.READ else (b"", content)
    body = body_of(CORE | bit, *parts, b"")
    read = sample_reader(0, parse_attr(attr(CORE | bit, **how), 0))

    for end in range(len(body)):
        with pytest.raises(PerfDataError, match="SAMPLE"):
            read(body, 0, end, 0)


@pytest.mark.parametrize("bits", [USUAL, CORE], ids=["direct", "walking"])
@pytest.mark.parametrize("count", [4, 2**61, 2**64 - 1])
def test_a_callchain_longer_than_its_record_is_named(bits: int, count: int) -> None:
    body = bytearray(body_of(bits, b"", b"", b""))
    at = body.index(u64(len(CHAIN), CHAIN[0]))
    body[at : at + 8] = u64(count)

    with pytest.raises(PerfDataError, match="SAMPLE"):
        sample_reader(0, parse_attr(attr(bits), 0))(bytes(body), 0, len(body), 0)


def test_a_layout_from_the_future_is_refused() -> None:
    with pytest.raises(PerfDataError, match="sample_type"):
        sample_reader(0, parse_attr(attr(CORE | 1 << 25), 0))

"""Recordings made by hand: records, attributes and whole perf.data streams as bytes, for what no perf here would write."""

import struct

from perfprofile_agent.perfdata.layout import CONTEXT_USER, CPUMODE_USER, AttrFlag, EventType, Feature, Kind, SampleBit

USUAL = SampleBit.IP | SampleBit.TID | SampleBit.TIME | SampleBit.CALLCHAIN | SampleBit.PERIOD | SampleBit.CGROUP | SampleBit.IDENTIFIER
"""What the agent's own recordings carry."""
TRAILED = AttrFlag.SAMPLE_ID_ALL | AttrFlag.FREQ
CPU_CLOCK = 0
DUMMY = 9
PATH = "/app/server"
TEXT = 0x400000
"""Where ``mmap`` maps PATH unless told otherwise."""


def u64(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *(number % 2**64 for number in numbers))


def attr(
    sample_type: int = USUAL,
    *,
    config: int = CPU_CLOCK,
    kind: int = EventType.SOFTWARE,
    rate: int = 99,
    flags: int = TRAILED,
    read_format: int = 0,
    branches: int = 0,
    regs_user: int = 0,
    regs_intr: int = 0,
) -> bytes:
    """A perf_event_attr of 128 bytes."""
    head = struct.pack("<IIQQQQQIIQQ", kind, 128, config, rate, sample_type, read_format, flags, 0, 0, 0, 0)
    return (head + struct.pack("<QQIiQ", branches, regs_user, 0, 0, regs_intr)).ljust(128, b"\0")


def record(kind: int, body: bytes, misc: int = 0) -> bytes:
    return struct.pack("<IHH", kind, misc, 8 + len(body)) + body


def padded(text: str) -> bytes:
    """A NUL-terminated string in a multiple of 8 bytes."""
    raw = text.encode() + b"\0"
    return raw.ljust((len(raw) + 7) // 8 * 8, b"\0")


def trailer(time: int, event_id: int = 1, pid: int = 100) -> bytes:
    """The sample_id fields of USUAL: TID, TIME, IDENTIFIER."""
    return struct.pack("<IIQQ", pid, pid, time, event_id)


def sample(
    time: int,
    *chain: int,
    pid: int = 100,
    tid: int | None = None,
    ip: int | None = None,
    period: int = 10_101_010,
    cgroup: int = 7,
    event_id: int = 1,
    mode: int = CPUMODE_USER,
    context: int = CONTEXT_USER,
) -> bytes:
    """A sample of USUAL whose callchain is ``chain``, leaf first, all in one context."""
    entries = (context, *chain) if chain else ()
    leaf = chain[0] if ip is None else ip
    body = struct.pack("<QQIIQQQ", event_id, leaf, pid, pid if tid is None else tid, time, period, len(entries))
    return record(Kind.SAMPLE, body + u64(*entries) + u64(cgroup), mode)


def mmap(
    time: int,
    path: str = PATH,
    *,
    pid: int = 100,
    start: int = TEXT,
    length: int = 0x10000,
    offset: int = 0,
    inode: int = 42,
    protection: int = 5,
) -> bytes:
    body = struct.pack("<iIQQQIIQQII", pid, pid % 2**32, start, length, offset, 8, 1, inode, 0, protection, 0)
    return record(Kind.MMAP2, body + padded(path) + trailer(time), CPUMODE_USER)


def comm(time: int, name: str, *, pid: int = 100, tid: int | None = None, exec: bool = False) -> bytes:  # noqa: A002 - the record's own word
    body = struct.pack("<II", pid, pid if tid is None else tid) + padded(name) + trailer(time)
    return record(Kind.COMM, body, 1 << 13 if exec else 0)


def fork(time: int, pid: int, ppid: int, *, tid: int | None = None, ptid: int | None = None) -> bytes:
    return record(Kind.FORK, struct.pack("<IIIIQ", pid, ppid, tid or pid, ptid or ppid, time) + trailer(time))


def cgroup(time: int, identifier: int, path: str) -> bytes:
    return record(Kind.CGROUP, u64(identifier) + padded(path) + trailer(time))


def round_end() -> bytes:
    return record(Kind.FINISHED_ROUND, b"")


def pipe(*records: bytes, attrs: tuple[tuple[bytes, tuple[int, ...]], ...] = ((attr(), (1,)),)) -> bytes:
    """A stream in pipe mode."""
    described = [record(Kind.HEADER_ATTR, raw + u64(*ids)) for raw, ids in attrs]
    return b"".join([b"PERFILE2", u64(16), *described, *records])


def file(
    *records: bytes,
    attrs: tuple[tuple[bytes, tuple[int, ...]], ...] = ((attr(), (1,)),),
    features: dict[int, bytes] | None = None,
) -> bytes:
    """A stream in file mode: header, ids, attributes, data, feature table, features."""
    ids = b"".join(u64(*numbers) for _, numbers in attrs)
    at, entries = 104, b""
    for raw, numbers in attrs:
        entries += raw + u64(at, 8 * len(numbers))
        at += 8 * len(numbers)
    data = b"".join(records)
    data_at = 104 + len(ids) + len(entries)
    told = dict(sorted((features or {}).items()))
    table, contents = b"", b""
    contents_at = data_at + len(data) + 16 * len(told)
    for raw in told.values():
        table += u64(contents_at + len(contents), len(raw))
        contents += raw
    bits = sum(1 << number for number in told)
    header = b"PERFILE2" + u64(104, 144, 104 + len(ids), len(entries), data_at, len(data), 0, 0, bits, 0, 0, 0)
    return header + ids + entries + data + table + contents


def string(text: str) -> bytes:
    """A perf_header_string."""
    raw = text.encode().ljust(64, b"\0")
    return struct.pack("<I", len(raw)) + raw


def event_names(*events: tuple[str, tuple[int, ...]]) -> dict[int, bytes]:
    """The feature EVENT_DESC."""
    body = b"".join(attr() + struct.pack("<I", len(ids)) + string(name) + u64(*ids) for name, ids in events)
    return {Feature.EVENT_DESC: struct.pack("<II", len(events), 128) + body}

"""Bodies of the records that tell what processes, mappings and cgroups are: bytes in, values out.

Layouts: enum perf_event_type in include/uapi/linux/perf_event.h. Each value starts with its time (nanoseconds of perf's clock, 0 for
what perf made up itself), so that records of all types sort together. Which decoder reads which record stands in ``DECODERS``.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from perfprofile_agent.perfdata.errors import PerfDataError
from perfprofile_agent.perfdata.layout import (
    CPUMODE_MASK,
    MISC_COMM_EXEC,
    MISC_FORK_SYNTHESIZED,
    MISC_LOST_BY_BPF,
    MISC_MMAP_BUILD_ID,
    MISC_MMAP_DATA,
    PROT_EXEC,
    Kind,
)
from perfprofile_agent.perfdata.samples import Sample

_MMAP: Final = struct.Struct("<iIQQQ")
"""pid, tid, address, length, page offset in bytes; the path follows."""
_MMAP2_FILE: Final = struct.Struct("<IIQQII")
"""major, minor, inode, inode generation, protection, flags."""
_MMAP2_BUILD_ID: Final = struct.Struct("<B3x20sII")
"""size of the build id, build id, protection, flags: in place of the file's device and inode."""
_TASK: Final = struct.Struct("<IIIIQ")
"""pid, ppid, tid, ptid, time: FORK and EXIT."""
_COMM: Final = struct.Struct("<II")
_LOST: Final = struct.Struct("<QQ")
_U64: Final = struct.Struct("<Q")
_KSYMBOL: Final = struct.Struct("<QIHH")
_NAMESPACES: Final = struct.Struct("<IIQ")
_BUILD_ID: Final = struct.Struct("<i20sB3x")

_MAX_BUILD_ID: Final = 20


class Mmap(NamedTuple):
    """MMAP and MMAP2: a file (or anonymous memory) appears in a process. ``pid`` -1 is the kernel itself."""

    time: int
    pid: int
    start: int
    length: int
    offset: int
    path: str
    device: tuple[int, int]
    inode: int
    build_id: str
    executable: bool
    cpumode: int


class Comm(NamedTuple):
    """A thread's name changed; with ``exec`` the process also became another program."""

    time: int
    pid: int
    tid: int
    comm: str
    exec: bool


class Fork(NamedTuple):
    """A process or, where ``pid == ppid``, a thread was made. ``synthesized``: perf found it running when recording began."""

    time: int
    pid: int
    ppid: int
    tid: int
    ptid: int
    synthesized: bool


class Exit(NamedTuple):
    """A thread ended."""

    time: int
    pid: int
    tid: int


class Lost(NamedTuple):
    """Records the kernel had no room for: samples and others."""

    time: int
    event_id: int
    lost: int


class LostSamples(NamedTuple):
    """Samples that were lost; ``refused`` ones a BPF filter refused on purpose. ``event_id`` is 0 where it isn't told."""

    time: int
    event_id: int
    lost: int
    refused: bool


class Throttle(NamedTuple):
    """The kernel paused an event because its interrupts cost too much."""

    time: int


class Cgroup(NamedTuple):
    """A cgroup's id and its path from the root of its hierarchy."""

    time: int
    id: int
    path: str


class Ksymbol(NamedTuple):
    """Kernel code came (BPF programs, trampolines) or, ``gone``, went."""

    time: int
    address: int
    length: int
    name: str
    gone: bool


class Namespaces(NamedTuple):
    """Namespaces of a thread as (device, inode), in the kernel's order: net, uts, ipc, pid, user, mnt, cgroup."""

    time: int
    pid: int
    tid: int
    links: tuple[tuple[int, int], ...]


class BuildId(NamedTuple):
    """HEADER_BUILD_ID of pipe mode, or an entry of the BUILD_ID feature."""

    time: int
    pid: int
    path: str
    build_id: str


Record: TypeAlias = Sample | Mmap | Comm | Fork | Exit | Lost | LostSamples | Throttle | Cgroup | Ksymbol | Namespaces | BuildId


class Trailer(NamedTuple):
    """What the sample_id trailer of a record says: when, and by which event's buffer."""

    time: int = 0
    event_id: int = 0


def text(raw: bytes, start: int, end: int) -> str:
    """A NUL-terminated string within [start, end). Bytes that aren't UTF-8 survive, so that paths can still be opened."""
    nul = raw.find(b"\0", start, end)
    return raw[start : end if nul < 0 else nul].decode("utf-8", "surrogateescape")


def _need(body: bytes, size: int, kind: Kind) -> None:
    if len(body) < size:
        raise PerfDataError(0, kind.name, f"{len(body)} bytes, at least {size} are needed")


def _mmap(body: bytes, misc: int, trailer: Trailer) -> Mmap:
    _need(body, _MMAP.size + 1, Kind.MMAP)
    pid, _, start, length, offset = _MMAP.unpack_from(body)
    path = text(body, _MMAP.size, len(body))
    executable = not misc & MISC_MMAP_DATA
    return Mmap(trailer.time, pid, start, length, offset, path, (0, 0), 0, "", executable, misc & CPUMODE_MASK)


def _mmap2(body: bytes, misc: int, trailer: Trailer) -> Mmap:
    _need(body, _MMAP.size + _MMAP2_FILE.size + 1, Kind.MMAP2)
    pid, _, start, length, offset = _MMAP.unpack_from(body)
    path = text(body, _MMAP.size + _MMAP2_FILE.size, len(body))
    device, inode, build_id = (0, 0), 0, ""
    if misc & MISC_MMAP_BUILD_ID:
        size, raw, protection, _ = _MMAP2_BUILD_ID.unpack_from(body, _MMAP.size)
        build_id = raw[: min(size, _MAX_BUILD_ID)].hex()
    else:
        major, minor, inode, _, protection, _ = _MMAP2_FILE.unpack_from(body, _MMAP.size)
        device = (major, minor)
    return Mmap(trailer.time, pid, start, length, offset, path, device, inode, build_id, bool(protection & PROT_EXEC), misc & CPUMODE_MASK)


def _comm(body: bytes, misc: int, trailer: Trailer) -> Comm:
    _need(body, _COMM.size, Kind.COMM)
    pid, tid = _COMM.unpack_from(body)
    return Comm(trailer.time, pid, tid, text(body, _COMM.size, len(body)), bool(misc & MISC_COMM_EXEC))


def _fork(body: bytes, misc: int, trailer: Trailer) -> Fork:
    _need(body, _TASK.size, Kind.FORK)
    pid, ppid, tid, ptid, _ = _TASK.unpack_from(body)
    return Fork(trailer.time, pid, ppid, tid, ptid, bool(misc & MISC_FORK_SYNTHESIZED))


def _exit(body: bytes, _misc: int, trailer: Trailer) -> Exit:
    _need(body, _TASK.size, Kind.EXIT)
    pid, _, tid, _, _ = _TASK.unpack_from(body)
    return Exit(trailer.time, pid, tid)


def _lost(body: bytes, _misc: int, trailer: Trailer) -> Lost:
    _need(body, _LOST.size, Kind.LOST)
    event_id, count = _LOST.unpack_from(body)
    return Lost(trailer.time, event_id, count)


def _lost_samples(body: bytes, misc: int, trailer: Trailer) -> LostSamples:
    _need(body, _U64.size, Kind.LOST_SAMPLES)
    return LostSamples(trailer.time, trailer.event_id, _U64.unpack_from(body)[0], bool(misc & MISC_LOST_BY_BPF))


def _throttle(_body: bytes, _misc: int, trailer: Trailer) -> Throttle:
    return Throttle(trailer.time)


def _cgroup(body: bytes, _misc: int, trailer: Trailer) -> Cgroup:
    _need(body, _U64.size, Kind.CGROUP)
    return Cgroup(trailer.time, _U64.unpack_from(body)[0], text(body, _U64.size, len(body)))


def _ksymbol(body: bytes, _misc: int, trailer: Trailer) -> Ksymbol:
    _need(body, _KSYMBOL.size, Kind.KSYMBOL)
    address, length, _, flags = _KSYMBOL.unpack_from(body)
    return Ksymbol(trailer.time, address, length, text(body, _KSYMBOL.size, len(body)), bool(flags & 1))


def _namespaces(body: bytes, _misc: int, trailer: Trailer) -> Namespaces:
    _need(body, _NAMESPACES.size, Kind.NAMESPACES)
    pid, tid, count = _NAMESPACES.unpack_from(body)
    _need(body, _NAMESPACES.size + 16 * count, Kind.NAMESPACES)
    numbers = struct.unpack_from(f"<{2 * count}Q", body, _NAMESPACES.size)
    return Namespaces(trailer.time, pid, tid, tuple(zip(numbers[::2], numbers[1::2], strict=True)))


def _build_id(body: bytes, _misc: int, _trailer: Trailer) -> BuildId:
    return build_id(body)


def build_id(body: bytes) -> BuildId:
    """Read struct perf_record_header_build_id without its header: pid, 20 bytes and, from perf 5.11 on, how many of them count; path."""
    _need(body, _BUILD_ID.size, Kind.HEADER_BUILD_ID)
    pid, raw, size = _BUILD_ID.unpack_from(body)
    used = size if 0 < size <= _MAX_BUILD_ID else _MAX_BUILD_ID
    return BuildId(0, pid, text(body, _BUILD_ID.size, len(body)), raw[:used].hex())


DECODERS: Final[dict[int, Callable[[bytes, int, Trailer], Record]]] = {
    Kind.MMAP: _mmap,
    Kind.MMAP2: _mmap2,
    Kind.COMM: _comm,
    Kind.FORK: _fork,
    Kind.EXIT: _exit,
    Kind.LOST: _lost,
    Kind.LOST_SAMPLES: _lost_samples,
    Kind.THROTTLE: _throttle,
    Kind.CGROUP: _cgroup,
    Kind.KSYMBOL: _ksymbol,
    Kind.NAMESPACES: _namespaces,
    Kind.HEADER_BUILD_ID: _build_id,
}
"""(body without trailer, misc, trailer) -> value. Raises PerfDataError with an offset in the body."""

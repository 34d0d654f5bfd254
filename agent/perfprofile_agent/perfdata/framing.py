"""Framing: from chunks of any size to whole records, for files read from the front and for pipes alike.

A chunk may end anywhere. What is complete comes out, the rest waits for the next chunk::

    file   header | ids, attributes          | records ... | feature table, features
           └── PRELUDE, one piece ───────────┘             └── Ending.tail
    pipe   header | records ...

Nothing here looks into a record beyond its header, except for the two kinds whose header doesn't count the bytes that follow them
(HEADER_TRACING_DATA, AUXTRACE). Memory held: at most one record, or the prelude, or the tail, each bounded.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from perfprofile_agent.perfdata.errors import PerfDataError
from perfprofile_agent.perfdata.layout import (
    FILE_HEADER,
    MAGIC,
    MAGIC_BIG_ENDIAN,
    MAGIC_OLD,
    PIPE_HEADER_SIZE,
    RECORD_HEADER,
    U32,
    U64,
    Kind,
)

PRELUDE: Final = -1
"""Kind of the piece that holds everything before a file's data, from its first byte."""

RawRecord: TypeAlias = tuple[int, int, bytes, int, int]
"""Kind, misc, a buffer, and where in it the record's body (without its header) starts and ends."""

_MAX_PRELUDE: Final = 64 * 2**20
_MAX_TAIL: Final = 64 * 2**20
"""A recording of a 512-CPU machine has some MiB of either."""
_MAX_SIZE: Final = 2**63


class FileHeader(NamedTuple):
    """struct perf_file_header; offsets and sizes in bytes."""

    attr_size: int
    attrs: tuple[int, int]
    data: tuple[int, int]
    features: tuple[int, int, int, int]


class Ending(NamedTuple):
    """What stood at the end."""

    tail: bytes
    """Bytes after a file's data: the feature table and the features."""
    tail_offset: int
    problem: str
    """Why the recording is not complete, empty if it is."""


class Framing:
    """Takes chunks, gives records. The only state is how far the stream was read and what is still incomplete."""

    def __init__(self) -> None:
        self.header: FileHeader | None = None
        """Known from the prelude on; stays None in pipe mode."""
        self.started = False
        """Whether the header was read and makes sense."""
        self._held = bytearray()
        """The prelude or the tail, as far as it has come."""
        self._rest = b""
        """Begin of a record whose end has not come yet."""
        self._skip = 0
        """Bytes still to pass over."""
        self.position = 0
        """Byte of the stream at which the buffer of the records that come out now begins."""
        self._data_end = _MAX_SIZE
        self._in_data = False

    def feed(self, chunk: bytes | memoryview) -> Iterator[RawRecord]:
        """The records that are complete with this chunk; raises PerfDataError where they stop making sense."""
        data = bytes(chunk)
        if not self._in_data:
            self._held += data
            prelude = self._open()
            if prelude is None:
                return
            data, prelude_bytes = bytes(self._held[prelude:]), bytes(self._held[:prelude])
            self._held.clear()
            self._in_data = True
            if self.header is not None:
                yield PRELUDE, 0, prelude_bytes, 0, prelude
            self.position = prelude
        yield from self._records(data)

    def finish(self) -> Ending:
        """Say how it ended; the stream must not be fed afterwards. Raises PerfDataError if not even the header was complete."""
        if not self._in_data:
            raise PerfDataError(len(self._held), "header", "the stream ends before its header does")
        end = self.position + len(self._rest)
        problem = ""
        if self.header is not None and self.header.data[1] == 0:
            problem = "the file's header was never completed: perf was killed"
        elif self._rest or self._skip or (self.header is not None and end < self._data_end):
            problem = f"it ends at byte {end} in the middle of the data"
        return Ending(bytes(self._held), self._data_end, problem)

    def _open(self) -> int | None:
        """Read the header once it is there. Gives the length of the prelude when all of that is there, else None."""
        held = self._held
        if len(held) < PIPE_HEADER_SIZE:
            return None
        if self.header is None:
            _check_magic(bytes(held[:8]))
            size = U64.unpack_from(held, 8)[0]
            if size == PIPE_HEADER_SIZE:
                self.started = True
                return PIPE_HEADER_SIZE
            if size < FILE_HEADER.size or size > _MAX_PRELUDE:
                raise PerfDataError(8, "header", f"a header of {size} bytes is neither a file's nor a pipe's")
            if len(held) < FILE_HEADER.size:
                return None
            self.header = self._file_header(bytes(held[: FILE_HEADER.size]))
            self.started = True
        start = self.header.data[0]
        return start if len(held) >= start else None

    def _file_header(self, raw: bytes) -> FileHeader:
        _, _, attr_size, attrs, attrs_size, data, data_size, _, _, *features = FILE_HEADER.unpack(raw)
        if not FILE_HEADER.size <= data <= _MAX_PRELUDE:
            raise PerfDataError(40, "file header", f"the data starts at {data}, out of 104 to {_MAX_PRELUDE}")
        if data_size > _MAX_SIZE - data:
            raise PerfDataError(48, "file header", f"{data_size} bytes of data")
        if data_size:
            self._data_end = data + data_size
        return FileHeader(attr_size, (attrs, attrs_size), (data, data_size), (features[0], features[1], features[2], features[3]))

    def _records(self, data: bytes) -> Iterator[RawRecord]:
        """Cut ``data``, which continues what was left of the chunk before, into records."""
        buffer = self._rest + data if self._rest else data
        limit = len(buffer)
        base = self.position
        if base + limit > self._data_end:
            limit = max(0, self._data_end - base)
            self._hold_tail(buffer[limit:])
        unpack = RECORD_HEADER.unpack_from
        at = min(self._skip, limit)
        self._skip -= at
        while at + 8 <= limit:
            kind, misc, size = unpack(buffer, at)
            if size < RECORD_HEADER.size:
                raise PerfDataError(base + at, _kind_name(kind), f"a record of {size} bytes; its header alone has 8")
            end = at + size
            if end > limit:
                break
            yield kind, misc, buffer, at + 8, end
            at = end
            if kind == Kind.HEADER_TRACING_DATA or kind == Kind.AUXTRACE:  # noqa: PLR1714 - a set would hash on the hottest line
                self._skip = _following(kind, buffer, end - size + 8, end, base)
                at += min(self._skip, limit - at)
                self._skip -= at - end
        self.position = base + at
        self._rest = buffer[at:limit]

    def _hold_tail(self, tail: bytes) -> None:
        if len(self._held) + len(tail) > _MAX_TAIL:
            raise PerfDataError(self._data_end, "features", f"more than {_MAX_TAIL} bytes")
        self._held += tail


def _check_magic(magic: bytes) -> None:
    if magic == MAGIC:
        return
    if magic == MAGIC_BIG_ENDIAN:
        raise PerfDataError(0, "header", "recorded on a big-endian machine, which is not supported")
    if magic == MAGIC_OLD:
        raise PerfDataError(0, "header", "written by a perf older than 2.6.39, which is not supported")
    raise PerfDataError(0, "header", f"starts with {magic!r}, no perf.data does")


def _kind_name(kind: int) -> str:
    return Kind(kind).name if kind in Kind.__members__.values() else f"record of type {kind}"


def _following(kind: int, buffer: bytes, start: int, end: int, base: int) -> int:
    """Bytes after a record that its size doesn't count: u32 size, padded to 8, of TRACING_DATA; u64 size of AUXTRACE."""
    width = U32 if kind == Kind.HEADER_TRACING_DATA else U64
    if start + width.size > end:
        raise PerfDataError(base + start, Kind(kind).name, "it doesn't say how many bytes follow it")
    size: int = width.unpack_from(buffer, start)[0]
    if size > _MAX_SIZE:
        raise PerfDataError(base + start, Kind(kind).name, f"{size} bytes follow it")
    return (size + 7) & ~7 if kind == Kind.HEADER_TRACING_DATA else size

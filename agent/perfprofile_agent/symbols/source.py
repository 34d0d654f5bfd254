"""The little that a parser may ask of a file: some bytes at some place.

Parsers never open or seek. They are given a :class:`Source`: bytes in memory in tests, an open file in the sandboxed child.
Everything that comes out of a source is hostile: each read says how many bytes it needs and fails with a named place when
they aren't there.
"""

from typing import Protocol

from perfprofile_agent.symbols.errors import SymbolError

_STRING_STEP = 256
"""Bytes read at a time while looking for the end of a string; nearly all symbol names are shorter."""


class Source(Protocol):
    """Random access to the bytes of a file."""

    @property
    def size(self) -> int:
        """Bytes in the file; reads beyond are short."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``offset``; fewer only at the end of the file. Raises SymbolError if the file can't be read."""


class Blob:
    """A source in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        """As :meth:`Source.read`."""
        return self._data[offset : offset + size]


def read_exactly(source: Source, offset: int, size: int, place: str) -> bytes:
    """Exactly ``size`` bytes from ``offset``, or a SymbolError at ``place``."""
    if offset < 0 or size < 0 or offset + size > source.size:
        raise SymbolError(place, f"bytes {offset} to {offset + size} lie outside the file's {source.size}")
    data = source.read(offset, size)
    if len(data) != size:
        raise SymbolError(place, f"{size} bytes wanted at {offset}, {len(data)} found: the file became shorter")
    return data


def read_string(source: Source, offset: int, end: int, limit: int) -> bytes:
    """The NUL-terminated string at ``offset``, cut at ``end`` (of its table), ``limit`` bytes or the end of the file, whichever is first."""
    end = min(end, offset + limit, source.size)
    found = b""
    while offset < end:
        step = source.read(offset, min(_STRING_STEP, end - offset))
        nul = step.find(b"\0")
        if nul >= 0:
            return found + step[:nul]
        if not step:
            break
        found += step
        offset += len(step)
    return found

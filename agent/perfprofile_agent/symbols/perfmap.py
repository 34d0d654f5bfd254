"""Perf maps: the names that JIT compilers and interpreters write for their generated code.

Format: tools/perf/Documentation/jit-interface.txt of Linux: ``START SIZE NAME`` a line, numbers in hex without 0x, the name until
the end of the line. Written by CPython (``-X perf``, 3.12+), node (``--perf-basic-prof``), .NET, Java agents, LLVM and others.

The writer is the profiled program, so the text is read leniently line by line and within limits. Code is generated, freed and
overwritten while the program runs: of two entries for an address the later line is right.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from typing import Final

from perfprofile_agent.symbols.source import Source
from perfprofile_agent.symbols.table import Found

MAX_BYTES: Final = 64 << 20
"""Of a map are read; node with --perf-basic-prof writes some 50 MB in hours. More is cut at the front, where the oldest names stand."""
MAX_ENTRIES: Final = 1_000_000
_CHUNK: Final = 1 << 20
_LINE: Final = re.compile(rb"^(?:0x)?([0-9a-fA-F]{1,16}) (?:0x)?([0-9a-fA-F]{1,16}) +([^\n]{1,4096})$", re.MULTILINE)
_LONGEST_OVERLAP: Final = 256
"""Entries looked at before an address: overlapping ones are rare, a hostile map could be full of them."""


class PerfMap:
    """The named ranges of generated code, by runtime address."""

    def __init__(self, source: Source) -> None:
        """Read ``source``. Lines of another form are skipped. Raises SymbolError if it can't be read."""
        starts, sizes, places, lengths = array("Q"), array("Q"), array("Q"), array("H")
        self._source = source
        for start, size, place, length in islice(_entries(source), MAX_ENTRIES):
            starts.append(start)
            sizes.append(size)
            places.append(place)
            lengths.append(length)
        # Stable: later lines stand behind earlier ones of the same start.
        order = sorted(range(len(starts)), key=starts.__getitem__)
        self._order = array("I", order)
        self._starts = array("Q", map(starts.__getitem__, order))
        self._sizes, self._places, self._lengths = sizes, places, lengths

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._order)

    def find(self, address: int) -> Found:
        """The code at ``address``: of the entries that cover it the one written last."""
        last = bisect_right(self._starts, address) - 1
        newest = -1
        for position in range(last, max(last - _LONGEST_OVERLAP, -1), -1):
            index = self._order[position]
            if address < self._starts[position] + self._sizes[index]:
                newest = max(newest, index)
        if newest < 0:
            return Found("", address + 1)
        name = self._source.read(self._places[newest], self._lengths[newest])
        return Found(name.decode("utf-8", "replace").strip(), address + 1)


def _entries(source: Source) -> Iterator[tuple[int, int, int, int]]:
    """Start, size, place of the name in the file and its length, for each line that has the form."""
    place = max(source.size - MAX_BYTES, 0)
    # After a cut the first line may lack its start, so it is made to match nothing.
    rest = b"cut " if place else b""
    while place < source.size:
        chunk = source.read(place, _CHUNK)
        if not chunk:
            break
        text = rest + chunk
        complete = text.rfind(b"\n") + 1
        base = place - len(rest)
        for match in _LINE.finditer(text, 0, complete):
            yield int(match[1], 16), int(match[2], 16), base + match.start(3), match.end(3) - match.start(3)
        # A line longer than any name we'd take is skipped over, not gathered.
        rest = text[complete:] if len(text) - complete <= _CHUNK else b""
        place += len(chunk)

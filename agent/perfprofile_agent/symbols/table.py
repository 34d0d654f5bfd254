"""A table of symbols, and the rule by which one of them names an address.

Made for tables of a million entries of which a few are asked for: starts, sizes, ranks and name references are kept in flat
arrays, and a name is read only for symbols that an address may fall into.

The rule, for an address A:

* the nearest symbol that starts at or before A *and* whose size covers A;
* a symbol without a size (hand-written assembly, a label) reaches to the next symbol but never out of its section, and gives
  way to a sized one that covers A: a label within a function doesn't hide the function;
* otherwise no name. In a stripped library the exported function before A is usually not the one that A lies in, and a wrong
  name is worse than none;
* of several names at one start: global or weak before local, then the fewest leading underscores (``malloc``, not
  ``__libc_malloc``), then the first in the alphabet, so that the choice is the same every time.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

_REACH: Final = 64
"""Symbols looked at for one address: labels and mapping symbols lie between a function's start and the address, and a hostile
table could make the walk long."""


class Columns(NamedTuple):
    """Symbols, column by column: all of one length, in any order."""

    starts: "array[int]"
    sizes: "array[int]"
    local: bytes
    """1 for a local symbol, 0 for a global or weak one."""
    names: "array[int]"
    """What ``name_at`` is called with."""


END_OF_ADDRESSES: Final = 1 << 64


class Found(NamedTuple):
    """What a table says of an address."""

    name: str
    """Empty: the table doesn't name it."""
    until: int
    """The same holds for all addresses from the one asked for up to this one: callers that ask in order save most of the work."""


class _Choice(NamedTuple):
    """A symbol that may name the address; the least one is the best."""

    local: int
    underscores: int
    name: str


class SymbolTable:
    """Symbols sorted by address."""

    def __init__(self, columns: Columns, name_at: Callable[[int], str], sections: Sequence[tuple[int, int]] = ()) -> None:
        """Sort ``columns``.

        Args:
            columns: The symbols.
            name_at: Gives the name for an entry of ``columns.names``; empty for a symbol that must not name anything.
            sections: Ranges [start, end) out of which an unsized symbol doesn't reach; none: it reaches to the next symbol.
        """
        self._columns = columns
        self._name_at = name_at
        self._sections = sorted(sections)
        starts = columns.starts
        # Indices sorted by a C function: 300,000 symbols cost about 0.1 s and no tuple each.
        self._order = array("I", sorted(range(len(starts)), key=starts.__getitem__))
        self._starts = array("Q", map(starts.__getitem__, self._order))

    def __len__(self) -> int:
        """Number of symbols."""
        return len(self._order)

    def find(self, address: int) -> Found:
        """The function at ``address``."""
        last = bisect_right(self._starts, address) - 1
        until = self._starts[last + 1] if last + 1 < len(self._starts) else END_OF_ADDRESSES
        sized: tuple[int, _Choice, int] | None = None
        unsized: tuple[int, _Choice] | None = None
        nearest = -1  # start of the first symbol met that has a say
        for position in range(last, max(last - _REACH, -1), -1):
            start, index = self._starts[position], self._order[position]
            if sized is not None and start != sized[0]:
                break
            size = self._columns.sizes[index]
            if size and start + size <= address:
                nearest = start if nearest < 0 else nearest
                unsized = None if unsized is not None and unsized[0] == start else unsized
                continue
            if not size and nearest not in {-1, start}:
                continue
            choice = self._choice(index)
            if choice is None:
                continue
            nearest = start if nearest < 0 else nearest
            if size:
                sized = min(sized or (start, choice, start + size), (start, choice, start + size))
            else:
                unsized = min(unsized or (start, choice), (start, choice))
        if sized is not None:
            return Found(sized[1].name, min(until, sized[2]))
        if unsized is not None:
            return self._within_section(unsized[1].name, unsized[0], address, until)
        return Found("", until)

    def _choice(self, index: int) -> _Choice | None:
        name = self._name_at(self._columns.names[index])
        if not name:
            return None
        return _Choice(local=self._columns.local[index], underscores=len(name) - len(name.lstrip("_")), name=name)

    def _within_section(self, name: str, start: int, address: int, until: int) -> Found:
        """``name`` of an unsized symbol at ``start``, as far as its section reaches."""
        if not self._sections:
            return Found(name, until)
        position = bisect_right(self._sections, (start, END_OF_ADDRESSES)) - 1
        if position >= 0 and address < self._sections[position][1]:
            return Found(name, min(until, self._sections[position][1]))
        return Found("", until)

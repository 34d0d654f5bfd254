r"""The kernel's own symbols, of its modules and of BPF programs, from the text of /proc/kallsyms.

Format: kernel/kallsyms.c, s_show(): ``ADDRESS TYPE NAME[\t[MODULE]]`` a line, the address in hex without 0x. All addresses are
zero for readers that may not see them (kernel.kptr_restrict, CAP_SYSLOG), which is told apart from a kernel without symbols.

There are 120,000 lines and more, and only a few names are wanted, so lines are kept as one blob with arrays of places in it.
"""

import re
from array import array
from bisect import bisect_right
from contextlib import suppress
from itertools import islice
from typing import Final

_ADDRESS: Final = 16
"""Hex digits: a 64-bit kernel prints them all."""
_FUNCTIONS: Final = frozenset((b"t", b"T", b"w", b"W"))
"""Types of symbols in text sections, and weak ones."""
_NAME: Final = re.compile(rb"\S{1,512}")
MAX_SYMBOLS: Final = 2_000_000
_MAX_FUNCTION: Final = 1 << 20
"""Bytes behind a symbol that still belong to it: an address in the gap behind the last function of a module belongs to none."""


class KernelSymbols:
    """The functions of a running kernel, by runtime address."""

    def __init__(self, text: bytes) -> None:
        """Parse ``text``; lines that aren't symbols are skipped."""
        starts, places = array("Q"), array("I")
        hidden = False
        place = _ADDRESS + 3  # of a line's name, behind the address, a space, the type and another space
        # Lines are cut by position: 120,000 of them take 80 ms, and twice that with a regular expression.
        for line in islice(text.split(b"\n"), MAX_SYMBOLS):
            if line[_ADDRESS + 1 : _ADDRESS + 2] in _FUNCTIONS and len(line) > _ADDRESS + 3:
                with suppress(ValueError):  # not a number: not a symbol
                    address = int(line[:_ADDRESS], 16)
                    hidden = hidden or not address
                    if address:
                        starts.append(address)
                        places.append(place)
            place += len(line) + 1
        self.hidden = hidden and not starts
        """Whether there are symbols but their addresses were not shown to whoever read them."""
        # Sorting is stable: of several names at one address the file's first one stays first.
        order = sorted(range(len(starts)), key=starts.__getitem__)
        self._starts = array("Q", map(starts.__getitem__, order))
        self._places = array("I", map(places.__getitem__, order))
        self._text = text if starts else b""

    def __len__(self) -> int:
        """Number of functions."""
        return len(self._starts)

    def find(self, address: int) -> str:
        """The name of the function at ``address``; empty if there is none."""
        position = bisect_right(self._starts, address) - 1
        if position < 0 or address - self._starts[position] >= _MAX_FUNCTION:
            return ""
        start = self._starts[position]
        while position and self._starts[position - 1] == start:
            position -= 1
        match = _NAME.match(self._text, self._places[position])
        return "" if match is None else match[0].decode("utf-8", "replace")

    def address_of(self, name: str) -> int:
        """The address of the function called ``name``; 0 if there is none."""
        line = re.search(rb"^([0-9a-fA-F]{16}) [tTwW] " + re.escape(name.encode("utf-8", "replace")) + rb"$", self._text, re.MULTILINE)
        return 0 if line is None else int(line[1], 16)

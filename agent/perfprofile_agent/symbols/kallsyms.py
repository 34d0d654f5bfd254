r"""The kernel's own symbols, of its modules and of BPF programs, from the text of /proc/kallsyms.

Format: kernel/kallsyms.c, s_show(): ``ADDRESS TYPE NAME[\t[MODULE]]`` a line, the address in hex without 0x. All addresses are
zero for readers that may not see them (kernel.kptr_restrict, CAP_SYSLOG), which is told apart from a kernel without symbols.

There are 120,000 lines and more, and only a few names are wanted, so lines are kept as one blob with arrays of places in it.
"""

import re
from array import array
from bisect import bisect_right
from itertools import islice
from typing import Final

_LINE: Final = re.compile(rb"^([0-9a-fA-F]{1,16}) [tTwW] ([^\s]{1,512})", re.MULTILINE)
"""Symbols in text sections (t, T) and weak ones (w, W)."""
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
        for match in islice(_LINE.finditer(text), MAX_SYMBOLS):
            address = int(match[1], 16)
            hidden = hidden or not address
            if address:
                starts.append(address)
                places.append(match.start(2))
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

"""Go's table of functions, which every Go program carries for its own tracebacks, stripped or not.

Format: runtime/symtab.go (pcHeader, moduledata, functab) and runtime/runtime2.go (_func) of Go; debug/gosym reads the same.
Supported are the layouts of Go 1.2, 1.16, 1.18 and 1.20 (which 1.26 still has), little-endian.

Since 1.18 functions are told as offsets from the start of Go's text. The header once held that address; since 1.26 it
doesn't, and the module data has it. In programs linked with C code it isn't the start of section .text.
"""

import struct
from array import array
from bisect import bisect_right
from typing import Final, NamedTuple

from perfprofile_agent.symbols.elf import MAX_NAME, SHT_NOBITS, Elf, Section
from perfprofile_agent.symbols.errors import SymbolError
from perfprofile_agent.symbols.source import Source, read_exactly, read_string
from perfprofile_agent.symbols.table import END_OF_ADDRESSES, Found

MAX_FUNCTIONS: Final = 2_000_000
"""The largest Go programs known have about 500,000."""
_PLACE: Final = ".gopclntab"
_SECTIONS: Final = (".gopclntab", ".data.rel.ro.gopclntab")
_MODULE_DATA: Final = ".go.module"
_WORDS_BEFORE_TEXT: Final = 22
"""In moduledata: pcHeader, six slices of three words, findfunctab, minpc, maxpc."""


class _Layout(NamedTuple):
    """Where a version of the table holds what. Positions are in words behind the first 8 bytes; -1: not there."""

    text_start: int
    names: int
    """Offset of the names from the table's start; without it names are told from the table's start."""
    functions: int
    """Offset of the function table; without it the function table follows the header's only word."""
    relative: bool
    """Functions are told by 32-bit offsets from the text's start, not by words with their address."""


_LAYOUTS: Final = {
    0xFFFFFFFB: _Layout(text_start=-1, names=-1, functions=-1, relative=False),  # Go 1.2
    0xFFFFFFFA: _Layout(text_start=-1, names=2, functions=6, relative=False),  # Go 1.16
    0xFFFFFFF0: _Layout(text_start=2, names=3, functions=7, relative=True),  # Go 1.18
    0xFFFFFFF1: _Layout(text_start=2, names=3, functions=7, relative=True),  # Go 1.20
}


class GoFunctions:
    """The functions of a Go program, by address before relocation."""

    def __init__(self, source: Source, table: Section, text: tuple[int, int], known_start: int = 0) -> None:
        """Read the function table.

        Args:
            source: The program.
            table: Its section that holds the table.
            text: Addresses [start, end) of the section .text.
            known_start: Start of Go's text from the module data; 0 if that isn't known.

        Raises:
            SymbolError: The table is malformed, of an unknown layout or too big.
        """
        self._source = source
        self._table = table
        header = read_exactly(source, table.offset, 8, _PLACE)
        magic, pad, quantum, self._word = struct.unpack("<IHBB", header)
        if magic not in _LAYOUTS or pad or quantum not in {1, 2, 4} or self._word not in {4, 8}:
            raise SymbolError(_PLACE, f"header {header.hex()} is of no known layout")
        layout = _LAYOUTS[magic]
        words = struct.unpack("<8" + self._code(), read_exactly(source, table.offset + 8, 8 * self._word, _PLACE))
        count = words[0]
        if not 0 < count <= MAX_FUNCTIONS:
            raise SymbolError(_PLACE, f"{count} functions; 1 to {MAX_FUNCTIONS} are read")
        self._relative = layout.relative
        self._names = words[layout.names] if layout.names >= 0 else 0
        # Offsets of functions are told from the function table where the header has one, else from the table's start.
        self._functions = words[layout.functions] if layout.functions >= 0 else 0
        self._starts, self._offsets = self._function_table(count, header_end=0 if layout.functions >= 0 else 8 + self._word)
        self._text = 0
        if layout.relative:
            told = words[layout.text_start]
            self._text = known_start or (told if text[0] <= told < text[1] else text[0])

    def __len__(self) -> int:
        """Number of functions."""
        return len(self._offsets)

    def find(self, address: int) -> Found:
        """The function at ``address``, named as Go's tracebacks show it; the table covers Go's text without gaps."""
        position = bisect_right(self._starts, address - self._text) - 1
        until = self._starts[position + 1] + self._text if position + 1 < len(self._starts) else END_OF_ADDRESSES
        if not 0 <= position < len(self._offsets):
            return Found("", until)
        entry_size = 4 if self._relative else self._word
        place = self._table.offset + self._functions + self._offsets[position] + entry_size
        name = int.from_bytes(read_exactly(self._source, place, 4, f"{_PLACE} function {position}"), "little")
        start = self._table.offset + self._names + name
        found = read_string(self._source, start, self._table.offset + self._table.size, MAX_NAME)
        return Found(found.decode("utf-8", "replace"), until)

    def _code(self) -> str:
        return "Q" if self._word == 8 else "I"  # noqa: PLR2004 - bytes of a pointer

    def _function_table(self, count: int, header_end: int) -> tuple["array[int]", "array[int]"]:
        """Starts (one more than functions: the end of the last) and offsets of their descriptions."""
        item = 4 if self._relative else self._word
        place = self._table.offset + self._functions + header_end
        raw = read_exactly(self._source, place, (2 * count + 1) * item, f"{_PLACE} function table")
        table = array("I" if item == 4 else "Q", raw)  # noqa: PLR2004 - bytes of an entry
        return table[0::2], table[1::2]


def go_functions(elf: Elf) -> GoFunctions | None:
    """The Go functions of a program; None if it isn't written in Go. Raises SymbolError if its table is malformed."""
    table = next((section for section in map(elf.section, _SECTIONS) if section is not None and section.type != SHT_NOBITS), None)
    text = elf.section(".text")
    if table is None or text is None:
        return None
    span = (text.address, text.address + text.size)
    return GoFunctions(elf.source, table, span, _text_of_module_data(elf, table, span))


def _text_of_module_data(elf: Elf, table: Section, text: tuple[int, int]) -> int:
    """The field ``text`` of Go's module data if its first field really points to ``table``; else 0."""
    module_data = elf.section(_MODULE_DATA)
    word = elf.bits // 8
    size = (_WORDS_BEFORE_TEXT + 1) * word
    if module_data is None or module_data.type == SHT_NOBITS or module_data.size < size:
        return 0
    raw = read_exactly(elf.source, module_data.offset, size, _MODULE_DATA)
    first, found = (int.from_bytes(raw[at : at + word], "little") for at in (0, _WORDS_BEFORE_TEXT * word))
    return found if first == table.address and text[0] <= found < text[1] else 0

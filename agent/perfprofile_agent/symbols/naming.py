"""What one file can say about addresses: the order in which its tables are asked, and the names for people.

An executable or library is asked in this order, until a table names the address:

1. Go's function table: stripped Go programs keep it, and its names are those of Go's own profiles and tracebacks;
2. its full symbol table (.symtab);
3. that of its separate debug file, if one was found (by build id, or by .gnu_debuglink and its checksum);
4. the small symbol table that Fedora and its kin pack into .gnu_debugdata (xz-compressed);
5. the exported functions (.dynsym).

A malformed table is noted and passed over; the others may still be right.
"""

import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from perfprofile_agent.symbols.demangle import MAX_OUTPUT, demangle, printable
from perfprofile_agent.symbols.elf import (
    SHT_DYNSYM,
    SHT_NOBITS,
    SHT_SYMTAB,
    Elf,
    SymbolNames,
    build_id,
    debug_link,
    function_columns,
    parse_elf,
    symbol_section,
)
from perfprofile_agent.symbols.errors import SymbolError
from perfprofile_agent.symbols.gopclntab import go_functions
from perfprofile_agent.symbols.perfmap import PerfMap
from perfprofile_agent.symbols.source import Blob, Source, read_exactly
from perfprofile_agent.symbols.table import Found, SymbolTable

MAX_PACKED: Final = 16 << 20
MAX_UNPACKED: Final = 48 << 20
"""Bytes of .gnu_debugdata before and after decompression; Fedora's largest unpack to a few megabytes."""
_LZMA_MEMORY: Final = 64 << 20
MAX_CHECKSUMMED: Final = 1 << 30
"""Bytes of a debug file whose checksum is computed: a second of the child's time."""
_CHECKSUM_STEP: Final = 1 << 20


class Finder(Protocol):
    """A table of functions."""

    def find(self, address: int) -> Found:
        """The function at ``address``. Raises SymbolError if the table is malformed there."""


class Name(NamedTuple):
    """A function's name."""

    name: str
    """For people, at most MAX_OUTPUT printable characters."""
    system_name: str
    """As the linker or the JIT knows it, under the same limits."""


class Names(Protocol):
    """Whatever names addresses of one file."""

    notice: str
    """What went wrong, for people; empty if nothing did."""

    def name(self, addresses: Sequence[int]) -> list[Name | None]:
        """A name for each of ``addresses``, in that order; None where there is none."""


class FileNames:
    """Names of an ELF file. Addresses are asked for as offsets into the file: what lies in memory where, others know."""

    def __init__(self, main: Source, debug: Source | None = None) -> None:
        """Read the headers of ``main`` and, if given, of its separate debug file. Raises SymbolError if ``main`` isn't sound."""
        self._elf = parse_elf(main)
        self.build_id = build_id(self._elf)
        self.debug_link = self._debug_link()
        self.notice = ""
        self._debug = debug
        self._tables = self._open_tables()
        self._opened: list[Finder] = []

    @property
    def wants_debug_file(self) -> bool:
        """Whether a separate debug file could tell more."""
        return symbol_section(self._elf, SHT_SYMTAB) is None and self._elf.section(".gopclntab") is None

    def name(self, addresses: Sequence[int]) -> list[Name | None]:
        """As :meth:`Names.name`."""
        known: dict[str, Name] = {}
        by_offset: dict[int, Name | None] = {}
        name, until = None, -1
        for offset in sorted(set(addresses)):
            if offset >= until:
                found, until = self._find(offset)
                name = _name(found, known)
            by_offset[offset] = name
        return [by_offset[offset] for offset in addresses]

    def _debug_link(self) -> tuple[str, int] | None:
        try:
            return debug_link(self._elf)
        except SymbolError:
            return None  # a file with a broken link still has its own tables

    def _find(self, offset: int) -> Found:
        """The function at an offset of the file; ``until`` is an offset, too."""
        segment = self._elf.segment_at(offset)
        if segment is None:
            return Found("", offset + 1)
        address = offset - segment.offset + segment.address
        until = segment.address + segment.file_size
        name = ""
        for table in self._all_tables():
            try:
                found = table.find(address)
            except SymbolError as error:
                self._note(error)
                continue
            until = min(until, found.until)
            if found.name:
                name = found.name
                break
        return Found(name, until - address + offset)

    def _all_tables(self) -> Iterator[Finder]:
        """The tables opened so far, then those still to be opened: most addresses are found in the first."""
        yield from self._opened
        for table in self._tables:
            self._opened.append(table)
            yield table

    def _open_tables(self) -> Iterator[Finder]:
        steps: tuple[Callable[[], Finder | None], ...] = (
            lambda: go_functions(self._elf),
            lambda: _table(self._elf, SHT_SYMTAB),
            self._debug_table,
            lambda: _packed_table(self._elf),
            lambda: _table(self._elf, SHT_DYNSYM),
        )
        for step in steps:
            try:
                table = step()
            except SymbolError as error:
                self._note(error)
                continue
            if table is not None:
                yield table

    def _debug_table(self) -> Finder | None:
        if self._debug is None:
            return None
        debug = parse_elf(self._debug)
        theirs = build_id(debug)
        if self.build_id and theirs:
            matches = self.build_id == theirs
        else:
            matches = self.debug_link is not None and _checksum(self._debug) == self.debug_link[1]
        if not matches:
            raise SymbolError("debug file", "it belongs to another build of the program")
        return _table(debug, SHT_SYMTAB)

    def _note(self, error: SymbolError) -> None:
        self.notice = self.notice or printable(str(error))


class PerfMapNames:
    """Names of generated code, out of the map that the process wrote. Addresses are runtime addresses."""

    def __init__(self, source: Source) -> None:
        """Read the map. Raises SymbolError if it can't be read."""
        self._map = PerfMap(source)
        self.notice = ""

    def name(self, addresses: Sequence[int]) -> list[Name | None]:
        """As :meth:`Names.name`."""
        known: dict[str, Name] = {}
        return [_name(self._map.find(address).name, known) for address in addresses]


def _name(found: str, known: dict[str, Name]) -> Name | None:
    """The name for people, demangled once for each distinct ``found``."""
    if not found:
        return None
    if found not in known:
        known[found] = Name(demangle(found), printable(found)[:MAX_OUTPUT])
    return known[found]


def _table(elf: Elf, type_: int) -> SymbolTable | None:
    section = symbol_section(elf, type_)
    if section is None:
        return None
    names = SymbolNames(elf, section)
    return SymbolTable(function_columns(elf, section), names.raw, elf.executable_ranges())


def _packed_table(elf: Elf) -> SymbolTable | None:
    section = elf.section(".gnu_debugdata")
    if section is None or section.type == SHT_NOBITS:
        return None
    if section.size > MAX_PACKED:
        raise SymbolError(section.name, f"{section.size} bytes; at most {MAX_PACKED} are read")
    packed = read_exactly(elf.source, section.offset, section.size, section.name)
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY)
    try:
        unpacked = decompressor.decompress(packed, MAX_UNPACKED)
    except lzma.LZMAError as error:
        raise SymbolError(section.name, f"not sound xz data: {error}") from error
    if not decompressor.eof:
        raise SymbolError(section.name, f"not complete xz data, or more than {MAX_UNPACKED} bytes of it")
    return _table(parse_elf(Blob(unpacked)), SHT_SYMTAB)


def _checksum(source: Source) -> int:
    if source.size > MAX_CHECKSUMMED:
        raise SymbolError("debug file", f"{source.size} bytes; checksums are computed of at most {MAX_CHECKSUMMED}")
    crc = 0
    for offset in range(0, source.size, _CHECKSUM_STEP):
        crc = zlib.crc32(source.read(offset, _CHECKSUM_STEP), crc)
    return crc

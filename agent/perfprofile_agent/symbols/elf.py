"""ELF: as much of it as is needed to name addresses, read without trust.

Formats: the System V gABI (https://www.sysv-abi.org), chapters 4 and 5; the .gnu_debuglink section as GDB's manual describes it
("Debugging Information in Separate Files"). Little-endian files of both classes.

Every count, offset and size is checked before it is used; whatever is wrong raises SymbolError with the place.
"""

import struct
from array import array
from collections.abc import Iterator
from itertools import compress
from operator import and_
from typing import Final, NamedTuple

from perfprofile_agent.symbols.errors import SymbolError
from perfprofile_agent.symbols.source import Source, read_exactly, read_string
from perfprofile_agent.symbols.table import Columns

PT_LOAD: Final = 1
PT_NOTE: Final = 4
PF_X: Final = 1
SHT_SYMTAB: Final = 2
SHT_NOTE: Final = 7
SHT_NOBITS: Final = 8
SHT_DYNSYM: Final = 11
SHF_EXECINSTR: Final = 4
NT_GNU_BUILD_ID: Final = 3
_SHN_XINDEX: Final = 0xFFFF

MAX_SECTIONS: Final = 65536
MAX_SEGMENTS: Final = 4096
MAX_SYMBOLS: Final = 4_000_000
"""Entries of one symbol table that are looked at; Chromium with all symbols has about a million functions."""
MAX_FUNCTIONS: Final = 1_000_000
"""Entries that may be kept: they cost about 60 bytes each while they are sorted, and the child's memory is limited."""
MAX_NAME: Final = 4096
"""Bytes of a mangled name; a longer one is cut."""
_MAX_NOTES: Final = 1 << 16
_MAX_BUILD_ID: Final = 64
_SYMBOLS_AT_A_TIME: Final = 1 << 16

IDENTIFICATION: Final = "ELF identification"
"""The place that is named when a file isn't an ELF file at all."""
_MAGIC: Final = b"\x7fELF"
_HEADER_SIZE: Final = {1: 52, 2: 64}
_HEADER: Final = {1: struct.Struct("<16xHHIIIIIHHHHHH"), 2: struct.Struct("<16xHHIQQQIHHHHHH")}
"""e_type e_machine e_version e_entry e_phoff e_shoff e_flags e_ehsize e_phentsize e_phnum e_shentsize e_shnum e_shstrndx."""
_SEGMENT: Final = {1: struct.Struct("<IIIIIIII"), 2: struct.Struct("<IIQQQQQQ")}
"""32: p_type p_offset p_vaddr p_paddr p_filesz p_memsz p_flags p_align; 64: p_flags stands second."""
_SECTION: Final = {1: struct.Struct("<IIIIIIIIII"), 2: struct.Struct("<IIQQQQIIQQ")}
"""sh_name sh_type sh_flags sh_addr sh_offset sh_size sh_link sh_info sh_addralign sh_entsize."""
_NOTE: Final = struct.Struct("<III")

# Which symbol types may name code: NOTYPE (assembly), FUNC and GNU_IFUNC, with any binding; the type is the low half of st_info.
_NAMES_CODE: Final = bytes(1 if info & 15 in {0, 2, 10} else 0 for info in range(256))
_IS_LOCAL: Final = bytes(1 if info >> 4 == 0 else 0 for info in range(256))


class Segment(NamedTuple):
    """A program header."""

    type: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int


class Section(NamedTuple):
    """A section header, with its name resolved."""

    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    entry_size: int


class Elf(NamedTuple):
    """The headers of an ELF file."""

    source: Source
    bits: int
    """32 or 64."""
    machine: int
    """e_machine, for example 62 for x86-64 and 183 for AArch64."""
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]

    def section(self, name: str) -> Section | None:
        """The first section of that name."""
        return next((section for section in self.sections if section.name == name), None)

    def segment_at(self, offset: int) -> Segment | None:
        """The loaded segment that byte ``offset`` of the file belongs to.

        The kernel maps whole pages, so the edges of an executable segment show bytes of its neighbours: executable ones win.
        """
        holding = (each for each in self.segments if each.type == PT_LOAD and each.offset <= offset < each.offset + each.file_size)
        return max(holding, key=lambda segment: segment.flags & PF_X, default=None)

    def executable_ranges(self) -> list[tuple[int, int]]:
        """Addresses [start, end) of the sections that hold code."""
        return [(each.address, each.address + each.size) for each in self.sections if each.flags & SHF_EXECINSTR]


def parse_elf(source: Source) -> Elf:
    """Read the headers. Raises SymbolError if ``source`` isn't a little-endian ELF file or its headers don't fit together."""
    ident = read_exactly(source, 0, 16, IDENTIFICATION)
    if ident[:4] != _MAGIC:
        raise SymbolError(IDENTIFICATION, "the magic number is missing: not an ELF file")
    kind, encoding = ident[4], ident[5]
    if kind not in _HEADER_SIZE or encoding != 1:
        raise SymbolError(IDENTIFICATION, f"class {kind} and encoding {encoding} are not supported; 1 or 2 and 1 are")
    raw = read_exactly(source, 0, _HEADER_SIZE[kind], "ELF header")
    _, machine, _, _, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, shstrndx = _HEADER[kind].unpack(raw)
    segments = _segments(source, kind, phoff, phentsize, phnum)
    sections = _sections(source, kind, shoff, shentsize, shnum, shstrndx)
    return Elf(source, 32 if kind == 1 else 64, machine, segments, sections)


def _segments(source: Source, kind: int, offset: int, entry_size: int, count: int) -> tuple[Segment, ...]:
    layout = _SEGMENT[kind]
    if count == 0:
        return ()
    if entry_size != layout.size or count > MAX_SEGMENTS:
        raise SymbolError("program headers", f"{count} of {entry_size} bytes; at most {MAX_SEGMENTS} of {layout.size} are read")
    raw = read_exactly(source, offset, count * entry_size, "program headers")
    found = []
    for entry in layout.iter_unpack(raw):
        if kind == 1:
            type_, place, address, _, file_size, memory_size, flags, _ = entry
        else:
            type_, flags, place, address, _, file_size, memory_size, _ = entry
        found.append(Segment(type_, flags, place, address, file_size, memory_size))
    return tuple(found)


def _sections(source: Source, kind: int, offset: int, entry_size: int, count: int, names_at: int) -> tuple[Section, ...]:
    layout = _SECTION[kind]
    if offset == 0:
        return ()
    if entry_size != layout.size:
        raise SymbolError("section headers", f"entries of {entry_size} bytes; {layout.size} are expected")
    # gABI "Special Sections": numbers too big for the header stand in section header 0.
    first = layout.unpack(read_exactly(source, offset, entry_size, "section header 0"))
    count = count or first[5]
    names_at = first[6] if names_at == _SHN_XINDEX else names_at
    if count > MAX_SECTIONS:
        raise SymbolError("section headers", f"{count} of them; at most {MAX_SECTIONS} are read")
    raw = read_exactly(source, offset, count * entry_size, "section headers")
    entries = list(layout.iter_unpack(raw))
    if names_at >= len(entries):
        raise SymbolError("section headers", f"names are said to be in section {names_at} of {len(entries)}")
    names = _SectionNames(source, entries[names_at][4], entries[names_at][5])
    return tuple(
        Section(names.at(name), type_, flags, address, place, size, link, entsize)
        for name, type_, flags, address, place, size, link, _, _, entsize in entries
    )


class _SectionNames:
    """The section header string table; read in one piece, because each section has a name."""

    _LIMIT: Final = 1 << 20

    def __init__(self, source: Source, offset: int, size: int) -> None:
        self._data = source.read(offset, min(size, self._LIMIT)) if offset < source.size else b""

    def at(self, offset: int) -> str:
        end = self._data.find(b"\0", offset, offset + MAX_NAME)
        return self._data[offset : max(end, offset)].decode("ascii", "replace")


def build_id(elf: Elf) -> str:
    """The GNU build id in lower-case hex; empty if the file has none. Raises SymbolError for a malformed note."""
    places = [(section.offset, section.size) for section in elf.sections if section.type == SHT_NOTE]
    places += [(segment.offset, segment.file_size) for segment in elf.segments if segment.type == PT_NOTE]
    for offset, size in places:
        for name, type_, description in _notes(elf.source, offset, size):
            if name == b"GNU\0" and type_ == NT_GNU_BUILD_ID:
                return description[:_MAX_BUILD_ID].hex()
    return ""


def _notes(source: Source, offset: int, size: int) -> Iterator[tuple[bytes, int, bytes]]:
    """The (name, type, description) of each note; 4-byte aligned, as GNU tools write them whatever the class says."""
    raw = read_exactly(source, offset, min(size, _MAX_NOTES), "notes")
    at = 0
    while at + _NOTE.size <= len(raw):
        name_size, description_size, type_ = _NOTE.unpack_from(raw, at)
        name_end = at + _NOTE.size + name_size
        start = (name_end + 3) & ~3
        end = start + description_size
        if end > len(raw):
            raise SymbolError("notes", f"a note of {name_size} + {description_size} bytes at {offset + at} leaves its section")
        yield raw[at + _NOTE.size : name_end], type_, raw[start:end]
        at = (end + 3) & ~3


def debug_link(elf: Elf) -> tuple[str, int] | None:
    """File name and CRC-32 of the separate debug file; None if the file names none."""
    section = elf.section(".gnu_debuglink")
    if section is None:
        return None
    raw = read_exactly(elf.source, section.offset, min(section.size, MAX_NAME), ".gnu_debuglink")
    name, nul, _ = raw.partition(b"\0")
    crc_at = (len(name) + 4) & ~3
    if not nul or not name or b"/" in name or name in {b".", b".."} or crc_at + 4 > len(raw):
        raise SymbolError(".gnu_debuglink", "not a plain file name with a checksum behind it")
    return name.decode("utf-8", "replace"), int.from_bytes(raw[crc_at : crc_at + 4], "little")


def symbol_section(elf: Elf, type_: int) -> Section | None:
    """The section SHT_SYMTAB or SHT_DYNSYM, if the file really holds its bytes."""
    return next((each for each in elf.sections if each.type == type_ and each.size), None)


class SymbolNames:
    """Names of a symbol table's entries, read one by one from its string table."""

    def __init__(self, elf: Elf, table: Section) -> None:
        if not 0 < table.link < len(elf.sections):
            raise SymbolError(table.name, f"its strings are said to be in section {table.link} of {len(elf.sections)}")
        strings = elf.sections[table.link]
        if strings.type == SHT_NOBITS:
            raise SymbolError(table.name, "its strings are not in the file")
        self._source = elf.source
        self._start = strings.offset
        self._end = strings.offset + strings.size

    def raw(self, offset: int) -> str:
        """The name at ``offset``, as the linker knows it, without a symbol version; empty for mapping symbols and the nameless."""
        data = read_string(self._source, self._start + offset, self._end, MAX_NAME)
        if not data or data.startswith((b"$", b".L")):
            return ""
        return data.partition(b"@")[0].decode("utf-8", "replace")


def function_columns(elf: Elf, table: Section) -> Columns:
    """The entries of ``table`` that may name code. Raises SymbolError where they don't fit the file or are too many."""
    entry_size = 24 if elf.bits == 64 else 16  # noqa: PLR2004 - Elf64_Sym and Elf32_Sym
    if table.type == SHT_NOBITS or table.entry_size != entry_size:
        raise SymbolError(table.name, f"entries of {table.entry_size} bytes; {entry_size} are expected")
    count = table.size // entry_size
    if count > MAX_SYMBOLS:
        raise SymbolError(table.name, f"{count} symbols; at most {MAX_SYMBOLS} are read")
    code = bytearray(1 << 16)  # by section index, as wide as st_shndx: reserved indices like SHN_ABS hold no code
    for index, section in enumerate(elf.sections):
        code[index] = bool(section.flags & SHF_EXECINSTR)
    columns = Columns(array("Q"), array("Q"), b"", array("I"))
    local = []
    for first in range(0, count, _SYMBOLS_AT_A_TIME):
        amount = min(_SYMBOLS_AT_A_TIME, count - first)
        raw = read_exactly(elf.source, table.offset + first * entry_size, amount * entry_size, table.name)
        local.append(_append(columns, raw, code, elf.bits))
        if len(columns.starts) > MAX_FUNCTIONS:
            raise SymbolError(table.name, f"more than {MAX_FUNCTIONS} functions")
    return columns._replace(local=b"".join(local))


def _append(columns: Columns, raw: bytes, code: bytearray, bits: int) -> bytes:
    """Append the functions among the entries in ``raw``; returns their column ``local``.

    Whole columns at a time, by strided slices: a loop over entries would take ten times as long.
    Elf64_Sym: st_name u32, st_info u8, st_other u8, st_shndx u16, st_value u64, st_size u64.
    Elf32_Sym: st_name u32, st_value u32, st_size u32, st_info u8, st_other u8, st_shndx u16.
    """
    wide = bits == 64  # noqa: PLR2004
    words = array("I", raw)
    info = raw[4::24] if wide else raw[12::16]
    section = array("H", raw)[3::12] if wide else array("H", raw)[7::8]
    mask = bytes(map(and_, info.translate(_NAMES_CODE), map(code.__getitem__, section)))
    values = array("Q", raw)[1::3] if wide else words[1::4]
    sizes = array("Q", raw)[2::3] if wide else words[2::4]
    columns.starts.extend(compress(values, mask))
    columns.sizes.extend(compress(sizes, mask))
    columns.names.extend(compress(words[0 :: 6 if wide else 4], mask))
    return bytes(compress(info.translate(_IS_LOCAL), mask))

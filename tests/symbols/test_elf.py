"""The ELF reader, beside readelf on real programs, and on every way to break them."""

import random
import struct

import pytest

from perfprofile_agent.symbols.elf import build_id, debug_link, parse_elf
from perfprofile_agent.symbols.errors import SymbolError
from perfprofile_agent.symbols.naming import FileNames
from perfprofile_agent.symbols.source import Blob
from support.programs import SPIN_C, compile_c, functions, run, tool

TINY_C = "__attribute__((noinline)) int work(int a) { return a * 2; } void _start(void) { for (;;) work(3); }"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A static program without a C library: some 9 KB with all kinds of tables."""
    return compile_c(tmp_path_factory.mktemp("tiny"), TINY_C, "-nostdlib", "-static", "-Wl,--build-id=sha1").read_bytes()


def offset_of(elf, address):
    """The file offset of an address, by way of the program headers."""
    return next(s.offset + address - s.address for s in elf.segments if s.type == 1 and s.address <= address < s.address + s.file_size)


@pytest.mark.parametrize(
    "flags",
    [("-O0",), ("-O2", "-no-pie"), ("-O2", "-fPIE", "-pie"), ("-O2", "-shared", "-fPIC")],
    ids=["default", "fixed address", "PIE", "shared library"],
)
def test_every_function_of_a_real_program_is_named_at_its_first_middle_and_last_byte(tmp_path, flags):
    program = compile_c(tmp_path, SPIN_C, *flags)
    elf = parse_elf(Blob(program.read_bytes()))
    known = [function for function in functions(program) if function.size]
    names = FileNames(Blob(program.read_bytes()))

    for function in known:
        first = offset_of(elf, function.address)
        found = names.name([first, first + function.size // 2, first + function.size - 1])
        assert {name and name.system_name for name in found} == {function.name}


def test_the_functions_of_a_static_c_library_are_named_as_readelf_names_them(tmp_path):
    program = compile_c(tmp_path, SPIN_C, "-O2", "-static")
    elf = parse_elf(Blob(program.read_bytes()))
    known = [function for function in functions(program) if function.size]
    by_start: dict[int, set[str]] = {}
    for function in known:
        by_start.setdefault(function.address, set()).add(function.name)

    names = FileNames(Blob(program.read_bytes())).name([offset_of(elf, function.address) for function in known])

    assert len(known) > 1000
    assert all(name is not None for name in names)
    assert [
        name.system_name for name, function in zip(names, known, strict=True) if name.system_name not in by_start[function.address]
    ] == []


def test_the_build_id_is_readelf_s(tmp_path):
    program = compile_c(tmp_path, SPIN_C, "-Wl,--build-id=sha1")

    notes = run([tool("readelf", "binutils"), "--notes", str(program)])

    assert f"Build ID: {build_id(parse_elf(Blob(program.read_bytes())))}" in notes


def test_a_program_without_a_build_id_has_an_empty_one(tmp_path):
    program = compile_c(tmp_path, SPIN_C, "-Wl,--build-id=none")

    assert build_id(parse_elf(Blob(program.read_bytes()))) == ""


def test_the_debug_link_is_read_with_its_checksum(tmp_path):
    program = compile_c(tmp_path)
    debug = tmp_path / "program.debug"
    debug.write_bytes(b"anything")
    run([tool("objcopy", "binutils"), f"--add-gnu-debuglink={debug}", str(program)])

    name, checksum = debug_link(parse_elf(Blob(program.read_bytes())))

    assert name == "program.debug"
    assert checksum == 0xC3159F63 or checksum > 0


def test_a_32_bit_program_is_read_too(tmp_path):
    tool("gcc", "gcc")
    try:
        program = compile_c(tmp_path, TINY_C, "-m32", "-nostdlib", "-static")
    except AssertionError:
        pytest.skip("this gcc can't make 32-bit programs: apt-get install gcc-multilib")
    elf = parse_elf(Blob(program.read_bytes()))
    known = {function.name: function for function in functions(program)}

    names = FileNames(Blob(program.read_bytes())).name([offset_of(elf, known["work"].address)])

    assert elf.bits == 32
    assert names[0].name == "work"


def read_all(data):
    """Everything that is ever done with a file; gives whether it was sound enough to be opened."""
    try:
        names = FileNames(Blob(data))
        names.name(range(0, 0x4000, 64))
    except SymbolError:
        return False
    return True


def test_every_truncation_of_a_program_raises_nothing_but_symbol_error(tiny):
    """Whole range: all cuts. FileNames itself turns malformed tables into notices, so only headers make it raise."""
    step = max(len(tiny) // 3000, 1)

    sound = [read_all(tiny[:size]) for size in [*range(1024), *range(1024, len(tiny), step)]]

    assert not any(sound[:64])
    assert read_all(tiny)


def test_every_damaged_byte_raises_nothing_but_symbol_error(tiny):
    generator = random.Random(20261123)
    headers = [*range(64), *range(64, 64 + 56 * 6)]
    table = struct.unpack_from("<Q", tiny, 40)[0]
    places = headers + list(range(table, len(tiny)))

    for place in places:
        damaged = bytearray(tiny)
        damaged[place] = generator.choice([0, 1, 0x7F, 0x80, 0xFF])
        read_all(bytes(damaged))
    for _ in range(500):
        damaged = bytearray(tiny)
        for _ in range(generator.randrange(1, 8)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        read_all(bytes(damaged))


@pytest.mark.parametrize(
    ("where", "value", "place"),
    [
        (0, b"\x7fELG", "ELF identification"),
        (5, b"\x02", "ELF identification"),
        (4, b"\x09", "ELF identification"),
        (32, struct.pack("<Q", 1 << 62), "program headers"),
        (40, struct.pack("<Q", 1 << 62), "section header 0"),
        (54, struct.pack("<H", 1), "program headers"),
        (56, struct.pack("<H", 0xFFFF), "program headers"),
        (58, struct.pack("<H", 7), "section headers"),
        (60, struct.pack("<H", 0xFFFE), "section headers"),
        (62, struct.pack("<H", 0x7FFF), "section headers"),
    ],
)
def test_a_broken_header_is_named_by_its_place(tiny, where, value, place):
    damaged = bytearray(tiny)
    damaged[where : where + len(value)] = value

    with pytest.raises(SymbolError) as raised:
        parse_elf(Blob(bytes(damaged)))

    assert raised.value.place == place


def patched_section(data, name, field, value):
    """``data`` with one field (sh_offset 24, sh_size 32, sh_link 40, sh_entsize 56) of a section changed."""
    elf = parse_elf(Blob(data))
    index = [section.name for section in elf.sections].index(name)
    place = struct.unpack_from("<Q", data, 40)[0] + 64 * index + field
    changed = bytearray(data)
    changed[place : place + len(value)] = value
    return bytes(changed)


@pytest.mark.parametrize(
    ("name", "field", "value", "said"),
    [
        (".symtab", 32, struct.pack("<Q", 24 << 40), "symbols; at most"),
        (".symtab", 24, struct.pack("<Q", 1 << 60), "lie outside"),
        (".symtab", 40, struct.pack("<I", 99999), "strings are said to be in section"),
        (".symtab", 56, struct.pack("<Q", 8), "entries of 8 bytes"),
    ],
)
def test_a_broken_symbol_table_is_told_and_names_nothing(tiny, name, field, value, said):
    names = FileNames(Blob(patched_section(tiny, name, field, value)))

    found = names.name(range(0x1000, 0x1040))

    assert set(found) == {None}
    assert said in names.notice


def test_a_note_that_leaves_its_section_is_refused(tiny):
    at = tiny.index(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0")
    damaged = bytearray(tiny)
    damaged[at + 4 : at + 8] = struct.pack("<I", 0xFFFFFFF0)

    with pytest.raises(SymbolError, match="leaves its section"):
        build_id(parse_elf(Blob(bytes(damaged))))

"""In which tables of a file names are found."""

import lzma
import struct

import pytest

from perfprofile_agent.symbols import naming
from perfprofile_agent.symbols.elf import parse_elf
from perfprofile_agent.symbols.naming import FileNames, PerfMapNames
from perfprofile_agent.symbols.source import Blob
from support.programs import SPIN_C, compile_c, compile_cpp, functions, run, tool

CPP = """
#include <vector>
namespace shop { template <class T> struct Cart { std::vector<T> items; __attribute__((noinline)) T total(T start) const; }; }
template <class T> T shop::Cart<T>::total(T start) const { for (auto item : items) start += item; return start; }
int main() { shop::Cart<double> cart; cart.items = {1, 2}; return static_cast<int>(cart.total(0)); }
"""


def offset_of(program, name):
    """The file offset of the middle of a function."""
    function = next(function for function in functions(program) if function.name == name)
    elf = parse_elf(Blob(program.read_bytes()))
    segment = next(s for s in elf.segments if s.type == 1 and s.address <= function.address < s.address + s.file_size)
    return segment.offset + function.address - segment.address + function.size // 2


def objcopy(*arguments):
    run([tool("objcopy", "binutils"), *map(str, arguments)])


@pytest.fixture
def program(tmp_path):
    return compile_c(tmp_path, SPIN_C, "-O1", "-Wl,--build-id=sha1")


@pytest.fixture
def stripped(program, tmp_path):
    run([tool("strip", "binutils"), "-o", str(tmp_path / "stripped"), str(program)])
    return tmp_path / "stripped"


def test_a_template_of_cpp_is_shown_demangled_and_kept_mangled(tmp_path):
    program = compile_cpp(tmp_path, CPP, "-O1")

    (name,) = FileNames(Blob(program.read_bytes())).name([offset_of(program, "_ZNK4shop4CartIdE5totalEd")])

    assert name == ("shop::Cart<double>::total(double) const", "_ZNK4shop4CartIdE5totalEd")


def test_a_stripped_program_has_no_names_and_wants_its_debug_file(program, stripped):
    names = FileNames(Blob(stripped.read_bytes()))

    assert names.wants_debug_file
    assert names.name([offset_of(program, "outer")]) == [None]


def test_a_debug_file_of_the_same_build_names_a_stripped_program(program, stripped, tmp_path):
    debug = tmp_path / "program.debug"
    objcopy("--only-keep-debug", program, debug)

    (name,) = FileNames(Blob(stripped.read_bytes()), Blob(debug.read_bytes())).name([offset_of(program, "inner")])

    assert name.name == "inner"


def test_a_debug_file_of_another_build_is_not_used(program, stripped, tmp_path):
    (tmp_path / "other").mkdir()
    other = compile_c(tmp_path / "other", SPIN_C, "-O2", "-Wl,--build-id=sha1")
    names = FileNames(Blob(stripped.read_bytes()), Blob(other.read_bytes()))

    found = names.name([offset_of(program, "inner")])

    assert found == [None]
    assert "another build" in names.notice


def test_without_build_ids_the_checksum_of_the_debug_link_decides(tmp_path):
    program = compile_c(tmp_path, SPIN_C, "-O1", "-Wl,--build-id=none")
    debug, stripped = tmp_path / "program.debug", tmp_path / "stripped"
    objcopy("--only-keep-debug", program, debug)
    run([tool("strip", "binutils"), "-o", str(stripped), str(program)])
    objcopy(f"--add-gnu-debuglink={debug}", stripped)
    offset = offset_of(program, "inner")

    right = FileNames(Blob(stripped.read_bytes()), Blob(debug.read_bytes()))
    wrong = FileNames(Blob(stripped.read_bytes()), Blob(debug.read_bytes() + b"\0"))

    assert right.name([offset])[0].name == "inner"
    assert wrong.name([offset]) == [None]


def packed(program, stripped, tmp_path, data=None):
    """``stripped`` with the symbol table of ``program`` in .gnu_debugdata, as Fedora packs it."""
    symbols = tmp_path / "symbols"
    objcopy("--only-keep-debug", program, symbols)
    (tmp_path / "packed.xz").write_bytes(lzma.compress(symbols.read_bytes()) if data is None else data)
    objcopy("--add-section", f".gnu_debugdata={tmp_path / 'packed.xz'}", stripped)
    return stripped


def test_symbols_packed_into_the_program_are_used(program, stripped, tmp_path):
    offset = offset_of(program, "inner")

    (name,) = FileNames(Blob(packed(program, stripped, tmp_path).read_bytes())).name([offset])

    assert name.name == "inner"


def test_a_decompression_bomb_is_unpacked_to_its_limit_only(program, stripped, tmp_path, monkeypatch):
    monkeypatch.setattr(naming, "MAX_UNPACKED", 1 << 20)
    bomb = lzma.compress(bytes(4 << 20))

    names = FileNames(Blob(packed(program, stripped, tmp_path, bomb).read_bytes()))

    assert names.name([offset_of(program, "inner")]) == [None]
    assert "more than" in names.notice


def test_packed_symbols_that_are_no_xz_data_are_told(program, stripped, tmp_path):
    names = FileNames(Blob(packed(program, stripped, tmp_path, b"not xz").read_bytes()))

    assert names.name([offset_of(program, "inner")]) == [None]
    assert ".gnu_debugdata" in names.notice


def test_exported_functions_name_a_stripped_library(tmp_path):
    library = compile_c(tmp_path, SPIN_C, "-O1", "-shared", "-fPIC", name="library.so")
    offsets = [offset_of(library, "outer"), offset_of(library, "inner")]
    run([tool("strip", "binutils"), str(library)])

    outer, inner = FileNames(Blob(library.read_bytes())).name(offsets)

    assert outer.name == "outer"
    assert inner is None


def test_offsets_outside_every_segment_have_no_name(program):
    assert FileNames(Blob(program.read_bytes())).name([1 << 40, (1 << 64) - 1]) == [None, None]


def test_answers_come_in_the_order_of_the_questions(program):
    names = FileNames(Blob(program.read_bytes()))
    offsets = [offset_of(program, "outer"), 1 << 40, offset_of(program, "inner"), offset_of(program, "outer")]

    assert [name and name.name for name in names.name(offsets)] == ["outer", None, "inner", "outer"]


def test_generated_code_is_named_by_the_process_s_map():
    names = PerfMapNames(Blob(b"1000 10 py::f:/app.py\n"))

    assert [name and name.name for name in names.name([0x1008, 0x1010])] == ["py::f:/app.py", None]


def test_a_name_offset_beyond_the_strings_is_no_name(program):
    data = bytearray(program.read_bytes())
    table = parse_elf(Blob(bytes(data))).section(".symtab")
    for at in range(table.offset, table.offset + table.size, 24):
        struct.pack_into("<I", data, at, 0xFFFFFFF0)

    assert set(FileNames(Blob(bytes(data))).name(range(0x1000, 0x1200, 4))) <= {None}

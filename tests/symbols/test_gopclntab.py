"""Go's function table: real programs, and tables of the older layouts made by hand."""

import struct

import pytest

from perfprofile_agent.symbols.elf import Section, parse_elf
from perfprofile_agent.symbols.errors import SymbolError
from perfprofile_agent.symbols.gopclntab import GoFunctions, go_functions
from perfprofile_agent.symbols.naming import FileNames
from perfprofile_agent.symbols.source import Blob
from support.programs import compile_go, run, tool

GO = """
package main

import "fmt"

type thing struct{ n int }

//go:noinline
func (t *thing) spin(times int) int {
	for i := 0; i < times; i++ {
		t.n += i
	}
	return t.n
}

func main() { fmt.Println((&thing{}).spin(1000)) }
"""
GO_WITH_C = """
package main

// static int in_c(int n) { volatile int s = 0; for (int i = 0; i < n; i++) s += i; return s; }
import "C"

//go:noinline
func inGo(n int) int {
	s := 0
	for i := 0; i < n; i++ {
		s += i * i
	}
	return s
}

func main() { println(C.in_c(1000), inGo(1000)) }
"""


def text_addresses(unstripped):
    """Address and name of each Go function, as ``go tool nm`` tells them."""
    lines = run([tool("go", "golang"), "tool", "nm", "-size", str(unstripped)]).splitlines()
    fields = [line.split(maxsplit=3) for line in lines]
    return {
        int(f[0], 16): f[3].removesuffix(".abi0")
        for f in fields
        if len(f) == 4 and f[2] in {"T", "t"} and f[3].startswith(("main.", "runtime.", "fmt."))
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "flags", "wanted"),
    [
        (GO, (), "main.(*thing).spin"),
        (GO, ("-buildmode=pie",), "main.(*thing).spin"),
        (GO_WITH_C, (), "main.inGo"),
        (GO_WITH_C, ("-buildmode=pie",), "main.inGo"),
    ],
    ids=["plain", "PIE", "with C", "PIE with C"],
)
def test_a_stripped_go_program_names_its_functions_as_the_unstripped_one_does(tmp_path, source, flags, wanted):
    plain = compile_go(tmp_path, source, *flags, name="plain")
    stripped = compile_go(tmp_path, source, *flags, "-ldflags=-s -w", name="stripped")
    theirs = text_addresses(plain)

    table = go_functions(parse_elf(Blob(plain.read_bytes())))
    names = {table.find(address).name for address in theirs}
    of_stripped = go_functions(parse_elf(Blob(stripped.read_bytes())))

    wrong = {address for address, name in theirs.items() if table.find(address).name != name}
    assert wanted in names
    assert len(wrong) < len(theirs) / 50, [(hex(address), theirs[address], table.find(address).name) for address in list(wrong)[:5]]
    assert len(of_stripped) == len(table)
    assert wanted in {of_stripped.find(start + of_stripped._text).name for start in of_stripped._starts}
    assert not FileNames(Blob(stripped.read_bytes())).wants_debug_file


NAMES = b"main.first\0main.second\0"


def table_1_18(magic, text_start):
    words = (2, 0, text_start, 100, 0, 0, 0, 200)
    header = struct.pack("<IHBB8Q", magic, 0, 1, 8, *words)
    functions = struct.pack("<5I", 0x10, 40, 0x30, 60, 0x50)
    described = {240: struct.pack("<Ii", 0x10, 0), 260: struct.pack("<Ii", 0x30, 11)}
    return laid_out(header, functions, described)


def table_1_16():
    header = struct.pack("<IHBB8Q", 0xFFFFFFFA, 0, 1, 8, 2, 0, 100, 0, 0, 0, 200, 0)
    functions = struct.pack("<5Q", 0x401010, 60, 0x401030, 80, 0x401050)
    described = {260: struct.pack("<Qi", 0x401010, 0), 280: struct.pack("<Qi", 0x401030, 11)}
    return laid_out(header, functions, described)


def table_1_2():
    body = bytearray(400)
    struct.pack_into("<IHBBQ", body, 0, 0xFFFFFFFB, 0, 1, 8, 2)
    struct.pack_into("<5Q", body, 16, 0x401010, 240, 0x401030, 260, 0x401050)
    struct.pack_into("<Qi", body, 240, 0x401010, 100)
    struct.pack_into("<Qi", body, 260, 0x401030, 111)
    body[100 : 100 + len(NAMES)] = NAMES
    return bytes(body)


def laid_out(header, functions, described):
    body = bytearray(400)
    body[: len(header)] = header
    body[100 : 100 + len(NAMES)] = NAMES
    body[200 : 200 + len(functions)] = functions
    for place, data in described.items():
        body[place : place + len(data)] = data
    return bytes(body)


def functions_of(table):
    section = Section(".gopclntab", 1, 2, 0x500000, 0, len(table), 0, 0)
    return GoFunctions(Blob(table), section, (0x401000, 0x402000))


@pytest.mark.parametrize(
    "table",
    [
        table_1_2(),
        table_1_16(),
        table_1_18(0xFFFFFFF0, 0x401000),
        table_1_18(0xFFFFFFF1, 0x401000),
        table_1_18(0xFFFFFFF1, 0),
    ],
    ids=["1.2", "1.16", "1.18", "1.20", "1.26 or unrelocated"],
)
def test_each_layout_is_read(table):
    found = functions_of(table)

    assert len(found) == 2
    assert [found.find(address).name for address in (0x40100F, 0x401010, 0x40102F, 0x401030, 0x40104F, 0x401050)] == [
        "",
        "main.first",
        "main.first",
        "main.second",
        "main.second",
        "",
    ]
    assert found.find(0x401010).until == 0x401030


@pytest.mark.parametrize("table", [table_1_2(), table_1_16(), table_1_18(0xFFFFFFF1, 0)], ids=["1.2", "1.16", "1.20"])
def test_every_truncation_and_every_damaged_byte_raises_nothing_but_symbol_error(table):
    damaged = [table[:size] for size in range(len(table))]
    damaged += [table[:place] + bytes([value]) + table[place + 1 :] for place in range(len(table)) for value in (0, 0x7F, 0xFF)]

    for data in damaged:
        try:
            found = functions_of(data)
            for address in range(0x401000, 0x401060, 8):
                found.find(address)
        except SymbolError:
            continue


def test_an_unknown_layout_is_named():
    with pytest.raises(SymbolError, match="no known layout"):
        functions_of(table_1_18(0xFFFFFFF2, 0))

"""Perf maps, written by whoever is profiled."""

import pytest

from perfprofile_agent.symbols import perfmap
from perfprofile_agent.symbols.perfmap import PerfMap
from perfprofile_agent.symbols.source import Blob

MAP = b"""7f0000001000 40 py::handle:/app/main.py
7f0000001040 0x20 Builtin:ArgumentsAdaptorTrampoline
0x7f0000002000 100 LazyCompile:~render /app/view.js:10:5
"""


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (0x7F0000000FFF, ""),
        (0x7F0000001000, "py::handle:/app/main.py"),
        (0x7F000000103F, "py::handle:/app/main.py"),
        (0x7F0000001050, "Builtin:ArgumentsAdaptorTrampoline"),
        (0x7F0000001060, ""),
        (0x7F00000020FF, "LazyCompile:~render /app/view.js:10:5"),
        (0x7F0000002100, ""),
    ],
)
def test_the_entry_that_covers_an_address_names_it(address, expected):
    assert PerfMap(Blob(MAP)).find(address).name == expected


def test_of_overlapping_entries_the_one_written_last_is_right():
    written = PerfMap(Blob(b"1000 100 old\n1020 10 small\n1000 80 new\n"))

    assert written.find(0x1010).name == "new"
    assert written.find(0x1024).name == "new"
    assert written.find(0x1090).name == "old"


def test_lines_of_another_form_are_skipped():
    hostile = (
        b"\n\0\0\0\n1000\n1000 10\nzz 10 x\n-5 10 x\n"
        + b"f" * 40
        + b" 10 x\n1000 10 "
        + b"n" * 5000
        + b"\n2000 10 good\n3000 10 without end"
    )

    written = PerfMap(Blob(hostile))

    assert len(written) == 1
    assert written.find(0x2000).name == "good"


def test_a_map_is_read_alike_however_it_falls_into_chunks(monkeypatch):
    whole = PerfMap(Blob(MAP))
    for size in range(1, 60):
        monkeypatch.setattr(perfmap, "_CHUNK", size)
        pieces = PerfMap(Blob(MAP))
        assert len(pieces) <= len(whole)
        if size >= max(map(len, MAP.splitlines())) + 1:
            assert [pieces.find(a) for a in (0x7F0000001000, 0x7F0000002000)] == [whole.find(a) for a in (0x7F0000001000, 0x7F0000002000)]


def test_of_a_map_that_is_too_long_the_newest_part_is_read(monkeypatch):
    monkeypatch.setattr(perfmap, "MAX_BYTES", 40)
    written = PerfMap(Blob(b"7f001000 10 oldest_of_all\n7f002000 10 older\n7f003000 10 newest\n"))

    assert written.find(0x7F003000).name == "newest"
    assert written.find(0x7F001000).name == ""
    assert written.find(0x1000).name == ""


def test_entries_are_bounded(monkeypatch):
    monkeypatch.setattr(perfmap, "MAX_ENTRIES", 10)

    assert len(PerfMap(Blob(b"1000 10 again\n" * 1000))) == 10

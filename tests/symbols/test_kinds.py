"""What is mapped, told from its path."""

import pytest

from perfprofile_agent.symbols.kinds import Kind, debug_file_paths, kind_of, plain_path, same_build
from perfprofile_agent.symbols.lookup import MappedFile


@pytest.mark.parametrize(
    ("pid", "path", "expected"),
    [
        (-1, "[kernel.kallsyms]_text", Kind.KERNEL),
        (-1, "[nf_tables]", Kind.KERNEL),
        (-1, "/lib/modules/6.1.0/kernel/net/nf.ko", Kind.KERNEL),
        (-1, "bpf_prog_6deef7357e7b4530", Kind.KERNEL),
        (5, "[vdso]", Kind.VDSO),
        (5, "[vsyscall]", Kind.OTHER),
        (5, "[uprobes]", Kind.OTHER),
        (5, "//anon", Kind.GENERATED),
        (5, "", Kind.GENERATED),
        (5, "[heap]", Kind.GENERATED),
        (5, "[anon:v8]", Kind.GENERATED),
        (5, "/dev/zero (deleted)", Kind.GENERATED),
        (5, "/memfd:doublemapper (deleted)", Kind.MEMORY_FILE),
        (5, "/usr/bin/python3.11", Kind.FILE),
        (5, "/usr/lib/libssl.so.3 (deleted)", Kind.FILE),
    ],
)
def test_the_path_tells_what_is_mapped(pid, path, expected):
    assert kind_of(MappedFile(pid, 0, 4096, 0, path)) is expected


def test_the_mark_of_deleted_files_is_taken_off():
    assert plain_path("/usr/lib/a.so (deleted)") == ("/usr/lib/a.so", True)
    assert plain_path("/usr/lib/a.so") == ("/usr/lib/a.so", False)


def test_debug_files_are_sought_by_build_id_first():
    assert debug_file_paths("/usr/bin/ls", "abcdef", "ls.debug") == [
        "/usr/lib/debug/.build-id/ab/cdef.debug",
        "/usr/bin/ls.debug",
        "/usr/bin/.debug/ls.debug",
        "/usr/lib/debug/usr/bin/ls.debug",
    ]
    assert debug_file_paths("/usr/bin/ls", "", "") == []


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("abcd", "abcd", True),
        ("abcd0000", "abcd", True),
        ("abcd", "abce", False),
        ("abcd", "", False),
        ("ab" * 20 + "ff", "ab" * 20, False),
    ],
)
def test_build_ids_are_compared_without_padding(one, other, expected):
    assert same_build(one, other) is expected
    assert same_build(other, one) is expected

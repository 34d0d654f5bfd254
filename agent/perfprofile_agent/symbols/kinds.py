"""What kind of thing a mapping shows, told from its path, and where else its names may lie.

The paths are those of PERF_RECORD_MMAP2 and /proc/PID/maps: kernel/events/core.c perf_event_mmap_event() and fs/proc/task_mmu.c.
"""

from enum import Enum
from posixpath import dirname
from typing import Final

from perfprofile_agent.symbols.lookup import MappedFile

DELETED: Final = " (deleted)"
_GENERATED_STARTS: Final = ("//anon", "[anon", "[heap]", "[stack", "/anon_hugepage", "/SYSV", "/dev/zero", "anon_inode:")
_MEMORY_FILE: Final = "/memfd:"
_DEBUG_ROOT: Final = "/usr/lib/debug"
_SHORTEST_BUILD_ID: Final = 4
"""Hex digits: two name the directory, the rest the file."""


class Kind(Enum):
    """Where the names of a mapping come from."""

    KERNEL = "the kernel, a module or a BPF program: /proc/kallsyms"
    VDSO = "code that the kernel maps into each process"
    GENERATED = "code made at run time: the process's perf map"
    MEMORY_FILE = "a file without a path: an ELF file if it is one, else generated code"
    FILE = "a file"
    OTHER = "something of the kernel's that has no functions to name: [vsyscall], [uprobes]"


def kind_of(mapped: MappedFile) -> Kind:
    """The kind of ``mapped``."""
    path = mapped.path
    if mapped.pid < 0 or path.startswith(("[kernel", "[guest.kernel")):
        return Kind.KERNEL
    if path.startswith("[vdso"):
        return Kind.VDSO
    if path.startswith(_MEMORY_FILE):
        return Kind.MEMORY_FILE
    if not path or path.startswith(_GENERATED_STARTS):
        return Kind.GENERATED
    return Kind.FILE if path.startswith("/") else Kind.OTHER


def plain_path(path: str) -> tuple[str, bool]:
    """``path`` without the kernel's mark for deleted files, and whether it had one."""
    return path.removesuffix(DELETED), path.endswith(DELETED)


def debug_file_paths(path: str, build_id: str, link: str) -> list[str]:
    """Where the separate debug file of the program at ``path`` may lie, the likeliest first.

    As GDB's manual has it under "Debugging Information in Separate Files": by build id, then by the name in .gnu_debuglink beside
    the program, in its folder .debug, and under the global debug directory.
    """
    found = []
    if len(build_id) >= _SHORTEST_BUILD_ID:
        found.append(f"{_DEBUG_ROOT}/.build-id/{build_id[:2]}/{build_id[2:]}.debug")
    if link:
        folder = dirname(path)
        found += [f"{folder}/{link}", f"{folder}/.debug/{link}", f"{_DEBUG_ROOT}{folder}/{link}"]
    return [each for each in found if each != path]


def same_build(one: str, other: str) -> bool:
    """Whether two build ids are of one build. Records hold at most 20 bytes of one, padded with zeros by older kernels."""
    length = min(len(one), len(other))
    return one[:length] == other[:length] and not (one[length:] + other[length:]).strip("0")

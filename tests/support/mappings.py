"""The executable mappings of a running process, as perf's MMAP2 records would tell them."""

import os
import time
from pathlib import Path

from perfprofile_agent.symbols.lookup import MappedFile


def executable_mappings(pid: int) -> list[MappedFile]:
    """Each executable line of /proc/PID/maps."""
    found = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, mode, offset, device, inode, *path = line.split(maxsplit=5)
        if "x" not in mode:
            continue
        start, end = (int(bound, 16) for bound in span.split("-"))
        major, minor = (int(part, 16) for part in device.split(":"))
        found.append(MappedFile(pid, start, end, int(offset, 16), path[0].strip() if path else "//anon", (major, minor), int(inode)))
    return found


def mapping_of(pid: int, path: str, seconds: float = 10.0) -> MappedFile:
    """The executable mapping of the file at ``path`` (with or without its mark for deleted ones), waited for while the program starts."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for mapped in executable_mappings(pid):
            if mapped.path.removesuffix(" (deleted)") == path:
                return mapped
        os.sched_yield()
    raise AssertionError(f"process {pid} has not mapped {path}: {executable_mappings(pid)}")

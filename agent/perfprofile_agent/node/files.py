"""Opens the files behind mappings of other processes, or says why not.

Three ways, tried in this order; each ends with a check that it is the file that was mapped, not one put in its place:

1. ``/proc/PID/map_files/START-END``: the mapped file itself, even if deleted or replaced. Needs CAP_CHECKPOINT_RESTORE.
2. The path, beneath the process's own root (:mod:`perfprofile_agent.node.beneath`). Needs CAP_SYS_PTRACE for others' processes.
3. ``/proc/PID/exe``, for a deleted program.

Known limit: looking at a file on a FUSE or network mount may wait for whoever serves it; a container can have such mounts
only with privileges that Kubernetes doesn't give by default.
"""

import os
from typing import Final

from perfprofile_agent.node.beneath import (
    FileMissingError,
    FileRefusedError,
    open_regular_beneath,
    open_regular_link,
)
from perfprofile_agent.node.processes import Process, inode_at
from perfprofile_agent.symbols.kinds import Kind, debug_file_paths, kind_of, plain_path
from perfprofile_agent.symbols.lookup import MappedFile

_ROOT_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def open_root(pid: int) -> int:
    """A handle of a process's root directory, good as long as it is held.

    Raises:
        FileMissingError: The process has ended.
        FileRefusedError: It may not be looked at.
    """
    try:
        return os.open(f"/proc/{pid}/root", _ROOT_FLAGS)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise FileMissingError(f"process {pid} ended before its files could be opened") from error
    except OSError as error:
        raise FileRefusedError(
            f"the root directory of process {pid} could not be opened: {error.strerror}; give the agent CAP_SYS_PTRACE"
        ) from error


def open_mapped(mapped: MappedFile, root: int | None) -> int:
    """Open the file that ``mapped`` shows; ``root`` is the handle of its process's root if there is one.

    Raises:
        FileMissingError: The file isn't there any more, or the process has ended.
        FileRefusedError: It may not be opened, isn't a regular file, or isn't the one that was mapped.
    """
    path, deleted = plain_path(mapped.path)
    link = f"/proc/{mapped.pid}/map_files/{mapped.start:x}-{mapped.end:x}"
    try:
        return _the_mapped_one(open_regular_link(link, path), mapped.inode, path)
    except FileRefusedError as error:
        refusal = error
    inode = mapped.inode or inode_at(mapped.pid, mapped.start)
    if root is not None and kind_of(mapped) is Kind.FILE and (inode or not deleted):
        try:
            return _the_mapped_one(open_regular_beneath(root, path), inode, path)
        except FileRefusedError as error:
            refusal = error
    if inode:
        try:
            return _the_mapped_one(open_regular_link(f"/proc/{mapped.pid}/exe", path), inode, path)
        except FileRefusedError:
            pass  # a library's mapping isn't the program's, so this says nothing about why the file can't be had
    raise refusal


def _the_mapped_one(fd: int, inode: int, path: str) -> int:
    """``fd``, if it has the inode that was mapped. Devices aren't compared: overlayfs and btrfs tell another one than the mapping."""
    if not inode or os.fstat(fd).st_ino == inode:
        return fd
    os.close(fd)
    raise FileRefusedError(f"{path} was replaced after it was mapped, so its functions can't be named; restart the program to name them")


def open_debug_file(root: int, path: str, build_id: str, link: str) -> int | None:
    """Open the first file that may be the debug file of the program at ``path``, beneath ``root``; None if there is none."""
    for candidate in debug_file_paths(path, build_id, link):
        try:
            return open_regular_beneath(root, candidate)
        except FileRefusedError:
            continue
    return None


def open_perf_map(root: int, known: Process) -> int:
    """Open a process's perf map beneath its root. It must belong to the process's uid, as ``perf`` itself demands.

    Raises:
        FileMissingError: The process writes none.
        FileRefusedError: It isn't to be trusted.
    """
    return open_regular_beneath(root, f"/tmp/perf-{known.inner_pid}.map", owner=known.uid)  # noqa: S108 - the format's fixed place

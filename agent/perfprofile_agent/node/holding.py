"""Keeps files of processes open, so that their functions can be named when the processes are gone. Bounded.

A file is known by device, inode and path as the kernel's record tells them, so one that many processes have mapped is opened
once, and a process that ended before anybody looked is still named if another one had the same file.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from perfprofile_agent.node.beneath import FileIdentity, FileMissingError, FileRefusedError, identity
from perfprofile_agent.node.files import open_mapped, open_perf_map, open_root
from perfprofile_agent.node.processes import Process, process
from perfprofile_agent.symbols.kinds import plain_path
from perfprofile_agent.symbols.lookup import MappedFile

MAX_FILES: Final = 384
MAX_MAPS: Final = 64
MAX_ROOTS: Final = 64
"""Together 512 descriptors, half of the usual soft limit."""
_MAX_REFUSALS: Final = 4096
_TRIES: Final = 8
"""Processes with the same file that are tried before it is given up."""

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class HeldFile:
    """A file that is kept open."""

    path: str
    fd: int
    identity: FileIdentity
    """As it was when it was opened."""
    root: Hashable
    """Names the root directory that it lies beneath, for :meth:`Holder.root`."""


@dataclass
class HeldMap:
    """The perf map of one process, open or still to be opened."""

    known: Process
    root: Hashable
    fd: int = -1
    generation: int = 0
    """Goes up each time the map is read anew."""
    read_at: float = 0.0
    """Monotonic seconds of the last time."""


@dataclass
class _Refusal:
    message: str
    pid: int
    tries: int = 1


class Holder:
    """Open files, root directories and perf maps."""

    def __init__(self) -> None:
        self._files: OrderedDict[Hashable, HeldFile] = OrderedDict()
        self._maps: OrderedDict[int, HeldMap] = OrderedDict()
        self._roots: OrderedDict[Hashable, int] = OrderedDict()
        self._refusals: OrderedDict[Hashable, _Refusal] = OrderedDict()

    def file(self, mapped: MappedFile) -> HeldFile:
        """The file of ``mapped``, opened now if it isn't yet.

        Raises:
            FileRefusedError: It can't be had; asking again for the same process gives the same answer without trying.
        """
        key = _file_key(mapped)
        if key in self._files:
            self._files.move_to_end(key)
            return self._files[key]
        refusal = self._refusals.get(key)
        if refusal is not None and (refusal.pid == mapped.pid or refusal.tries >= _TRIES):
            raise FileRefusedError(refusal.message)
        try:
            held = self._open(mapped)
        except (FileRefusedError, OSError) as error:
            tries = 1 if refusal is None else refusal.tries + 1
            self._refusals[key] = _Refusal(str(error), mapped.pid, tries)
            _shrink(self._refusals, _MAX_REFUSALS, lambda _: None)
            raise FileRefusedError(str(error)) from error
        self._files[key] = held
        _shrink(self._files, MAX_FILES, lambda file: os.close(file.fd))
        return held

    def perf_map(self, pid: int) -> HeldMap:
        """The perf map of a process, opened now if it is there and isn't open yet; ``fd`` is -1 as long as there is none.

        Raises:
            FileRefusedError: The process has ended unseen, its map isn't to be trusted, or its pid was used twice.
        """
        held = self._maps.get(pid)
        now = process(pid)
        if held is None:
            if now is None:
                raise FileMissingError(f"process {pid} ended before its perf map could be opened")
            held = self._maps[pid] = HeldMap(now, self._root_of(pid))
            _shrink(self._maps, MAX_MAPS, _close_map)
        elif now is not None and now.started != held.known.started:
            raise FileRefusedError(f"generated code of process {pid} can't be named: two processes had that id one after the other")
        if held.fd < 0:
            root = self.root(held.root)
            with suppress(FileMissingError):
                held.fd = -1 if root is None else open_perf_map(root, held.known)
        return held

    def root(self, key: Hashable) -> int | None:
        """The handle of a root directory that a held file or map lies beneath; None if it wasn't kept."""
        return self._roots.get(key)

    def close(self) -> None:
        """Close everything."""
        _shrink(self._files, 0, lambda file: os.close(file.fd))
        _shrink(self._maps, 0, _close_map)
        _shrink(self._roots, 0, os.close)

    def _open(self, mapped: MappedFile) -> HeldFile:
        try:
            root = self._root_of(mapped.pid)
        except FileMissingError:
            raise
        except FileRefusedError:
            root = None  # map_files may still work
        fd = open_mapped(mapped, None if root is None else self.root(root))
        return HeldFile(plain_path(mapped.path)[0], fd, identity(fd), root)

    def _root_of(self, pid: int) -> Hashable:
        """The key of a process's root directory, whose handle is kept from now on."""
        fd = open_root(pid)
        status = os.fstat(fd)
        key = (_mount_namespace(pid), status.st_dev, status.st_ino)
        if key in self._roots:
            os.close(fd)
            self._roots.move_to_end(key)
        else:
            self._roots[key] = fd
            _shrink(self._roots, MAX_ROOTS, os.close)
        return key


def _file_key(mapped: MappedFile) -> Hashable:
    path, _ = plain_path(mapped.path)
    if mapped.inode and mapped.device != (0, 0):
        return (mapped.device, mapped.inode, path)
    if mapped.build_id:
        return (mapped.build_id, path)
    return (mapped.pid, mapped.start, path)


def _mount_namespace(pid: int) -> int:
    """The inode of a process's mount namespace: processes with one root directory may still see other mounts beneath it."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino  # noqa: PTH116 - one number
    except OSError:
        return 0


def _close_map(held: HeldMap) -> None:
    if held.fd >= 0:
        os.close(held.fd)


def _shrink(kept: OrderedDict[_Key, _Value], size: int, close: Callable[[_Value], object]) -> None:
    """Let go of the longest unused until at most ``size`` are left."""
    while len(kept) > size:
        close(kept.popitem(last=False)[1])

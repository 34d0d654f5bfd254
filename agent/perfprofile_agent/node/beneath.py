"""Opens files that containers control, without being led astray.

A path of a container is opened beneath a directory, which stands for the container's root: symbolic links, ``..`` and absolute
paths in it can't leave that directory, and no magic link of /proc is followed (openat2(2), Linux 5.6). First only a handle is taken
(O_PATH), which runs no driver's code; then its type is looked at; only a regular file is really opened. So a FIFO doesn't
block the agent and a device node isn't touched: opening /dev/watchdog would arm it.

Without openat2 nothing is opened: a race-free substitute doesn't exist.
"""

import ctypes
import errno
import os
import stat
from typing import Final, NamedTuple

from perfprofile_agent.errors import PerfProfileError

_OPENAT2: Final = 437
"""The same number on every architecture."""
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_IN_ROOT: Final = 0x10
_TRIES: Final = 4
"""openat2 says EAGAIN when a rename elsewhere on the machine may have moved ``..``; it says so rarely twice."""
MAX_FILE: Final = 8 << 30
"""Bytes; no program is larger, and sparse files cost their maker nothing."""
_LINK_GONE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ESRCH}

_STATFS_BYTES: Final = 256
"""struct statfs has 120 bytes on amd64 and arm64; f_type is its first long."""
_REFUSED_FILE_SYSTEMS: Final = {
    0x9FA0: "procfs",
    0x62656572: "sysfs",
    0x64626720: "debugfs",
    0x74726163: "tracefs",
    0x27E0EB: "cgroup",
    0x63677270: "cgroup2",
    0x65735546: "FUSE",
}
"""Files there are made while they are read, by the kernel or by a program that may never answer (linux/magic.h)."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class FileRefusedError(PerfProfileError):
    """A file of a process was not opened. The message says which, why, and what would help."""


class FileMissingError(FileRefusedError):
    """There is no such file, or its process has ended."""


class FileIdentity(NamedTuple):
    """What tells one state of a file from another."""

    device: int
    inode: int
    modified_ns: int
    size: int


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def identity(fd: int) -> FileIdentity:
    """The identity of an open file. Raises OSError."""
    status = os.fstat(fd)
    return FileIdentity(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


def open_regular_beneath(root: int, path: str, *, owner: int | None = None) -> int:
    """Open ``path`` beneath the directory ``root`` for reading, close-on-exec.

    Args:
        root: A file descriptor of the directory that stands for ``/``.
        path: As the process in that root would say it.
        owner: The uid that must own the file; None: anyone's.

    Raises:
        FileMissingError: There is no such file.
        FileRefusedError: It isn't a regular file, or not one we'd read, or it may not be opened.
    """
    handle = _handle_beneath(root, path)
    try:
        return open_handle(handle, path, owner=owner)
    finally:
        os.close(handle)


def open_regular_link(link: str, path: str) -> int:
    """Open the file behind a magic link of /proc (``/proc/PID/exe``, ``/proc/PID/map_files/…``), if it is a regular file.

    Such a link leads to the very file that is mapped, whatever lies at its path by now.

    Raises:
        FileMissingError: The link is gone, so the process or the mapping is.
        FileRefusedError: As in :func:`open_regular_beneath`; CAP_CHECKPOINT_RESTORE or CAP_SYS_PTRACE is missing.
    """
    try:
        handle = os.open(link, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise _refusal(path, error) from error
    try:
        return open_handle(handle, path)
    finally:
        os.close(handle)


def open_handle(handle: int, path: str, *, owner: int | None = None) -> int:
    """Open for reading what an O_PATH ``handle`` stands for. Raises as :func:`open_regular_beneath`."""
    try:
        _check(handle, path, owner)
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise _refusal(path, error) from error


def _check(handle: int, path: str, owner: int | None) -> None:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise FileRefusedError(f"{path} was not read: it is not a regular file")
    if status.st_size > MAX_FILE:
        raise FileRefusedError(f"{path} was not read: it has {status.st_size} bytes, at most {MAX_FILE} are accepted")
    if owner is not None and status.st_uid != owner:
        raise FileRefusedError(f"{path} was not read: it belongs to uid {status.st_uid}, its process runs as uid {owner}")
    kind = _REFUSED_FILE_SYSTEMS.get(_file_system(handle))
    if kind is not None:
        raise FileRefusedError(f"{path} was not read: it lies on {kind}, whose files need not end or answer")


def _handle_beneath(root: int, path: str) -> int:
    how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError as error:
        raise FileRefusedError("a path that no file system can hold was not opened") from error
    if b"\0" in name:
        raise FileRefusedError("a path with a NUL byte was not opened")
    number = 0
    for _ in range(_TRIES):
        handle: int = _LIBC.syscall(
            ctypes.c_long(_OPENAT2), ctypes.c_int(root), ctypes.c_char_p(name), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
        )
        if handle >= 0:
            return handle
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            break
    raise _refusal(path, OSError(number, os.strerror(number)))


def _file_system(handle: int) -> int:
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    if _LIBC.fstatfs(ctypes.c_int(handle), buffer) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF


def _refusal(path: str, error: OSError) -> FileRefusedError:
    if error.errno in _LINK_GONE:
        return FileMissingError(f"{path} was not found, or its process ended before it could be opened")
    if error.errno == errno.ENOSYS:
        return FileRefusedError(f"{path} was not opened: this kernel has no openat2; use Linux 5.6 or later")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return FileRefusedError(
            f"{path} could not be opened: {error.strerror}; give the agent CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and CAP_CHECKPOINT_RESTORE"
        )
    return FileRefusedError(f"{path} could not be opened: {error.strerror}")

"""The C library's calls that Python doesn't wrap: prctl, capset, raw system calls. All raise OSError with the errno."""

import ctypes
import os
import platform
from typing import Any, Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG: Final = 1
PR_GET_DUMPABLE: Final = 3
PR_SET_DUMPABLE: Final = 4
PR_SET_KEEPCAPS: Final = 8
PR_CAPBSET_READ: Final = 23
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241}
"""System call numbers, from the kernel's syscall tables."""


def prctl(option: int, argument: int = 0, third: int = 0) -> int:
    """Set or read a property of the calling thread (manual page: prctl).

    Raises:
        OSError: the kernel refused.
    """
    unsigned = [ctypes.c_ulong(value) for value in (argument, third, 0, 0)]
    result: int = _LIBC.prctl(ctypes.c_int(option), *unsigned)
    if result < 0:
        raise _last_error(f"prctl {option}")
    return result


def capset(header: ctypes.Structure, data: ctypes.Array[Any]) -> None:
    """Set the capabilities of the calling thread (manual page: capset).

    Raises:
        OSError: the kernel refused.
    """
    if _LIBC.capset(ctypes.byref(header), data) < 0:
        raise _last_error("capset")


def perf_event_open(attributes: ctypes.Structure, pid: int, cpu: int) -> int:
    """Open an event with close-on-exec (manual page: perf_event_open) and give its file descriptor.

    Raises:
        OSError: the kernel refused; errno tells unsupported (ENOENT, ENODEV, EOPNOTSUPP) from forbidden (EACCES, EPERM).
        KeyError: the machine is of an architecture this project doesn't support.
    """
    number = _PERF_EVENT_OPEN[platform.machine()]
    close_on_exec = 8
    arguments = [ctypes.c_long(value) for value in (pid, cpu, -1, close_on_exec)]
    result: int = _LIBC.syscall(ctypes.c_long(number), ctypes.byref(attributes), *arguments)
    if result < 0:
        raise _last_error("perf_event_open")
    return result


def _last_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")

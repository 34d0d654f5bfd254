"""Takes all power from the calling process, step by step, before it looks at hostile bytes.

Two stages, because the server of :mod:`perfprofile_agent.node.naming_child` must still fork, and its children need nothing at all.
"""

import ctypes
import os
import resource
import signal
from contextlib import suppress
from typing import Final, NamedTuple

from perfprofile_agent.node import libc, seccomp

_NOBODY: Final = 65534
_VERSION_3: Final = 0x20080522
_LAST_POSSIBLE_CAPABILITY: Final = 63
_OPEN_FILES: Final = 16
_OUT_OF_MEMORY_FIRST: Final = "1000"


class Limits(NamedTuple):
    """What one child may use for one file."""

    memory: int = 192 << 20
    """Bytes of address space, of which the interpreter has 22 MiB; the symbols of a million functions take about 130 MiB."""
    cpu_seconds: int = 5


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def give_up_privileges() -> None:
    """Drop uid 0 and every capability for ever, leave no core dump, and die with the parent.

    Raises:
        OSError: The kernel did not do it; the process must not go on.
    """
    os.umask(0o077)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123 - one small write
        # When the container's memory runs out, the parser goes, not the agent.
        score.write(_OUT_OF_MEMORY_FIRST)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    with suppress(OSError):  # before Linux 4.3; capset below clears ambient ones as well
        libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(_LAST_POSSIBLE_CAPABILITY + 1):
        with suppress(OSError):  # without CAP_SETPCAP, or no such capability; no_new_privs makes the bounding set moot
            libc.prctl(libc.PR_CAPBSET_DROP, number)
    if os.geteuid() == 0:
        with suppress(OSError):  # a root without CAP_SETUID can't; it loses its capabilities next
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    libc.capset(_Header(_VERSION_3, 0), (ctypes.c_uint32 * 6)())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)


def confine_for_parsing(limits: Limits) -> None:
    """Limit the calling process, one that has given up its privileges, to reading what it has open.

    Raises:
        OSError: The kernel did not set a limit.
    """
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)  # a fork forgets it
    for kind, amount in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        resource.setrlimit(kind, (amount, amount))
    with suppress(OSError, KeyError):  # kernels without seccomp filters: the other limits hold
        seccomp.allow_reading_only()

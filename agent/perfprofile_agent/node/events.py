"""Which event ``auto`` means on this machine: the first of cycles, cpu-clock and task-clock that really yields samples.

perf falls back from cycles to cpu-clock by itself, but only for some errno values, and silently; and some virtual machines
accept cycles and never count one. So each candidate is tried for real: open it on this thread, burn CPU for some milliseconds,
and see whether the kernel wrote a sample into its buffer.
"""

import ctypes
import errno
import mmap
import os
import struct
import time
from collections.abc import Callable
from enum import Enum
from typing import Final

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.node import libc, procfs
from perfprofile_agent.node.errors import NodeError

AUTO: Final = "auto"


class Trial(Enum):
    """What came of trying an event."""

    WORKS = "works"
    SILENT = "silent"
    """The kernel took it, but no sample came."""
    UNSUPPORTED = "unsupported"
    FORBIDDEN = "forbidden"


CANDIDATES: Final = {"cycles": (0, 0, 1_000_000), "cpu-clock": (1, 0, 1_000_000), "task-clock": (1, 1, 1_000_000)}
"""For each event, in order: type and config of perf_event_attr (linux/perf_event.h), and a period that elapses within a millisecond."""

_TRIAL_SECONDS = 0.05
"""A working event needs one or two milliseconds of it."""
_DATA_HEAD = 1024
"""Offset of perf_event_mmap_page.data_head (linux/perf_event.h)."""
_PERF_SAMPLE_IP = 1
_EXCLUDE_KERNEL_AND_HYPERVISOR = (1 << 5) | (1 << 6)
_FORBIDDEN = {errno.EACCES, errno.EPERM}


class _Attributes(ctypes.Structure):
    """struct perf_event_attr as of its first published size (PERF_ATTR_SIZE_VER0, 64 bytes), which every kernel takes."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("config1", ctypes.c_uint64),
    )


def resolve(events: tuple[str, ...], attempt: Callable[[str], Trial] | None = None) -> tuple[str, ...]:
    """Give ``events`` with ``auto`` replaced by a real event, without repetitions.

    Args:
        events: as in spec.perf.events.
        attempt: tries one candidate; :func:`try_event` unless a test says otherwise.

    Raises:
        NodeError: nothing that ``auto`` may mean works here.
    """
    found = [choose(attempt or try_event) if event == AUTO else event for event in events]
    return tuple(dict.fromkeys(found))


def choose(attempt: Callable[[str], Trial]) -> str:
    """Give the first candidate that works.

    Raises:
        NodeError: none does; PerfNotPermitted if the kernel forbade one of them, else EventNotSupported.
    """
    outcomes: dict[str, Trial] = {}
    for event in CANDIDATES:
        outcomes[event] = attempt(event)
        if outcomes[event] is Trial.WORKS:
            return event
    tried = ", ".join(f"{event}: {outcome.value}" for event, outcome in outcomes.items())
    if Trial.FORBIDDEN in outcomes.values():
        raise NodeError(
            Reason.PERF_NOT_PERMITTED,
            f"The kernel forbade perf_event_open ({tried}; kernel.perf_event_paranoid is {procfs.sysctl('kernel.perf_event_paranoid')}). "
            "In a cluster, check that the agent's pod has CAP_PERFMON and that its seccomp profile allows perf_event_open; "
            "on a machine of your own, run as root or set: sysctl kernel.perf_event_paranoid=2",
        )
    raise NodeError(
        Reason.EVENT_NOT_SUPPORTED, f"No event that measures CPU time works on this machine ({tried}). Name one that `perf list` shows."
    )


def try_event(event: str) -> Trial:
    """Open ``event`` (a key of CANDIDATES) on this thread, burn CPU until a sample comes, 50 ms at most, and say what came of it."""
    kind, config, period = CANDIDATES[event]
    attributes = _Attributes(
        type=kind,
        size=ctypes.sizeof(_Attributes),
        config=config,
        sample_period=period,
        sample_type=_PERF_SAMPLE_IP,
        flags=_EXCLUDE_KERNEL_AND_HYPERVISOR,
    )
    try:
        descriptor = libc.perf_event_open(attributes, 0, -1)
    except OSError as error:
        return Trial.FORBIDDEN if error.errno in _FORBIDDEN else Trial.UNSUPPORTED
    try:
        return Trial.WORKS if _yields_sample(descriptor) else Trial.SILENT
    except OSError as error:  # the buffer exceeds the user's share of locked memory
        return Trial.FORBIDDEN if error.errno in _FORBIDDEN else Trial.UNSUPPORTED
    finally:
        os.close(descriptor)


def _yields_sample(descriptor: int) -> bool:
    with mmap.mmap(descriptor, 2 * mmap.PAGESIZE) as buffer:
        end = time.monotonic() + _TRIAL_SECONDS
        while time.monotonic() < end:
            sum(range(2_000))
            if struct.unpack_from("<Q", buffer, _DATA_HEAD)[0]:
                return True
    return False

"""The command line of ``perf record``: a pure function of what is to be recorded and of perf's version.

Nothing here comes from a shell, a file or an environment variable, and values never become options: each
value stands behind its option, as an argument of its own. The options are perf-record(1)'s.
"""

import re
from dataclasses import dataclass
from typing import Final

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.api.profile import DEFAULT_FREQUENCY, CallGraph
from perfprofile_agent.node.errors import NodeError

Version = tuple[int, int]

NO_BPF_EVENT_SINCE: Final[Version] = (5, 1)
"""``--no-bpf-event``: without perf's side-band thread, which would delay perf's end by up to a second."""
ALL_CGROUPS_SINCE: Final[Version] = (5, 7)
CONTROL_SINCE: Final[Version] = (5, 12)
"""``--control fd:`` came in 5.10; its ``ping``, which makes perf hand over what it has, in 5.12."""

_MODIFIERS = re.compile(r"[ukhGHpPSDIWe]+")
_RUNS_CODE = re.compile(r"\.(c|o|bpf)\b")
_BUFFERED_SECONDS = 4.0
"""How long the agent may be busy elsewhere before perf's buffers overflow."""
_SAMPLE_BYTES = {CallGraph.DWARF: 9_500, CallGraph.LBR: 2_000, CallGraph.FRAME_POINTER: 1_200, CallGraph.NONE: 100}
"""Size of a big sample: 127 frames of 8 bytes, with DWARF 8 KiB of stack besides."""
_MIN_BUFFER, _MAX_BUFFER, _MAX_BUFFERS = 128 << 10, 8 << 20, 256 << 20
_CALL_GRAPH = {CallGraph.FRAME_POINTER: "fp", CallGraph.DWARF: "dwarf,8192", CallGraph.LBR: "lbr"}


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """What ``perf record`` shall record."""

    events: tuple[str, ...]
    """Real events; ``auto`` is resolved before (``node.events``)."""
    frequency: int | None = DEFAULT_FREQUENCY
    """Samples a second and CPU; None where ``period`` is set."""
    period: int | None = None
    """Events between two samples."""
    call_graph: CallGraph = CallGraph.FRAME_POINTER
    kernel_frames: bool = True
    pids: tuple[int, ...] = ()
    """Only these processes; empty means every process of the machine."""
    cgroups: tuple[str, ...] = ()
    """Only these cgroups, filtered by the kernel; paths below the root of the hierarchy; empty means all. Not together with ``pids``."""
    buffer_bytes: int | None = None
    """Size of the buffer of each CPU; None leaves it to perf, which keeps to kernel.perf_event_mlock_kb."""


@dataclass(frozen=True)
class Control:
    """File descriptors over which perf takes commands and says that it did them."""

    commands: int
    answers: int


def record_arguments(options: RecordOptions, version: Version, control: Control | None) -> list[str]:
    """Give the arguments after ``perf``.

    Raises:
        NodeError: an event isn't one that may be recorded.
    """
    arguments = ["record", "-o", "-", "-N", "-B"]
    arguments += ["-c", str(options.period)] if options.period else ["-F", str(options.frequency or DEFAULT_FREQUENCY)]
    arguments += _when(version >= NO_BPF_EVENT_SINCE, "--no-bpf-event")
    arguments += _when(version >= ALL_CGROUPS_SINCE, "--all-cgroups")
    arguments += _when(control is not None, "-D", "-1")
    if control:
        arguments += ["--control", f"fd:{control.commands},{control.answers}"]
    if options.buffer_bytes:
        arguments += ["-m", f"{options.buffer_bytes >> 10}K"]
    if options.call_graph in _CALL_GRAPH:
        arguments += ["--call-graph", _CALL_GRAPH[options.call_graph]]
    arguments += _when(not options.kernel_frames, "--user-callchains")
    arguments += ["-p", ",".join(str(pid) for pid in options.pids)] if options.pids else ["-a"]
    return arguments + _event_arguments(options)


def buffer_bytes(*, frequency: int | None, call_graph: CallGraph, cpus: int) -> int:
    """Give the size of each CPU's buffer that holds what perf samples in four seconds: a power of two, bounded alone and in sum.

    Bytes, not pages: a page is 4 KiB to 64 KiB, depending on the kernel.
    """
    wanted = int((frequency or 1000) * _SAMPLE_BYTES[call_graph] * _BUFFERED_SECONDS)
    bounded = min(max(wanted, _MIN_BUFFER), _MAX_BUFFER, max(_MAX_BUFFERS // cpus, _MIN_BUFFER))
    rounded = 1 << (bounded - 1).bit_length()
    return rounded if rounded <= _MAX_BUFFER and rounded * cpus <= _MAX_BUFFERS else max(rounded >> 1, _MIN_BUFFER)


def split_events(text: str) -> tuple[str, ...]:
    """Split ``text`` at its commas, but not at those between a PMU's slashes (``cpu/event=0x3c,umask=1/``)."""
    parts = [""]
    within = False
    for character in text:
        within ^= character == "/"
        if character == "," and not within:
            parts.append("")
        else:
            parts[-1] += character
    return tuple(part for part in parts if part)


def user_only(event: str) -> str:
    """Give ``event`` restricted to user mode, where that doesn't change its meaning.

    Tracepoints (``sched:sched_switch``) fire in the kernel, so they keep their samples; their kernel callers are left out by
    ``--user-callchains``.
    """
    if event.endswith("/"):
        return event + "u"
    head, slash, modifiers = event.rpartition("/")
    if slash:
        return f"{head}/{_restricted(modifiers)}"
    name, colon, modifiers = event.rpartition(":")
    if not colon:
        return f"{event}:u"
    return f"{name}:{_restricted(modifiers)}" if _MODIFIERS.fullmatch(modifiers) else event


def _restricted(modifiers: str) -> str:
    return "".join(letter for letter in modifiers if letter not in "khu") + "u"


def _event_arguments(options: RecordOptions) -> list[str]:
    events = [checked(event) for text in options.events for event in split_events(text)]
    named = events if options.kernel_frames else [user_only(event) for event in events]
    each = [part for event in named for part in ("-e", event)]
    if not options.cgroups:
        return each
    # perf takes the n-th cgroup behind -G for the n-th event that has none yet: so every event is repeated for every cgroup.
    return [part for path in options.cgroups for part in (*each, "-G", ",".join([path.lstrip("/") or "/"] * len(events)))]


def checked(event: str) -> str:
    """Give ``event`` back if perf can be trusted with it.

    perf compiles and loads a BPF program when an event is the name of a C or object file, so such names never reach it.

    Raises:
        NodeError: it can't.
    """
    if _RUNS_CODE.search(event) or event.startswith("-"):
        raise NodeError(
            Reason.EVENT_NOT_SUPPORTED,
            f"The event {event!r} names a program to load, which is never done. Use an event that `perf list` shows.",
        )
    return event


def _when(condition: bool, *arguments: str) -> list[str]:
    return list(arguments) if condition else []

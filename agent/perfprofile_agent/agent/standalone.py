"""The agent by itself: ``record`` and ``convert``, for people at a terminal and for units of systemd or runit."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, TextIO

from perfprofile_agent.agent import factory
from perfprofile_agent.agent.outcome import Counts, without_samples
from perfprofile_agent.agent.stopping import StopSignal
from perfprofile_agent.agent.window import NodeWindow
from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.api.durations import format_duration
from perfprofile_agent.api.profile import CallGraph, Perf
from perfprofile_agent.convert.pipeline import Conversion, Converter, Options
from perfprofile_agent.convert.scope import Everything
from perfprofile_agent.errors import PerfProfileError
from perfprofile_agent.node import cgroups, events, procfs
from perfprofile_agent.node.errors import NodeError
from perfprofile_agent.node.perf import find_perf
from perfprofile_agent.node.symbolizer import NodeSymbolizer
from perfprofile_agent.pprof import wire
from perfprofile_agent.pprof.top import table, top
from perfprofile_agent.sinks.base import ProfileMeta, Sink
from perfprofile_agent.sinks.file import FileSink, StreamSink

_FAILED, _USAGE, _NOT_PERMITTED, _NOT_SUPPORTED, _NOTHING = 1, 2, 3, 4, 5
_EXIT_CODES: Final = {
    Reason.PERF_NOT_PERMITTED: _NOT_PERMITTED,
    Reason.PERF_MISSING: _NOT_SUPPORTED,
    Reason.EVENT_NOT_SUPPORTED: _NOT_SUPPORTED,
    Reason.NO_SAMPLES: _NOTHING,
}
_CHUNK = 1 << 20
_MAX_NOTICES = 5


def record(arguments: argparse.Namespace) -> int:
    """Carry out ``perfprofile-agent record`` and give the exit status."""
    stop = StopSignal.install()
    try:
        with tempfile.TemporaryDirectory(prefix="perfprofile-", ignore_cleanup_errors=True) as home:
            window = _window(arguments, Path(home))
            try:
                return _record(arguments, window, stop)
            finally:
                window.close()
    except PerfProfileError as error:
        return _complain(error)


def convert(arguments: argparse.Namespace) -> int:
    """Carry out ``perfprofile-agent convert`` and give the exit status."""
    try:
        with NodeSymbolizer() as symbolizer:
            converter = Converter(scope=Everything(), symbolizer=symbolizer, options=_options(arguments))
            with _input(arguments.input) as stream:
                for chunk in _chunks(stream):
                    converter.feed(chunk)
            conversion = converter.finish()
        _deliver(arguments, conversion)
    except OSError as error:
        _say(sys.stderr, f"perfprofile-agent: could not read {arguments.input}: {error.strerror}. Name perf's output with -i.")
        return _FAILED
    except PerfProfileError as error:
        return _complain(error)
    return 0


def _record(arguments: argparse.Namespace, window: NodeWindow, stop: StopSignal) -> int:
    progress = Progress(sys.stderr, arguments.duration, lambda: window.received)

    def asked() -> bool:
        progress.tick()
        return stop.requested

    try:
        window.record(duration=arguments.duration, stop=asked, started=progress.start)
    finally:
        progress.end()
    conversion = window.conversion()
    nothing = without_samples(_counts(conversion), window.seconds)
    if nothing:
        raise NodeError(nothing.reason, nothing.message)
    _deliver(arguments, conversion)
    return 0


def _window(arguments: argparse.Namespace, home: Path) -> NodeWindow:
    pids = tuple(arguments.pid or ())
    gone = [pid for pid in pids if not procfs.exists(pid)]
    if gone:
        raise NodeError(Reason.TARGET_GONE, f"There is no process {gone[0]}. Look it up again: pgrep -f NAME")
    program = find_perf()
    if not pids and not procfs.may_profile_all():
        raise NodeError(
            Reason.PERF_NOT_PERMITTED,
            "This user may not record all processes: kernel.perf_event_paranoid is "
            f"{procfs.sysctl('kernel.perf_event_paranoid')} and CAP_PERFMON is missing. Record processes of your own (-p PID), run as root, "
            "or set: sysctl kernel.perf_event_paranoid=-1",
        )
    perf = Perf(
        events=tuple(arguments.event or ("auto",)),
        frequency=arguments.frequency,
        period=arguments.period,
        call_graph=CallGraph.NONE if arguments.call_graph == "none" else CallGraph.FRAME_POINTER,
        kernel_frames=not arguments.no_kernel,
    )
    options = factory.record_options(perf, events.resolve(perf.events), pids=pids)
    conversion = _options(arguments, kernel_frames=perf.kernel_frames, requested=options.events)
    hierarchy = cgroups.find_hierarchy()
    tree = cgroups.scan(hierarchy) if hierarchy else None
    return factory.window(program, options, Everything(), conversion, tree=tree, home=home)


def _options(arguments: argparse.Namespace, *, kernel_frames: bool = True, requested: tuple[str, ...] = ()) -> Options:
    return Options(
        labels=dict(arguments.labels),
        pid_labels=arguments.pid_labels,
        kernel_frames=kernel_frames,
        kernel_addresses=True,  # the profile stays with who recorded it
        requested_events=requested,
    )


def _deliver(arguments: argparse.Namespace, conversion: Conversion) -> None:
    to_stdout = arguments.output == "-"
    sink: Sink = StreamSink(sys.stdout.buffer) if to_stdout else FileSink(Path(arguments.output))
    receipt = sink.deliver(wire.encode(conversion.profile), ProfileMeta())
    told = sys.stderr if to_stdout else sys.stdout
    if arguments.top > 0 and conversion.shown:
        _say(told, table(top(conversion.profile, limit=arguments.top)))
    for notice in conversion.notices[:_MAX_NOTICES]:
        _say(told, f"note: {notice}")
    if len(conversion.notices) > _MAX_NOTICES:
        _say(told, f"note: and {len(conversion.notices) - _MAX_NOTICES} more, in the profile's comments")
    if not to_stdout:
        _say(told, f"{conversion.shown} samples of {', '.join(conversion.events)} in {receipt.where} ({receipt.size} bytes)")
        _say(told, f"Look at it with: go tool pprof -http=: {receipt.where}")


def _counts(conversion: Conversion) -> Counts:
    return Counts(recorded=conversion.recorded, shown=conversion.shown, lost=conversion.lost, event=", ".join(conversion.events))


def _complain(error: PerfProfileError) -> int:
    _say(sys.stderr, f"perfprofile-agent: {error}")
    return _EXIT_CODES.get(error.reason, _FAILED) if isinstance(error, NodeError) else _FAILED


def _say(stream: TextIO, line: str) -> None:
    stream.write(f"{line}\n")


def _input(path: str) -> BinaryIO:
    return sys.stdin.buffer if path == "-" else Path(path).open("rb")


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


class Progress:
    """One line on a terminal that says how far the recording is; nothing where there is no terminal."""

    def __init__(self, stream: TextIO, duration: float, received: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream if stream.isatty() else None
        self._duration = duration
        self._received = received
        self._clock = clock
        self._began: float | None = None

    def start(self) -> None:
        """Sampling has begun."""
        self._began = self._clock()

    def tick(self) -> None:
        """Say how far it is."""
        if self._stream and self._began is not None:
            seconds = min(self._clock() - self._began, self._duration)
            total = format_duration(self._duration)
            self._stream.write(f"\rrecording: {seconds:.0f}s of {total}, {self._received() >> 10} KiB. Ctrl-C ends it early. ")
            self._stream.flush()

    def end(self) -> None:
        """Wipe the line out."""
        if self._stream and self._began is not None:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

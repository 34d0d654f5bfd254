"""One window on this node: perf's output streams into the converter while perf runs; then the profile is made.

Nothing is kept of perf's output, so memory stays bounded by what is distinct in it, however long the window is.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from perfprofile_agent.agent.outcome import Counts, Finished
from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.convert.pipeline import Conversion, Converter
from perfprofile_agent.node import procfs
from perfprofile_agent.node.command import RecordOptions
from perfprofile_agent.node.errors import NodeError
from perfprofile_agent.node.perf import FLUSH_SECONDS, PerfProgram, Recording
from perfprofile_agent.pprof import wire

_NANOS: Final = 1_000_000_000
_NEVER = float("inf")


class NodeWindow:
    """Records and converts once."""

    def __init__(
        self,
        program: PerfProgram,
        options: RecordOptions,
        converter: Converter,
        *,
        home: Path,
        close: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a window: nothing runs before :meth:`record`.

        Args:
            program: the perf to run.
            options: what it records.
            converter: takes perf's output; used once.
            home: perf's home and working directory; nothing is expected in it.
            close: lets go of what the converter's symbolizer holds.
            clock: seconds, monotonic.
        """
        self._program = program
        self._options = options
        self._converter = converter
        self._home = home
        self.close = close
        self._clock = clock
        self._began_nanos = 0
        self.seconds = 0.0
        """How long perf sampled."""
        self.received = 0
        """Bytes of perf's output so far."""

    def record(self, *, duration: float, stop: Callable[[], bool], started: Callable[[], None]) -> None:
        """Run perf for ``duration`` seconds from its first sample on, less if ``stop`` says so or perf's target ends.

        ``stop`` is asked at least four times a second; ``started`` is called once, when sampling begins.

        Raises:
            NodeError: perf failed.
            PerfDataError: its output made no sense.
        """
        try:
            self._record(self._options, duration, stop, started)
        except NodeError as error:
            # One of several pods has ended between the look at the cgroups and perf's start: record all; the scope drops the rest.
            if error.reason is not Reason.TARGET_GONE or not self._options.cgroups or self.received:
                raise
            self._record(dataclasses.replace(self._options, cgroups=()), duration, stop, started)

    def convert(self) -> Finished:
        """Name the functions and give the profile.

        Raises:
            PerfDataError: perf's output ended amid a record.
        """
        conversion = self.conversion()
        return Finished(profile=wire.encode(conversion.profile) if conversion.shown else b"", counts=self._counted(conversion))

    def conversion(self) -> Conversion:
        """Name the functions and give the profile as a value; as :meth:`convert`, once."""
        conversion = self._converter.finish()
        timed = conversion.profile._replace(time_nanos=self._began_nanos, duration_nanos=round(self.seconds * _NANOS))
        return dataclasses.replace(conversion, profile=timed)

    def counts(self) -> Counts:
        """Give what is known before the conversion."""
        return Counts(event=", ".join(dict.fromkeys(self._options.events)), perf_version=self._program.text, kernel=procfs.kernel_release())

    def _record(self, options: RecordOptions, duration: float, stop: Callable[[], bool], started: Callable[[], None]) -> None:
        began, ends = 0.0, _NEVER
        ended: float | None = None
        with Recording(self._program, options, home=self._home, clock=self._clock) as recording:
            while (chunk := recording.read(min(FLUSH_SECONDS, max(0.0, ends - self._clock())))) is not None:
                self.received += len(chunk)
                self._converter.feed(chunk)
                if not began and recording.started_at is not None:
                    began, self._began_nanos = recording.started_at, time.time_ns()
                    ends = began + duration
                    started()
                if ended is None and (self._clock() >= ends or stop()):
                    recording.stop()
                    ended, ends = self._clock(), _NEVER
            self.seconds = (self._clock() if ended is None else ended) - began if began else 0.0
            recording.finish()

    def _counted(self, conversion: Conversion) -> Counts:
        return dataclasses.replace(
            self.counts(),
            recorded=conversion.recorded,
            shown=conversion.shown,
            lost=conversion.lost,
            event=", ".join(conversion.events) or self.counts().event,
            notices=(*_rate_notices(self._options.frequency), *conversion.notices),
        )


def _rate_notices(frequency: int | None) -> tuple[str, ...]:
    """Say it when the kernel samples less often than asked: perf lowers the frequency with no more than a warning."""
    limit = procfs.sysctl("kernel.perf_event_max_sample_rate")
    if not frequency or not limit or frequency <= limit:
        return ()
    return (f"sampled at {limit} Hz in place of {frequency} Hz: kernel.perf_event_max_sample_rate allows no more.",)

"""Runs ``perf record`` in pipe mode: starts it, hands its output on as it comes, stops it, and says how it ended.

perf is started with its events disabled and with a pipe for commands (``--control``). So the window begins exactly when perf
has looked at all running processes and answers "ack" to "enable"; and a "ping" four times a second makes perf hand over
what its buffers hold, which otherwise happens only when a buffer is half full: at 99 Hz that can be minutes, too late to
open the files of processes that have ended. perf older than 5.12 does without both.
"""

import contextlib
import fcntl
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from perfprofile_agent.api.conditions import EXPLANATIONS, Reason
from perfprofile_agent.node import libc, procfs
from perfprofile_agent.node.command import CONTROL_SINCE, Control, RecordOptions, Version, record_arguments
from perfprofile_agent.node.diagnosis import Ending, failure
from perfprofile_agent.node.errors import NodeError

FLUSH_SECONDS: Final = 0.25
"""How often perf is asked for what it has."""
GRACE_SECONDS: Final = 5.0
"""How long perf may stay silent after it was asked to stop, before it is killed."""
_CHUNK = 1 << 20
_STDERR_KEPT = 8 << 10
_VERSION = re.compile(r"perf version (\d+)\.(\d+)")


@dataclass(frozen=True)
class PerfProgram:
    """The perf that is installed here."""

    path: str
    version: Version
    text: str
    """As it says itself, without "perf version"."""


def find_perf(path: str | None = None) -> PerfProgram:
    """Find perf on PATH (or at ``path``) and ask for its version.

    Raises:
        NodeError: there is none (PerfMissing), or it doesn't run.
    """
    found = path or shutil.which("perf")
    if not found:
        raise NodeError(Reason.PERF_MISSING, f"No perf program was found. {EXPLANATIONS[Reason.PERF_MISSING].next_step}")
    try:
        answer = subprocess.run(
            [found, "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            stdin=subprocess.DEVNULL,
            env=_environment(Path("/")),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NodeError(Reason.PERF_MISSING, f"{found} doesn't run: {error}. {EXPLANATIONS[Reason.PERF_MISSING].next_step}") from error
    match = _VERSION.search(answer.stdout)
    if not match:
        said = (answer.stderr or answer.stdout).strip()[:200]
        raise NodeError(Reason.PERF_MISSING, f"{found} didn't tell its version: {said!r}. {EXPLANATIONS[Reason.PERF_MISSING].next_step}")
    return PerfProgram(found, (int(match[1]), int(match[2])), answer.stdout.strip().removeprefix("perf version "))


class Recording:
    """A running ``perf record``. A context manager: perf never outlives the block.

    Start it on a thread that lives as long as the recording: the kernel kills perf when that thread ends.
    """

    def __init__(self, program: PerfProgram, options: RecordOptions, *, home: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Start perf.

        Args:
            program: from :func:`find_perf`.
            options: what to record.
            home: a directory where perf may write if it must; nothing is expected there.
            clock: seconds, monotonic.

        Raises:
            NodeError: perf couldn't be started, or an event may not be recorded.
        """
        self._clock = clock
        self._events = options.events
        self._selector = selectors.DefaultSelector()
        self._commands, self._answers = -1, -1
        self._stderr = b""
        self._stopped_at: float | None = None
        self._killed = False
        self._last_byte = self._began = clock()
        self._next_flush = float("inf")
        self.started_at: float | None = None
        """Reading of the clock when sampling began; None until then."""
        self._process = self._start(program, options, home)

    def __enter__(self) -> Self:
        """Nothing is left to do: perf runs already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Kill perf if it still runs, and close what was open."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._selector.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
        for descriptor in (self._commands, self._answers):
            if descriptor >= 0:
                os.close(descriptor)

    @property
    def pid(self) -> int:
        """Process id of perf."""
        return self._process.pid

    def read(self, timeout: float) -> bytes | None:
        """Give the next bytes of perf's output; empty if there are none within ``timeout`` seconds; None when it has ended."""
        now = self._clock()
        self._flush(now)
        self._kill_if_stuck(now)
        chunk = b""
        for key, _ in self._selector.select(max(0.0, min(timeout, FLUSH_SECONDS))):
            descriptor = key.fd
            data = os.read(descriptor, _CHUNK)
            if not data:
                self._selector.unregister(descriptor)
            if key.data == "stdout":
                if not data:
                    return None
                chunk = data
            elif key.data == "stderr":
                self._stderr = (self._stderr + data)[-_STDERR_KEPT:]
            elif data:
                self._begin()
        if chunk:
            self._last_byte = self._clock()
            if self._commands < 0:
                self._begin()
        return chunk

    def stop(self) -> None:
        """Ask perf to end; its remaining output still has to be read."""
        if self._stopped_at is None:
            self._stopped_at = self._last_byte = self._clock()
            self._next_flush = float("inf")
            self._process.send_signal(signal.SIGINT)

    def finish(self) -> None:
        """Wait for perf's end once its output has been read, and judge it.

        Raises:
            NodeError: perf failed; reason and message say why.
        """
        try:
            status = self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            status = self._process.wait()
        self._read_rest_of_stderr()
        ending = Ending(
            status=status,
            stderr=self._stderr.decode(errors="replace"),
            stopped=self._stopped_at is not None,
            killed=self._killed,
            seconds=self._clock() - self._began,
        )
        error = failure(ending, events=self._events, paranoid=procfs.sysctl("kernel.perf_event_paranoid"))
        if error:
            raise error

    def _start(self, program: PerfProgram, options: RecordOptions, home: Path) -> "subprocess.Popen[bytes]":
        theirs: tuple[int, ...] = ()
        control = None
        if program.version >= CONTROL_SINCE:
            command_end, self._commands = os.pipe()
            self._answers, answer_end = os.pipe()
            theirs = (command_end, answer_end)
            control = Control(*theirs)
        try:
            arguments = record_arguments(options, program.version, control)
            process = self._spawn([program.path, *arguments], home, theirs)
        except NodeError:
            self._close_own_ends()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self._listen(process)
        return process

    def _spawn(self, command: list[str], home: Path, descriptors: tuple[int, ...]) -> "subprocess.Popen[bytes]":
        agent = os.getpid()

        def die_with_the_agent() -> None:
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != agent:  # it died in between
                os._exit(1)

        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=home,
                env=_environment(home),
                pass_fds=descriptors,
                process_group=0,  # Ctrl-C at a terminal is the agent's to handle
                preexec_fn=die_with_the_agent,  # noqa: PLW1509 - two system calls; no other thread of the agent runs yet
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise NodeError(
                Reason.PERF_MISSING, f"{command[0]} couldn't be started: {error}. Check that perf is installed and executable."
            ) from error

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout  # noqa: S101 - Popen was given PIPE
        assert process.stderr  # noqa: S101
        with contextlib.suppress(OSError):  # beyond the user's limit for pipes: works with the smaller one too
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _CHUNK)
        self._selector.register(process.stdout, selectors.EVENT_READ, "stdout")
        self._selector.register(process.stderr, selectors.EVENT_READ, "stderr")
        if self._commands >= 0:
            self._selector.register(self._answers, selectors.EVENT_READ, "answers")
            self._tell(b"enable\n")

    def _begin(self) -> None:
        if self.started_at is None:
            self.started_at = self._clock()
            if self._commands >= 0:
                self._next_flush = self.started_at + FLUSH_SECONDS

    def _flush(self, now: float) -> None:
        if now >= self._next_flush:
            self._next_flush = now + FLUSH_SECONDS
            self._tell(b"ping\n")

    def _tell(self, command: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # perf has ended; finish() says why
            os.write(self._commands, command)

    def _kill_if_stuck(self, now: float) -> None:
        if self._stopped_at is not None and now - self._last_byte > GRACE_SECONDS:
            self._kill()

    def _kill(self) -> None:
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _read_rest_of_stderr(self) -> None:
        if self._process.stderr:
            rest = self._process.stderr.read() or b""
            self._stderr = (self._stderr + rest)[-_STDERR_KEPT:]

    def _close_own_ends(self) -> None:
        for descriptor in (self._commands, self._answers):
            if descriptor >= 0:
                os.close(descriptor)
        self._selector.close()


def _environment(home: Path) -> dict[str, str]:
    """Give the whole environment of perf: no settings of users, no download of debug files, messages in English."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LC_ALL": "C", "PERF_CONFIG": "/dev/null"}

"""The agent's side of the sandboxed parser: starts it, hands it files, bounds what it takes and says, and kills it when it is late.

Never trusts an answer beyond its declared shape. A child that crashed or hit its limits costs its own file's names only.
"""

import os
import signal
import socket
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple, Self

import msgspec

from perfprofile_agent.errors import PerfProfileError
from perfprofile_agent.node.confinement import Limits
from perfprofile_agent.node.naming_messages import BATCH, READY, Answer, Ask, ChannelError, Opened, Start, receive, send
from perfprofile_agent.symbols.naming import Name

_MAIN: Final = "import sys; sys.path[:] = sys.argv[1:-3]; from perfprofile_agent.node.naming_child import main; main()"
"""The child's program: with the agent's own module path, however the agent was installed, and without the environment's (-I)."""
_PASSED_ON: Final = ("LD_LIBRARY_PATH",)
"""What the interpreter may need to start; nothing else of the environment reaches the parser, least of all credentials."""
_OPENED: Final = msgspec.msgpack.Decoder(Opened)
_ANSWER: Final = msgspec.msgpack.Decoder(Answer)
_LIVE_CHILDREN: Final = 3
"""Kept open, the most recently used: one file is often asked about several times, for each process that has it mapped."""


class SandboxError(PerfProfileError):
    """The sandboxed parser didn't answer for a file. The message says why."""


class SandboxUnavailableError(SandboxError):
    """No parser can be started on this machine, so no file can be named."""


class Patience(NamedTuple):
    """How long the agent waits, in seconds of wall-clock time."""

    start: float = 20.0
    """For the server, which starts a Python interpreter; on a busy node that takes its time."""
    answer: float = 10.0
    """For one answer: more than a child's CPU limit, so that a child usually ends by itself."""


_ENDED: Final = "the parser ended before it answered: it crashed, or used up its memory or CPU time"
_LIMITS: Final = Limits()
_PATIENCE: Final = Patience()


class _Child(NamedTuple):
    channel: socket.socket
    opened: Opened


class Sandbox:
    """A server process and the children it forked, one for each file. Starts with the first file; use it from one thread."""

    def __init__(self, limits: Limits = _LIMITS, patience: Patience = _PATIENCE) -> None:
        self._limits = limits
        self._patience = patience
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._greeted = False
        self._children: OrderedDict[Hashable, _Child] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, key: Hashable, kind: str, files: Sequence[int]) -> Opened:
        """Give a file to a child of its own, unless one has it already.

        Args:
            key: Names this file in this state for :meth:`name`.
            kind: ``elf`` or ``perf map``.
            files: Descriptors of the file and, for ELF, of its debug file if there is one. They stay the caller's.

        Raises:
            SandboxError: The parser could not be started, ended, or didn't answer in time.
        """
        if key in self._children:
            self._children.move_to_end(key)
            return self._children[key].opened
        while len(self._children) >= _LIVE_CHILDREN:
            self._forget(next(iter(self._children)))
        channel = self._fork(kind, files)
        try:
            opened = _OPENED.decode(self._receive(channel))
        except (SandboxError, msgspec.MsgspecError) as error:
            channel.close()
            raise self._failure(error) from error
        self._children[key] = _Child(channel, opened)
        return opened

    def name(self, key: Hashable, addresses: Sequence[int]) -> tuple[list[Name | None], str]:
        """Names for ``addresses`` of the file that was opened as ``key``, in that order, and a problem if there was one.

        Raises:
            SandboxError: As :meth:`open`; the file has to be opened anew.
        """
        channel = self._children[key].channel
        found: list[Name | None] = []
        problem = ""
        try:
            for batch in _batches(addresses):
                answer = _ANSWER.decode(self._ask(channel, batch))
                found += _checked(answer, len(batch))
                problem = problem or answer.problem
        except (ChannelError, SandboxError, msgspec.MsgspecError) as error:
            self.forget(key)
            raise self._failure(error) from error
        return found, problem

    def forget(self, key: Hashable) -> None:
        """End the child that has this file, if there is one."""
        if key in self._children:
            self._forget(key)

    def close(self) -> None:
        """End the server and all children."""
        for key in list(self._children):
            self._forget(key)
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._server is not None:
            # The whole group: children that hang wouldn't notice that the server has gone.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            self._server = None

    def _forget(self, key: Hashable) -> None:
        self._children.pop(key).channel.close()

    def _ask(self, channel: socket.socket, addresses: list[int]) -> bytes:
        channel.settimeout(self._patience.answer)
        try:
            send(channel, Ask(addresses))
        except ChannelError as error:
            raise SandboxError(_ENDED) from error
        return self._receive(channel)

    def _receive(self, channel: socket.socket) -> bytes:
        try:
            body = receive(channel, self._patience.answer)
        except ChannelError as error:
            # Late or talking nonsense: it may be hanging, so it is killed with its siblings; they are opened anew when needed.
            self.close()
            raise SandboxError(f"the parser was stopped: {error}") from error
        if body is None:
            raise SandboxError(_ENDED)
        return body

    def _failure(self, error: Exception) -> SandboxError:
        if isinstance(error, SandboxError):
            return error
        self.close()
        return SandboxError(f"the parser's answer was refused: {error}")

    def _fork(self, kind: str, files: Sequence[int]) -> socket.socket:
        """Have the server fork a child for ``files``; gives our end of its socket."""
        control = self._running()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(control, [msgspec.msgpack.encode(Start(kind))], [theirs.fileno(), *files])
            except OSError as error:
                ours.close()
                self.close()
                raise SandboxError(f"the parser's server has gone: {error.strerror or error}") from error
        return ours

    def start(self) -> None:
        """Start the server without waiting for it, so that it is ready when the first file comes.

        Raises:
            SandboxUnavailableError: It can't be started.
        """
        if self._server is not None and self._server.poll() is not None:
            self.close()
        if self._server is not None:
            return
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._greeted = False
        with theirs:
            try:
                self._server = self._start(theirs.fileno())
            except OSError as error:
                self.close()
                raise SandboxUnavailableError(f"the parser could not be started: {error.strerror}") from error

    def _running(self) -> socket.socket:
        """The control socket of the server, which is started if need be and has said that it is ready."""
        self.start()
        assert self._control is not None  # noqa: S101 - start() leaves one or raises
        if self._greeted:
            return self._control
        self._control.settimeout(self._patience.start)
        try:
            self._greeted = self._control.recv(len(READY)) == READY
        except OSError:  # late, or it ended at once
            self._greeted = False
        if not self._greeted:
            status = None if self._server is None else self._server.poll()
            self.close()
            raise SandboxUnavailableError(f"the parser could not be started: {'no answer' if status is None else f'exit status {status}'}")
        return self._control

    def _start(self, control: int) -> subprocess.Popen[bytes]:
        path = [os.path.abspath(entry) for entry in sys.path if entry]  # noqa: PTH100 - text in, text out; an empty one means the current directory
        limits = [str(control), str(self._limits.memory), str(self._limits.cpu_seconds)]
        return subprocess.Popen(
            [sys.executable, "-I", "-c", _MAIN, *path, *limits],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C.UTF-8"} | {name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            cwd="/",
            pass_fds=[control],
            start_new_session=True,
        )


def _batches(addresses: Sequence[int]) -> Iterator[list[int]]:
    rest = iter(addresses)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _checked(answer: Answer, wanted: int) -> list[Name | None]:
    """The names of an answer, if it fits the question. Raises ChannelError."""
    if len(answer.which) != wanted or any(place >= len(answer.names) for place in answer.which):
        raise ChannelError(f"{len(answer.which)} answers to {wanted} questions, with {len(answer.names)} names")
    if not all(name.isprintable() and system_name.isprintable() for name, system_name in answer.names):
        raise ChannelError("a name with control characters in it")
    names = [Name(name, system_name) for name, system_name in answer.names]
    return [None if place < 0 else names[place] for place in answer.which]

"""The program that parses files of containers, apart from the agent: one small server, and one child of it for each file.

    agent ── control socket ──> server ── fork ──> child ── socket ──> agent

The server holds no privileges and has everything imported. It never reads a file: for each one it forks a child, which
has the file's descriptor and a socket and nothing else, parses, answers, and ends with its file. So a hostile file can
spoil its own names only, memory is given back, and a new parser costs a millisecond.

Started by :mod:`perfprofile_agent.node.sandbox`; argument: the number of the control socket's descriptor, memory and CPU limits.
"""

import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from perfprofile_agent.node.confinement import Limits, confine_for_parsing, give_up_privileges
from perfprofile_agent.node.naming_messages import READY, Answer, Ask, Opened, Start, receive, send
from perfprofile_agent.symbols.demangle import printable
from perfprofile_agent.symbols.elf import IDENTIFICATION
from perfprofile_agent.symbols.errors import SymbolError
from perfprofile_agent.symbols.naming import FileNames, Name, Names, PerfMapNames

MAX_START: Final = 256
MAX_DESCRIPTORS: Final = 3


class _File:
    """A source that reads an open file; nothing else is known of it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size

    @property
    def size(self) -> int:
        """As :attr:`perfprofile_agent.symbols.source.Source.size`."""
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        """As :meth:`perfprofile_agent.symbols.source.Source.read`."""
        try:
            return os.pread(self._fd, size, offset)
        except (OSError, OverflowError) as error:
            raise SymbolError(f"bytes {offset} to {offset + size}", f"could not be read: {error}") from error


def main() -> None:
    """Serve until the agent closes the control socket."""
    descriptor, memory, cpu_seconds = map(int, sys.argv[-3:])
    with socket.socket(fileno=descriptor) as control:
        give_up_privileges()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
        gc.collect()
        gc.freeze()  # children share these pages with the server as long as nobody writes to them
        control.send(READY)
        _serve(control, Limits(memory, cpu_seconds))


def _serve(control: socket.socket, limits: Limits) -> None:
    while True:
        body, descriptors, _, _ = socket.recv_fds(control, MAX_START, MAX_DESCRIPTORS)
        if not body:
            return
        if os.fork() == 0:
            control.close()
            _child(body, descriptors, limits)
        for descriptor in descriptors:
            os.close(descriptor)


def _child(body: bytes, descriptors: Sequence[int], limits: Limits) -> None:
    """Parse and answer until the agent closes the socket. Doesn't return."""
    try:
        # Sockets and sizes are looked at before the confinement: it leaves only reading, writing and memory.
        channel = socket.socket(fileno=descriptors[0])
        files = [_File(descriptor) for descriptor in descriptors[1:]]
        start = msgspec.msgpack.decode(body, type=Start)
        confine_for_parsing(limits)
        _answer(channel, start, files)
    finally:
        os._exit(0)  # neither the server's exit handlers nor its buffers are this child's


def _answer(channel: socket.socket, start: Start, files: Sequence[_File]) -> None:
    names, opened = _open(start, files)
    send(channel, opened)
    while names is not None and (body := receive(channel)) is not None:
        send(channel, _named(names, msgspec.msgpack.decode(body, type=Ask)))


def _open(start: Start, files: Sequence[_File]) -> tuple[Names | None, Opened]:
    try:
        if start.kind == "perf map":
            return PerfMapNames(files[0]), Opened()
        found = FileNames(*files)
        link = found.debug_link
        return found, Opened(found.build_id, found.wants_debug_file and len(files) == 1, "" if link is None else link[0])
    except SymbolError as error:
        return None, Opened(problem=printable(str(error)), not_elf=error.place == IDENTIFICATION)
    except MemoryError:
        return None, Opened(problem="it needs more memory than a parser may use")


def _named(names: Names, ask: Ask) -> Answer:
    try:
        found = names.name(ask.addresses)
    except MemoryError:
        return Answer([], [-1] * len(ask.addresses), "it needs more memory than a parser may use")
    places: dict[Name, int] = {}
    which = [-1 if name is None else places.setdefault(name, len(places)) for name in found]
    return Answer([(name.name, name.system_name) for name in places], which, names.notice)


if __name__ == "__main__":
    main()

"""Names addresses in files and in generated code, through the sandbox, and remembers what it learned. Bounded in memory and time."""

import os
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from perfprofile_agent.errors import PerfProfileError
from perfprofile_agent.node.beneath import FileIdentity, identity
from perfprofile_agent.node.files import open_debug_file
from perfprofile_agent.node.holding import HeldFile, Holder
from perfprofile_agent.node.naming_messages import Opened
from perfprofile_agent.node.sandbox import Sandbox, SandboxError, SandboxUnavailableError
from perfprofile_agent.symbols.kinds import same_build
from perfprofile_agent.symbols.lookup import Frame, MappedFile, Named
from perfprofile_agent.symbols.naming import Name
from perfprofile_agent.symbols.table import END_OF_ADDRESSES

MAX_ADDRESSES: Final = 100_000
"""Remembered over all files; each takes about 150 bytes."""
MAX_FILES: Final = 2048
"""States of files that are remembered, unnamable ones included."""
SECONDS_PER_ROOT: Final = 20.0
"""Wall-clock time for parsing the files of one container: one that is full of slow files must not delay the others' profiles."""
_ALLOWANCE_RENEWED: Final = 600.0
"""Seconds after which each container may use its time again: agents of continuous runs live long."""
_MAX_ROOTS: Final = 4096
_RETRY_SECONDS: Final = 60.0
"""Until a parser that could not be started is tried again."""
_MAP_AGE: Final = 5.0
"""Seconds for which a perf map that is still growing isn't read anew: there is one question for each mapping of a process."""


class UnnamedError(PerfProfileError):
    """A mapping can't be named. The message says why, for people."""


class NotElfError(UnnamedError):
    """The mapped file is neither a program nor a library; its names, if any, stand in the process's perf map."""


@dataclass
class _Known:
    """What is known of one state of one file."""

    build_id: str = ""
    problem: str = ""
    """Why it can't be named at all."""
    not_elf: bool = False
    debug_file_sought: bool = False
    frames: dict[int, tuple[Frame, ...]] = field(default_factory=dict)
    """By offset in the file; empty for those that were asked for in vain."""


class FileNaming:
    """Asks the sandbox about files and perf maps."""

    def __init__(self, holder: Holder, sandbox: Sandbox, seconds_per_root: float = SECONDS_PER_ROOT) -> None:
        self._holder = holder
        self._sandbox = sandbox
        self._seconds_per_root = seconds_per_root
        self._known: OrderedDict[FileIdentity, _Known] = OrderedDict()
        self._spent: dict[Hashable, float] = {}
        self._spent_since = monotonic()
        self._unavailable = ("", 0.0)

    def name_file(self, mapped: MappedFile, addresses: Sequence[int]) -> Named:
        """Name ``addresses`` of a mapped file.

        Raises:
            UnnamedError: It can't be named; :class:`NotElfError` if it is no program or library.
            FileRefusedError: It can't be had.
        """
        held = self._holder.file(mapped)
        if identity(held.fd) != held.identity:
            raise UnnamedError(f"{held.path} was written to while it was in use, so its functions can't be named; profile it again")
        known = self._remembered(held.identity)
        if known.problem:
            raise _unnamed(held.path, known)
        offsets = {address: address - mapped.start + mapped.offset for address in addresses if mapped.start <= address < mapped.end}
        missing = sorted({offset for offset in offsets.values() if offset not in known.frames and 0 <= offset < END_OF_ADDRESSES})
        problem = self._learn(held, known, missing) if missing or not known.frames else ""
        if mapped.build_id and not same_build(mapped.build_id, known.build_id):
            raise UnnamedError(f"{held.path} is another build than the one that ran, so its functions can't be named")
        frames = {address: known.frames.get(offset, ()) for address, offset in offsets.items()}
        named = {address: found for address, found in frames.items() if found}
        if not named and not problem:
            problem = "it is stripped of function names, and no debug file for it was found"
        self._shrink()
        return Named(known.build_id, named, f"{held.path}: {problem}" if problem else "")

    def name_generated(self, mapped: MappedFile, addresses: Sequence[int]) -> Named:
        """Name ``addresses`` of code that was made at run time.

        Raises:
            UnnamedError: The process writes no perf map, or it can't be read.
            FileRefusedError: It can't be had or trusted.
        """
        asked = [address for address in addresses if mapped.start <= address < mapped.end]
        held = self._holder.perf_map(mapped.pid)
        if held.fd < 0:
            raise UnnamedError(
                f"process {mapped.pid} runs generated code and writes no perf map; "
                "start it with its option for that, such as python -X perf or node --perf-basic-prof"
            )
        if not held.generation or monotonic() - held.read_at > _MAP_AGE:
            held.generation += 1
            held.read_at = monotonic()
        key = ("perf map", held.fd, held.known.started, held.generation)
        with self._allowance(held.root):
            opened = self._sandbox.open(key, "perf map", [held.fd])
            if opened.problem:
                raise UnnamedError(f"the perf map of process {mapped.pid}: {opened.problem}")
            names, problem = self._sandbox.name(key, asked)
        frames = {address: frame for address, frame in zip(asked, _frames(names), strict=True) if frame}
        return Named("", frames, f"the perf map of process {mapped.pid}: {problem}" if problem else "")

    def _remembered(self, key: FileIdentity) -> _Known:
        known = self._known.setdefault(key, _Known())
        self._known.move_to_end(key)
        return known

    def _learn(self, held: HeldFile, known: _Known, offsets: Sequence[int]) -> str:
        """Ask for the names at ``offsets`` and remember them; gives a problem if there was one on the way."""
        try:
            with self._allowance(held.root):
                opened = self._open(held, known)
                known.build_id = opened.build_id
                if opened.problem:
                    known.problem, known.not_elf = opened.problem, opened.not_elf
                    raise _unnamed(held.path, known)
                names, problem = self._sandbox.name(held.identity, offsets)
        except SandboxUnavailableError:
            raise
        except SandboxError as error:
            known.problem = str(error)
            raise _unnamed(held.path, known) from error
        known.frames.update(zip(offsets, _frames(names), strict=True))
        return problem

    def _open(self, held: HeldFile, known: _Known) -> Opened:
        """Give the file to a child, and its separate debug file too if the file wants one and there is one."""
        opened = self._sandbox.open(held.identity, "elf", [held.fd])
        root = self._holder.root(held.root)
        if not opened.wants_debug_file or root is None or known.debug_file_sought:
            return opened
        debug = open_debug_file(root, held.path, opened.build_id, opened.debug_link)
        if debug is None:
            known.debug_file_sought = True
            return opened
        try:
            self._sandbox.forget(held.identity)
            return self._sandbox.open(held.identity, "elf", [held.fd, debug])
        finally:
            os.close(debug)

    @contextmanager
    def _allowance(self, root: Hashable) -> Iterator[None]:
        """Take the time of what happens within from the time for the files beneath ``root``."""
        message, until = self._unavailable
        began = monotonic()
        if began < until:
            raise UnnamedError(message)
        if began - self._spent_since > _ALLOWANCE_RENEWED or len(self._spent) > _MAX_ROOTS:
            self._spent, self._spent_since = {}, began
        if self._spent.get(root, 0.0) > self._seconds_per_root:
            raise UnnamedError(f"parsing the files of one container took over {self._seconds_per_root:g} s, so the rest stays unnamed")
        try:
            yield
        except SandboxUnavailableError as error:
            self._unavailable = (str(error), monotonic() + _RETRY_SECONDS)
            raise UnnamedError(str(error)) from error
        finally:
            self._spent[root] = self._spent.get(root, 0.0) + monotonic() - began

    def _shrink(self) -> None:
        """Forget the files that were longest not asked about."""
        total = sum(len(known.frames) for known in self._known.values())
        while len(self._known) > 1 and (len(self._known) > MAX_FILES or total > MAX_ADDRESSES):
            _, forgotten = self._known.popitem(last=False)
            total -= len(forgotten.frames)


def _unnamed(path: str, known: _Known) -> UnnamedError:
    kind = NotElfError if known.not_elf else UnnamedError
    return kind(f"{path} can't be used to name functions: {known.problem}")


def _frames(names: Sequence[Name | None]) -> Iterator[tuple[Frame, ...]]:
    """A frame for each name, one object for all addresses of a function."""
    shared: dict[Name, tuple[Frame, ...]] = {}
    for name in names:
        yield () if name is None else shared.setdefault(name, (Frame(name.name, name.system_name),))

"""Processes over time: what is mapped where, and what threads are called, replayed from FORK, EXEC, COMM, MMAP and EXIT.

Records must come in order of time. Pid 0 has no state: it is the idle task, but also every process of another PID namespace (several
nodes on one kernel see each other so), and what their records say contradicts itself.
"""

from collections import deque
from enum import Enum, auto
from typing import Final

from perfprofile_agent.perfdata.records import Comm, Exit, Fork, Mmap
from perfprofile_agent.replay.mappings import AddressSpace, Region

_MAX_DEAD: Final = 1024
"""How many ended processes are remembered: samples come for a moment after a process's end, recordings may run for days."""

_LAST_ADDRESS: Final = 2**64 - 1

NO_PIDS: Final = frozenset({0, 2**32 - 1})
"""Pids that stand for "not in this PID namespace" and "already dead"."""


class Change(Enum):
    """What a record changed about the meaning of a process's addresses."""

    NOTHING = auto()
    ADDED = auto()
    """A region where nothing was mapped."""
    REPLACED = auto()
    """Known addresses mean something else now."""


class Process:
    """One process between two execs."""

    __slots__ = ("comms", "ended", "pid", "space")

    def __init__(self, pid: int, comm: str = "", space: AddressSpace | None = None) -> None:
        self.pid = pid
        self.comms: dict[int, str] = {pid: comm} if comm else {}
        """Names by thread id."""
        self.space = space if space is not None else AddressSpace()
        self.ended = False

    def comm(self, tid: int) -> str:
        """Name of a thread: its own, else that of the process, else empty."""
        return self.comms.get(tid) or self.comms.get(self.pid, "")


class Processes:
    """All processes met so far, by pid."""

    def __init__(self) -> None:
        self._by_pid: dict[int, Process] = {}
        self._dead: deque[Process] = deque()

    def get(self, pid: int) -> Process:
        """The process with this pid now; one that no record has told of yet is empty and nameless."""
        process = self._by_pid.get(pid)
        if process is None:
            process = self._by_pid[pid] = Process(pid)
        return process

    def fork(self, record: Fork) -> Change:
        """A thread takes over its maker's name, a process also the mappings (unless perf only found it running)."""
        if record.pid in NO_PIDS:
            return Change.NOTHING
        parent = self.get(record.ppid)
        comm = parent.comm(record.ptid)
        if record.pid == record.ppid:
            if comm:
                parent.comms[record.tid] = comm
            return Change.NOTHING
        if record.synthesized:
            if comm and not self.get(record.pid).comms:
                self.get(record.pid).comms[record.pid] = comm
            return Change.NOTHING
        self._by_pid[record.pid] = Process(record.pid, comm, parent.space.copy())
        return Change.REPLACED

    def comm(self, record: Comm) -> Change:
        """A new name; with exec a new program, of which no mapping is known yet."""
        if record.pid in NO_PIDS:
            return Change.NOTHING
        if record.exec:
            self._by_pid[record.pid] = Process(record.pid, record.comm)
            return Change.REPLACED
        self.get(record.pid).comms[record.tid] = record.comm
        return Change.NOTHING

    def mmap(self, record: Mmap) -> Change:
        """A user mapping. One that can't hold code only ends what was in its place."""
        if record.pid in NO_PIDS or record.length == 0:
            return Change.NOTHING
        space = self.get(record.pid).space
        end = record.start + record.length
        if not record.executable:
            return Change.REPLACED if space.remove(record.start, end) else Change.NOTHING
        return Change.REPLACED if space.insert(region_of(record)) else Change.ADDED

    def exit(self, record: Exit) -> list[int]:
        """A thread ended. Gives the pids of processes that are forgotten now, long after their end."""
        process = self._by_pid.get(record.pid)
        if process is None:
            return []
        if record.tid != record.pid:
            process.comms.pop(record.tid, None)
            return []
        if not process.ended:
            process.ended = True
            self._dead.append(process)
        return self._forget()

    def _forget(self) -> list[int]:
        forgotten: list[int] = []
        while len(self._dead) > _MAX_DEAD:
            process = self._dead.popleft()
            if self._by_pid.get(process.pid) is process:
                del self._by_pid[process.pid]
                forgotten.append(process.pid)
        return forgotten


def region_of(record: Mmap) -> Region:
    """The region that an MMAP record tells of."""
    end = min(record.start + record.length, _LAST_ADDRESS)
    return Region(record.start, end, record.offset, record.path, record.device, record.inode, record.build_id)

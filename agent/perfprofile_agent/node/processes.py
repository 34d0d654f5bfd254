"""Facts about other processes, read from /proc. They may end at any moment: what can't be read is absent."""

from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
_START_TIME: Final = 19
"""Position of starttime in /proc/PID/stat behind the command's closing parenthesis (proc(5): field 22)."""
_EFFECTIVE: Final = 1
"""Position of the effective uid in the line Uid."""


class Process(NamedTuple):
    """What is needed to find and trust a process's perf map."""

    started: int
    """Clock ticks since boot; with the pid it names one process for ever."""
    uid: int
    """Effective."""
    inner_pid: int
    """As the process itself knows it: in the innermost PID namespace."""


def process(pid: int) -> Process | None:
    """The facts about a process; None if it has ended or may not be looked at."""
    if pid <= 0:
        return None
    try:
        status = (_PROC / str(pid) / "status").read_text(errors="replace")
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        return Process(
            started=int(stat.rpartition(")")[2].split()[_START_TIME]),
            uid=int(fields["Uid"].split()[_EFFECTIVE]),
            inner_pid=int(fields.get("NSpid", str(pid)).split()[-1]),
        )
    except (OSError, KeyError, ValueError, IndexError):
        return None


def inode_at(pid: int, address: int) -> int:
    """Inode number of the file mapped at ``address``; 0 if nothing is, or it can't be told. For records that lack it."""
    try:
        with (_PROC / str(pid) / "maps").open(errors="replace") as lines:
            for line in lines:
                span, _, _, _, inode = line.split(maxsplit=5)[:5]
                start, _, end = span.partition("-")
                if int(start, 16) <= address < int(end, 16):
                    return int(inode)
    except (OSError, ValueError):
        return 0
    return 0

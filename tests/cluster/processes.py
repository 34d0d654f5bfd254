"""The cluster's own processes: started here, recorded by pid and start time, and ended by nothing but that record.

A pid alone could by now be somebody else's; pid and start time together name one process for as long as the machine runs.
"""

import json
import os
import select
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.layout import LOGS, STATE
from cluster.steps import until

RECORDS = STATE / "processes"
_started: list["subprocess.Popen[bytes]"] = []
"""Kept, because Popen complains when it is collected while its process lives, and these are meant to outlive us."""


@dataclass(frozen=True)
class Process:
    """One process: its pid as this shell sees it, and when it started, in clock ticks since boot."""

    pid: int
    started: int


def start(
    name: str, *argv: str | Path, wrapper: tuple[str, ...] = (), env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Process:
    """Start a process that outlives this one, its output in the log of its name; give the running one if it runs already.

    ``wrapper`` is a command that starts ``argv`` as its only child and waits for it (nsenter, unshare): the child is recorded.
    """
    running = find(name)
    if running:
        return running
    RECORDS.mkdir(parents=True, exist_ok=True)
    LOGS.mkdir(parents=True, exist_ok=True)
    with log_of(name).open("ab") as log:
        outer = subprocess.Popen(
            [*wrapper, *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(env or {})},
            cwd=cwd or STATE,
        )
    _started.append(outer)
    pid = _only_child(outer, name) if wrapper else outer.pid
    process = Process(pid=pid, started=_start_time(pid) or 0)
    (RECORDS / f"{name}.json").write_text(json.dumps(asdict(process)))
    return process


def log_of(name: str) -> Path:
    """Give the file that holds all output of the process of that name."""
    return LOGS / f"{name}.log"


def find(name: str) -> Process | None:
    """Give the process that was started by that name; None if it has ended or never was."""
    try:
        process = Process(**json.loads((RECORDS / f"{name}.json").read_text()))
    except FileNotFoundError:
        return None
    return process if _start_time(process.pid) == process.started else None


class EndedError(RuntimeError):
    """A process that should run has ended."""


def all_run(*names: str) -> bool:
    """Give true as long as all these processes run.

    Raises:
        EndedError: one has ended; the message names its log.
    """
    for name in names:
        if find(name) is None:
            raise EndedError(f"{name} has ended; see {log_of(name)}")
    return True


def names() -> list[str]:
    """Give the names of all recorded processes, the newest first."""
    records = sorted(RECORDS.glob("*.json"), key=lambda record: record.stat().st_mtime, reverse=True)
    return [record.stem for record in records]


def stop(name: str, *, patience: float = 8) -> None:
    """End a process: SIGTERM, and after ``patience`` seconds SIGKILL (0: at once); no error if it has ended already."""
    process = find(name)
    if process:
        with suppress(ProcessLookupError):
            _end(process, patience)
    (RECORDS / f"{name}.json").unlink(missing_ok=True)


def _end(process: Process, patience: float) -> None:
    handle = os.pidfd_open(process.pid)
    try:
        if _start_time(process.pid) != process.started:
            return
        if patience:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not select.select([handle], [], [], patience)[0]:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], 10)
    finally:
        os.close(handle)


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)), counted from behind the command, which may hold spaces; None for no such process or a dead one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _only_child(outer: "subprocess.Popen[bytes]", name: str) -> int:
    def children() -> list[str]:
        try:
            return Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        except FileNotFoundError:
            return []

    until(lambda: bool(children()) or outer.poll() is not None, what=f"{name} started; see {log_of(name)}", within=10, every=0.02)
    found = children()
    if not found:
        raise RuntimeError(f"{name} ended at once; see {log_of(name)}")
    return int(found[0])

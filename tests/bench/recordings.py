"""The recordings that the benchmark converts, made afresh by this machine's perf over a mixed load."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LOAD = {
    "python": [sys.executable, "-c", "import json\nwhile True: json.loads(json.dumps([{'a': list(range(50))}] * 200))"],
    "shell": ["sh", "-c", "while :; do ls -lR /usr/share/doc | grep -c a; tar cf - /usr/include | gzip -1; done > /dev/null 2>&1"],
    "compiler": [
        "sh",
        "-c",
        "while :; do printf '#include <stdio.h>\\nint main(){return 0;}' | cc -O2 -x c -o /dev/null -; done 2> /dev/null",
    ],
}
"""What runs meanwhile: an interpreter, many short processes, and a compiler."""


@dataclass(frozen=True)
class Recording:
    """A perf.data file."""

    path: Path
    frequency: int

    def __str__(self) -> str:
        return f"{self.path.name}: {self.path.stat().st_size / 1e6:.1f} MB, system-wide, {self.frequency} Hz, frame pointers"


@contextmanager
def mixed_load() -> Iterator[None]:
    """Keep the CPUs busy while the block runs."""
    started = [subprocess.Popen(argv, start_new_session=True, stdout=subprocess.DEVNULL) for argv in LOAD.values()]
    try:
        yield
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def system_wide(path: Path, *, frequency: int, seconds: int) -> Recording:
    """Record the whole machine, unless ``path`` is there already."""
    if not path.exists():
        with mixed_load():
            subprocess.run(
                ["perf", "record", "-q", "-F", str(frequency), "-a", "-g", "-m", "4096", "-o", str(path), "--", "sleep", str(seconds)],
                check=True,
            )
    return Recording(path, frequency)


def own_cost(*, seconds: int) -> str:
    """Record with the agent under the mixed load; give its CPU share of the machine and the peak of its processes together.

    The peak is the greatest sum of resident sizes of the agent, its perf and its naming child, looked up ten times a second.
    """
    agent = Path(sys.executable).with_name("perfprofile-agent")
    with mixed_load(), tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        process = subprocess.Popen(
            [str(agent), "record", "-a", "-F", "99", "--duration", f"{seconds}s", "-o", f"{folder}/cpu.pb.gz"], stdout=subprocess.DEVNULL
        )
        peak = 0
        while (done := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak = max(peak, resident(process.pid))
            time.sleep(0.1)
        wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(done[1])
    cpu = done[2].ru_utime + done[2].ru_stime
    share = 100 * cpu / (wall * (os.cpu_count() or 1))
    return f"CPU {cpu:.2f} s in {wall:.1f} s = {share:.2f} % of the machine; peak resident of all its processes {peak / 1024:.0f} MiB"


def resident(pid: int) -> int:
    """Resident KiB of a process and its descendants (/proc/PID/status, /proc/PID/task/*/children)."""
    total = 0
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
        children = " ".join(task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")).split()
    except OSError:
        return total
    return total + sum(resident(int(child)) for child in children)

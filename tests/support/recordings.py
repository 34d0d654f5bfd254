"""Recordings made by the machine's own perf, and what ``perf script`` says of them: the outside oracle of the conversion."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

WORKLOAD = [
    sys.executable,
    "-c",
    """
import subprocess, sys, threading, zlib
def work(rounds):
    for _ in range(rounds):
        zlib.compress(bytes(range(256)) * 200)
        sorted(str(n) for n in range(10_000))
threads = [threading.Thread(target=work, args=(10,)) for _ in range(2)]
[thread.start() for thread in threads]
for _ in range(3):
    subprocess.run([sys.executable, "-S", "-c", "sum(n * n for n in range(200_000))"], check=True)
[thread.join() for thread in threads]
""",
]
"""Threads, children, C code, kernel time: half a second of it."""


def require_perf() -> None:
    """Skip, with what would enable the test, where perf can't record."""
    if not shutil.which("perf"):
        pytest.skip("needs perf: apt-get install linux-perf")
    if os.geteuid() != 0:
        pytest.skip("needs root: sudo make test")


def record(path: Path, *options: str) -> Path:
    """Record the workload into a file (or, with ``-o -``, through a pipe into it)."""
    require_perf()
    to_pipe = "-" in options
    with path.open("wb") as out:
        subprocess.run(
            ["perf", "record", "-q", *options, *([] if to_pipe else ["-o", str(path)]), "--", *WORKLOAD],
            stdout=out if to_pipe else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=True,
        )
    return path


class Frame(NamedTuple):
    """One line of a stack in ``perf script``'s output: file, and the address as perf counts it."""

    dso: str
    address: int


class Script(NamedTuple):
    """What ``perf script`` tells of a recording."""

    stacks: Counter[tuple[str, tuple[Frame, ...]]]
    """Number of samples by (comm, frames from the leaf on)."""
    periods: int


_HEAD = re.compile(r"^\s*(?P<comm>\S.*?)\s+(?P<period>\d+)\s*(?P<frame>[0-9a-f]+ .*)?$")
"""A sample without a callchain has its only frame on the same line."""
_FRAME = re.compile(r"^\s*(?P<address>[0-9a-f]+) (?:.* )?\((?P<dso>[^()]*(?: \(deleted\))?)\)$")
"""Between address and file stands the symbol, in pipe mode, whatever -F says; the address isn't relative to the file then."""


@cache
def script(path: Path) -> Script:
    """Run ``perf script`` over a recording."""
    command = ["perf", "script", "--no-inline", "-F", "comm,period,ip,dso", "--max-stack", "1024", "-i", str(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    stacks: Counter[tuple[str, tuple[Frame, ...]]] = Counter()
    periods = 0
    for block in re.split(r"\n(?!\t)", output):  # lines of a sample's stack start with a tab
        lines = block.splitlines()
        head = _HEAD.match(lines[0]) if lines else None
        if head is None:
            assert not block.strip(), block
            continue
        frames = [*([head["frame"]] if head["frame"] else []), *lines[1:]]
        stacks[head["comm"], tuple(_frame(line) for line in frames)] += 1
        periods += int(head["period"])
    return Script(stacks, periods)


def _frame(line: str) -> Frame:
    found = _FRAME.match(line)
    assert found is not None, line
    return Frame(found["dso"], int(found["address"], 16))

"""Runs commands in turn and reports what the kernel accounted to each: CPU seconds, wall seconds, peak resident size."""

import os
import statistics
import subprocess
import time
from dataclasses import dataclass, field


@dataclass
class Command:
    """A command line, and what its runs took."""

    name: str
    argv: list[str]
    cpu_seconds: list[float] = field(default_factory=list)
    wall_seconds: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Run once. CPU counts waited-for children too; the peak is the largest single process (getrusage(2))."""
        start = time.monotonic()
        process = subprocess.Popen(self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{self.name} ended with {process.returncode}: {' '.join(self.argv)}")
        self.wall_seconds.append(time.monotonic() - start)
        self.cpu_seconds.append(usage.ru_utime + usage.ru_stime)
        self.peak_mib.append(usage.ru_maxrss / 1024)


def measure_in_turn(commands: list[Command], *, rounds: int) -> list[Command]:
    """Run each command once to warm up, then ``rounds`` times in turn."""
    for command in commands:
        command.run()
        command.cpu_seconds.clear(), command.wall_seconds.clear(), command.peak_mib.clear()
    for _ in range(rounds):
        for command in commands:
            command.run()
    return commands


def table(commands: list[Command], *, against: str) -> str:
    """Give a Markdown table of medians; the last column is the median of the CPU ratios, round by round."""
    base = next(command for command in commands if command.name == against)
    lines = [f"| command | CPU s, median (min-max) | wall s | peak MiB | CPU / {against} |", "|---|---:|---:|---:|---:|"]
    for command in commands:
        ratios = [mine / theirs for mine, theirs in zip(command.cpu_seconds, base.cpu_seconds, strict=True)]
        lines.append(
            f"| {command.name} | {statistics.median(command.cpu_seconds):.2f} ({min(command.cpu_seconds):.2f}-{max(command.cpu_seconds):.2f})"
            f" | {statistics.median(command.wall_seconds):.2f} | {max(command.peak_mib):.0f} | {statistics.median(ratios):.2f} |"
        )
    return "\n".join(lines)

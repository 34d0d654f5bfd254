"""From ``kubectl apply`` of a PerfProfile to the profile read back, on the real test cluster."""

import statistics
import time
import uuid

from support.kubectl import Kubectl, KubectlError, eventually
from support.runs import Team

DURATION = 5
"""Seconds of the window."""


def measure(kubectl: Kubectl, *, rounds: int) -> str:
    """Give a Markdown table: seconds from apply, the median of the rounds, with one target pod and the images present."""
    team = Team(kubectl, f"bench-{uuid.uuid4().hex[:6]}")
    team.create()
    try:
        team.start("work", "encoder")
        measured = [_one(team, f"cpu-{number}") for number in range(rounds)]
    finally:
        team.delete()
    lines = ["| from apply until | median s | min-max |", "|---|---:|---:|"]
    for name, seconds in zip(
        ("the status says Recording", "the run has Succeeded", "the profile is read"), zip(*measured, strict=True), strict=True
    ):
        lines.append(f"| {name} | {statistics.median(seconds):.1f} | {min(seconds):.1f}-{max(seconds):.1f} |")
    return "\n".join([f"window {DURATION} s, {rounds} rounds", *lines])


def _one(team: Team, name: str) -> tuple[float, float, float]:
    start = time.monotonic()
    team.ask(name, target={}, duration=f"{DURATION}s")
    team.run_in_phase(name, "Recording", "Collecting", "Succeeded", within=60)
    recording = time.monotonic() - start
    run = team.run_in_phase(name, "Succeeded", within=60)
    succeeded = time.monotonic() - start
    eventually(lambda: _readable(team, run["metadata"]["name"]), within=30)
    return recording, succeeded, time.monotonic() - start


def _readable(team: Team, run: str) -> bool:
    try:
        return bool(team.read(run))
    except KubectlError:
        return False

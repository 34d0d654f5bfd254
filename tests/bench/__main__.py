"""``make bench``: what conversion and recording cost, against peers on the same file in the same run.

Prints a table of medians and of ratios taken side by side: the commands run in turn, round after round, so that a machine
whose speed drifts slows all of them alike. Only ratios are worth comparing between machines.
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from bench import apply, recordings
from bench.measuring import Command, measure_in_turn, table
from support.kubectl import ENABLE, Kubectl


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each command runs (default 5)")
    parser.add_argument("--seconds", type=int, default=20, help="length of the large recording (default 20)")
    parser.add_argument("--keep", type=Path, help="keep recordings in this folder, and use those that are there already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perfprofile-bench-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"machine: {os.cpu_count()} CPUs, {platform.machine()}, kernel {platform.release()}, Python {platform.python_version()}")
        for recording in (
            recordings.system_wide(folder / "large.data", frequency=4999, seconds=options.seconds),
            recordings.system_wide(folder / "usual.data", frequency=99, seconds=options.seconds),
        ):
            print(f"\n{recording}")
            print(table(measure_in_turn(conversions(recording.path, folder), rounds=options.rounds), against="perfprofile-agent convert"))
        print("\nthe agent itself, `record -a -F 99`, perf and naming included:")
        print(recordings.own_cost(seconds=options.seconds))
        print("\nstarting up:")
        print(table(measure_in_turn(imports(), rounds=options.rounds), against="an empty Python"))
        kubectl = Kubectl.from_environment()
        print(
            f"\nkubectl apply to profile, {apply.measure(kubectl, rounds=options.rounds)}"
            if kubectl
            else f"\nno apply-to-profile time: {ENABLE}"
        )
    return 0


def imports() -> list[Command]:
    """Give what loading the agent's command line costs, and what loading all that ``join`` works with costs."""
    modules = {
        "an empty Python": "",
        "perfprofile_agent.agent.cli": "import perfprofile_agent.agent.cli",
        "perfprofile_agent.agent.join": "import perfprofile_agent.agent.join",
    }
    return [Command(name, [sys.executable, "-c", statement]) for name, statement in modules.items()]


def conversions(recording: Path, folder: Path) -> list[Command]:
    """Give the commands to compare: ours, perf's own text, and the C++ converter where ``PERF_TO_PROFILE`` names it."""
    agent = Path(sys.executable).with_name("perfprofile-agent")
    commands = [
        Command("perfprofile-agent convert", [str(agent), "convert", "-i", str(recording), "-o", str(folder / "out.pb.gz")]),
        Command("perf script > /dev/null", [shutil.which("perf") or "perf", "script", "--no-inline", "-i", str(recording)]),
    ]
    peer = os.environ.get("PERF_TO_PROFILE")
    if peer:
        commands.append(Command("perf_to_profile", [peer, "-f", "-i", str(recording), "-o", str(folder / "peer.pb")]))
    return commands


if __name__ == "__main__":
    sys.exit(main())

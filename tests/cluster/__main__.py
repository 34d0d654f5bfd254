"""The test cluster's command line: ``python3 -m cluster COMMAND`` from tests/, with nothing installed but Python, Go and git."""

import argparse
import sys
from collections.abc import Callable

from cluster import control_plane, demo, lifecycle, processes, programs, volumes
from cluster.commands import CommandError
from cluster.layout import KUBECONFIG, LOGS
from cluster.steps import NotReadyError, say

GROUPS = {"cluster": programs.CLUSTER, "chart": programs.CHART, "small": programs.SMALL}


def up(_: argparse.Namespace) -> None:
    """Bring the cluster up, or bring the images of changed sources into the running one."""
    lifecycle.up()
    say("\nThe cluster is up. Use it with:")
    say("\n".join(f"  export {line}" for line in environment()))


def down(_: argparse.Namespace) -> None:
    """Take the cluster down; the cache stays."""
    lifecycle.down()


def status(_: argparse.Namespace) -> None:
    """Say what runs."""
    for name in processes.names():
        process = processes.find(name)
        say(f"{name:28} {'pid ' + str(process.pid) if process else 'ended; see ' + str(processes.log_of(name))}")
    if lifecycle.is_up():
        say(control_plane.kubectl("get", "nodes,pods", "--all-namespaces", "-o", "wide"))
    else:
        say(f"The API server doesn't answer; logs, if any, are in {LOGS}.")


def binaries(arguments: argparse.Namespace) -> None:
    """Build the Go programs that aren't in the cache; with --print-path, say only where they are."""
    if arguments.print_path:
        sys.stdout.write(f"{programs.directory()}\n")
        return
    for group in arguments.group or ["cluster"]:
        programs.ensure(GROUPS[group])


def reload_images(_: argparse.Namespace) -> None:
    """Build the images of changed sources, load them, and restart what runs them."""
    lifecycle.reload_images()


def release_volumes(_: argparse.Namespace) -> None:
    """Empty the volumes whose claims are gone, and let them be claimed again."""
    volumes.release()


def show_environment(_: argparse.Namespace) -> None:
    """Print the variables by which the tests find the cluster."""
    sys.stdout.write("".join(f"{line}\n" for line in environment()))


def show(_: argparse.Namespace) -> None:
    """Show the whole product: cluster, installation, two workloads, two profiles."""
    demo.main()


def environment() -> list[str]:
    """Give NAME=value lines for the tests."""
    return [
        f"PERFPROFILE_KUBECONFIG={KUBECONFIG}",
        f"PERFPROFILE_KUBE_BIN={programs.directory()}",
        f"PERFPROFILE_PPROF={programs.path('pprof')}",
    ]


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "up": up,
    "down": down,
    "status": status,
    "binaries": binaries,
    "images": reload_images,
    "volumes": release_volumes,
    "env": show_environment,
    "demo": show,
}


def parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    parser = argparse.ArgumentParser(prog="python3 -m cluster", description="The real test cluster: two nodes on this machine.")
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        sub = subparsers.add_parser(name, help=command.__doc__, description=command.__doc__)
        if name == "binaries":
            sub.add_argument("group", nargs="*", choices=[*GROUPS, []], help="which programs (default: cluster)")
            sub.add_argument("--print-path", action="store_true", help="print the directory that they are in")
    return parser


def main() -> int:
    """Run one command; a failure is a message, not a traceback."""
    arguments = parser().parse_args()
    try:
        COMMANDS[arguments.command](arguments)
    except (CommandError, NotReadyError, processes.EndedError, lifecycle.NotRootError, demo.DemoError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Process 1 of a node: makes the node's view of the file system, then adopts orphans until it is told to end.

It runs in new network, PID, mount and UTS namespaces. When it ends, the kernel ends everything that runs on the node, and the node's mounts
and network interfaces go with their namespaces; so a node leaves nothing behind, whatever happened on it.

Called as: node_init.py NAME DIRECTORY, where DIRECTORY becomes /var; it touches DIRECTORY/ready when all is done.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path


def prepare(name: str, var: Path) -> None:
    """Give the node its name, a /run and a /var of its own, and mounts that pods may share."""
    Path("/proc/sys/kernel/hostname").write_text(name)
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    subprocess.run(["mount", "--bind", var, "/var"], check=True)
    Path("/var/ready").touch()


def adopt_orphans() -> None:
    """Wait for SIGTERM; until then collect the exit status of every child, most of them orphans of containers."""
    watched = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    while signal.sigwait(watched) == signal.SIGCHLD:
        collect()


def collect() -> None:
    """Collect all children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    prepare(sys.argv[1], Path(sys.argv[2]))
    adopt_orphans()

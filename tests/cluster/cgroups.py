"""The nodes' cgroups: one below the other's root in every hierarchy, version 1, 2 or both, and gone afterwards."""

import time
from contextlib import suppress
from pathlib import Path

from cluster.layout import CGROUP, Node

MOUNT = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    """Give the mount points of all hierarchies: one for version 2 alone, else one for each version 1 controller and `unified`."""
    if (MOUNT / "cgroup.controllers").exists():
        return [MOUNT]
    return sorted(path for path in MOUNT.iterdir() if path.is_dir() and not path.is_symlink())


def create(node: Node) -> None:
    """Make the node's cgroup in every hierarchy."""
    for hierarchy in hierarchies():
        parent = hierarchy
        for part in Path(node.cgroup).parts[1:]:
            _hand_down_controllers(parent)
            child = parent / part
            child.mkdir(exist_ok=True)
            _hand_down_cpuset(parent, child)
            parent = child
        _hand_down_controllers(parent)


def _hand_down_controllers(parent: Path) -> None:
    """Version 2: a child has only the controllers that its parent names."""
    try:
        present = (parent / "cgroup.controllers").read_text().split()
        handed_down = (parent / "cgroup.subtree_control").read_text().split()
    except FileNotFoundError:
        return
    for controller in set(present) - set(handed_down):
        with suppress(OSError):  # some (rdma, misc) can't be handed down on some kernels, and no pod needs those
            (parent / "cgroup.subtree_control").write_text(f"+{controller}")


def _hand_down_cpuset(parent: Path, child: Path) -> None:
    """Version 1: a new cpuset is empty, and no process may enter it before it has CPUs and memory nodes."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (child / "tasks").exists() and (child / name).exists() and not (child / name).read_text().strip():
            (child / name).write_text((parent / name).read_text())


def remove() -> None:
    """Remove the cgroups of all nodes; their processes must have ended."""
    for hierarchy in hierarchies():
        root = hierarchy / CGROUP
        below = sorted((path for path in root.rglob("*") if path.is_dir()), key=lambda path: len(path.parts), reverse=True)
        for directory in [*below, root]:
            _remove_one(directory)


def _remove_one(directory: Path) -> None:
    """A cgroup is busy for a moment after its last process has been killed."""
    for _ in range(50):
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise OSError(f"{directory} is still busy: {(directory / 'cgroup.procs').read_text().split()} are in it")

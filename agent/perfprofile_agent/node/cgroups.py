"""The cgroup hierarchy that perf's samples speak of: where it is mounted, its ids, and the cgroups of target pods.

A sample carries the id of its process's cgroup in the hierarchy of the perf_event controller: the unified one (v2), also on
hybrid machines, unless a v1 hierarchy has taken the controller. The id is the inode of the cgroup's directory, so reading
directories is all it takes; the root has inode 1, by which the whole tree is told from a part of it (in a cgroup namespace).
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfprofile_agent.replay import containers
from perfprofile_agent.replay.containers import parse_cgroup_path

_MOUNTINFO: Final = Path("/proc/self/mountinfo")
_ROOT_INODE = 1
MAX_CGROUPS: Final = 50_000
"""Containers may create cgroups of their own, without end; a big node has some hundred that matter."""
MAX_DEPTH: Final = 16
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Hierarchy:
    """A mounted cgroup hierarchy."""

    mount: Path
    unified: bool
    whole: bool
    """Its root is the machine's root; otherwise paths lack a beginning that is unknown here."""


@dataclass(frozen=True)
class CgroupTree:
    """The cgroups of the machine at one moment."""

    paths: Mapping[int, str]
    """By id; paths begin with a slash and are relative to the hierarchy's root."""
    complete: bool
    """False where a limit ended the scan."""


def find_hierarchy(mountinfo: Path = _MOUNTINFO) -> Hierarchy | None:
    """Give the mounted hierarchy of the perf_event controller; None if there is no cgroup file system to be seen."""
    try:
        text = mountinfo.read_text()
    except OSError:
        return None
    candidates = list(hierarchies(text))
    legacy = [mount for mount, unified in candidates if not unified]
    chosen = legacy or [mount for mount, unified in candidates if unified]
    found = [Hierarchy(Path(mount), not legacy, _is_root(mount)) for mount in chosen]
    return next((hierarchy for hierarchy in found if hierarchy.whole), found[-1] if found else None)


def hierarchies(mountinfo: str) -> Iterator[tuple[str, bool]]:
    """Give mount point and kind (True: unified) of each mount that may carry perf_event, as proc(5) mountinfo tells them."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, tail = before.split(), after.split()
        if len(fields) < 5 or len(tail) < 3:  # noqa: PLR2004 - the fixed fields of a line
            continue
        mount = _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4])
        if tail[0] == "cgroup2":
            yield mount, True
        elif tail[0] == "cgroup" and "perf_event" in tail[2].split(","):
            yield mount, False


def scan(hierarchy: Hierarchy, *, limit: int = MAX_CGROUPS) -> CgroupTree:
    """Read the ids and paths of all cgroups, nearest the root first, so that a limit cuts off what containers made for themselves."""
    paths = {_inode(hierarchy.mount): "/"}
    level = [""]
    for _ in range(MAX_DEPTH):
        below = list(_children(hierarchy.mount, level, limit - len(paths)))
        paths.update((inode, path) for inode, path in below)
        level = [path for _, path in below]
        if not level or len(paths) >= limit:
            break
    return CgroupTree(paths, complete=not level)


def pod_cgroups(tree: CgroupTree, pod_uids: Iterable[str], anchor: str | None) -> dict[str, str]:
    """Give the path of each pod's own cgroup that exists, by pod uid.

    Args:
        tree: from :func:`scan`.
        pod_uids: metadata.uid, or the config hash of static pods.
        anchor: from :func:`find_anchor`.
    """
    wanted = set(pod_uids)
    found: dict[str, str] = {}
    for path in tree.paths.values():  # nearest the root first: a pod's own cgroup comes before what lies in it
        container = parse_cgroup_path(path, anchor)
        if container and container.pod_uid in wanted:
            found.setdefault(container.pod_uid, path)
    return found


def find_anchor(tree: CgroupTree, own_pod_uid: str) -> str | None:
    """Give the cgroup directly beneath which this node's kubelet keeps ``kubepods``; None if it can't be told.

    The agent's own pod tells it, since nobody else can have a cgroup of its uid that lies nearer the root.
    """
    if not own_pod_uid:
        return None
    anchors = (containers.find_anchor(path, own_pod_uid) for path in tree.paths.values())
    return next((anchor for anchor in anchors if anchor is not None), None)


def _children(mount: Path, level: Iterable[str], limit: int) -> Iterator[tuple[int, str]]:
    left = limit
    for parent in level:
        try:
            with os.scandir(f"{mount}{parent}") as entries:
                found = [(entry.inode(), f"{parent}/{entry.name}") for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:  # the cgroup is gone already
            continue
        yield from found[:left]
        left -= len(found)
        if left <= 0:
            return


def _is_root(mount: str) -> bool:
    try:
        return _inode(Path(mount)) == _ROOT_INODE
    except OSError:
        return False


def _inode(path: Path) -> int:
    return path.stat().st_ino

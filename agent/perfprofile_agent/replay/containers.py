"""Which container a cgroup belongs to, told from its path.

A container may make cgroups of its own beneath its cgroup and call them what it likes, also ``kubepods/pod<another uid>``. So what
counts is the topmost ``kubepods`` of the path and what stands directly beneath it, never whether a name occurs somewhere.

Forms (uid is the pod's, id the container's)::

    cgroupfs  /kubepods[/burstable|/besteffort]/pod<uid>/<id>
    systemd   /kubepods.slice[/kubepods-burstable.slice]/kubepods[-burstable]-pod<uid, _ for ->.slice/cri-containerd-<id>.scope
              (crio-<id>.scope, docker-<id>.scope likewise)
    kind      /kubelet/kubepods/...  /kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/...

A static pod's uid is a hash without dashes.
"""

import re
from typing import Final, NamedTuple

_UID: Final = r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32}"
_CONTAINER_ID: Final = "[0-9a-f]{64}"

_KUBEPODS: Final = re.compile(r"kubepods|(?P<prefix>(?:[^-]+-)*)kubepods\.slice")
_CGROUPFS_POD: Final = re.compile(f"pod({_UID})")
_CGROUPFS_CONTAINER: Final = re.compile(f"({_CONTAINER_ID})")
_SYSTEMD_CONTAINER: Final = re.compile(f"(?:cri-containerd|crio|docker|libpod)-({_CONTAINER_ID})\\.scope")
_QOS: Final = ("burstable", "besteffort")


class ContainerRef(NamedTuple):
    """A container of a pod; ``container_id`` is empty for a process that sits in the pod's own cgroup."""

    pod_uid: str
    container_id: str


def parse_cgroup_path(path: str, anchor: str | None = None) -> ContainerRef | None:
    """The container that the cgroup ``path`` lies in, or None if it lies in none.

    ``anchor`` is the cgroup directly beneath which this node's kubelet keeps ``kubepods`` ("/" or "" for the root); nothing else
    counts then. None: it isn't known, and the topmost ``kubepods`` anywhere in the path counts.
    """
    names = [name for name in path.split("/") if name]
    if anchor is None:
        at = next((index for index, name in enumerate(names) if _KUBEPODS.fullmatch(name)), None)
        return _beneath(names[at:]) if at is not None else None
    above = [name for name in anchor.split("/") if name]
    return _beneath(names[len(above) :]) if names[: len(above)] == above else None


def find_anchor(path: str, pod_uid: str) -> str | None:
    """The anchor of the node that a pod runs on, told from the cgroup ``path`` of one of its processes; None if it isn't in there.

    With Kubernetes in a pod of another Kubernetes the path has two ``kubepods``: the pod's own uid tells which is ours.
    """
    names = [name for name in path.split("/") if name]
    for index in range(len(names)):
        found = _beneath(names[index:])
        if found is not None and found.pod_uid == pod_uid:
            return "/" + "/".join(names[:index])
    return None


def _beneath(names: list[str]) -> ContainerRef | None:
    """Read a path that starts with ``kubepods``."""
    kubepods = _KUBEPODS.fullmatch(names[0]) if names else None
    if kubepods is None:
        return None
    if kubepods["prefix"] is None:
        return _cgroupfs(names[1:])
    return _systemd(names[1:], kubepods["prefix"] + "kubepods")


def _cgroupfs(names: list[str]) -> ContainerRef | None:
    if names and names[0] in _QOS:
        names = names[1:]
    return _pod_and_container(names, _CGROUPFS_POD, _CGROUPFS_CONTAINER)


def _systemd(names: list[str], prefix: str) -> ContainerRef | None:
    """Each slice's name repeats those above it."""
    for qos in _QOS:
        if names and names[0] == f"{prefix}-{qos}.slice":
            names, prefix = names[1:], f"{prefix}-{qos}"
            break
    return _pod_and_container(names, re.compile(f"{re.escape(prefix)}-pod({_UID})\\.slice"), _SYSTEMD_CONTAINER)


def _pod_and_container(names: list[str], pod: re.Pattern[str], container: re.Pattern[str]) -> ContainerRef | None:
    found = pod.fullmatch(names[0]) if names else None
    if found is None:
        return None
    inner = container.fullmatch(names[1]) if len(names) > 1 else None
    return ContainerRef(found[1].replace("_", "-"), inner[1] if inner else "")

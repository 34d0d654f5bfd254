"""Gives up root: from uid 0 to an unprivileged uid that keeps only what perf and naming need.

Kubernetes gives capabilities in effect to uid 0 only, and uid 0 may write to the memory of root's processes. So the container
starts as uid 0 with SETUID, SETGID and SETPCAP besides, switches by itself to uid 65532 with the needed ones ambient (perf
inherits them over execve), and drops all others for ever, also from the bounding set. See capabilities(7).

Files stay readable through DAC_READ_SEARCH (the token, mode 0600 of root, too); an emptyDir is writable for everybody.
"""

import ctypes
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.node import libc
from perfprofile_agent.node.errors import NodeError

UNPRIVILEGED_ID: Final = 65532
"""uid and gid that the agent works as."""

NUMBERS: Final = {
    "DAC_READ_SEARCH": 2,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "IPC_LOCK": 14,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "SYSLOG": 34,
    "PERFMON": 38,
    "CHECKPOINT_RESTORE": 40,
}
"""From linux/capability.h."""

KEPT: Final = ("PERFMON", "SYSLOG", "SYS_PTRACE", "DAC_READ_SEARCH", "CHECKPOINT_RESTORE", "IPC_LOCK")
"""perf_event_open; kernel addresses; /proc/PID of others; their files; map_files; buffers beyond perf_event_mlock_kb."""
_NEEDED_TO_SWITCH: Final = ("SETUID", "SETGID", "SETPCAP")
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@dataclass(frozen=True)
class Privileges:
    """What the kernel says of this process: real, effective, saved and file system uid, and its sets of capabilities as bit masks."""

    uids: tuple[int, ...]
    effective: int
    permitted: int
    inheritable: int
    bounding: int
    ambient: int
    no_new_privileges: bool


@dataclass(frozen=True)
class Switch:
    """What :func:`give_up_root` did."""

    switched: bool
    kept: tuple[str, ...]
    missing: tuple[str, ...]
    """Wanted, but the container doesn't have them: something will work less well."""


def privileges(status: Path = Path("/proc/self/status")) -> Privileges:
    """Read this process's privileges (proc(5), /proc/PID/status)."""
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return Privileges(
        uids=tuple(int(uid) for uid in fields["Uid"].split()),
        effective=int(fields["CapEff"], 16),
        permitted=int(fields["CapPrm"], 16),
        inheritable=int(fields["CapInh"], 16),
        bounding=int(fields["CapBnd"], 16),
        ambient=int(fields["CapAmb"], 16),
        no_new_privileges=fields["NoNewPrivs"].strip() == "1",
    )


def give_up_root(uid: int = UNPRIVILEGED_ID, wanted: Iterable[str] = KEPT) -> Switch:
    """Switch this process, still of one thread, to ``uid`` with the ``wanted`` capabilities that it has, and drop all others.

    A process that isn't uid 0 is left as it is. On kernels before 5.8, which have no PERFMON, SYS_ADMIN takes its place if present.

    Raises:
        NodeError: the container lacks what the switch needs, or the kernel didn't do as asked; nothing may be recorded then.
    """
    before = privileges()
    names = tuple(wanted)
    if before.uids[1] != 0:
        return Switch(switched=False, kept=tuple(name for name in names if _has(before.effective, name)), missing=_missing(before, names))
    lacking = [name for name in _NEEDED_TO_SWITCH if not _has(before.effective, name)]
    if lacking:
        raise NodeError(
            Reason.PERF_NOT_PERMITTED,
            f"The agent runs as root but lacks {', '.join(lacking)}, which it needs to give root up. Add them to the agent container's capabilities.",
        )
    kept = _kept(before, names)
    try:
        _switch(uid, _mask(kept))
    except OSError as error:
        raise NodeError(
            Reason.PERF_NOT_PERMITTED,
            f"The agent could not give up root: {error}. Check the agent container's capabilities and seccomp profile.",
        ) from error
    _verify(uid, _mask(kept))
    return Switch(switched=True, kept=kept, missing=_missing(before, names))


def _kept(before: Privileges, wanted: tuple[str, ...]) -> tuple[str, ...]:
    without_perfmon = not _has(before.permitted, "PERFMON") and _has(before.permitted, "SYS_ADMIN")
    names = (*wanted, "SYS_ADMIN") if without_perfmon else wanted
    return tuple(name for name in names if _has(before.permitted, name))


def _missing(before: Privileges, wanted: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in wanted if not _has(before.permitted, name))


def _switch(uid: int, kept: int) -> None:
    libc.prctl(libc.PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _set(kept | 1 << NUMBERS["SETPCAP"], inheritable=kept)
    for number in _numbers():
        if not kept >> number & 1:
            libc.prctl(libc.PR_CAPBSET_DROP, number)
    libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_CLEAR_ALL)
    for number in _numbers():
        if kept >> number & 1:
            libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_RAISE, number)
    _set(kept, inheritable=kept)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    # Changing the uid made /proc/self root's; without this the agent couldn't read its own /proc/self/fd or mountinfo.
    libc.prctl(libc.PR_SET_DUMPABLE, 1)


def _verify(uid: int, kept: int) -> None:
    now = privileges()
    expected = Privileges(
        uids=(uid,) * 4,
        effective=kept,
        permitted=kept,
        inheritable=kept,
        bounding=now.bounding & kept,
        ambient=kept,
        no_new_privileges=True,
    )
    if now != expected:
        raise NodeError(
            Reason.PERF_NOT_PERMITTED,
            f"The agent gave up root, but the kernel reports {now} where {expected} was asked for. Report this with the kernel's version.",
        )


def _set(capabilities: int, *, inheritable: int) -> None:
    low, high = (
        _Data(capabilities >> shift & 0xFFFFFFFF, capabilities >> shift & 0xFFFFFFFF, inheritable >> shift & 0xFFFFFFFF)
        for shift in (0, 32)
    )
    libc.capset(_Header(_VERSION_3, 0), (_Data * 2)(low, high))


def _numbers() -> range:
    """Give the numbers of all capabilities that this kernel knows."""
    last = 0
    while last < 63:  # noqa: PLR2004 - capability sets have 64 bits
        try:
            libc.prctl(libc.PR_CAPBSET_READ, last + 1)
        except OSError:
            break
        last += 1
    return range(last + 1)


def _mask(names: Iterable[str]) -> int:
    return sum(1 << NUMBERS[name] for name in names)


def _has(mask: int, name: str) -> bool:
    return bool(mask >> NUMBERS[name] & 1)

"""Facts about the running kernel, read from /proc. What can't be read is absent, not an error."""

import os
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
CAP_SYS_ADMIN: Final = 21
CAP_PERFMON: Final = 38
CAP_IPC_LOCK: Final = 14


def kernel_release() -> str:
    """Give the kernel's release, for example ``6.1.0-18-amd64``."""
    return os.uname().release


def sysctl(name: str, proc: Path = _PROC) -> int | None:
    """Give the value of a numeric sysctl such as ``kernel.perf_event_paranoid``; None if this kernel has none."""
    try:
        return int((proc / "sys" / name.replace(".", "/")).read_text())
    except (OSError, ValueError):
        return None


def effective_capabilities(proc: Path = _PROC) -> int:
    """Give this process's effective capabilities as a bit mask; 0 if unknown."""
    try:
        text = (proc / "self/status").read_text()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(fields.get("CapEff", "0"), 16)


def may(capability: int, proc: Path = _PROC) -> bool:
    """Say whether this process has ``capability`` (a number from capabilities(7)) in effect."""
    return bool(effective_capabilities(proc) >> capability & 1)


def may_profile_all(proc: Path = _PROC) -> bool:
    """Say whether the kernel lets this process record every process of the machine."""
    if may(CAP_PERFMON, proc) or may(CAP_SYS_ADMIN, proc):
        return True
    paranoid = sysctl("kernel.perf_event_paranoid", proc)
    return paranoid is not None and paranoid <= 0


def exists(pid: int, proc: Path = _PROC) -> bool:
    """Say whether a process with this id lives in the agent's PID namespace."""
    return (proc / str(pid)).is_dir()

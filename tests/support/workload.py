"""A small C program that burns CPU in functions of known names, and cgroups to run it in as the kubelet would."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perfprofile_agent.node.cgroups import find_hierarchy
from support.programs import compile_c

_SOURCE = """
static volatile unsigned long sink;
__attribute__((noinline)) void {leaf}(void) {{ for (int i = 0; i < 1000000; i++) sink += i; }}
__attribute__((noinline)) void {leaf}_caller(void) {{ {leaf}(); sink++; }}
int main(void) {{ for (;;) {leaf}_caller(); }}
"""


def burner(folder: Path, leaf: str) -> Path:
    """Compile a program that spends its time in the function ``leaf``, called by ``<leaf>_caller``."""
    # Not optimized: gcc gives leaf functions no frame otherwise, and their callers would be missing from the stacks.
    return compile_c(folder, _SOURCE.format(leaf=leaf), "-O0", "-g", name=leaf)


@contextmanager
def burning(program: Path, *, cgroup: Path | None = None, uid: int | None = None) -> Iterator[int]:
    """Run a program, in a cgroup if one is given, while the block lasts; gives its process id."""

    def enter() -> None:
        if cgroup:
            (cgroup / "cgroup.procs").write_text(str(os.getpid()))
        if uid is not None:
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)

    with subprocess.Popen([program], preexec_fn=enter) as process:  # noqa: PLW1509 - tests run no threads here
        try:
            yield process.pid
        finally:
            process.kill()


@contextmanager
def pod_cgroups(*pods: tuple[str, str]) -> Iterator[list[Path]]:
    """Make cgroups for (pod uid, container id) pairs beneath a ``kubepods`` of their own, and give the containers' directories."""
    hierarchy = find_hierarchy()
    if not hierarchy or not hierarchy.whole or not os.access(hierarchy.mount, os.W_OK) or os.geteuid() != 0:
        pytest.skip("needs root and a writable cgroup hierarchy: run as root outside a container")
    top = hierarchy.mount / f"perfprofile-test-{os.getpid()}"
    containers = [top / "kubepods/besteffort" / f"pod{uid}" / container for uid, container in pods]
    for container in containers:
        container.mkdir(parents=True)
    try:
        yield containers
    finally:
        for directory in sorted((path for path in [top, *top.rglob("*")] if path.is_dir()), key=lambda path: -len(path.parts)):
            directory.rmdir()

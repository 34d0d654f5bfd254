"""Finding the cgroup hierarchy, its ids and the cgroups of pods."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perfprofile_agent.node.cgroups import CgroupTree, Hierarchy, find_anchor, find_hierarchy, hierarchies, pod_cgroups, scan

UID = "0a1b2c3d-1111-2222-3333-444455556666"
OTHER = "ffffffff-1111-2222-3333-444455556666"
AGENT = "aaaaaaaa-1111-2222-3333-444455556666"
CONTAINER = "c" * 64

HYBRID = """\
31 24 0:27 / /sys/fs/cgroup rw,relatime - tmpfs cgroup rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
LEGACY = HYBRID + "42 31 0:39 / /sys/fs/cgroup/cpu,perf_event\\040x rw,relatime shared:3 - cgroup cgroup rw,cpu,perf_event\n"


def tree(*paths: str) -> CgroupTree:
    return CgroupTree(dict(enumerate(sorted(paths, key=lambda path: path.count("/")), start=1)), complete=True)


def test_on_a_hybrid_machine_perf_lives_in_the_unified_hierarchy() -> None:
    assert list(hierarchies(HYBRID)) == [("/sys/fs/cgroup/unified", True)]


def test_a_v1_hierarchy_with_perf_event_is_seen_with_its_escaped_path() -> None:
    assert list(hierarchies(LEGACY)) == [("/sys/fs/cgroup/unified", True), ("/sys/fs/cgroup/cpu,perf_event x", False)]


def test_a_v1_hierarchy_with_perf_event_wins(tmp_path: Path) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(LEGACY)

    found = find_hierarchy(mountinfo)

    assert found
    assert not found.unified


def test_without_cgroups_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text("")

    assert find_hierarchy(tmp_path / "mountinfo") is None
    assert find_hierarchy(tmp_path / "absent") is None


def test_a_scan_gives_inodes_and_paths(tmp_path: Path) -> None:
    (tmp_path / "kubepods/poda").mkdir(parents=True)
    (tmp_path / "kubepods/cgroup.procs").touch()

    found = scan(Hierarchy(tmp_path, unified=True, whole=True))

    assert sorted(found.paths.values()) == ["/", "/kubepods", "/kubepods/poda"]
    assert found.paths[(tmp_path / "kubepods/poda").stat().st_ino] == "/kubepods/poda"
    assert found.complete


def test_a_scan_is_bounded_and_keeps_what_lies_nearest_the_root(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "x/y/z").mkdir(parents=True)

    found = scan(Hierarchy(tmp_path, unified=True, whole=True), limit=4)

    assert len(found.paths) == 4
    assert {"/", "/a", "/b"} < set(found.paths.values())
    assert not found.complete


def test_pods_are_found_in_all_forms_of_paths() -> None:
    systemd = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
    found = tree("/", "/kubepods.slice", systemd, f"{systemd}/cri-containerd-{CONTAINER}.scope")

    assert pod_cgroups(found, [UID], None) == {UID: systemd}
    cgroupfs = tree(f"/kubepods/besteffort/pod{UID}", f"/kubepods/besteffort/pod{UID}/{CONTAINER}")
    assert pod_cgroups(cgroupfs, [UID, OTHER], None) == {UID: f"/kubepods/besteffort/pod{UID}"}


def test_a_container_cannot_pass_for_another_pod() -> None:
    """It may name cgroups beneath its own as it likes."""
    forged = tree(f"/kubepods/pod{OTHER}/{CONTAINER}/kubepods/pod{UID}")

    assert pod_cgroups(forged, [UID], None) == {}


def test_the_agents_own_pod_tells_which_of_two_nodes_this_is() -> None:
    found = tree(f"/node1/kubepods/pod{UID}", f"/node2/kubepods/besteffort/pod{AGENT}", f"/node2/kubepods/pod{OTHER}")

    anchor = find_anchor(found, AGENT)

    assert anchor == "/node2"
    assert pod_cgroups(found, [UID, OTHER], anchor) == {OTHER: f"/node2/kubepods/pod{OTHER}"}


def test_without_an_own_pod_there_is_no_anchor() -> None:
    assert find_anchor(tree(f"/kubepods/pod{UID}"), "") is None
    assert find_anchor(tree(f"/kubepods/pod{UID}"), AGENT) is None


@pytest.mark.root
def test_the_inode_of_a_real_cgroup_is_the_id_that_perf_records(tmp_path: Path) -> None:
    hierarchy = find_hierarchy()
    if not hierarchy or not hierarchy.whole or not os.access(hierarchy.mount, os.W_OK):
        pytest.skip("needs a writable cgroup hierarchy: run as root outside a container")
    directory = hierarchy.mount / f"perfprofile-test-{os.getpid()}"
    directory.mkdir()
    try:
        enter = (
            f"import os; open({str(directory / 'cgroup.procs')!r}, 'w').write(str(os.getpid())); print(open('/proc/self/cgroup').read())"
        )
        told = subprocess.run([sys.executable, "-c", enter], capture_output=True, text=True, check=True).stdout

        assert scan(hierarchy).paths[directory.stat().st_ino] == f"/{directory.name}"
        assert f":/{directory.name}\n" in told
    finally:
        directory.rmdir()

"""Containers from cgroup paths: every form there is, and the forgeries."""

import pytest

from perfprofile_agent.replay.containers import ContainerRef, find_anchor, parse_cgroup_path

UID = "3f0c8a5e-1d2b-4c3d-9e8f-0123456789ab"
STATIC = "0123456789abcdef0123456789abcdef"
ID = "c0ffee" + "0" * 58
OTHER_UID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
UNDERSCORES = UID.replace("-", "_")
HERE = ContainerRef(UID, ID)

PATHS = {
    f"/kubepods/burstable/pod{UID}/{ID}": HERE,
    f"/kubepods/besteffort/pod{UID}/{ID}": HERE,
    f"/kubepods/pod{UID}/{ID}": HERE,
    f"/kubepods/burstable/pod{STATIC}/{ID}": ContainerRef(STATIC, ID),
    f"/kubepods/burstable/pod{UID}/{ID}/workers/1": HERE,
    f"/kubepods/burstable/pod{UID}": ContainerRef(UID, ""),
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORES}.slice/cri-containerd-{ID}.scope": HERE,
    f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UNDERSCORES}.slice/crio-{ID}.scope": HERE,
    f"/kubepods.slice/kubepods-pod{UNDERSCORES}.slice/docker-{ID}.scope": HERE,
    f"/kubepods.slice/kubepods-pod{STATIC}.slice/cri-containerd-{ID}.scope/init": ContainerRef(STATIC, ID),
    f"/kubepods.slice/kubepods-pod{UNDERSCORES}.slice": ContainerRef(UID, ""),
    f"/kubepods.slice/kubepods-pod{UNDERSCORES}.slice/crio-conmon-{ID}.scope": ContainerRef(UID, ""),
    f"/kubelet/kubepods/burstable/pod{UID}/{ID}": HERE,
    f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{UNDERSCORES}.slice/cri-containerd-{ID}.scope": HERE,
    f"/docker/{ID}/kubelet/kubepods/pod{UID}/{ID}": HERE,
    f"/node1/kubepods/besteffort/pod{UID}/{ID}": HERE,
    # no containers
    "/": None,
    "": None,
    "/system.slice/containerd.service": None,
    "/kubepods": None,
    "/kubepods/burstable": None,
    f"/kubepods/burstable/pod{UID[:-1]}/{ID}": None,
    f"/kubepods/burstable/pod{UID}x/{ID}": None,
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-besteffort-pod{UNDERSCORES}.slice/crio-{ID}.scope": None,
    f"/system.slice/pod{UID}/{ID}": None,
    # made by a container that would like to be another
    f"/kubepods/burstable/pod{OTHER_UID}/{ID}/kubepods/burstable/pod{UID}/{ID}": ContainerRef(OTHER_UID, ID),
    f"/kubepods/burstable/x/kubepods/pod{UID}/{ID}": None,
    f"/kubepods.slice/kubepods-pod{OTHER_UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope/kubepods/pod{UID}/{ID}": ContainerRef(
        OTHER_UID, ID
    ),
    f"/kubepods/burstable/pod{UID}/{ID}\n": ContainerRef(UID, ""),
}


@pytest.mark.parametrize(("path", "expected"), PATHS.items())
def test_a_path_tells_its_container(path: str, expected: ContainerRef | None) -> None:
    assert expected == parse_cgroup_path(path)


@pytest.mark.parametrize(
    ("path", "anchor", "expected"),
    [
        (f"/kubepods/pod{UID}/{ID}", "/", HERE),
        (f"/kubepods/pod{UID}/{ID}", "", HERE),
        (f"/node1/kubepods/pod{UID}/{ID}", "/node1", HERE),
        (f"/node2/kubepods/pod{UID}/{ID}", "/node1", None),
        (f"/user.slice/user-1000.slice/kubepods/pod{UID}/{ID}", "/", None),
        (f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UNDERSCORES}.slice/crio-{ID}.scope", "/kubelet.slice", HERE),
        (f"/kubepods/pod{OTHER_UID}/{ID}/kubelet/kubepods/pod{UID}/{ID}", f"/kubepods/pod{OTHER_UID}/{ID}/kubelet", HERE),
        (f"/kubepods/pod{OTHER_UID}/{ID}/kubelet", f"/kubepods/pod{OTHER_UID}/{ID}/kubelet", None),
    ],
)
def test_with_an_anchor_only_what_is_directly_beneath_it_counts(path: str, anchor: str, expected: ContainerRef | None) -> None:
    assert expected == parse_cgroup_path(path, anchor)


@pytest.mark.parametrize(
    ("path", "anchor"),
    [
        (f"/kubepods/burstable/pod{UID}/{ID}", "/"),
        (f"/node1/kubepods/pod{UID}/{ID}/x", "/node1"),
        (f"/kubepods/pod{OTHER_UID}/{ID}/kubelet/kubepods/pod{UID}/{ID}", f"/kubepods/pod{OTHER_UID}/{ID}/kubelet"),
        (f"/kubepods/pod{OTHER_UID}/{ID}", None),
        ("/", None),
    ],
)
def test_an_agent_finds_the_anchor_by_its_own_pod(path: str, anchor: str | None) -> None:
    assert anchor == find_anchor(path, UID)

"""Bring the cluster up and take it down: the order of things, and what can be done side by side."""

import json
import shutil
from contextlib import suppress
from functools import partial

from cluster import base_image, certificates, cgroups, control_plane, images, network, node, objects, packages, processes, programs, volumes
from cluster.commands import CommandError
from cluster.control_plane import kubectl
from cluster.layout import KUBECONFIG, LOGS, NODES, STATE
from cluster.steps import side_by_side, step, until
from cluster.turns import one_at_a_time


class NotRootError(PermissionError):
    """The cluster needs root."""

    def __init__(self) -> None:
        super().__init__("The test cluster makes network namespaces, mounts and cgroups, so it needs root: run this again as root.")


def up() -> None:
    """Bring everything up that isn't; what runs is left as it is. Images of changed sources are built and loaded again.

    Raises:
        NotRootError: not root.
        CommandError: a command failed; the message has its last words and the place of its log.
        NotReadyError: something didn't become ready in time; the message names its log.
    """
    _require_root()
    with one_at_a_time():
        _up()


def _up() -> None:
    STATE.mkdir(parents=True, exist_ok=True, mode=0o755)
    # The compiler needs both cores for minutes; the rest mostly waits for the network and fits in between.
    _, product_changed = side_by_side(programs.ensure, _make_nodes_with_images)
    with step("starting Kubernetes", "20 s"):
        certificates.ensure()
        _start_control_plane()
        side_by_side(*(partial(node.start_kubernetes, each) for each in NODES))
        until(_nodes_are_ready, what=f"all nodes are ready; see {LOGS}", within=90, every=0.3)
        volumes.release()
    if product_changed:
        restart_product()


def _make_nodes_with_images() -> bool:
    prepare_images()
    network.create_bridge()
    volumes.create_directories()
    side_by_side(*(partial(node.start, each) for each in NODES))
    return images.load()


def prepare_images() -> None:
    """Build the images of changed sources, and first of all what builds them."""
    packages.ensure()
    programs.ensure(programs.SMALL)
    base_image.ensure()
    images.ensure()


def _start_control_plane() -> None:
    control_plane.start()
    until(
        _objects_are_there, what=f"the API server takes the first objects; see {processes.log_of('kube-apiserver')}", within=60, every=0.5
    )
    control_plane.start_dns()


def _objects_are_there() -> bool:
    """Create them; the API server is ready some seconds before it has a range to give Services' addresses from."""
    try:
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=objects.manifest())
    except CommandError as refusal:
        if "does not match the current range" in refusal.output:
            return False
        raise
    return True


def _nodes_are_ready() -> bool:
    found = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    ready = {
        item["metadata"]["name"]
        for item in found
        for one in item["status"]["conditions"]
        if one["type"] == "Ready" and one["status"] == "True"
    }
    return ready == {each.name for each in NODES}


def down() -> None:
    """End every process of the cluster and remove its mounts, interfaces, cgroups and files; the cache stays."""
    _require_root()
    with one_at_a_time(), step("taking the cluster down", "10 s"):
        # Nothing of them is kept, so nothing is gained by letting them end in good order.
        side_by_side(*(partial(processes.stop, name, patience=0) for name in processes.names()))
        network.remove()
        cgroups.remove()
        shutil.rmtree(STATE, ignore_errors=True)
        with suppress(OSError):  # somebody else's files are in it
            STATE.parent.rmdir()


def is_up() -> bool:
    """Whether the cluster's API server answers."""
    return KUBECONFIG.exists() and processes.find("kube-apiserver") is not None and control_plane.ready()


def reload_images() -> None:
    """Build the images of changed sources; where the cluster runs, load them and restart what runs them.

    Raises:
        NotRootError: not root.
        CommandError: a command failed.
    """
    _require_root()
    with one_at_a_time():
        prepare_images()
        if is_up() and images.load():
            restart_product()


def _require_root() -> None:
    if not packages.is_root():
        raise NotRootError


def restart_product() -> None:
    """Restart the deployments that run the project's images, where they are installed."""
    deployments = json.loads(kubectl("-n", "perfprofile-system", "get", "deployments", "-o", "json"))["items"]
    for deployment in deployments:
        name = deployment["metadata"]["name"]
        kubectl("-n", "perfprofile-system", "rollout", "restart", f"deployment/{name}")
    for deployment in deployments:
        kubectl("-n", "perfprofile-system", "rollout", "status", f"deployment/{deployment['metadata']['name']}", "--timeout=90s")

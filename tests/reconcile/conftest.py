"""The reconcilers with exactly the operator's rights on a real API server."""

import uuid
from collections.abc import Callable

import pytest

from perfprofile_cluster.errors import ClusterError
from support import operator_rights
from support.apiserver import ApiServer, api_server
from support.world import World

__all__ = ["api_server"]

NODES = ("node1", "node2", "node3")
READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}


@pytest.fixture(scope="session")
def installed(api_server: ApiServer) -> ApiServer:
    """Namespaces, rights, empty Secrets and three nodes, as the manifests and kubelets make them."""
    api = api_server.api()
    for namespace in (operator_rights.SYSTEM, operator_rights.AGENTS):
        ensure(api, "/api/v1/namespaces", {"metadata": {"name": namespace}})
    for path, body in operator_rights.objects():
        ensure(api, path, body)
    for name in NODES:
        ensure(api, "/api/v1/nodes", {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": name[-1]}}})
        api.patch(f"/api/v1/nodes/{name}/status", READY)
    return api_server


def ensure(api, path, body):
    try:
        api.create(path, body)
    except ClusterError as error:
        if not error.already_exists:
            raise


@pytest.fixture
def make_world(installed: ApiServer) -> Callable[[], World]:
    """Makes teams' namespaces, each with two running pods on two nodes."""

    def make() -> World:
        name = f"team-{uuid.uuid4().hex[:8]}"
        installed.api().create("/api/v1/namespaces", {"metadata": {"name": name}})
        world = World(installed, name)
        world.start_pod("web-1", "node1")
        world.start_pod("web-2", "node2")
        return world

    return make


@pytest.fixture
def world(make_world: Callable[[], World]) -> World:
    """A team's namespace with two running pods on two nodes."""
    return make_world()

"""The reconcilers with exactly the operator's rights on a real API server."""

import uuid
from collections.abc import Callable

import pytest

from support.apiserver import ApiServer, api_server
from support.installed import install
from support.world import World

__all__ = ["api_server"]


@pytest.fixture(scope="session")
def installed(api_server: ApiServer) -> ApiServer:
    install(api_server)
    return api_server


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

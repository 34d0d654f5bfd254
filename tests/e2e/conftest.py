"""The installed product on the real test cluster: two nodes, the project's own images and manifests."""

import uuid
from collections.abc import Iterator

import pytest

from support.kubectl import ENABLE, Kubectl
from support.runs import Team


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/e2e/" in str(item.path):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    found = Kubectl.from_environment()
    if found is None:
        pytest.skip(f"no test cluster: {ENABLE}")
    return found


@pytest.fixture
def team(kubectl: Kubectl) -> Iterator[Team]:
    """A namespace of its own with a workload per language, gone afterwards."""
    team = Team(kubectl, f"team-{uuid.uuid4().hex[:8]}")
    team.create()
    yield team
    team.delete()

"""helm, once for all tests of the chart, and an API server of their own: what the chart installs would be in the way of other tests."""

from collections.abc import Iterator

import pytest

from support.apiserver import ApiServer, programs
from support.helm import Helm
from support.kubectl import Kubectl


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm.from_environment()


@pytest.fixture(scope="session")
def objects(helm: Helm):
    """The chart with its defaults."""
    return helm.render()


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    server = ApiServer(programs(), tmp_path_factory.mktemp("apiserver"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def kubectl(api_server: ApiServer) -> Kubectl:
    return Kubectl(program=programs() / "kubectl", kubeconfig=api_server.kubeconfig())

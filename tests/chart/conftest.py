"""helm, once for all tests of the chart, and kubectl against the API server of the tests."""

import pytest

from support.apiserver import ApiServer, api_server, programs
from support.helm import Helm
from support.kubectl import Kubectl

__all__ = ["api_server"]


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm.from_environment()


@pytest.fixture(scope="session")
def objects(helm: Helm):
    """The chart with its defaults."""
    return helm.render()


@pytest.fixture(scope="session")
def kubectl(api_server: ApiServer) -> Kubectl:
    return Kubectl(program=programs() / "kubectl", kubeconfig=api_server.kubeconfig())

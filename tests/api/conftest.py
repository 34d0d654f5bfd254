"""kubectl against the API server of the tests."""

import pytest

from support.apiserver import ApiServer, api_server, programs
from support.kubectl import Kubectl

__all__ = ["api_server"]


@pytest.fixture(scope="session")
def kubectl(api_server: ApiServer) -> Kubectl:
    return Kubectl(program=programs() / "kubectl", kubeconfig=api_server.kubeconfig())

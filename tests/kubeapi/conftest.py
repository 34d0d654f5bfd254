"""The cluster room against a real API server."""

import uuid

import pytest

from support.apiserver import ApiServer, api_server

__all__ = ["api_server"]


@pytest.fixture
def namespace(api_server: ApiServer) -> str:
    """A namespace of the test's own."""
    name = f"team-{uuid.uuid4().hex[:8]}"
    api_server.api().create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name

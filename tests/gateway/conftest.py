"""Recipes for the gateway's tests: a real gateway over real TLS, with a Kubernetes of dicts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.gateway import DictKubernetes, GatewayUnderTest


@pytest.fixture
def kubernetes() -> DictKubernetes:
    return DictKubernetes()


@pytest.fixture
def gateway(tmp_path: Path, kubernetes: DictKubernetes) -> Iterator[GatewayUnderTest]:
    """A gateway that accepts connections."""
    with GatewayUnderTest(tmp_path, kubernetes).running() as running:
        running.wait_ready()
        yield running

"""helm, once for all tests of the chart."""

import pytest

from support.helm import Helm


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm.from_environment()


@pytest.fixture(scope="session")
def objects(helm: Helm):
    """The chart with its defaults."""
    return helm.render()

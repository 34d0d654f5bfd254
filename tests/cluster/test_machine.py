"""The machine's way to its registries, as image builds are told."""

from pathlib import Path

import pytest

from cluster import machine


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch) -> Path:
    """A machine with nothing but the file that this gives."""
    for name in ("PIP_INDEX_URL", "PIP_CERT", "PIP_CONFIG_FILE", "PIP_TIMEOUT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "PIP_FILES", (tmp_path / "pip.conf",))
    return tmp_path / "pip.conf"


def test_a_machine_without_any_needs_no_pip_conf(configuration):
    assert machine.pip_conf() == ""
    assert machine.ca_bundle() is None


def test_the_files_index_is_handed_on(configuration):
    configuration.write_text("[global]\nindex-url = https://mirror.example/simple\n")

    assert machine.pip_conf() == "[global]\nindex-url = https://mirror.example/simple\n"


def test_the_environment_wins_over_the_file(configuration, monkeypatch):
    configuration.write_text("[global]\nindex-url = https://mirror.example/simple\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://other.example/simple")

    assert "other.example" in machine.pip_conf()


def test_authorities_are_named_by_their_place_in_the_build(configuration, tmp_path):
    bundle = tmp_path / "ca.crt"
    bundle.touch()
    configuration.write_text(f"[global]\ncert = {bundle}\n")

    assert machine.ca_bundle() == bundle
    assert f"cert = {machine.CA_IN_BUILD}" in machine.pip_conf()

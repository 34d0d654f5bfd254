"""helm as the chart's tests use it: renders the chart, offline, into objects."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "perfprofile"
OLDEST_KUBERNETES = "1.30.0"


class HelmError(AssertionError):
    """helm said no; its text is what it said."""


class Helm:
    """One helm program."""

    def __init__(self, program: str) -> None:
        self._program = program

    @classmethod
    def from_environment(cls) -> "Helm":
        """Take helm from PERFPROFILE_HELM, the folder PERFPROFILE_KUBE_BIN, or PATH; else skip the test."""
        folder = os.environ.get("PERFPROFILE_KUBE_BIN", "")
        program = os.environ.get("PERFPROFILE_HELM") or shutil.which("helm", path=folder) or shutil.which("helm")
        if not program:
            pytest.skip("no helm: set PERFPROFILE_HELM to its path, or run `make test` as root, which builds one")
        return cls(program)

    def run(self, *arguments: str) -> str:
        """Run helm and give what it printed.

        Raises:
            HelmError: helm ended with a status other than 0.
        """
        done = subprocess.run([self._program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HelmError(done.stderr + done.stdout)
        return done.stdout

    def render(self, *settings: str, namespace: str = "perfprofile-system") -> list[dict[str, Any]]:
        """Render the chart with ``--set`` for each of ``settings`` and give the objects."""
        options = [f"--set={setting}" for setting in settings]
        rendered = self.run("template", "x", str(CHART), f"--namespace={namespace}", f"--kube-version={OLDEST_KUBERNETES}", *options)
        return [document for document in yaml.safe_load_all(rendered) if document]


def find(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Give the one object of a kind and name.

    Raises:
        AssertionError: there is none, or more than one.
    """
    found = [one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{len(found)} objects {kind}/{name}"
    return found[0]

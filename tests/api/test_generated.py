"""Files that are made from models and values are committed, and are what `make generate` would make now."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def check(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "deploy/generate", "--check"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_generated_files_are_up_to_date():
    """With helm at hand this includes deploy/install.yaml."""
    done = check()

    assert done.returncode == 0, done.stderr


def test_every_reason_is_explained():
    from perfprofile_agent.api.conditions import EXPLANATIONS, Reason

    assert set(EXPLANATIONS) == set(Reason)
    assert all(one.meaning.endswith(".") and one.next_step.endswith(".") for one in EXPLANATIONS.values())


@pytest.mark.parametrize("path", ["deploy/crds/perfprofiles.yaml", "docs/reference/reasons.md"])
def test_generated_files_say_so(path):
    assert "enerated" in (ROOT / path).read_text().splitlines()[0 if path.endswith("yaml") else 2]

"""Writes every file that is made from something else, or with ``--check`` says which of them are out of date.

``make generate`` runs it, and a test runs it with ``--check``. What is made, and from what:

* ``charts/perfprofile/templates/crds``, ``deploy/crds``: CustomResourceDefinitions, from the models of ``perfprofile_agent.api``
* ``deploy/install.yaml``: the chart with its own defaults, as plain manifests (needs helm: PERFPROFILE_HELM, or PATH)
* ``docs/reference``: the resources, the reasons and the settings, from models, ``EXPLANATIONS``, ``values.yaml`` and the programs' settings
"""

import argparse
import shutil
import sys
from os import environ
from pathlib import Path

import crd_files
import install_file
import reference_pages
import settings_page

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Write or compare; 1 when ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say which files are out of date")
    apply = _compare if parser.parse_args().check else _write
    stale = apply(crd_files.files() | reference_pages.files() | settings_page.files(ROOT))
    # Last, because it is rendered from the chart on disk, CRDs included.
    if helm := environ.get("PERFPROFILE_HELM") or shutil.which("helm"):
        stale += apply(install_file.files(ROOT, helm))
    else:
        print("deploy/install.yaml left out: no helm; set PERFPROFILE_HELM to its path, or put it on PATH", file=sys.stderr)
    return 1 if apply is _compare and stale else 0


def _write(files: dict[str, str]) -> list[str]:
    changed = _stale(files)
    for path in changed:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(files[path])
        print(f"wrote {path}")
    return changed


def _compare(files: dict[str, str]) -> list[str]:
    changed = _stale(files)
    for path in changed:
        print(f"{path} is out of date: run `make generate` and commit what it changes", file=sys.stderr)
    return changed


def _stale(files: dict[str, str]) -> list[str]:
    return [path for path, content in files.items() if _content(ROOT / path) != content]


def _content(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())

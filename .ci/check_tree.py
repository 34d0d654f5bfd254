"""Rules about the tree itself, which no linter knows. Run as ``python3 -I .ci/check_tree.py`` from anywhere.

``-I`` and the standard library only: the first rule must be found broken even when breaking it keeps Python from starting in the root.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

FORBIDDEN_FILES = {
    "operator/__init__.py": "a package named `operator` shadows the standard library's: Python no longer starts in the root",
    "agent/__init__.py": "`agent/` is a source root, not a package; a package there would hide perfprofile_agent's rooms",
}

VAGUE_NAMES = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "manager.py", "misc.py"}

HOMES = re.compile(r"(?<![\w./$}-])/(?:home|Users)/\w+")
INDEX_OPTION = re.compile(
    r"(?:--(?:extra-)?index-url|--find-links|\bGOPROXY|\b(?:PIP|UV)_\w*INDEX\w*|\bregistry)\s*[ =]\s*[\"']?https?://", re.IGNORECASE
)

MIRROR_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "GOPROXY", "NPM_CONFIG_REGISTRY")
MIRROR_FILES = ("/etc/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf", "~/.npmrc", "~/.config/go/env", "~/.config/uv/uv.toml")


def main() -> int:
    """Print what is wrong and give 1, or 0."""
    files = _files()
    problems = [*_names(files), *_contents(files, _mirror_hosts())]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _files() -> list[str]:
    """Give all files that are, or could be, committed."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [path for path in listed.split("\0") if path and (ROOT / path).is_file()]


def _names(files: list[str]) -> Iterator[str]:
    for path in files:
        if path in FORBIDDEN_FILES:
            yield f"{path}: {FORBIDDEN_FILES[path]}; remove it"
        elif path.startswith("tests/") and path.endswith("/__init__.py"):
            yield f"{path}: tests are no packages (pytest's importlib mode); remove it"
        elif Path(path).name in VAGUE_NAMES:
            yield f"{path}: says nothing of what is in it; name it after what it holds"


def _contents(files: list[str], mirrors: set[str]) -> Iterator[str]:
    for path in files:
        try:
            text = (ROOT / path).read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if HOMES.search(line) or f"{ROOT}/" in line:
                yield f"{path}:{number}: names a place of one machine; use a relative path or a variable"
            if INDEX_OPTION.search(line) or any(host in line for host in mirrors):
                yield f"{path}:{number}: names a package index; leave that to the machine's own configuration"


def _mirror_hosts() -> set[str]:
    """Give the hosts that this machine is told to fetch packages from."""
    said = [os.environ.get(variable, "") for variable in MIRROR_VARIABLES]
    said += [file.read_text() for file in (Path(name).expanduser() for name in MIRROR_FILES) if file.is_file()]
    hosts = {host for text in said for host in re.findall(r"https?://(?:[^/@\s]*@)?([^/:\s,|\"']+)", text)}
    return {host for host in hosts if "." in host}


if __name__ == "__main__":
    sys.exit(main())

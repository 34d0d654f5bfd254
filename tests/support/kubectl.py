"""kubectl as the tests use it: the real program against the cluster of ``PERFPROFILE_KUBECONFIG``, answers parsed from JSON."""

import json
import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

from support import waiting

ENABLE = "run `make test` as root, or `make cluster-up` and then pytest with the variables that it prints"


class KubectlError(AssertionError):
    """kubectl said no; ``stderr`` is what it said."""

    def __init__(self, arguments: tuple[str, ...], stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(arguments)}: {stderr.strip()}")
        self.stderr = stderr


class Kubectl:
    """Calls kubectl with one kubeconfig, and as one user where ``impersonate`` names one."""

    def __init__(self, *, program: Path, kubeconfig: Path, impersonate: str = "") -> None:
        # Beside the kubeconfig, so that what is known of one cluster ends with it.
        self._prefix = [str(program), f"--kubeconfig={kubeconfig}", f"--cache-dir={kubeconfig.parent / 'kubectl-cache'}"]
        self._program, self._kubeconfig = program, kubeconfig
        if impersonate:
            self._prefix.append(f"--as={impersonate}")

    @classmethod
    def from_environment(cls) -> "Kubectl | None":
        """Take the cluster that the environment names; None where it names none, or one that isn't up."""
        kubeconfig, programs = os.environ.get("PERFPROFILE_KUBECONFIG"), os.environ.get("PERFPROFILE_KUBE_BIN")
        if not kubeconfig or not programs or not Path(kubeconfig).exists():
            return None
        return cls(program=Path(programs) / "kubectl", kubeconfig=Path(kubeconfig))

    def as_user(self, user: str) -> "Kubectl":
        """Give a kubectl that impersonates ``user``."""
        return Kubectl(program=self._program, kubeconfig=self._kubeconfig, impersonate=user)

    def raw(self, *arguments: str, stdin: bytes | None = None, timeout: float = 60) -> bytes:
        """Run kubectl and give what it printed, as bytes."""
        done = subprocess.run([*self._prefix, *arguments], input=stdin, capture_output=True, timeout=timeout, check=False)
        if done.returncode:
            raise KubectlError(arguments, done.stderr.decode(errors="replace"))
        return done.stdout

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run kubectl and give what it printed, as text."""
        return self.raw(*arguments, stdin=None if stdin is None else stdin.encode(), timeout=timeout).decode()

    def get(self, *arguments: str) -> Any:
        """``kubectl get … -o json``, parsed."""
        return json.loads(self("get", *arguments, "-o", "json"))

    def items(self, *arguments: str) -> list[Any]:
        """The items of a list that ``kubectl get`` gives."""
        items: list[Any] = self.get(*arguments)["items"]
        return items

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply objects given as dicts."""
        self("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))


eventually = partial(waiting.eventually, every=0.25)
"""Waits for what kubectl shows."""

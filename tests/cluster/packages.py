"""The Debian or Ubuntu packages that the test cluster needs; what is missing is installed with apt-get."""

import os
import subprocess
from pathlib import Path

from cluster.commands import run
from cluster.layout import CACHE
from cluster.steps import step

NEEDED = {
    "buildah": "builds the images",
    "ca-certificates": "trust in registries",
    "containernetworking-plugins": "the pods' network",
    "containerd": "runs the pods",
    "debian-archive-keyring": "trust in the packages of the images' base",
    "iproute2": "the nodes' network",
    "iptables": "kube-proxy",
    "mmdebstrap": "makes the images' base",
    "openssl": "the cluster's certificates",
    "python3-venv": "the project's virtual environment",
    "runc": "runs the containers",
}


def missing() -> list[str]:
    """Give the needed packages that aren't installed."""
    listed = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *NEEDED], capture_output=True, text=True, check=False
    )
    installed = {line.split()[0] for line in listed.stdout.splitlines() if line.endswith(" installed")}
    return sorted(set(NEEDED) - installed)


def ensure() -> None:
    """Install what is missing; programs of these packages aren't started as services.

    Raises:
        CommandError: apt-get failed.
    """
    wanted = missing()
    if not wanted:
        return
    log = CACHE / "apt.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with step(f"apt-get install {' '.join(wanted)}", "1 min"):
        quiet = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
        run("apt-get", "update", env=quiet, log=log)
        with _NoServices():
            run("apt-get", "install", "--yes", "--no-install-recommends", *wanted, env=quiet, log=log)


class _NoServices:
    """While entered, no package may start a service: the cluster runs its own containerd (Debian's invoke-rc.d(8) asks this file)."""

    policy = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self._ours = not self.policy.exists()
        if self._ours:
            self.policy.write_text("#!/bin/sh\nexit 101\n")
            self.policy.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            self.policy.unlink()


def is_root() -> bool:
    """Whether this process may do what the cluster needs."""
    return os.geteuid() == 0

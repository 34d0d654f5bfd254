"""Where the test cluster keeps its things, and the names and addresses it uses.

::

    host                                    bridge perfprofile0  10.231.0.1
      etcd, kube-apiserver :6443, kube-controller-manager, kube-scheduler, CoreDNS :10053
      |
      +-- node1  10.231.0.11, pods 10.232.1.0/24    each in network, PID, mount and UTS namespaces of its own:
      +-- node2  10.231.0.12, pods 10.232.2.0/24    containerd, kubelet, kube-proxy
    Services 10.233.0.0/16, DNS at 10.233.0.10
"""

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


def _base_directory(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback) / "perfprofile"


CACHE = _base_directory("XDG_CACHE_HOME", ".cache")
"""What is costly to make and may be deleted at any time."""

STATE = _base_directory("XDG_STATE_HOME", ".local/state") / "test-cluster"
"""What belongs to the running cluster; `down` deletes it."""

LOGS = STATE / "logs"
KUBECONFIG = STATE / "admin.kubeconfig"

BRIDGE = "perfprofile0"
HOST_ADDRESS = "10.231.0.1"
NODE_NETWORK_BITS = 24
API_SERVER = f"https://{HOST_ADDRESS}:6443"
ETCD = "unix://etcd:0"
"""Sockets in the directory that all processes start in, `STATE`: etcd's flags have no room for a path, only for HOST:PORT."""

ETCD_PEER = "unix://etcd-peer:0"
DNS_PORT = 10053
POD_NETWORK = "10.232.0.0/16"
SERVICE_NETWORK = "10.233.0.0/16"
KUBERNETES_SERVICE = "10.233.0.1"
DNS_SERVICE = "10.233.0.10"
DOMAIN = "cluster.local"
CGROUP = "perfprofile-test"
"""The cgroup above all nodes' cgroups, in every hierarchy."""

PAUSE_IMAGE = "perfprofile.dev/pause:dev"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One of the cluster's nodes; ``number`` counts from 1."""

    number: int

    @property
    def name(self) -> str:
        """The name that Kubernetes knows it by, and its host name."""
        return f"node{self.number}"

    @property
    def address(self) -> str:
        """Its address on the bridge."""
        return f"10.231.0.{10 + self.number}"

    @property
    def pod_network(self) -> str:
        """Where its pods' addresses come from."""
        return f"10.232.{self.number}.0/24"

    @property
    def interface(self) -> str:
        """The host's end of its cable."""
        return f"perfprofile-n{self.number}"

    @property
    def cgroup(self) -> str:
        """The kubelet's root in every cgroup hierarchy."""
        return f"/{CGROUP}/{self.name}"

    @property
    def state(self) -> Path:
        """Its configuration, and the directory that it sees as /var."""
        return STATE / self.name

    @property
    def var(self) -> Path:
        """What the node sees as /var."""
        return self.state / "var"


NODES = (Node(number=1), Node(number=2))

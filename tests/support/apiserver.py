"""A real Kubernetes API server on loopback, with etcd beside it: RBAC on, our CRDs in, and nothing else of a cluster.

No controller and no kubelet runs: what those would do (pods of a DaemonSet, their status, garbage collection), a test does by API.
"""

import atexit
import functools
import os
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from perfprofile_agent.api import crd
from perfprofile_cluster.client import Cluster
from perfprofile_cluster.errors import ClusterError
from perfprofile_cluster.transport import Transport
from perfprofile_operator import pki
from support import waiting

ENABLE = "no API server: run `make cluster-binaries`, and set PERFPROFILE_KUBE_BIN to the directory that it names"
ADMIN, OPERATOR, NOBODY = "admin", "operator", "nobody"
USERS = {
    ADMIN: ("admin", "system:masters"),
    OPERATOR: ("system:serviceaccount:perfprofile-system:perfprofile-operator", "system:serviceaccounts"),
    NOBODY: ("nobody", ""),
}
"""Static tokens, which are their own names, with user and group."""


def programs() -> Path:
    """Give the directory of etcd and kube-apiserver, or skip the test."""
    directory = os.environ.get("PERFPROFILE_KUBE_BIN")
    if not directory or not (Path(directory) / "kube-apiserver").exists():
        pytest.skip(ENABLE)
    return Path(directory)


class ApiServer:
    """A running API server."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self.directory = directory
        self._programs = programs
        self._running: list[subprocess.Popen[bytes]] = []
        self.port, self._etcd_port, self._peer_port = _free_ports(3)
        self.url = f"https://localhost:{self.port}"
        self.ca_file = directory / "ca.crt"

    def start(self, seconds: float = 90) -> None:
        """Start both programs, and wait until the API server is ready and knows our kinds."""
        self._write_credentials()
        self._start_etcd()
        self._start_api_server()
        deadline = time.monotonic() + seconds
        while not self._ready():
            if time.monotonic() > deadline or any(process.poll() is not None for process in self._running):
                raise AssertionError(f"the API server did not start: {(self.directory / 'kube-apiserver.log').read_text()[-3000:]}")
            time.sleep(0.1)
        self._install_kinds()

    def stop(self) -> None:
        """End both programs."""
        for process in reversed(self._running):
            process.terminate()
        for process in reversed(self._running):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """Give a kubeconfig of one of the users."""
        path = self.directory / f"{user}.kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)}}],
            "users": [{"name": user, "user": {"token": user}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": user}}],
            "current-context": "it",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def cluster(self, user: str = ADMIN) -> Cluster:
        """Give our client as one of the users."""
        return Cluster.connect(str(self.kubeconfig(user)))

    def api(self, user: str = ADMIN) -> "Api":
        """Give raw calls as one of the users."""
        return Api(Transport.connect(str(self.kubeconfig(user))))

    def _write_credentials(self) -> None:
        now = datetime.now(UTC)
        ca = pki.new_ca(now)
        server = pki.new_server(ca, ("localhost",), now)
        self.ca_file.write_bytes(ca.certificate)
        (self.directory / "tls.crt").write_bytes(server.certificate)
        (self.directory / "tls.key").write_bytes(server.key)
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
        (self.directory / "accounts.key").write_bytes(pem)
        lines = [f'{token},{user},{token},"{group}"' for token, (user, group) in USERS.items()]
        (self.directory / "tokens.csv").write_text("\n".join(lines) + "\n")

    def _start_etcd(self) -> None:
        client = f"http://127.0.0.1:{self._etcd_port}"
        peer = f"http://127.0.0.1:{self._peer_port}"
        self._start(
            "etcd",
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )

    def _start_api_server(self) -> None:
        accounts = self.directory / "accounts.key"
        self._start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={self.directory / 'tls.crt'}",
            f"--tls-private-key-file={self.directory / 'tls.key'}",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://localhost",
            f"--service-account-key-file={accounts}",
            f"--service-account-signing-key-file={accounts}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--endpoint-reconciler-type=none",
            # It would refuse pods until a controller that doesn't run here has made accounts for them.
            "--disable-admission-plugins=ServiceAccount",
            "--allow-privileged=true",
        )

    def _start(self, program: str, *arguments: str) -> None:
        with (self.directory / f"{program}.log").open("wb") as log:
            self._running.append(subprocess.Popen([self._programs / program, *arguments], stdout=log, stderr=log))

    def _ready(self) -> bool:
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {ADMIN}"})  # noqa: S310 - https on loopback
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            with urllib.request.urlopen(request, timeout=2, context=context) as answer:  # noqa: S310 - https on loopback
                return bool(answer.status == 200)
        except OSError:
            return False

    def _install_kinds(self) -> None:
        api, cluster = self.api(), self.cluster()
        for resource in crd.RESOURCES:
            api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd.custom_resource_definition(resource))
        eventually(lambda: cluster.list_profiles() == [] and cluster.list_runs() == [])
        api.close()
        cluster.close()


class Api:
    """Raw calls, for what our client has no method for."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        return msgspec.json.decode(self._transport.call(method, path, **arguments))

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def create(self, path: str, body: dict[str, Any]) -> Any:
        return self.call("POST", path, body=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        return self.call("PATCH", path, body=body, content_type="application/merge-patch+json")

    def delete(self, path: str) -> None:
        self.call("DELETE", path, query={"gracePeriodSeconds": 0})

    def close(self) -> None:
        self._transport.close()


eventually = functools.partial(waiting.eventually, within=20, every=0.05, tolerating=(ClusterError,))
"""Waits for what an API server gives, and over its refusals."""


@functools.cache
def _the_one(programs: Path) -> ApiServer:
    """Start it once for all tests of this process, whichever folder they are in."""
    directory = tempfile.TemporaryDirectory(prefix="apiserver-")
    server = ApiServer(programs, Path(directory.name))
    atexit.register(directory.cleanup)
    atexit.register(server.stop)
    server.start()
    return server


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """The API server; it goes on until pytest ends."""
    return _the_one(programs())


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        with closing(one):
            pass
    return ports

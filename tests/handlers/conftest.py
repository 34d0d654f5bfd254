"""kopf and the whole program, with exactly the operator's rights on a real API server."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.apiserver import OPERATOR, ApiServer, api_server, eventually
from support.installed import install
from support.operator_rights import AGENTS, SYSTEM
from support.world import World

__all__ = ["api_server"]


class Program:
    """perfprofile-operator as a process of its own."""

    def __init__(self, server: ApiServer, log: Path) -> None:
        self._server, self._log = server, log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PERFPROFILE_", "KUBERNETES_"))},
            "KUBECONFIG": str(self._server.kubeconfig(OPERATOR)),
            "PERFPROFILE_NAMESPACE": SYSTEM,
            "PERFPROFILE_AGENTS_NAMESPACE": AGENTS,
            "PERFPROFILE_HEALTH_PORT": str(self.port),
            # So long that only kopf can be what tells the operator of anything.
            "PERFPROFILE_RESYNC_SECONDS": "3600",
            "PERFPROFILE_SWEEP_SECONDS": "3600",
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "perfprofile_operator"], env=environment, stderr=log, stdout=log)
        eventually(lambda: self.answer("readyz") == 200, within=30)

    def answer(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(40)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()


@pytest.fixture(scope="session")
def installed(api_server: ApiServer) -> ApiServer:
    install(api_server)
    return api_server


@pytest.fixture(scope="module")
def program(installed: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(installed, tmp_path_factory.mktemp("operator") / "log")
    program.start()
    yield program
    program.kill()


@pytest.fixture
def world(installed: ApiServer) -> World:
    """A team's namespace with two running pods on two nodes."""
    name = f"team-{uuid.uuid4().hex[:8]}"
    installed.api().create("/api/v1/namespaces", {"metadata": {"name": name}})
    world = World(installed, name)
    world.start_pod("web-1", "node1")
    world.start_pod("web-2", "node2")
    return world

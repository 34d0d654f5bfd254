"""The gateway behind a real kube-apiserver: real tokens, real RBAC, real aggregation, with the rights of the manifests and no more."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from perfprofile_agent.api.names import LABEL_RUN, LABEL_RUN_NAMESPACE, LABEL_RUN_UID, TOKEN_AUDIENCE
from perfprofile_agent.pprof import wire
from support import pki
from support.aggregation import AGENTS, HOST, RBAC, SYSTEM, AggregatingApiServer, create
from support.apiserver import eventually, programs
from support.gateway import GatewayUnderTest
from support.gateway_agent import Agent

DATA = "/apis/data.perfprofile.dev/v1alpha1"
OURS = "/apis/perfprofile.dev/v1alpha1"


class World:
    """An API server, a gateway behind it, and two teams."""

    def __init__(self, server: AggregatingApiServer, gateway: GatewayUnderTest, kubectl: Path) -> None:
        self.server, self.gateway, self._kubectl = server, gateway, kubectl

    def raw(self, path: str, user: str) -> subprocess.CompletedProcess[bytes]:
        """``kubectl get --raw`` as a user, who is impersonated by the admin."""
        command = [self._kubectl, f"--kubeconfig={self.server.kubeconfig()}", f"--as={user}", "get", "--raw", path]
        return subprocess.run(command, capture_output=True, check=False, timeout=60)

    def run_of(self, namespace: str, name: str = "run-1") -> dict:
        """A placed run, and a target pod that runs on node-1."""
        api = self.server.api()
        spec = {"profile": "web", "target": {"podSelector": {"matchLabels": {"app": "web"}}}, "duration": "10s"}
        made = create(
            api,
            f"{OURS}/namespaces/{namespace}/perfprofileruns",
            {"apiVersion": "perfprofile.dev/v1alpha1", "kind": "PerfProfileRun", "metadata": {"name": name}, "spec": spec},
        )
        deadline = (datetime.now(UTC) + timedelta(seconds=300)).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = {"phase": "Pending", "deadline": deadline, "nodes": {"desired": 1}}
        api.patch(f"{OURS}/namespaces/{namespace}/perfprofileruns/{name}/status", {"status": status})
        self.pod(namespace, f"web-{name}", {"app": "web"})
        api.close()
        return made

    def pod(self, namespace: str, name: str, labels: dict[str, str], account: str = "default") -> dict:
        """A pod that the kubelet of node-1 says runs."""
        api = self.server.api()
        spec = {"nodeName": "node-1", "serviceAccountName": account, "containers": [{"name": "app", "image": "x"}]}
        pod = api.create(f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": name, "labels": labels}, "spec": spec})
        state = {"name": "app", "containerID": "containerd://" + "cd" * 32, "image": "x", "imageID": "x", "ready": True, "restartCount": 0}
        running = {"phase": "Running", "containerStatuses": [{**state, "state": {"running": {"startedAt": "2026-11-23T10:00:00Z"}}}]}
        api.patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": running})
        api.close()
        return pod

    def agent(self, run: dict, *, audience: str = TOKEN_AUDIENCE) -> Agent:
        """An agent's pod with its bound token."""
        meta = run["metadata"]
        labels = {LABEL_RUN_UID: meta["uid"], LABEL_RUN: meta["name"], LABEL_RUN_NAMESPACE: meta["namespace"]}
        pod = self.pod(AGENTS, f"agent-{meta['namespace']}-{meta['name']}-{len(audience)}", labels, "perfprofile-agent")
        token = self.server.token(AGENTS, "perfprofile-agent", audiences=(audience,), pod=pod)
        return Agent(self.gateway, token, namespace=meta["namespace"])

    def status(self, run: dict) -> dict:
        api = self.server.api()
        meta = run["metadata"]
        found: dict = api.get(f"{OURS}/namespaces/{meta['namespace']}/perfprofileruns/{meta['name']}")["status"]
        api.close()
        return found


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    kube = programs()
    with tempfile.TemporaryDirectory(prefix="aggregation-") as name:
        directory = Path(name)
        server = AggregatingApiServer(kube, directory)
        try:
            server.start()
            server.install()
            api = server.api()
            for team in ("team-a", "team-b"):
                api.create("/api/v1/namespaces", {"metadata": {"name": team}})
            api.create("/api/v1/nodes", {"metadata": {"name": "node-1"}})
            rules = [
                {
                    "apiGroups": ["data.perfprofile.dev"],
                    "resources": [f"perfprofileruns/{what}" for what in ("profile", "flamegraph", "top", "nodes")],
                    "verbs": ["get"],
                }
            ]
            create(api, f"{RBAC}/namespaces/team-a/roles", {"metadata": {"name": "reader"}, "rules": rules})
            subject = {"kind": "User", "name": "anna", "apiGroup": "rbac.authorization.k8s.io"}
            role = {"kind": "Role", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}
            create(api, f"{RBAC}/namespaces/team-a/rolebindings", {"metadata": {"name": "reader"}, "subjects": [subject], "roleRef": role})
            gateway = GatewayUnderTest(directory, server.account(SYSTEM, "perfprofile-gateway"))
            with gateway.running():
                server.fill_certificate(pki.server(gateway.ca, HOST, "localhost"))
                gateway.wait_ready()
                server.aggregate(gateway.ports.api, gateway.ca.crt)
                yield World(server, gateway, kube / "kubectl")
        finally:
            server.stop()


def test_a_run_goes_through_and_only_its_namespaces_reader_may_read_it(world: World):
    """The whole path, with kubectl at the end of it."""
    runs = {team: world.run_of(team) for team in ("team-a", "team-b")}
    for run in runs.values():
        world.agent(run).succeed()
    eventually(lambda: world.status(runs["team-b"])["nodes"].get("succeeded") == 1)
    path = world.status(runs["team-a"])["profilePath"]

    mine = world.raw(path, "anna")
    theirs = world.raw(path.replace("team-a", "team-b"), "anna")
    stranger = world.raw(path, "bob")

    assert mine.returncode == 0, mine.stderr
    assert {label.text for sample in wire.decode(mine.stdout).samples for label in sample.labels if label.key == "namespace"} == {"team-a"}
    for refused in (theirs, stranger):
        assert refused.returncode != 0
        assert b"Forbidden" in refused.stderr
        assert not refused.stdout
    assert world.raw(path.replace("/profile", "/flamegraph"), "anna").stdout.startswith(b"<!doctype html>")
    assert b"Showing 20 functions" in world.raw(path.replace("/profile", "/top?n=20"), "anna").stdout
    assert b"NodeReportList" in world.raw(path.replace("/profile", "/nodes"), "anna").stdout


def test_the_gateway_itself_asks_rbac_too(world: World):
    """Past the API server, with the front proxy's certificate: still no."""
    front = GatewayUnderTest.api
    world.gateway.front_proxy = pki.client(world.server.front_proxy_ca, "front-proxy-client")
    assert front(world.gateway, f"{DATA}/namespaces/team-b/perfprofileruns/none/profile", "anna")[0] == 403
    assert front(world.gateway, f"{DATA}/namespaces/team-a/perfprofileruns/none/profile", "anna")[0] == 404


def test_the_counts_leave_the_operators_fields_alone(world: World):
    run = world.run_of("team-a", "counted")
    agent = world.agent(run)
    agent.succeed()
    status = eventually(lambda: (found := world.status(run))["nodes"].get("succeeded") == 1 and found)
    assert status["nodes"]["desired"] == 1
    assert status["phase"] == "Pending"
    assert status["samples"] == {"recorded": 250, "shown": 200, "outOfScope": 50, "lost": 0}


def test_discovery_and_openapi_are_taken_up_by_the_api_server(world: World):
    api = world.server.api()
    assert {item["name"] for item in api.get(DATA)["resources"]} >= {"perfprofileruns/profile", "perfprofileruns/top"}
    groups = {group["name"] for group in api.get("/apis")["groups"]}
    assert "data.perfprofile.dev" in groups
    eventually(lambda: f"{DATA[1:]}" in api.get("/openapi/v3")["paths"], within=60)
    assert f"{DATA}/namespaces/{{namespace}}/perfprofileruns/{{name}}/profile" in api.get(f"/openapi/v3{DATA}")["paths"]
    api.close()


def test_kubectl_names_resources_as_before(world: World):
    """The second group brings no ambiguity: perfprofileruns are still those of perfprofile.dev."""
    command = [
        world._kubectl,
        f"--kubeconfig={world.server.kubeconfig()}",
        f"--cache-dir={world.server.directory / 'cache'}",
        "-n",
        "team-a",
        "get",
        "ppr,perfprofileruns",
    ]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_real_token_of_another_audience_or_past_its_time_is_401(world: World):
    run = world.run_of("team-a", "tokens")
    assert world.agent(run, audience="https://elsewhere").ask()[0] == 401
    good = world.agent(run)
    assert good.ask()[0] == 200
    assert Agent(world.gateway, world.server.expired(good.token)).ask()[0] == 401
    assert Agent(world.gateway, good.token[:-8] + "AAAAAAAA").ask()[0] == 401


def test_a_token_of_the_api_itself_is_401(world: World):
    assert Agent(world.gateway, world.server.token(SYSTEM, "perfprofile-operator", audiences=())).ask()[0] == 401


def test_a_real_token_speaks_for_its_own_run_and_node(world: World):
    run = world.run_of("team-b", "own")
    status, body = world.agent(run).ask()
    assert (status, body["runUid"], body["node"]) == (200, run["metadata"]["uid"], "node-1")
    assert [pod["namespace"] for pod in body["pods"]] == ["team-b"] * len(body["pods"])


def test_the_operators_real_token_reports_failures(world: World):
    run = world.run_of("team-a", "failed")
    token = world.server.token(SYSTEM, "perfprofile-operator", audiences=(TOKEN_AUDIENCE,))
    body = b'{"namespace":"team-a","run":"failed","failures":[{"node":"node-9","window":0,"reason":"NodeLost","message":"gone"}]}'
    assert world.gateway.agents("POST", f"/v1/runs/{run['metadata']['uid']}/node-failures", token, body)[0] == 204
    eventually(lambda: world.status(run)["nodes"].get("failed") == 1)


def test_the_program_starts_serves_and_ends_in_order_without_a_secret_in_its_log(world: World, tmp_path: Path):
    """The command itself, as the pod runs it; its certificate is the one in the Secret."""
    kubeconfig = world.server.account_kubeconfig(SYSTEM, "perfprofile-gateway")
    port = free_port()
    ports = {
        "PERFPROFILE_HTTP_PORT": str(port),
        "PERFPROFILE_API_PORT": "0",
        "PERFPROFILE_AGENTS_PORT": "0",
        "PERFPROFILE_LISTEN_HOST": "127.0.0.1",
    }
    environment = {
        **os.environ,
        **ports,
        "KUBECONFIG": str(kubeconfig),
        "PERFPROFILE_DATA_DIR": str(tmp_path),
        "PERFPROFILE_LOG_LEVEL": "DEBUG",
    }
    process = subprocess.Popen([sys.executable, "-m", "perfprofile_gateway"], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: is_ready(port))
        process.terminate()
        _, log = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert {json.loads(line)["level"] for line in log.splitlines()} <= {"DEBUG", "INFO"}
    token = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
    assert token not in log
    assert "PRIVATE KEY" not in log


def test_a_program_without_a_cluster_says_what_to_do():
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-m", "perfprofile_gateway"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "KUBECONFIG" in json.loads(done.stderr.splitlines()[-1])["message"]


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

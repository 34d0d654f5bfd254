"""A gateway to test against: the real one, with real TLS on loopback, and a Kubernetes of dicts."""

import asyncio
import http.client
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from perfprofile_agent.api.names import LABEL_RUN, LABEL_RUN_NAMESPACE, LABEL_RUN_UID, TOKEN_AUDIENCE
from perfprofile_agent.api.profile import LabelSelector, Target
from perfprofile_agent.api.run import PerfProfileRunSpec, PerfProfileRunStatus
from perfprofile_cluster.errors import UNREACHABLE, ClusterError
from perfprofile_cluster.objects import ConfigMap, ContainerStatus, ObjectMeta, Pod, RunObject, Secret, TokenIdentity
from perfprofile_gateway.config import Settings
from perfprofile_gateway.factory import Ports, running
from perfprofile_gateway.kubernetes import Kubernetes
from support import pki, waiting

AGENT = "system:serviceaccount:perfprofile-agents:perfprofile-agent"
OPERATOR = "system:serviceaccount:perfprofile-system:perfprofile-operator"
HOST = "perfprofile-gateway.perfprofile-system.svc"
_PARTS = {"agents": 8444, "api": 8443, "http": 8080}


@dataclass
class DictKubernetes:
    """What the gateway asks of Kubernetes, answered from dicts; ``down`` makes every call fail."""

    runs: dict[tuple[str, str], RunObject] = field(default_factory=dict)
    pods: dict[tuple[str, str], Pod] = field(default_factory=dict)
    tokens: dict[str, tuple[str, TokenIdentity]] = field(default_factory=dict)
    allowed: set[tuple[str, str, str]] = field(default_factory=set)
    """(user, namespace, subresource)."""
    secrets: dict[tuple[str, str], Secret] = field(default_factory=dict)
    configmaps: dict[tuple[str, str], ConfigMap] = field(default_factory=dict)
    patches: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    down: bool = False
    questions: list[dict[str, Any]] = field(default_factory=list)

    def _called(self, name: str) -> None:
        self.calls[name] += 1
        if self.down:
            raise ClusterError(UNREACHABLE, "Unreachable", "connection refused")

    def review_token(self, token: str, audiences: Iterable[str]) -> TokenIdentity | None:
        self._called("review_token")
        audience, identity = self.tokens.get(token, ("", None))
        return identity if audience in audiences else None

    def authorize(self, **question: Any) -> tuple[bool, str]:
        self._called("authorize")
        self.questions.append(question)
        return (question["user"], question["namespace"], question["subresource"]) in self.allowed, ""

    def get_pod(self, namespace: str, name: str) -> Pod | None:
        self._called("get_pod")
        return self.pods.get((namespace, name))

    def list_pods(self, namespace: str, selector: LabelSelector | str = "") -> list[Pod]:
        self._called("list_pods")
        wanted = selector.match_labels if isinstance(selector, LabelSelector) else {}
        found = [pod for (where, _), pod in list(self.pods.items()) if where == namespace]
        return [pod for pod in found if wanted.items() <= pod.metadata.labels.items()]

    def get_run(self, namespace: str, name: str) -> RunObject | None:
        self._called("get_run")
        return self.runs.get((namespace, name))

    def list_runs(self) -> list[RunObject]:
        self._called("list_runs")
        return list(self.runs.values())

    def patch_run_status(self, namespace: str, name: str, status: Mapping[str, Any], *, uid: str = "") -> None:
        self._called("patch_run_status")
        run = self.runs.get((namespace, name))
        if run is None or run.metadata.uid != uid:
            raise ClusterError(404, "NotFound", "not found")
        self.patches.append((time.monotonic(), uid, json.loads(json.dumps(status))))

    def get_secret(self, namespace: str, name: str) -> Secret | None:
        self._called("get_secret")
        return self.secrets.get((namespace, name))

    def get_configmap(self, namespace: str, name: str) -> ConfigMap | None:
        self._called("get_configmap")
        return self.configmaps.get((namespace, name))

    # ---- Recipes

    def add_run(
        self, name: str, *, namespace: str = "shop", deadline: float | None = 200, phase: str = "Pending", **spec: Any
    ) -> RunObject:
        """A run of the pods labelled app=checkout, with so many seconds until its deadline (None: not placed yet)."""
        until = None if deadline is None else (datetime.now(UTC) + timedelta(seconds=deadline)).isoformat().replace("+00:00", "Z")
        run = RunObject(
            metadata=ObjectMeta(name=name, namespace=namespace, uid=f"uid-{namespace}-{name}"),
            spec=PerfProfileRunSpec(
                profile=name, **{"target": Target(pod_selector=LabelSelector(match_labels={"app": "checkout"})), "duration": "10s", **spec}
            ),
            status=PerfProfileRunStatus(phase=phase, deadline=until, start_time="2026-11-23T10:00:00Z"),
        )
        self.runs[namespace, name] = run
        return run

    def end_run(self, run: RunObject, phase: str) -> None:
        status = msgspec.structs.replace(run.status, phase=phase)
        self.runs[run.metadata.namespace, run.metadata.name] = msgspec.structs.replace(run, status=status)

    def add_agent(self, run: RunObject, node: str = "node-1", *, audience: str = TOKEN_AUDIENCE, **labels: str) -> str:
        """An agent's pod and its token; gives the token."""
        meta = run.metadata
        name = f"agent-{meta.name}-{node}"
        own = {LABEL_RUN_UID: meta.uid, LABEL_RUN: meta.name, LABEL_RUN_NAMESPACE: meta.namespace, **labels}
        pod = Pod(
            metadata=ObjectMeta(name=name, namespace="perfprofile-agents", uid=f"pod-{name}", labels=own), node_name=node, phase="Running"
        )
        self.pods["perfprofile-agents", name] = pod
        token = f"token-{name}"
        self.tokens[token] = (audience, TokenIdentity(username=AGENT, node_name=node, pod_name=name, pod_uid=pod.metadata.uid))
        return token

    def add_operator(self) -> str:
        self.tokens["token-operator"] = (TOKEN_AUDIENCE, TokenIdentity(username=OPERATOR))
        return "token-operator"

    def add_pod(self, name: str, node: str = "node-1", *, namespace: str = "shop", app: str = "checkout", **changes: Any) -> Pod:
        """A target: a running pod with one running container."""
        status = ContainerStatus(name="app", container_id="containerd://" + "ab" * 32, ready=True, running=True)
        meta = ObjectMeta(
            name=name, namespace=namespace, uid=f"uid-{name}", labels={"app": app}, annotations=changes.pop("annotations", {})
        )
        pod = Pod(
            metadata=meta, **{"node_name": node, "phase": "Running", "containers": ("app",), "container_statuses": (status,), **changes}
        )
        self.pods[namespace, name] = pod
        return pod


class GatewayUnderTest:
    """The gateway in a thread of its own, and calls to it."""

    def __init__(self, directory: Path, kubernetes: Kubernetes, **settings: Any) -> None:
        self.directory = directory
        self.ca, self.front_proxy_ca = pki.authority(), pki.authority("front-proxy-ca")
        self.front_proxy = pki.client(self.front_proxy_ca, "front-proxy-client")
        self.kubernetes = kubernetes
        own = {"data_dir": directory / "data", "listen_host": "127.0.0.1", "api_port": 0, "agents_port": 0, "http_port": 0, "workers": 1}
        self.settings = Settings(**{**own, **settings})
        self.ca_file = directory / "gateway-ca.crt"
        self.ca_file.write_bytes(self.ca.crt)
        if isinstance(kubernetes, DictKubernetes):
            self.renew_certificate()
            data = {
                "requestheader-client-ca-file": self.front_proxy_ca.crt.decode(),
                "requestheader-allowed-names": '["front-proxy-client"]',
                "requestheader-username-headers": '["X-Remote-User"]',
                "requestheader-group-headers": '["X-Remote-Group"]',
                "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            }
            name = ("kube-system", "extension-apiserver-authentication")
            kubernetes.configmaps[name] = ConfigMap(metadata=ObjectMeta(name=name[1]), data=data)

    def renew_certificate(self) -> pki.Pair:
        """Put a new certificate into the Secret."""
        pair = pki.server(self.ca, HOST, "localhost")
        assert isinstance(self.kubernetes, DictKubernetes)
        name = ("perfprofile-system", "perfprofile-gateway-tls")
        self.kubernetes.secrets[name] = Secret(metadata=ObjectMeta(name=name[1]), data={"tls.crt": pair.crt, "tls.key": pair.key})
        return pair

    @contextmanager
    def running(self) -> Any:
        """Run it while inside."""
        started, failures = threading.Event(), []

        async def serve() -> None:
            async with running(self.settings, self.kubernetes) as self.ports:
                self.loop, self.stopped = asyncio.get_running_loop(), asyncio.Event()
                started.set()
                await self.stopped.wait()

        def work() -> None:
            try:
                asyncio.run(serve())
            except BaseException as error:
                failures.append(error)
                raise
            finally:
                started.set()

        thread = threading.Thread(target=work, name="gateway")
        thread.start()
        started.wait(30)
        try:
            assert not failures, failures
            yield self
        finally:
            if thread.is_alive():
                self.loop.call_soon_threadsafe(self.stopped.set)
            thread.join(30)
        assert not failures, failures

    ports: Ports
    loop: asyncio.AbstractEventLoop
    stopped: asyncio.Event

    def wait_ready(self, within: float = 20) -> None:
        eventually(lambda: self.http("GET", "/readyz")[0] == 200, within=within)

    def http(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """Call the plain port."""
        return _call(http.client.HTTPConnection("127.0.0.1", self.ports.http, timeout=30), method, path, None, {})

    def agents(
        self, method: str, path: str, token: str = "", body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Call the agents' port."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPSConnection("localhost", self.ports.agents, timeout=30, context=self._trusting())
        return _call(connection, method, path, body, sent)

    def api(
        self, path: str, user: str = "", *, certificate: pki.Pair | None = None, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Call the API port as the front proxy would, on behalf of a user; ``certificate`` is shown in place of its own."""
        context = self._trusting()
        pair = certificate or self.front_proxy
        (self.directory / "client.pem").write_bytes(pair.crt + pair.key)
        context.load_cert_chain(self.directory / "client.pem")
        return self.anonymous_api(path, user, context=context, method=method, **headers)

    def anonymous_api(
        self, path: str, user: str = "", *, context: ssl.SSLContext | None = None, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Call the API port without a client certificate."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if user:
            sent["X-Remote-User"] = user
        connection = http.client.HTTPSConnection("localhost", self.ports.api, timeout=60, context=context or self._trusting())
        return _call(connection, method, path, None, sent)

    def served_certificate(self) -> bytes:
        """What the agents' port shows."""
        with (
            socket.create_connection(("localhost", self.ports.agents), timeout=5) as raw,
            self._trusting().wrap_socket(raw, server_hostname="localhost") as tls,
        ):
            return tls.getpeercert(binary_form=True) or b""

    def _trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)


def _call(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


eventually = partial(waiting.eventually, within=15, every=0.02, tolerating=(OSError,))
"""Waits for what a gateway gives, and over its absence."""

"""kopf ends on several faults of a watch; the supervision starts it again. Against a small HTTP server that serves such faults."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from perfprofile_operator.handlers import watching
from perfprofile_operator.handlers.watching import Watching
from perfprofile_operator.reconcile.work import Key, Work
from support.apiserver import eventually

GROUP = {
    "kind": "APIGroup",
    "name": "perfprofile.dev",
    "versions": [{"groupVersion": "perfprofile.dev/v1alpha1", "version": "v1alpha1"}],
    "preferredVersion": {"groupVersion": "perfprofile.dev/v1alpha1", "version": "v1alpha1"},
}
RESOURCES = [
    {"name": name, "singularName": name[:-1], "kind": kind, "namespaced": True, "verbs": ["list", "watch"]}
    for name, kind in (("perfprofiles", "PerfProfile"), ("perfprofileruns", "PerfProfileRun"))
]
NAMESPACES = {"name": "namespaces", "singularName": "namespace", "kind": "Namespace", "namespaced": False, "verbs": ["list", "watch"]}
PROFILE = {
    "apiVersion": "perfprofile.dev/v1alpha1",
    "kind": "PerfProfile",
    "metadata": {"name": "cpu", "namespace": "team", "uid": "u", "resourceVersion": "1"},
    "spec": {},
}


class FaultyApi(BaseHTTPRequestHandler):
    """Serves lists, and each watch with the next fault; after the last, watches stay open."""

    faults: ClassVar[list[bytes]] = []
    patches: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if "watch=true" in query:
            self._watch()
        elif path in DISCOVERY:
            self._answer(DISCOVERY[path])
        elif path.endswith("/perfprofiles"):
            self._answer({"kind": "PerfProfileList", "metadata": {"resourceVersion": "1"}, "items": [PROFILE]})
        else:
            self._answer({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []})

    def do_PATCH(self) -> None:
        self.patches.append(self.path)
        self._answer({})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _watch(self) -> None:
        fault = self.faults.pop(0) if self.faults else b""
        if fault == b"410":
            self.send_error(410)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(fault)
        self.wfile.flush()
        if not fault:
            STOPPED.wait(30)
        self.close_connection = True


STOPPED = threading.Event()
DISCOVERY = {
    "/version": {"major": "1", "minor": "34"},
    "/api": {"versions": ["v1"]},
    "/api/v1": {"groupVersion": "v1", "resources": [NAMESPACES]},
    "/apis": {"groups": [GROUP]},
    "/apis/perfprofile.dev": GROUP,
    "/apis/perfprofile.dev/v1alpha1": {"groupVersion": "perfprofile.dev/v1alpha1", "resources": RESOURCES},
}


@pytest.fixture
def faulty_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FaultyApi]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FaultyApi)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    STOPPED.clear()
    FaultyApi.patches.clear()
    content = {
        "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
        "current-context": "it",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(watching, "FIRST_BACKOFF", 0.05)
    yield FaultyApi
    STOPPED.set()
    server.shutdown()
    thread.join()
    server.server_close()


ERROR_500 = b'{"type":"ERROR","object":{"kind":"Status","code":500,"reason":"InternalError","message":"etcd"}}\n'
CUT_LINE = b'{"type":"ADDED","object":{"apiVersion":"perfpro'


@pytest.mark.slow
@pytest.mark.parametrize("fault", [ERROR_500, CUT_LINE, b"410"], ids=["error-500", "cut-line", "http-410"])
def test_a_fault_that_ends_kopf_only_starts_it_again(faulty_api, fault):
    faulty_api.faults[:] = [fault] * 2
    seen: list[tuple[int, Key]] = []
    watch = Watching(lambda key: seen.append((watch.starts, key)))

    watch.start()
    eventually(lambda: any(start >= 2 for start, _ in seen), within=40)
    watch.stop()

    assert {key for _, key in seen} == {Key(Work.PROFILE, "team", "cpu")}
    assert faulty_api.patches == []


def test_seeing_an_object_writes_nothing_to_it(faulty_api):
    faulty_api.faults[:] = []
    seen: list[Key] = []
    watch = Watching(seen.append)

    watch.start()
    eventually(lambda: Key(Work.PROFILE, "team", "cpu") in seen)
    watch.stop()

    assert faulty_api.patches == []
    assert watch.starts == 1

"""The call to the gateway, over real TLS."""

import json
import ssl
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from perfprofile_agent.api.run import NodeFailure, PerfProfileRunSpec
from perfprofile_cluster.objects import ObjectMeta, RunObject
from perfprofile_operator import pki
from perfprofile_operator.errors import GatewayError
from perfprofile_operator.gateway_client import BATCH, GatewayClient

RUN = RunObject(metadata=ObjectMeta(name="cpu-1", namespace="team", uid="u-1"), spec=PerfProfileRunSpec(profile="cpu"))
FAILURE = NodeFailure(node="a", reason="NodeLost", message="gone")


class Gateway(BaseHTTPRequestHandler):
    seen: ClassVar[list] = []
    status = 204

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, self.headers["Authorization"], body))
        self.send_response(self.status)
        content = b"" if self.status == 204 else b'{"error": "no"}'
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def gateway(tmp_path):
    now = datetime.now(UTC)
    ca = pki.new_ca(now)
    pair = pki.new_server(ca, ("localhost",), now)
    (tmp_path / "crt").write_bytes(pair.certificate)
    (tmp_path / "key").write_bytes(pair.key)
    (tmp_path / "token").write_text("first\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    server = HTTPServer(("127.0.0.1", 0), Gateway)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Gateway.seen, Gateway.status = [], 204
    url = f"https://localhost:{server.server_port}"
    yield GatewayClient(url=url, token_file=tmp_path / "token", ca_bundle=lambda: ca.certificate)
    server.shutdown()
    thread.join()
    server.server_close()


def test_failures_are_posted_with_the_token_of_the_moment(gateway, tmp_path):
    gateway.post_failures(RUN, [FAILURE])
    (tmp_path / "token").write_text("second\n")
    gateway.post_failures(RUN, [FAILURE])

    path, token, body = Gateway.seen[0]
    assert (path, token) == ("/v1/runs/u-1/node-failures", "Bearer first")
    assert body == {"namespace": "team", "run": "cpu-1", "failures": [{"node": "a", "window": 0, "reason": "NodeLost", "message": "gone"}]}
    assert Gateway.seen[1][1] == "Bearer second"


def test_many_failures_go_in_batches(gateway):
    gateway.post_failures(RUN, [FAILURE] * (2 * BATCH + 1))

    assert [len(body["failures"]) for _, _, body in Gateway.seen] == [BATCH, BATCH, 1]


def test_a_refusal_carries_the_gateways_words(gateway):
    Gateway.status = 403

    with pytest.raises(GatewayError, match="no") as refusal:
        gateway.post_failures(RUN, [FAILURE])
    assert refusal.value.status == 403


def test_a_gateway_that_is_away_is_not_called_for_every_run_at_once(tmp_path):
    """Each call may take its whole timeout, and there are few workers."""
    (tmp_path / "token").write_text("t")
    asked = []

    def bundle():
        asked.append(1)
        return pki.new_ca(datetime.now(UTC)).certificate

    client = GatewayClient(url="https://localhost:1", token_file=tmp_path / "token", ca_bundle=bundle)
    for _ in range(5):
        with pytest.raises(GatewayError, match="Could not reach"):
            client.post_failures(RUN, [FAILURE])

    assert len(asked) == 1


@pytest.mark.parametrize("trouble", ["nobody listens", "no token", "no ca", "another ca"])
def test_what_stands_in_the_way_is_said_with_the_next_step(gateway, tmp_path, trouble):
    token, bundle, url = tmp_path / "token", pki.new_ca(datetime.now(UTC)).certificate, "https://localhost:1"
    if trouble == "no token":
        token = tmp_path / "nowhere"
    if trouble == "no ca":
        bundle = b""
    if trouble == "another ca":
        url = f"https://{gateway._parts.netloc}"

    with pytest.raises(GatewayError) as error:
        GatewayClient(url=url, token_file=token, ca_bundle=lambda: bundle).post_failures(RUN, [FAILURE])

    assert error.value.status == 0
    assert any(word in str(error.value) for word in ("Look at", "Mount one"))

"""The agent's client of the gateway, against a real HTTPS server."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from perfprofile_agent.api.assignment import Assignment, TargetContainer, TargetPod, Wait
from perfprofile_agent.api.profile import Perf
from perfprofile_agent.api.report import NodeReport, NodeState
from perfprofile_agent.sinks.base import ProfileMeta, digest
from perfprofile_agent.sinks.errors import ProfileNotHeld, RunOver, SinkError
from perfprofile_agent.sinks.gateway import GatewayClient
from support.fake_gateway import Answer, FakeGateway, make_certificate

ASSIGNMENT = Assignment(
    run_uid="run-uid",
    run_namespace="shop",
    run_name="checkout-1",
    node="node-1",
    window=0,
    perf=Perf(frequency=199),
    duration_seconds=10,
    remaining_seconds=190,
    pods=(TargetPod(namespace="shop", name="checkout-x", uid="u", containers=(TargetContainer(name="app", id="c"),)),),
    labels={"team": "payments"},
)
REPORT = NodeReport(window=0, state=NodeState.RECORDING)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[FakeGateway]:
    with FakeGateway(tmp_path) as server:
        yield server


@pytest.fixture
def client(gateway: FakeGateway) -> Iterator[GatewayClient]:
    client = GatewayClient(gateway.url, ca_file=gateway.ca_file, token_file=gateway.token_file, timeout=5)
    yield client
    client.close()


def test_an_assignment_arrives_as_it_was_sent(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.say("GET /v1/assignment", Answer(200, msgspec.to_builtins(ASSIGNMENT)))

    assert client.assignment() == ASSIGNMENT
    assert gateway.requests[0].headers["Authorization"] == "Bearer first-token"


def test_wait_is_an_answer_and_its_header_wins(gateway: FakeGateway, client: GatewayClient) -> None:
    body = {"retryAfterSeconds": 5.0, "reason": "NodeBusy", "message": "all slots are taken"}
    gateway.say("GET /v1/assignment", Answer(202, body), Answer(202, body, {"Retry-After": "7"}))

    assert client.assignment() == Wait(retry_after_seconds=5, reason="NodeBusy", message="all slots are taken")
    later = client.assignment()
    assert isinstance(later, Wait)
    assert later.retry_after_seconds == 7


def test_410_says_that_the_run_is_over(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.say("GET /v1/assignment", Answer(410, {"error": "the run is over"}))

    with pytest.raises(RunOver, match="the run is over"):
        client.assignment()


def test_a_profile_is_uploaded_with_its_hash(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.say("PUT /v1/profiles/3", Answer(201), Answer(200))

    first = client.deliver(b"profile", ProfileMeta(window=3))
    second = client.deliver(b"profile", ProfileMeta(window=3))

    assert gateway.requests[0].body == b"profile"
    assert gateway.requests[0].headers["Content-SHA256"] == digest(b"profile") == first.sha256
    assert (first.known, second.known) == (False, True)
    assert first.size == 7


def test_a_report_is_sent_as_json(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.say("POST /v1/reports", Answer(204))

    client.report(NodeReport(window=1, state=NodeState.SUCCEEDED, samples_recorded=5, notices=("a",)))

    assert json.loads(gateway.requests[0].body) == {"window": 1, "state": "Succeeded", "samplesRecorded": 5, "notices": ["a"]}


@pytest.mark.parametrize(
    ("status", "retryable"), [(400, False), (404, False), (413, False), (401, True), (403, True), (429, True), (500, True), (503, True)]
)
def test_the_status_tells_whether_to_try_again(gateway: FakeGateway, client: GatewayClient, status: int, retryable: bool) -> None:
    gateway.say("PUT /v1/profiles/0", Answer(status, {"error": "because. Do this."}))

    with pytest.raises(SinkError, match=f"{status}, because. Do this.") as error:
        client.deliver(b"profile", ProfileMeta())

    assert error.value.retryable is retryable


def test_retry_after_is_told(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.say("PUT /v1/profiles/0", Answer(429, {"error": "slow down"}, {"Retry-After": "12"}))

    with pytest.raises(SinkError) as error:
        client.deliver(b"profile", ProfileMeta())

    assert error.value.retry_after == 12


def test_409_sends_the_agent_back_to_uploading(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.say("POST /v1/reports", Answer(409, {"error": "no such profile is held"}))

    with pytest.raises(ProfileNotHeld):
        client.report(REPORT)


def test_the_token_is_read_anew_for_each_request(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.say("POST /v1/reports", Answer(204))
    client.report(REPORT)

    gateway.token_file.write_text("second-token")
    client.report(REPORT)

    assert [request.headers["Authorization"] for request in gateway.requests] == ["Bearer first-token", "Bearer second-token"]


def test_one_connection_serves_many_requests(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.say("POST /v1/reports", Answer(204))

    for _ in range(5):
        client.report(REPORT)

    assert gateway.connections == 1


def test_a_kept_connection_that_was_closed_is_replaced(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.say("POST /v1/reports", Answer(204), Answer(0, hang_up=True), Answer(204))

    client.report(REPORT)
    client.report(REPORT)

    assert len(gateway.requests) == 3
    assert gateway.connections == 2


def test_no_answer_is_worth_another_try_and_told_with_the_next_step(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.say("POST /v1/reports", Answer(0, hang_up=True))

    with pytest.raises(SinkError, match=r"Could not reach the gateway at 127.0.0.1:\d+: .* Check") as error:
        client.report(REPORT)

    assert error.value.retryable
    assert error.value.unreachable


def test_a_server_with_another_certificate_gets_no_token(gateway: FakeGateway, tmp_path: Path) -> None:
    other, _ = make_certificate(tmp_path, name="other")
    client = GatewayClient(gateway.url, ca_file=other, token_file=gateway.token_file)

    with pytest.raises(SinkError, match="CERTIFICATE_VERIFY_FAILED"):
        client.report(REPORT)

    assert gateway.requests == []


def test_a_ca_file_that_is_still_empty_is_worth_another_try(gateway: FakeGateway, tmp_path: Path) -> None:
    """The operator fills the ConfigMap; the agent may be faster."""
    empty = tmp_path / "empty.crt"
    empty.touch()
    gateway.say("POST /v1/reports", Answer(204))
    client = GatewayClient(gateway.url, ca_file=empty, token_file=gateway.token_file)
    with pytest.raises(SinkError) as error:
        client.report(REPORT)
    assert error.value.retryable

    empty.write_bytes(gateway.ca_file.read_bytes())
    client.report(REPORT)
    client.close()

    assert len(gateway.requests) == 1


def test_a_missing_token_is_worth_another_try(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.token_file.unlink()

    with pytest.raises(SinkError, match="projected volume") as error:
        client.report(REPORT)

    assert error.value.retryable


def test_the_token_stands_in_no_error(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.token_file.write_text("secret-token\nInjected: header")

    with pytest.raises(SinkError) as error:
        client.report(REPORT)

    assert "secret" not in str(error.value)
    assert gateway.requests == []


def test_an_answer_of_another_shape_is_told_with_its_place(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.say("GET /v1/assignment", Answer(200, {"runUid": 5}))

    with pytest.raises(SinkError, match=r"\$\.runUid") as error:
        client.assignment()

    assert not error.value.retryable


def test_hostile_words_of_a_server_are_made_printable_and_short(gateway: FakeGateway, client: GatewayClient) -> None:
    gateway.say("POST /v1/reports", Answer(500, b"\x1b[31m" + b"x" * 5000))

    with pytest.raises(SinkError) as error:
        client.report(REPORT)

    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("url", ["http://gateway:8444", "https://", "https://gateway/path", "https://user@gateway", "gateway:8444"])
def test_an_address_that_is_none_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="write https://HOST:PORT"):
        GatewayClient(url, ca_file=tmp_path, token_file=tmp_path)

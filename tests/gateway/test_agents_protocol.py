"""The protocol of the agents' port, spoken over TLS."""

import gzip
import http.client
import socket
from pathlib import Path

import msgspec
import pytest

from perfprofile_agent.api.assignment import Assignment
from perfprofile_agent.api.report import NodeReport, NodeState
from perfprofile_agent.pprof import wire
from perfprofile_agent.sinks.base import ProfileMeta, digest
from perfprofile_agent.sinks.errors import ProfileNotHeld, RunOver
from perfprofile_agent.sinks.gateway import GatewayClient
from support.gateway import DictKubernetes, GatewayUnderTest, eventually
from support.gateway_agent import Agent
from support.profiles import profile


@pytest.fixture
def agent(gateway: GatewayUnderTest, kubernetes: DictKubernetes) -> Agent:
    """An agent with something to record."""
    kubernetes.add_pod("checkout-1")
    return Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1")))


def test_an_assignment_names_the_run_the_node_and_the_targets_of_that_node_alone(agent, kubernetes):
    kubernetes.add_pod("checkout-2", node="node-2")
    kubernetes.add_pod("other", app="other")
    kubernetes.add_pod("foreign", namespace="bank")

    status, body = agent.ask()

    given = msgspec.convert(body, Assignment)
    assert status == 200
    assert (given.run_uid, given.run_namespace, given.run_name, given.node, given.window) == (
        "uid-shop-run-1",
        "shop",
        "run-1",
        "node-1",
        0,
    )
    assert [(pod.namespace, pod.name, pod.uid) for pod in given.pods] == [("shop", "checkout-1", "uid-checkout-1")]
    assert given.pods[0].containers[0].id == "ab" * 32
    assert given.duration_seconds == 10
    assert 190 < given.remaining_seconds <= 200


def test_the_agents_own_client_and_the_gateway_understand_each_other(gateway, kubernetes, tmp_path: Path):
    """The contract, with both real sides."""
    kubernetes.add_pod("checkout-1")
    (tmp_path / "token").write_text(kubernetes.add_agent(kubernetes.add_run("run-1")))
    client = GatewayClient(f"https://localhost:{gateway.ports.agents}", ca_file=gateway.ca_file, token_file=tmp_path / "token")
    content = wire.encode(profile())
    done = NodeReport(window=0, state=NodeState.SUCCEEDED, profile_sha256=digest(content))

    given = client.assignment()
    assert isinstance(given, Assignment)
    client.report(NodeReport(window=0, state=NodeState.RECORDING))
    with pytest.raises(ProfileNotHeld):
        client.report(done)
    assert not client.deliver(content, ProfileMeta(node=given.node)).known
    assert client.deliver(content, ProfileMeta(node=given.node)).known
    client.report(done)
    client.report(done)
    with pytest.raises(RunOver):
        client.assignment()
    client.close()


def test_an_agent_waits_while_the_run_is_not_placed(gateway, kubernetes):
    kubernetes.add_pod("checkout-1")
    agent = Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1", deadline=None)))
    status, body = agent.ask()
    assert (status, body["reason"]) == (202, "WaitingForAgents")


def test_an_agent_without_targets_waits_for_them(gateway, kubernetes):
    agent = Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1")))
    assert agent.ask()[1]["reason"] == "TargetGone"
    kubernetes.add_pod("checkout-1")
    eventually(lambda: agent.ask()[0] == 200)


def test_targets_that_stay_away_end_the_nodes_window(gateway, kubernetes, monkeypatch):
    monkeypatch.setattr("perfprofile_gateway.assignments.TARGET_GRACE_SECONDS", 0.0)
    agent = Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1")))
    assert agent.ask()[0] == 410
    eventually(lambda: kubernetes.patches and kubernetes.patches[-1][2]["failures"][0]["reason"] == "TargetGone")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_finished_run_sends_its_agents_away(agent, kubernetes, phase):
    kubernetes.end_run(kubernetes.runs["shop", "run-1"], phase)
    assert agent.ask()[0] == 410
    assert agent.upload()[0] == 410


def test_a_deleted_run_sends_its_agents_away(agent, kubernetes):
    del kubernetes.runs["shop", "run-1"]
    assert agent.ask()[0] == 410
    assert agent.upload()[0] == 410
    assert agent.report(NodeState.RECORDING) == 410


def test_an_agent_that_asks_too_late_is_told_so_and_counted(gateway, kubernetes):
    kubernetes.add_pod("checkout-1")
    agent = Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1", deadline=3)))
    assert agent.ask()[0] == 410
    eventually(lambda: kubernetes.patches and kubernetes.patches[-1][2]["failures"][0]["reason"] == "DeadlineExceeded")


def test_a_node_records_for_no_more_runs_than_it_has_slots(tmp_path, kubernetes):
    kubernetes.add_pod("checkout-1")
    with GatewayUnderTest(tmp_path, kubernetes, slots_per_node=2).running() as gateway:
        gateway.wait_ready()
        agents = [Agent(gateway, kubernetes.add_agent(kubernetes.add_run(f"run-{index}"))) for index in range(3)]

        assert [agent.ask()[0] for agent in agents] == [200, 200, 202]
        assert agents[0].ask()[0] == 200, "asking again takes no further slot"
        assert agents[2].ask()[1]["reason"] == "NodeBusy"

        agents[0].report(NodeState.FAILED, reason="NoSamples")
        assert agents[2].ask()[0] == 200


def test_slots_are_held_over_a_restart_of_the_gateway(tmp_path, kubernetes):
    kubernetes.add_pod("checkout-1")
    under_test = GatewayUnderTest(tmp_path, kubernetes, slots_per_node=1)
    tokens = [kubernetes.add_agent(kubernetes.add_run(f"run-{index}")) for index in range(2)]
    with under_test.running() as gateway:
        gateway.wait_ready()
        assert Agent(gateway, tokens[0]).ask()[0] == 200
    with under_test.running() as gateway:
        gateway.wait_ready()
        assert Agent(gateway, tokens[1]).ask()[0] == 202
        assert Agent(gateway, tokens[0]).ask()[0] == 200


def test_thousands_of_agents_cost_few_calls(gateway, kubernetes):
    """One list of pods and one read of the run serve all agents of a run for seconds."""
    run = kubernetes.add_run("run-1")
    agents = []
    for index in range(40):
        kubernetes.add_pod(f"checkout-{index}", node=f"node-{index}")
        agents.append(Agent(gateway, kubernetes.add_agent(run, f"node-{index}"), f"node-{index}"))
    before = kubernetes.calls.copy()

    assert {agent.ask()[0] for agent in agents} == {200}

    assert kubernetes.calls["list_pods"] - before["list_pods"] <= 2
    assert kubernetes.calls["get_run"] - before["get_run"] <= 3


def test_the_first_terminal_report_stands(agent, kubernetes):
    agent.ask()
    assert agent.report(NodeState.FAILED, reason="NoSamples", message="first") == 204
    assert agent.report(NodeState.FAILED, reason="PerfFailed", message="second") == 204
    assert agent.report(NodeState.RECORDING) == 204
    eventually(
        lambda: (
            kubernetes.patches and kubernetes.patches[-1][2]["failures"] == [{"node": "node-1", "reason": "NoSamples", "message": "first"}]
        )
    )


def test_success_without_the_profile_is_refused(agent):
    agent.ask()
    assert agent.report(NodeState.SUCCEEDED, profile_sha256="ab" * 32) == 409
    agent.upload(seed=1)
    assert agent.report(NodeState.SUCCEEDED, profile_sha256=digest(agent.profile(2))) == 409
    assert agent.report(NodeState.SUCCEEDED, profile_sha256=digest(agent.profile(1))) == 204


def test_an_upload_is_idempotent(agent):
    assert agent.upload()[0] == 201
    assert agent.upload()[0] == 200


def test_an_agent_that_was_restarted_may_deliver_a_new_recording_until_it_has_reported(agent):
    assert agent.upload(seed=1)[0] == 201
    assert agent.upload(seed=2)[0] == 201
    assert agent.report(NodeState.SUCCEEDED, profile_sha256=digest(agent.profile(2))) == 204
    assert agent.upload(seed=2)[0] == 200
    assert agent.upload(seed=3)[0] == 410


@pytest.mark.parametrize(
    "content",
    [b"", b"not a profile", gzip.compress(b""), gzip.compress(b"\x12\xff\xff\xff\x7f"), wire.encode(profile())[:-20]],
    ids=["empty", "text", "no profile", "broken length", "cut off"],
)
def test_what_is_no_profile_is_refused(agent, content):
    status, body = agent.upload(content)
    assert status == 400
    assert "error" in msgspec.json.decode(body)


def test_a_profile_of_another_namespace_is_refused_whole(agent):
    foreign = profile(namespace="bank", samples=1)
    mixed = profile(samples=5)._replace(samples=(*profile(samples=5).samples, foreign.samples[0]))
    assert agent.upload(wire.encode(mixed))[0] == 400


def test_a_profile_of_another_node_is_refused(agent):
    assert agent.upload(wire.encode(profile(node="node-2")))[0] == 400


def test_a_sample_with_two_namespaces_is_refused(agent):
    made = profile(samples=1)
    doubled = made.samples[0]._replace(labels=(*made.samples[0].labels, made.samples[0].labels[0]._replace(text="bank")))
    assert agent.upload(wire.encode(made._replace(samples=(doubled,))))[0] == 400


def test_a_digest_that_is_missing_or_wrong_is_refused(agent):
    assert agent.upload(digest="")[0] == 400
    assert agent.upload(digest="ab" * 32)[0] == 400


@pytest.mark.parametrize("window", ["1", "-1", "x", "00", "9" * 30])
def test_windows_that_the_run_has_not_are_refused(agent, window):
    assert agent.upload(window=window)[0] == 400


def test_uploads_above_the_limit_are_refused_compressed_and_decompressed(tmp_path, kubernetes):
    kubernetes.add_pod("checkout-1")
    with GatewayUnderTest(tmp_path, kubernetes, max_profile_bytes=4096).running() as gateway:
        gateway.wait_ready()
        agent = Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1")))
        bomb = gzip.compress(bytes(10 * 2**20))[:4096]
        assert agent.upload(bytes(5000))[0] == 413
        assert agent.upload(gzip.compress(bytes(2**20)))[0] == 400
        assert agent.upload(bomb)[0] == 400
        assert not list((tmp_path / "data" / "incoming").iterdir()), "nothing of refused uploads is left"


def test_a_chunked_upload_without_a_length_is_bounded_too(tmp_path, kubernetes):
    with GatewayUnderTest(tmp_path, kubernetes, max_profile_bytes=4096).running() as gateway:
        gateway.wait_ready()
        token = kubernetes.add_agent(kubernetes.add_run("run-1"))
        connection = http.client.HTTPSConnection("localhost", gateway.ports.agents, context=gateway._trusting())
        headers = {"Authorization": f"Bearer {token}", "Content-SHA256": "ab" * 32}
        connection.request("PUT", "/v1/profiles/0", body=iter([bytes(1000)] * 10), headers=headers, encode_chunked=True)
        assert connection.getresponse().status == 413
        connection.close()


def test_too_many_uploads_at_a_time_are_told_to_wait(tmp_path, kubernetes):
    with GatewayUnderTest(tmp_path, kubernetes, max_uploads=1).running() as gateway:
        gateway.wait_ready()
        agent = Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1")))
        with (
            socket.create_connection(("localhost", gateway.ports.agents)) as raw,
            gateway._trusting().wrap_socket(raw, server_hostname="localhost") as slow,
        ):
            head = f"PUT /v1/profiles/0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {agent.token}\r\nContent-SHA256: {'ab' * 32}\r\nContent-Length: 1000\r\n\r\n"
            slow.sendall(head.encode())
            eventually(lambda: list((tmp_path / "data" / "incoming").iterdir()))
            status, headers, _ = gateway.agents("PUT", "/v1/profiles/0", agent.token, b"x", Content_SHA256="cd" * 32)
            assert status == 429
            assert int(headers["retry-after"]) >= 1
        eventually(lambda: agent.upload()[0] == 201)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"window":0}',
        b'{"window":1,"state":"Failed","reason":"NoSamples"}',
        b'{"window":0,"state":"Failed","reason":"Invented"}',
        b'{"window":0,"state":"Failed"}',
        b'{"window":0,"state":"Recording","samplesShown":-1}',
        b'{"window":0,"state":"Assigned"}',
    ],
)
def test_reports_of_another_shape_are_refused(agent, body):
    status, _, answer = agent.gateway.agents("POST", "/v1/reports", agent.token, body)
    assert status == 400
    assert list(msgspec.json.decode(answer)) == ["error"]


def test_a_huge_report_is_refused(agent):
    assert (
        agent.gateway.agents("POST", "/v1/reports", agent.token, b'{"window":0,"state":"Recording","message":"' + b"x" * 100_000 + b'"}')[0]
        == 413
    )


def test_the_operator_ends_the_windows_of_silent_nodes_and_of_no_others(agent, gateway, kubernetes):
    agent.ask()
    agent.report(NodeState.FAILED, reason="NoSamples")
    failures = [{"node": node, "window": 0, "reason": "NodeLost", "message": "It went."} for node in ("node-1", "node-2")]
    body = msgspec.json.encode({"namespace": "shop", "run": "run-1", "failures": failures})

    status, _, _ = gateway.agents("POST", "/v1/runs/uid-shop-run-1/node-failures", kubernetes.add_operator(), body)

    assert status == 204
    last = eventually(lambda: kubernetes.patches and kubernetes.patches[-1][2]["nodes"]["failed"] == 2 and kubernetes.patches[-1][2])
    assert [(one["node"], one["reason"]) for one in last["failures"]] == [("node-1", "NoSamples"), ("node-2", "NodeLost")]


def test_thousands_of_silent_nodes_are_taken_in_one_call(gateway, kubernetes):
    kubernetes.add_run("run-1")
    failures = [{"node": f"node-{index}", "reason": "NodeLost", "message": "x" * 300} for index in range(3000)]
    body = msgspec.json.encode({"namespace": "shop", "run": "run-1", "failures": failures})
    assert gateway.agents("POST", "/v1/runs/uid-shop-run-1/node-failures", kubernetes.add_operator(), body)[0] == 204
    eventually(lambda: kubernetes.patches and kubernetes.patches[-1][2]["nodes"]["failed"] == 3000)


def test_a_failure_of_a_run_with_another_uid_is_refused(gateway, kubernetes):
    kubernetes.add_run("run-1")
    body = msgspec.json.encode({"namespace": "shop", "run": "run-1", "failures": []})
    assert gateway.agents("POST", "/v1/runs/uid-of-another/node-failures", kubernetes.add_operator(), body)[0] == 410


def test_an_unknown_path_is_answered_in_json(gateway):
    status, _, body = gateway.agents("GET", "/v2/nothing")
    assert status == 404
    assert "error" in msgspec.json.decode(body)


def test_an_api_outage_is_told_as_503_and_nothing_is_lost(agent, kubernetes):
    assert agent.ask()[0] == 200
    kubernetes.down = True
    status, headers, _ = agent.gateway.agents("GET", "/v1/assignment", "token-unknown")
    assert status == 503
    assert int(headers["retry-after"]) >= 1
    assert agent.upload()[0] == 201, "whom the gateway knows may still deliver"
    assert agent.report(NodeState.SUCCEEDED, profile_sha256=digest(agent.profile())) == 204
    kubernetes.down = False
    eventually(lambda: kubernetes.patches and kubernetes.patches[-1][2]["nodes"]["succeeded"] == 1, within=20)

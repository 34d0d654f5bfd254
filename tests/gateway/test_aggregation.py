"""Counts in a run's status: from the store alone, in few writes, through outages and restarts; and what is forgotten."""

import itertools

import msgspec
import pytest

from perfprofile_agent.api.report import NodeReport, NodeState
from perfprofile_agent.api.run import PerfProfileRunStatus
from perfprofile_gateway.aggregation import summary
from perfprofile_gateway.store.rows import RunKey, StoredReport
from support.gateway import GatewayUnderTest, eventually
from support.gateway_agent import Agent

RUN = RunKey("uid-1", "shop", "run-1")


def stored(node: str, state: NodeState, **fields: object) -> StoredReport:
    return StoredReport(node, 0, NodeReport(window=0, state=state, **fields))


def test_the_summary_counts_nodes_and_adds_up_samples():
    reports = [
        stored("a", NodeState.RECORDING),
        stored("b", NodeState.SUCCEEDED, samples_recorded=10, samples_shown=7, samples_out_of_scope=3, samples_lost=1),
        stored("c", NodeState.SUCCEEDED, samples_recorded=5, samples_shown=5),
        stored("d", NodeState.FAILED, reason="NoSamples", message="Idle."),
    ]
    made = summary(RUN, reports)
    assert made["nodes"] == {"recording": 1, "succeeded": 2, "failed": 1}
    assert made["samples"] == {"recorded": 15, "shown": 12, "outOfScope": 3, "lost": 1}
    assert made["failures"] == [{"node": "d", "reason": "NoSamples", "message": "Idle."}]
    assert made["profilePath"] == "/apis/data.perfprofile.dev/v1alpha1/namespaces/shop/perfprofileruns/run-1/profile"


def test_a_summary_of_thousands_of_failures_stays_small_and_fits_the_model():
    reports = [stored(f"node-{index:05}", NodeState.FAILED, reason="NodeLost", message="x" * 1024) for index in range(5000)]
    made = summary(RUN, reports)
    assert len(made["failures"]) == 20
    assert len(msgspec.json.encode(made)) < 64 * 1024
    assert msgspec.convert(made, PerfProfileRunStatus).nodes.failed == 5000
    assert "profilePath" not in made


def test_many_reports_cost_few_patches_at_least_a_second_apart(gateway, kubernetes):
    run = kubernetes.add_run("run-1")
    for index in range(30):
        kubernetes.add_pod(f"checkout-{index}", node=f"node-{index}")
    for index in range(30):
        Agent(gateway, kubernetes.add_agent(run, f"node-{index}")).report(NodeState.FAILED, reason="NoSamples")

    eventually(lambda: kubernetes.patches and kubernetes.patches[-1][2]["nodes"]["failed"] == 30)

    times = [time for time, _, _ in kubernetes.patches]
    assert all(later - earlier >= 0.99 for earlier, later in itertools.pairwise(times))


def test_only_the_gateways_fields_are_written(gateway, kubernetes):
    Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1"))).report(NodeState.RECORDING)
    patch = eventually(lambda: kubernetes.patches)[-1][2]
    assert set(patch) <= {"nodes", "samples", "failures", "profilePath"}
    assert "desired" not in patch["nodes"]


def test_a_patch_that_fails_is_tried_again(gateway, kubernetes):
    agent = Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1")))
    agent.report(NodeState.RECORDING)
    eventually(lambda: kubernetes.patches)
    kubernetes.down = True
    agent.report(NodeState.FAILED, reason="NoSamples")
    eventually(lambda: kubernetes.calls["patch_run_status"] >= 2)
    kubernetes.down = False
    eventually(lambda: kubernetes.patches[-1][2]["nodes"]["failed"] == 1)


def test_a_restarted_gateway_writes_the_counts_of_runs_that_go_on(tmp_path, kubernetes):
    under_test = GatewayUnderTest(tmp_path, kubernetes)
    with under_test.running() as gateway:
        gateway.wait_ready()
        Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1"))).report(NodeState.FAILED, reason="NoSamples")
        eventually(lambda: kubernetes.patches)
    kubernetes.patches.clear()
    with under_test.running():
        eventually(lambda: kubernetes.patches and kubernetes.patches[-1][2]["nodes"]["failed"] == 1)


def test_what_is_marked_is_written_before_the_gateway_ends(tmp_path, kubernetes):
    with GatewayUnderTest(tmp_path, kubernetes).running() as gateway:
        gateway.wait_ready()
        agent = Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1")))
        agent.report(NodeState.RECORDING)
        eventually(lambda: kubernetes.patches)
        agent.report(NodeState.FAILED, reason="NoSamples")
    assert kubernetes.patches[-1][2]["nodes"]["failed"] == 1


# ---- Forgetting


@pytest.mark.parametrize(("grace", "left"), [(0, 0), (600, 1)])
def test_a_run_that_kubernetes_has_not_is_forgotten_after_the_grace(tmp_path, kubernetes, grace, left):
    under_test = GatewayUnderTest(tmp_path, kubernetes, run_grace_seconds=float(grace))
    with under_test.running() as gateway:
        gateway.wait_ready()
        kubernetes.add_pod("checkout-1")
        Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1"))).succeed()
        del kubernetes.runs["shop", "run-1"]
    with under_test.running() as gateway:  # collects when it starts
        gateway.wait_ready()
        eventually(lambda: f"perfprofile_gateway_runs_forgotten_total {1 - left}.0" in gateway.http("GET", "/metrics")[2].decode())
        eventually(lambda: len(list((tmp_path / "data" / "profiles").glob("*/*"))) == left)


def test_nothing_is_forgotten_while_the_api_is_away(tmp_path, kubernetes):
    under_test = GatewayUnderTest(tmp_path, kubernetes, run_grace_seconds=0.0)
    with under_test.running() as gateway:
        gateway.wait_ready()
        kubernetes.add_pod("checkout-1")
        Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1"))).succeed()
    kubernetes.down = True
    lists = kubernetes.calls["list_runs"]
    with under_test.running() as gateway:
        eventually(lambda: kubernetes.calls["list_runs"] >= lists + 2)
        assert len(list((tmp_path / "data" / "profiles").glob("*/*"))) == 1

"""kubectl apply of a PerfProfile, and the profile read back through the API server."""

import os
import subprocess
from pathlib import Path

import pytest

from support.kubectl import ENABLE, Kubectl, KubectlError
from support.runs import AGENTS, Team, condition, functions_of, labels_of, refused

CHECKOUT, HOT_PYTHON = ("checkout",), "price_basket"
ENCODER, HOT_C = ("encoder",), "transform_block"
NODES = ("node1", "node2")


@pytest.fixture
def pprof() -> Path:
    found = os.environ.get("PERFPROFILE_PPROF")
    if not found:
        pytest.skip(f"no pprof reader: {ENABLE}")
    return Path(found)


@pytest.mark.parametrize(("command", "hot"), [(CHECKOUT, HOT_PYTHON), (ENCODER, HOT_C)], ids=["python", "c"])
def test_the_workloads_own_hot_function_stands_in_the_profile_by_name(team: Team, pprof: Path, tmp_path: Path, command, hot):
    """Read by Go's pprof, with labels, and with nobody else's samples."""
    team.start("work", *command)
    team.ask("cpu", target={"podSelector": {"matchLabels": {"app": "work"}}}, duration="5s")

    run = team.finished_run("cpu")

    assert run["status"]["phase"] == "Succeeded", run["status"]
    file = tmp_path / "cpu.pb.gz"
    file.write_bytes(team.read(run["metadata"]["name"]))
    top = subprocess.run(
        [pprof, "-symbolize=none", "-top", "-cum", "-nodecount=40", file], capture_output=True, text=True, check=True
    ).stdout
    tags = subprocess.run([pprof, "-tags", file], capture_output=True, text=True, check=True).stdout
    assert hot in top
    assert {"namespace", "pod", "container", "node"} <= {line.split(":")[0].strip() for line in tags.splitlines() if ":" in line}
    profile = team.profile_of(run["metadata"]["name"])
    assert labels_of(profile, "namespace") == {team.namespace}
    assert labels_of(profile, "pod") == {"work-0"}
    assert labels_of(profile, "container") == {"app"}
    assert labels_of(profile, "node") <= set(NODES)
    assert any(hot in name for name in functions_of(profile))


def test_samples_add_up_and_other_namespaces_are_dropped(team: Team):
    """Samples add up: recorded = shown + out of scope, as the status says, and shown is what the profile holds."""
    team.start("work", *ENCODER)
    team.ask("cpu", target={}, duration="4s")

    status = team.finished_run("cpu")["status"]

    samples = status["samples"]
    assert samples["recorded"] == samples["shown"] + samples.get("outOfScope", 0)
    run = team.runs("cpu")[0]["metadata"]["name"]
    assert sum(sample.values[0] for sample in team.profile_of(run).samples) == samples["shown"]


def test_pods_on_two_nodes_are_both_in_the_merged_profile(team: Team):
    team.start("work", *ENCODER, nodes=NODES)
    team.ask("cpu", target={}, duration="4s")

    run = team.finished_run("cpu")

    assert run["status"]["nodes"] == {"desired": 2, "recording": 0, "succeeded": 2, "failed": 0}
    profile = team.profile_of(run["metadata"]["name"])
    assert labels_of(profile, "node") == set(NODES)
    assert labels_of(profile, "pod") == {"work-0", "work-1"}


def test_only_the_nodes_that_host_target_pods_get_an_agent(team: Team, kubectl: Kubectl):
    team.start("work", *ENCODER, nodes=("node2",))
    team.ask("cpu", target={}, duration="4s")
    team.run_in_phase("cpu", "Recording", within=60)

    pods = kubectl.items("-n", AGENTS, "pods", "-l", f"perfprofile.dev/run-namespace={team.namespace}")

    assert {pod["spec"]["nodeName"] for pod in pods} == {"node2"}
    team.finished_run("cpu")
    team.no_daemon_set_is_left()


def test_the_flame_graph_page_shows_the_hot_function(team: Team):
    team.start("work", *ENCODER)
    team.ask("cpu", target={}, duration="4s")
    run = team.finished_run("cpu")["metadata"]["name"]

    page = team.read(run, "flamegraph").decode()

    assert HOT_C in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert HOT_C in team.read(run, "top").decode()


def test_a_namespace_viewer_reads_its_own_profile_and_no_other(team: Team, kubectl: Kubectl):
    """Real RBAC: the user holds the built-in view role in one namespace."""
    viewer = f"viewer-of-{team.namespace}"
    kubectl("-n", team.namespace, "create", "rolebinding", "viewer", "--clusterrole=view", f"--user={viewer}")
    team.start("work", *ENCODER)
    team.ask("cpu", target={}, duration="3s")
    run = team.finished_run("cpu")["metadata"]["name"]
    other = Team(kubectl, f"{team.namespace}-other")
    other.create()

    own = team.read(run, user=viewer)

    assert own.startswith(b"\x1f\x8b")
    with pytest.raises(KubectlError) as refusal:
        other.read(run, user=viewer)
    assert refused(refusal.value)
    other.delete()


def test_a_profile_ends_complete_and_says_so(team: Team):
    team.start("work", *ENCODER)
    team.ask("cpu", target={}, duration="3s")
    run = team.finished_run("cpu")

    profile = team.profile_object("cpu")

    assert condition(run, "Complete")["status"] == "True"
    assert condition(profile, "Accepted")["status"] == "True"
    assert profile["status"]["latestRun"] == run["metadata"]["name"]
    team.no_daemon_set_is_left()

"""Killing a program in the middle of a run changes nothing in the result."""

import pytest

from support.kubectl import Kubectl, eventually
from support.runs import SYSTEM, Team, functions_of, labels_of


@pytest.mark.parametrize("program", ["perfprofile-operator", "perfprofile-gateway"])
def test_a_killed_program_changes_nothing_in_the_result(team: Team, kubectl: Kubectl, program):
    team.start("work", "encoder", nodes=("node1", "node2"))
    team.ask("cpu", target={}, duration="15s")
    team.run_in_phase("cpu", "Recording", within=60)

    kill(kubectl, program)

    run = team.finished_run("cpu", within=150)
    assert run["status"]["phase"] == "Succeeded", run["status"]
    assert run["status"]["nodes"] == {"desired": 2, "recording": 0, "succeeded": 2, "failed": 0}
    assert len(team.runs("cpu")) == 1
    name = run["metadata"]["name"]
    profile = eventually(lambda: team.profile_of(name), within=30)
    assert labels_of(profile, "node") == {"node1", "node2"}
    assert sum(sample.values[0] for sample in profile.samples) == run["status"]["samples"]["shown"]
    assert any("transform_block" in function for function in functions_of(profile))
    team.no_daemon_set_is_left()


def kill(kubectl: Kubectl, program: str) -> None:
    """Delete the program's pod with no grace, which is SIGKILL, and wait until another one is ready."""
    label = f"app.kubernetes.io/component={program.removeprefix('perfprofile-')}"
    (pod,) = kubectl.items("-n", SYSTEM, "pods", "-l", label)
    kubectl("-n", SYSTEM, "delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force", timeout=90)
    kubectl("-n", SYSTEM, "rollout", "status", f"deployment/{program}", "--timeout=120s", timeout=130)

"""What goes wrong ends in a condition that says why and what to do, and leaves no DaemonSet."""

import pytest

from support.kubectl import Kubectl, KubectlError, eventually
from support.runs import SYSTEM, Team, condition


def test_no_matching_pod(team: Team):
    team.ask("cpu", target={"podSelector": {"matchLabels": {"app": "nobody"}}}, duration="3s")

    run = team.finished_run("cpu")

    complete = condition(run, "Complete")
    assert (run["status"]["phase"], complete["reason"]) == ("Failed", "NoMatchingPods")
    assert "kubectl get pods" in complete["message"]
    assert team.daemon_sets() == []
    mirrored = eventually(lambda: condition(team.profile_object("cpu"), "Complete"), within=10)
    assert mirrored["reason"] == "NoMatchingPods"


def test_an_event_that_does_not_exist(team: Team):
    team.start("work", "encoder")
    team.ask("cpu", target={}, perf={"events": ["no-such-event"]}, duration="3s")

    run = team.finished_run("cpu")

    (failure,) = run["status"]["failures"]
    assert run["status"]["phase"] == "Failed"
    assert failure["reason"] == "EventNotSupported"
    assert "no-such-event" in failure["message"]
    assert "perf list" in failure["message"]
    assert "EventNotSupported" in condition(run, "Complete")["message"] or condition(run, "Complete")["reason"] == "AllNodesFailed"
    team.no_daemon_set_is_left()


@pytest.fixture
def unpullable_image(kubectl: Kubectl):
    """The operator, for a while, with an agent image that no registry has."""
    deployment = ("-n", SYSTEM, "deployment/perfprofile-operator")
    (before,) = [
        variable["value"]
        for variable in kubectl.get(*deployment)["spec"]["template"]["spec"]["containers"][0]["env"]
        if variable["name"] == "PERFPROFILE_AGENT_IMAGE"
    ]
    kubectl("set", "env", *deployment, "PERFPROFILE_AGENT_IMAGE=registry.invalid/no/such/agent:1")
    kubectl("rollout", "status", *deployment, "--timeout=90s", timeout=100)
    yield
    kubectl("set", "env", *deployment, f"PERFPROFILE_AGENT_IMAGE={before}")
    kubectl("rollout", "status", *deployment, "--timeout=90s", timeout=100)


def test_an_image_that_cannot_be_pulled(team: Team, unpullable_image):
    team.start("work", "encoder")
    team.ask("cpu", target={}, duration="3s")

    run = team.finished_run("cpu", within=150)

    (failure,) = run["status"]["failures"]
    assert (run["status"]["phase"], failure["reason"]) == ("Failed", "ImagePullFailed")
    assert "registry.invalid/no/such/agent:1" in failure["message"]
    team.no_daemon_set_is_left()


def test_a_run_deleted_while_it_records(team: Team):
    team.start("work", "encoder")
    team.ask("cpu", target={}, duration="30s")
    run = team.run_in_phase("cpu", "Recording", within=60)

    team.kubectl("-n", team.namespace, "delete", "perfprofilerun", run["metadata"]["name"])

    team.no_daemon_set_is_left()
    complete = eventually(lambda: condition(team.profile_object("cpu"), "Complete"), within=30)
    assert complete["reason"] == "RunDeleted"
    assert "apply" in complete["message"]
    assert team.runs("cpu") == []


def test_a_profile_deleted_while_it_records(team: Team):
    team.start("work", "encoder")
    team.ask("cpu", target={}, duration="30s")
    team.run_in_phase("cpu", "Recording", within=60)

    team.kubectl("-n", team.namespace, "delete", "perfprofile", "cpu")

    team.no_daemon_set_is_left()
    eventually(lambda: not team.runs("cpu"), within=30)

    def told() -> bool:
        return any(event.get("reason") == "ProfileDeleted" for event in team.kubectl.items("-n", team.namespace, "events"))

    eventually(told, within=30, describe=lambda: str(team.kubectl.items("-n", team.namespace, "events")))


@pytest.mark.parametrize(
    ("spec", "word"),
    [({"schedule": {"cron": "*/5 * * * *"}}, "schedule"), ({"continuous": {"every": "60s"}}, "continuous")],
    ids=["schedule", "continuous"],
)
def test_what_is_not_yet_supported_is_refused_in_words(team: Team, spec, word):
    team.ask("cpu", target={}, **spec)

    accepted = eventually(lambda: condition(team.profile_object("cpu"), "Accepted"), within=30)

    assert (accepted["status"], accepted["reason"]) == ("False", "NotYetSupported")
    assert word in accepted["message"]
    assert team.runs("cpu") == []


def test_what_the_schema_forbids_is_refused_at_once(team: Team):
    with pytest.raises(KubectlError) as refusal:
        team.ask("cpu", target={}, duration="half an hour")

    assert "spec.duration" in refusal.value.stderr

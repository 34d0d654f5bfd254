"""From a PerfProfile to its end, step by step, on a real API server with the operator's own rights."""

import pytest

from perfprofile_operator.reconcile.work import Key, Work
from support.operator_rights import AGENTS
from support.world import CONTAINER, OURS, World, condition


def started(world: World):
    """A run that is placed, with agents on its nodes."""
    world.ask(duration="10s")
    world.operator.settle()
    run = world.run()
    world.start_agents(run)
    return run


def test_an_applied_profile_gets_one_run_and_a_daemonset_on_the_nodes_of_its_pods(world):
    world.ask()

    world.operator.settle()

    run = world.run()
    assert run.metadata.name.startswith("cpu-")
    assert run.metadata.name.endswith("-1")
    assert run.metadata.labels["perfprofile.dev/profile"] == "cpu"
    assert world.daemonset(run).hostnames == ("node1", "node2")
    assert (run.status.phase, run.status.nodes.desired) == ("Pending", 2)
    assert condition(run.status, "Placed")["status"] == "True"
    assert condition(run.status, "Complete")["reason"] == "WaitingForAgents"
    status = world.profile()["status"]
    assert (status["phase"], status["latestRun"], status["activeRuns"]) == ("Pending", run.metadata.name, 1)
    assert condition(status, "Accepted")["status"] == "True"


def test_a_run_goes_through_its_phases_and_ends_succeeded(world):
    run = started(world)
    world.gateway.recording(run, 2)
    world.operator.settle()
    assert world.run().status.phase == "Recording"
    world.pass_time(11)
    world.operator.settle()
    assert world.run().status.phase == "Collecting"
    for node in ("node1", "node2"):
        world.gateway.deliver(run, node)

    world.operator.settle()

    status = world.run().status
    assert (status.phase, condition(status, "Complete")["reason"]) == ("Succeeded", "Succeeded")
    assert "kubectl get --raw" in condition(status, "Complete")["message"]
    assert status.completion_time
    assert world.daemonsets() == []
    mirrored = world.profile()["status"]
    assert (mirrored["phase"], mirrored["activeRuns"]) == ("Succeeded", 0)
    assert condition(mirrored, "Complete")["status"] == "True"
    assert world.events() == [
        ("PerfProfile", "Normal", "RunCreated"),
        ("PerfProfile", "Normal", "Succeeded"),
        ("PerfProfileRun", "Normal", "Succeeded"),
    ]


def test_a_finished_profile_never_runs_again_by_itself(world):
    run = started(world)
    for node in ("node1", "node2"):
        world.gateway.deliver(run, node)
    world.operator.settle()

    world.restart().settle()
    world.operator.look_at(Key(Work.PROFILE, world.namespace, "cpu"))
    assert len(world.runs()) == 1
    world.delete_run(world.run())
    world.restart().settle()
    world.operator.look_at(Key(Work.PROFILE, world.namespace, "cpu"))

    assert world.runs() == []
    assert condition(world.profile()["status"], "Complete")["reason"] == "Succeeded"


def test_no_matching_pod_ends_at_once_without_a_daemonset(world):
    world.ask(target={"podSelector": {"matchLabels": {"app": "nobody"}}})

    world.operator.settle()

    status = world.run().status
    assert (status.phase, condition(status, "Complete")["reason"]) == ("Failed", "NoMatchingPods")
    assert "kubectl get pods" in condition(status, "Complete")["message"]
    assert world.daemonsets() == []
    assert ("PerfProfile", "Warning", "NoMatchingPods") in world.events()


def test_a_selector_that_the_api_server_refuses_ends_invalid(world):
    world.ask(target={"podSelector": {"matchLabels": {"no such/key/at all": "x"}}})

    world.operator.settle()

    status = world.run().status
    assert (status.phase, condition(status, "Complete")["reason"]) == ("Failed", "InvalidSpec")


@pytest.mark.parametrize(
    ("spec", "reason", "word"),
    [
        ({"schedule": {"cron": "* * * * *"}}, "NotYetSupported", "spec.schedule"),
        ({"continuous": {}}, "NotYetSupported", "spec.continuous"),
        ({"perf": {"extraArgs": ["-F", "9"]}}, "NotYetSupported", "spec.perf.extraArgs"),
        ({"sinks": ["elsewhere"]}, "InvalidSpec", "no sink named 'elsewhere'"),
    ],
    ids=["schedule", "continuous", "extraArgs", "sinks"],
)
def test_what_cannot_be_carried_out_is_refused_in_words(world, spec, reason, word):
    world.ask(**spec)

    world.operator.settle()

    status = world.profile()["status"]
    accepted = condition(status, "Accepted")
    assert (accepted["status"], accepted["reason"], status["phase"]) == ("False", reason, "Refused")
    assert word in accepted["message"]
    assert "apply again" in accepted["message"]
    assert world.runs() == []


def test_some_nodes_failed(world):
    run = started(world)
    world.gateway.deliver(run, "node1")
    world.pass_time(10 + 180 + 1)

    world.operator.settle()
    world.operator.settle()

    status = world.run().status
    assert (status.phase, condition(status, "Complete")["reason"]) == ("PartiallySucceeded", "SomeNodesFailed")
    assert "node2: DeadlineExceeded" in condition(status, "Complete")["message"]
    assert [failure.node for failure in status.failures] == ["node2"]
    assert world.daemonsets() == []


def test_an_image_that_cannot_be_pulled_is_not_awaited_till_the_deadline(world):
    world.ask(duration="10s")
    world.operator.settle()
    run = world.run()
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image registry.invalid/agent:1"}}
    world.start_agents(run, status={"phase": "Pending", "containerStatuses": [{**CONTAINER, "state": waiting}]})
    world.pass_time(11)
    world.operator.settle()
    assert world.gateway.posts == []
    world.pass_time(21)

    world.operator.settle()

    status = world.run().status
    assert (status.phase, condition(status, "Complete")["reason"]) == ("Failed", "AllNodesFailed")
    assert {failure.reason for failure in status.failures} == {"ImagePullFailed"}
    assert "registry.invalid/agent:1" in status.failures[0].message


def test_a_node_that_left_the_cluster_is_lost_at_once(world):
    node = {"metadata": {"name": f"node-{world.namespace}", "labels": {"kubernetes.io/hostname": f"host-{world.namespace}"}}}
    world.api.create("/api/v1/nodes", node)
    world.start_pod("web-3", node["metadata"]["name"])
    run = started(world)
    world.gateway.deliver(run, "node1")
    world.gateway.deliver(run, "node2")
    world.api.delete(f"/api/v1/nodes/{node['metadata']['name']}")
    world.pass_time(11)

    world.operator.settle()

    (failure,) = world.run().status.failures
    assert (failure.node, failure.reason) == (node["metadata"]["name"], "NodeLost")
    assert world.run().status.phase == "PartiallySucceeded"


def test_a_gateway_that_stays_away_ends_the_run_two_minutes_after_the_deadline(world):
    started(world)
    world.gateway.away = True
    world.pass_time(10 + 180 + 119)
    world.operator.settle()
    assert world.run().status.phase == "Pending" or world.run().status.phase == "Collecting"
    world.pass_time(2)

    world.operator.settle()

    status = world.run().status
    assert (status.phase, condition(status, "Complete")["reason"]) == ("Failed", "GatewayUnavailable")
    assert world.daemonsets() == []


def test_a_gateway_that_comes_back_in_time_changes_nothing(world):
    started(world)
    world.gateway.away = True
    world.pass_time(10 + 180 + 60)
    world.operator.settle()
    world.gateway.away = False

    world.operator.settle()

    status = world.run().status
    assert (status.phase, condition(status, "Complete")["reason"]) == ("Failed", "AllNodesFailed")
    assert len(status.failures) == 2


def test_a_daemonset_that_may_not_be_created_ends_the_run_with_the_api_servers_words(world):
    world.settings = type(world.settings)(agent_image="")
    world.restart()
    world.ask()

    world.operator.settle()

    status = world.run().status
    assert (status.phase, condition(status, "Complete")["reason"]) == ("Failed", "PodRejected")
    assert "image" in condition(status, "Complete")["message"]


def test_pods_that_the_daemonset_controller_may_not_create_fail_with_its_words(world):
    world.ask(duration="10s")
    world.operator.settle()
    run = world.run()
    daemonset = world.daemonset(run)
    about = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "namespace": AGENTS,
        "name": daemonset.metadata.name,
        "uid": daemonset.metadata.uid,
    }
    event = {
        "metadata": {"name": f"{daemonset.metadata.name}.1", "namespace": AGENTS},
        "involvedObject": about,
        "type": "Warning",
        "reason": "FailedCreate",
        "message": 'pods "x" is forbidden: violates PodSecurity "restricted:latest": privileged',
    }
    world.api.create(f"/api/v1/namespaces/{AGENTS}/events", event)
    world.pass_time(30)

    world.operator.settle()

    status = world.run().status
    assert status.phase == "Failed"
    assert {failure.reason for failure in status.failures} == {"PodRejected"}
    assert "violates PodSecurity" in status.failures[0].message


def test_a_profile_deleted_while_it_records_cancels_its_run_and_an_event_survives(world):
    run = started(world)

    world.delete_profile()
    world.operator.settle()

    status = world.run().status
    assert (status.phase, condition(status, "Complete")["reason"]) == ("Cancelled", "ProfileDeleted")
    assert world.daemonsets() == []
    world.delete_run(run)
    world.operator.settle()
    assert ("PerfProfile", "Normal", "ProfileDeleted") in world.events()


def test_a_profile_whose_run_is_collected_first_is_told_of_all_the_same(world):
    """The garbage collector may be faster than the operator: then only the DaemonSet remembers."""
    run = started(world)

    world.delete_profile()
    world.delete_run(run)
    world.operator.look_at(Key(Work.RUN, world.namespace, run.metadata.name))

    assert world.daemonsets() == []
    assert ("PerfProfile", "Normal", "ProfileDeleted") in world.events()


def test_a_run_deleted_while_it_records_is_said_on_the_profile(world):
    run = started(world)

    world.delete_run(run)
    world.operator.look_at(Key(Work.RUN, world.namespace, run.metadata.name))
    world.operator.settle()

    complete = condition(world.profile()["status"], "Complete")
    assert (complete["status"], complete["reason"]) == ("False", "RunDeleted")
    assert "apply" in complete["message"]
    assert world.daemonsets() == []
    assert world.runs() == []
    assert ("PerfProfile", "Warning", "RunDeleted") in world.events()


def test_a_changed_profile_gets_a_new_run_and_the_old_one_is_cancelled(world):
    old = started(world)

    world.change(duration="20s")
    world.operator.settle()

    phases = {run.metadata.name: run.status.phase for run in world.runs()}
    assert phases.pop(old.metadata.name) == "Cancelled"
    assert list(phases.values()) == ["Pending"]
    assert next(iter(phases)).endswith("-2")
    assert len(world.daemonsets()) == 1
    assert world.profile()["status"]["activeRuns"] == 1


def test_a_finished_run_is_deleted_after_its_ttl(world):
    world.ask(ttlAfterFinished="1h", target={"podSelector": {"matchLabels": {"app": "nobody"}}})
    world.operator.settle()
    world.pass_time(3599)
    world.operator.settle()
    assert len(world.runs()) == 1
    world.pass_time(2)

    world.operator.settle()

    assert world.runs() == []
    assert condition(world.profile()["status"], "Complete")["reason"] == "NoMatchingPods"


def test_a_daemonset_that_somebody_deleted_is_made_again(world):
    run = started(world)
    world.cluster.delete_daemonset(AGENTS, world.daemonset(run).metadata.name)

    world.operator.settle()

    assert world.daemonset(run).hostnames == ("node1", "node2")


def test_a_daemonset_without_a_run_is_swept(world):
    run = started(world)
    name = world.daemonset(run).metadata.name
    world.delete_run(run)
    world.delete_profile()

    world.restart().look_at(Key(Work.SWEEP))

    assert world.cluster.get_daemonset(AGENTS, name) is None


def test_a_daemonset_that_is_not_ours_is_never_touched(world):
    labels = {"app": world.namespace}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    body = {"metadata": {"name": f"other-{world.namespace}"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    world.api.create(f"/apis/apps/v1/namespaces/{AGENTS}/daemonsets", body)

    world.operator.settle()

    assert world.cluster.get_daemonset(AGENTS, f"other-{world.namespace}") is not None


def test_a_run_that_nobody_owns_is_cancelled(world):
    """Whoever may create runs by hand gets nothing by it: without a PerfProfile, which was judged, there is no recording."""
    body = {"apiVersion": "perfprofile.dev/v1alpha1", "kind": "PerfProfileRun", "metadata": {"name": "mine"}, "spec": {"profile": "cpu"}}
    world.api.create(f"{OURS}/namespaces/{world.namespace}/perfprofileruns", body)

    world.operator.settle()

    assert world.run().status.phase == "Cancelled"
    assert world.daemonsets() == []


def test_a_quota_on_runs_is_said_on_the_profile_and_tried_again(world):
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"count/perfprofileruns.perfprofile.dev": "0"}}, "status": {}}
    quotas = f"/api/v1/namespaces/{world.namespace}/resourcequotas"
    world.api.create(quotas, quota)
    world.api.patch(
        f"{quotas}/none/status", {"status": {"hard": quota["spec"]["hard"], "used": {"count/perfprofileruns.perfprofile.dev": "0"}}}
    )
    world.ask()
    world.operator.settle()
    complete = condition(world.profile()["status"], "Complete")
    assert (complete["status"], complete["reason"]) == ("False", "RunRefused")
    assert "exceeded quota" in complete["message"]
    world.api.delete(f"{quotas}/none")

    world.operator.settle()

    assert world.run().status.phase == "Pending"


def test_a_namespace_that_is_being_deleted_is_left_alone(world):
    world.ask()
    world.api.delete(f"/api/v1/namespaces/{world.namespace}")

    world.operator.settle()

    assert world.runs() == []


def test_users_objects_carry_no_finalizer_and_no_annotation_of_ours(world):
    run = started(world)
    for node in ("node1", "node2"):
        world.gateway.deliver(run, node)
    world.operator.settle()

    metadata = world.profile()["metadata"]

    assert not metadata.get("finalizers")
    assert not metadata.get("annotations")
    assert not metadata.get("labels")


def test_what_is_settled_is_not_written_again(world):
    run = started(world)
    world.gateway.recording(run, 2)
    world.operator.settle()
    writes = len(world.transport.writes)

    for _ in range(3):
        world.pass_time(1)
        world.restart().settle()

    assert world.transport.writes[writes:] == []

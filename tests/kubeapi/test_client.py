"""The client's calls do on a real API server what their names say."""

import base64

import msgspec
import pytest

from perfprofile_agent.api.profile import LabelSelector, LabelSelectorRequirement, SelectorOperator
from perfprofile_cluster.client import PAGE, Cluster
from perfprofile_cluster.errors import ClusterError
from perfprofile_cluster.objects import Regarding
from support.apiserver import NOBODY, ApiServer


@pytest.fixture
def cluster(api_server: ApiServer) -> Cluster:
    return api_server.cluster()


def profile(name: str, namespace: str, **spec):
    kind = {"apiVersion": "perfprofile.dev/v1alpha1", "kind": "PerfProfile"}
    return {**kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def run(name: str):
    kind = {"apiVersion": "perfprofile.dev/v1alpha1", "kind": "PerfProfileRun"}
    return {**kind, "metadata": {"name": name}, "spec": {"profile": "cpu"}}


def pod(name: str, **labels: str):
    spec = {"containers": [{"name": "app", "image": "app"}], "nodeName": "node1"}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def test_what_is_absent_is_none(cluster, namespace):
    assert cluster.get_profile(namespace, "cpu") is None
    assert cluster.get_run(namespace, "cpu") is None
    assert cluster.get_pod(namespace, "p") is None
    assert cluster.get_daemonset(namespace, "d") is None
    assert cluster.get_secret(namespace, "s") is None
    assert cluster.get_configmap(namespace, "c") is None
    assert cluster.get_api_service("v1.nowhere.example") is None


def test_deleting_what_is_absent_is_fine(cluster, namespace):
    cluster.delete_run(namespace, "cpu")
    cluster.delete_daemonset(namespace, "d")


def test_a_profile_is_read_with_its_spec_as_written_and_the_schemas_defaults(api_server, cluster, namespace):
    api_server.api().create(f"/apis/perfprofile.dev/v1alpha1/namespaces/{namespace}/perfprofiles", profile("cpu", namespace, duration="5s"))

    found = cluster.get_profile(namespace, "cpu")

    assert found.spec["duration"] == "5s"
    assert found.spec["sinks"] == ["store"]
    assert found.metadata.generation == 1
    assert [one.metadata.name for one in cluster.list_profiles(namespace)] == ["cpu"]


def test_a_status_patch_decided_from_an_older_version_is_refused(cluster, namespace):
    """Kubernetes ignores a uid in a patch of a custom resource's status, but not a version; so this guards against another run of the name, too."""
    made = cluster.create_run(namespace, run("cpu-1"))
    cluster.patch_run_status(namespace, "cpu-1", {"phase": "Pending"}, resource_version=made.metadata.resource_version)

    with pytest.raises(ClusterError) as refusal:
        cluster.patch_run_status(namespace, "cpu-1", {"phase": "Failed"}, resource_version=made.metadata.resource_version)

    assert refusal.value.conflict
    assert cluster.get_run(namespace, "cpu-1").status.phase == "Pending"


def test_a_status_patch_by_uid_follows_the_object_and_spares_another_of_the_same_name(cluster, namespace):
    made = cluster.create_run(namespace, run("cpu-1"))
    cluster.patch_run_status(namespace, "cpu-1", {"phase": "Pending"})

    cluster.patch_run_status(namespace, "cpu-1", {"profilePath": "/x"}, uid=made.metadata.uid)
    with pytest.raises(ClusterError) as refusal:
        cluster.patch_run_status(namespace, "cpu-1", {"profilePath": "/y"}, uid="00000000-0000-0000-0000-000000000000")

    assert refusal.value.conflict
    assert cluster.get_run(namespace, "cpu-1").status.profile_path == "/x"


def test_two_writers_of_one_status_leave_each_others_fields_alone(cluster, namespace):
    cluster.create_run(namespace, run("cpu-1"))

    cluster.patch_run_status(namespace, "cpu-1", {"phase": "Pending", "nodes": {"desired": 2}})
    cluster.patch_run_status(namespace, "cpu-1", {"nodes": {"succeeded": 1}, "profilePath": "/apis/x"})

    status = cluster.get_run(namespace, "cpu-1").status
    assert (status.phase, status.nodes.desired, status.nodes.succeeded, status.profile_path) == ("Pending", 2, 1, "/apis/x")


def test_creating_twice_says_already_exists(cluster, namespace):
    cluster.create_run(namespace, run("cpu-1"))

    with pytest.raises(ClusterError) as refusal:
        cluster.create_run(namespace, run("cpu-1"))

    assert refusal.value.already_exists
    assert not refusal.value.conflict


def test_deletion_by_uid_spares_another_object_of_the_same_name(cluster, namespace):
    cluster.create_run(namespace, run("cpu-1"))

    with pytest.raises(ClusterError) as refusal:
        cluster.delete_run(namespace, "cpu-1", uid="00000000-0000-0000-0000-000000000000")

    assert refusal.value.conflict
    assert cluster.get_run(namespace, "cpu-1") is not None


def test_pods_are_found_by_selector_and_node(api_server, cluster, namespace):
    api = api_server.api()
    for one in (pod("a", app="web", tier="x"), pod("b", app="web"), pod("c", app="db")):
        api.create(f"/api/v1/namespaces/{namespace}/pods", one)
    selector = LabelSelector(
        match_labels={"app": "web"},
        match_expressions=(
            LabelSelectorRequirement(key="tier", operator=SelectorOperator.DOES_NOT_EXIST),
            LabelSelectorRequirement(key="app", operator=SelectorOperator.IN, values=("web", "db")),
        ),
    )

    assert [found.metadata.name for found in cluster.list_pods(namespace, selector)] == ["b"]
    assert len(cluster.list_pods(namespace, LabelSelector(), node="node1")) == 3
    assert cluster.list_pods(namespace, node="node2") == []
    assert cluster.get_pod(namespace, "a").containers == ("app",)


@pytest.mark.slow
def test_lists_longer_than_a_page_are_whole(api_server, cluster, namespace):
    for number in range(PAGE + 3):
        cluster.create_run(namespace, run(f"run-{number}"))

    assert len({found.metadata.name for found in cluster.list_runs(namespace)}) == PAGE + 3
    api_server.api().delete(f"/apis/perfprofile.dev/v1alpha1/namespaces/{namespace}/perfprofileruns")


def test_secret_data_is_decoded_and_never_printed(api_server, cluster, namespace):
    secret = {"metadata": {"name": "s"}, "data": {"key": base64.b64encode(b"hidden").decode()}}
    api_server.api().create(f"/api/v1/namespaces/{namespace}/secrets", secret)

    found = cluster.get_secret(namespace, "s")
    cluster.patch_secret(namespace, "s", {"more": b"\x00\xff"}, resource_version=found.metadata.resource_version)

    assert found.data == {"key": b"hidden"}
    assert "hidden" not in repr(found)
    assert cluster.get_secret(namespace, "s").data == {"key": b"hidden", "more": b"\x00\xff"}


def test_of_two_patches_of_one_version_the_second_fails(api_server, cluster, namespace):
    api_server.api().create(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "s"}})
    version = cluster.get_secret(namespace, "s").metadata.resource_version
    cluster.patch_secret(namespace, "s", {"a": b"1"}, resource_version=version)

    with pytest.raises(ClusterError) as refusal:
        cluster.patch_secret(namespace, "s", {"a": b"2"}, resource_version=version)

    assert refusal.value.conflict


def test_an_event_told_twice_is_there_once(api_server, cluster, namespace):
    made = cluster.create_run(namespace, run("cpu-1"))
    regarding = Regarding(
        api_version="perfprofile.dev/v1alpha1", kind="PerfProfileRun", name="cpu-1", namespace=namespace, uid=made.metadata.uid
    )

    for _ in range(2):
        cluster.create_event(
            regarding, type_="Normal", reason="Succeeded", note="x" * 3000, action="Finish", reporter="perfprofile.dev/operator"
        )

    (event,) = cluster.list_events(namespace, regarding_uid=made.metadata.uid)
    assert (event.type, event.reason, len(event.note)) == ("Normal", "Succeeded", 1024)


def test_a_token_for_another_audience_is_nobodys(api_server, cluster, namespace):
    api = api_server.api()
    api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "agent"}})
    made = api.create(f"/api/v1/namespaces/{namespace}/pods", pod("p"))
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]}
    request = {"spec": {"audiences": ["perfprofile-gateway"], "boundObjectRef": bound}}
    # A token may be bound to a pod only if that pod runs as the account.
    api.delete(f"/api/v1/namespaces/{namespace}/pods/p")
    body = pod("p")
    body["spec"]["serviceAccountName"] = "agent"
    made = api.create(f"/api/v1/namespaces/{namespace}/pods", body)
    bound["uid"] = made["metadata"]["uid"]
    token = api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/agent/token", request)["status"]["token"]

    identity = cluster.review_token(token, ["perfprofile-gateway"])

    assert identity.username == f"system:serviceaccount:{namespace}:agent"
    assert (identity.pod_name, identity.pod_uid, identity.node_name) == ("p", made["metadata"]["uid"], "node1")
    assert cluster.review_token(token, ["somebody-else"]) is None
    assert cluster.review_token("not a token", ["perfprofile-gateway"]) is None


def test_authorization_is_asked_for_subresources(cluster, namespace):
    question = {
        "verb": "get",
        "group": "data.perfprofile.dev",
        "resource": "perfprofileruns",
        "subresource": "profile",
        "namespace": namespace,
        "name": "r",
        "extra": {"a": ["b"]},
    }

    assert cluster.authorize(user="somebody", groups=[], **question)[0] is False
    assert cluster.authorize(user="somebody", groups=["system:masters"], **question)[0] is True


def test_who_may_not_is_told_so(api_server, namespace):
    with pytest.raises(ClusterError) as refusal:
        api_server.cluster(NOBODY).list_pods(namespace)

    assert refusal.value.status == 403
    assert refusal.value.refused
    assert "cannot list resource" in refusal.value.message


def test_an_api_server_that_is_away_is_a_transient_error(api_server, tmp_path):
    config = msgspec.yaml.decode(api_server.kubeconfig().read_bytes())
    config["clusters"][0]["cluster"]["server"] = "https://localhost:1"
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_bytes(msgspec.yaml.encode(config))

    with pytest.raises(ClusterError) as trouble:
        Cluster.connect(str(elsewhere)).list_nodes()

    assert trouble.value.transient
    assert trouble.value.status == 0


def test_a_name_cannot_walk_to_another_path(cluster, namespace):
    with pytest.raises(ClusterError, match="valid name"):
        cluster.get_run("..", "nodes")
    assert cluster.get_run(namespace, "../../nodes") is None

"""The test cluster is a cluster: its nodes reach each other's pods, names resolve, Services answer, volumes bind."""

import json
import uuid

import pytest

from cluster.layout import NODES
from support.kubectl import ENABLE, Kubectl, eventually

pytestmark = pytest.mark.cluster
IMAGE = "perfprofile.dev/perfprofile-operator:dev"
ASK = """
import json, os, socket, ssl, sys, urllib.request
api = ssl.create_default_context(cafile='/var/run/secrets/kubernetes.io/serviceaccount/ca.crt')
print(json.dumps({
    'node': socket.gethostname(),
    'pages': [urllib.request.urlopen(f'http://{host}', timeout=10).status for host in sys.argv[1:]],
    'api': urllib.request.urlopen('https://kubernetes.default.svc/readyz', timeout=10, context=api).read().decode(),
}))
"""


@pytest.fixture(scope="module")
def kubectl():
    found = Kubectl.from_environment()
    if found is None:
        pytest.skip(f"no test cluster: {ENABLE}")
    return found


@pytest.fixture(scope="module")
def web(kubectl):
    """A web server on each node behind one Service; gives the namespace."""
    namespace = f"web-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", namespace)
    labels = {"app": "web"}
    container = {"name": "web", "image": IMAGE, "command": ["python3", "-m", "http.server", "--directory", "/etc/apt", "8080"]}
    kubectl.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    )
    kubectl("-n", namespace, "rollout", "status", "daemonset/web", "--timeout=90s", timeout=100)
    yield namespace
    kubectl("delete", "namespace", namespace, "--wait=false")


def test_all_nodes_are_ready(kubectl):
    ready = [
        node["metadata"]["name"]
        for node in kubectl.items("nodes")
        for one in node["status"]["conditions"]
        if one["type"] == "Ready" and one["status"] == "True"
    ]

    assert ready == [node.name for node in NODES]


def test_each_node_reaches_every_pod_a_service_by_name_and_the_api_server(kubectl, web):
    pods = kubectl.items("-n", web, "pods", "-l", "app=web")
    hosts = [*(f"{pod['status']['podIP']}:8080" for pod in pods), f"web.{web}.svc", f"web.{web}"]

    def answers():
        return [json.loads(kubectl("-n", web, "exec", pod["metadata"]["name"], "--", "python3", "-c", ASK, *hosts)) for pod in pods]

    found = eventually(answers, within=30)
    assert {pod["spec"]["nodeName"] for pod in pods} == {node.name for node in NODES}
    assert [answer["pages"] for answer in found] == [[200] * len(hosts)] * len(NODES)
    assert [answer["api"] for answer in found] == ["ok"] * len(NODES)


def test_a_claim_of_the_default_class_is_bound_and_an_ordinary_user_may_write(kubectl, web):
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    container = {
        "name": "writer",
        "image": IMAGE,
        "command": ["touch", "/data/written"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    kubectl.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": web}, "spec": claim},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "writer", "namespace": web},
            "spec": {
                "restartPolicy": "Never",
                "securityContext": {"runAsUser": 65532, "fsGroup": 65532},
                "containers": [container],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            },
        },
    )

    kubectl("-n", web, "wait", "pod/writer", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s", timeout=70)

"""A real API server takes every object, and what the operator wrote outlives an upgrade."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support.apiserver import ApiServer
from support.helm import CHART, Helm
from support.kubectl import Kubectl

ROOT = Path(__file__).resolve().parents[2]
SYSTEM, AGENTS = "chart-test-system", "chart-test-agents"


@pytest.fixture(scope="module")
def namespaces(kubectl: Kubectl) -> None:
    """Those of install.yaml: a dry run makes none, and refuses objects in namespaces that aren't there."""
    for name in ("perfprofile-system", "perfprofile-agents"):
        kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def dry_run(kubectl: Kubectl, manifests: str) -> list[str]:
    return kubectl(
        "apply", "--server-side", "--force-conflicts", "--validate=strict", "--dry-run=server", "-o", "name", "-f", "-", stdin=manifests
    ).split()


def test_the_plain_manifests_are_taken_whole(kubectl, namespaces):
    text = (ROOT / "deploy" / "install.yaml").read_text()

    taken = dry_run(kubectl, text)

    assert len(taken) == len([document for document in yaml.safe_load_all(text) if document])


@pytest.mark.parametrize(
    "settings",
    [
        ["networkPolicy.enabled=true"],
        ["agents.privileged=true", "agents.imagePullSecrets={one}", "imagePullSecrets={two}"],
        ["gateway.persistence.enabled=false", "agents.priorityClass.create=false"],
        ["gateway.persistence.storageClassName=fast", "gateway.persistence.accessModes={ReadWriteOncePod}"],
        ["operator.nodeSelector.role=infra", "gateway.tolerations[0].operator=Exists", "operator.podAnnotations.a=b"],
        ["gateway.priorityClassName=system-cluster-critical", "gateway.affinity.nodeAffinity=null"],
    ],
    ids=" ".join,
)
def test_an_option_set_is_taken_whole(helm, kubectl, namespaces, settings):
    objects = helm.render(*settings)

    taken = dry_run(kubectl, yaml.safe_dump_all(objects))

    assert len(taken) == len(objects)


@pytest.mark.parametrize("program", ["operator", "gateway"])
def test_a_programs_pod_passes_pod_security_restricted(helm, kubectl, program):
    """Asked of the API server itself: a namespace that enforces it takes the pod."""
    levels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "chart-test-restricted", "labels": levels}})
    (deployment,) = [one for one in helm.render() if (one["kind"], one["metadata"]["name"]) == ("Deployment", f"perfprofile-{program}")]
    spec = deployment["spec"]["template"]["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": program, "namespace": "chart-test-restricted"}, "spec": spec}

    assert kubectl("create", "--dry-run=server", "-o", "name", "-f", "-", stdin=json.dumps(pod)).strip() == f"pod/{program}"


@pytest.fixture
def release(helm: Helm, api_server: ApiServer, kubectl: Kubectl) -> Iterator[list[str]]:
    """A release; gives the arguments of an upgrade. The CRDs are there already."""
    upgrade = ["upgrade", "--install", "chart-test", str(CHART), f"--kubeconfig={api_server.kubeconfig()}", f"--namespace={SYSTEM}"]
    upgrade += ["--create-namespace", f"--set=agents.namespace={AGENTS}", "--set=crds.install=false"]
    helm.run(*upgrade)
    yield upgrade
    helm.run("uninstall", "chart-test", f"--kubeconfig={api_server.kubeconfig()}", f"--namespace={SYSTEM}")


def test_an_upgrade_leaves_what_the_operator_filled_in(helm, kubectl, release):
    filled = [
        ("-n", SYSTEM, "patch", "secret", "perfprofile-ca", '-p={"data":{"ca.key":"a2V5"}}'),
        ("-n", SYSTEM, "patch", "secret", "perfprofile-gateway-tls", '-p={"data":{"tls.key":"a2V5"}}'),
        ("-n", AGENTS, "patch", "configmap", "perfprofile-gateway-ca", '-p={"data":{"ca.crt":"authority"}}'),
    ]
    for arguments in filled:
        kubectl(*arguments, "--type=merge")

    helm.run(*release, "--set=gateway.slotsPerNode=2")

    environment = kubectl.get("-n", SYSTEM, "deployment", "perfprofile-gateway")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "PERFPROFILE_SLOTS_PER_NODE", "value": "2"} in environment
    assert kubectl.get("-n", SYSTEM, "secret", "perfprofile-ca")["data"] == {"ca.key": "a2V5"}
    assert kubectl.get("-n", SYSTEM, "secret", "perfprofile-gateway-tls")["data"] == {"tls.key": "a2V5"}
    assert kubectl.get("-n", AGENTS, "configmap", "perfprofile-gateway-ca")["data"] == {"ca.crt": "authority"}

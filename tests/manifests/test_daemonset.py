"""The DaemonSet of a run, whole, as YAML. Rewritten with PERFPROFILE_UPDATE_GOLDENS=1."""

import os
from pathlib import Path

import pytest
import yaml

from perfprofile_agent.api.run import PerfProfileRunSpec
from perfprofile_cluster.objects import DaemonSet, Node, ObjectMeta, OwnerReference, RunObject
from perfprofile_operator.config import Settings
from perfprofile_operator.factory import agent_shape
from perfprofile_operator.manifests.daemonset import ANNOTATION_NODE_NAMES, chosen_node_names, daemonset_manifest

GOLDENS = Path(__file__).parent.parent / "data" / "manifests"
RUN = RunObject(
    metadata=ObjectMeta(
        name="checkout-3f2a1-4",
        namespace="payments",
        uid="0b8f1c1e-8c53-4a1c-9f0e-1d3a0b2c4d5e",
        owner_references=(OwnerReference(kind="PerfProfile", name="checkout", uid="9a1b"),),
    ),
    spec=PerfProfileRunSpec(profile="checkout"),
)
NODES = (
    Node(metadata=ObjectMeta(name="node-a", labels={"kubernetes.io/hostname": "node-a"})),
    Node(metadata=ObjectMeta(name="node-b.example", labels={"kubernetes.io/hostname": "node-b"})),
)
CASES = {
    "default": Settings(),
    "privileged": Settings(
        agent_privileged=True, agent_image_pull_secrets=("registry",), agent_tolerations=[], agent_priority_class="perfprofile-agent"
    ),
}


class Plain(yaml.SafeDumper):
    """No anchors, which readers of goldens stumble over."""

    def ignore_aliases(self, _):
        return True


def dumped(manifest) -> str:
    return yaml.dump(manifest, Dumper=Plain, sort_keys=False, width=140)


@pytest.mark.parametrize("case", CASES)
def test_the_daemonset_is_as_in_the_golden_file(case):
    golden = GOLDENS / f"daemonset-{case}.yaml"
    text = dumped(daemonset_manifest(RUN, NODES, agent_shape(CASES[case])))
    if os.environ.get("PERFPROFILE_UPDATE_GOLDENS"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)

    assert text == golden.read_text()


def test_nodes_whose_hostname_differs_from_their_name_are_known_again():
    manifest = daemonset_manifest(RUN, NODES, agent_shape(Settings()))
    daemonset = DaemonSet(
        metadata=ObjectMeta(annotations=manifest["metadata"]["annotations"]), hostnames=tuple(node.hostname for node in NODES)
    )

    assert chosen_node_names(daemonset) == {"node-a": "node-a", "node-b": "node-b.example"}


def test_five_thousand_nodes_with_long_names_fit_into_an_object():
    nodes = [
        Node(metadata=ObjectMeta(name=f"ip-{number}.compute.internal.example", labels={"kubernetes.io/hostname": f"ip-{number}"}))
        for number in range(5000)
    ]

    manifest = daemonset_manifest(RUN, nodes, agent_shape(Settings()))

    assert sum(len(text) for text in manifest["metadata"]["annotations"].values()) < 262_144
    assert len(yaml.safe_dump(manifest, width=1000)) < 1_000_000
    assert (
        ANNOTATION_NODE_NAMES not in manifest["metadata"]["annotations"]
        or len(manifest["metadata"]["annotations"][ANNOTATION_NODE_NAMES]) < 200_001
    )

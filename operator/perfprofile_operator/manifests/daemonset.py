"""The DaemonSet of a run: one agent on each chosen node, with exactly the rights that perf needs."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from perfprofile_agent.api.names import GROUP, LABEL_RUN, LABEL_RUN_NAMESPACE, LABEL_RUN_UID, TOKEN_AUDIENCE
from perfprofile_cluster.objects import HOSTNAME_LABEL, DaemonSet, Node, RunObject

ANNOTATION_PROFILE: Final = f"{GROUP}/profile"
"""On DaemonSets: the PerfProfile's name, so that what became of the run can be told when run and PerfProfile are both gone."""
ANNOTATION_PROFILE_UID: Final = f"{GROUP}/profile-uid"
"""On DaemonSets: metadata.uid of the PerfProfile."""
ANNOTATION_NODE_NAMES: Final = f"{GROUP}/node-names"
"""On DaemonSets: JSON object from hostname label to node name, of those chosen nodes where the two differ."""

MAX_ANNOTATION: Final = 200_000
"""Bytes; the API server takes 262144 for all annotations of an object together."""

PERF_CAPABILITIES: Final = ("PERFMON", "SYSLOG", "SYS_PTRACE", "DAC_READ_SEARCH", "CHECKPOINT_RESTORE", "IPC_LOCK")
"""What recording and naming need: perf_event_open, kallsyms, other processes' roots, their files, map_files, ring buffers."""
SWITCH_CAPABILITIES: Final = ("SETUID", "SETGID", "SETPCAP")
"""What the agent needs once, to become uid 65532 with the others ambient; it drops them then."""

TOKEN_DIRECTORY: Final = "/var/run/secrets/perfprofile"  # noqa: S105 - a path
TOKEN_LIFETIME: Final = 600
"""Seconds; the shortest that Kubernetes gives out. The kubelet renews it."""
SPOOL: Final = "/var/spool/perfprofile"
CA_DIRECTORY: Final = "/etc/perfprofile"
CGROUPS: Final = "/sys/fs/cgroup"


@dataclass(frozen=True, kw_only=True)
class AgentShape:
    """What is the same for the agents of all runs; from the operator's settings."""

    namespace: str
    image: str
    gateway_url: str
    service_account: str = "perfprofile-agent"
    gateway_ca_config_map: str = "perfprofile-gateway-ca"
    image_pull_secrets: tuple[str, ...] = ()
    privileged: bool = False
    resources: Mapping[str, Any]
    tolerations: tuple[Mapping[str, Any], ...] = ()
    priority_class: str = ""
    spool_size: str = "512Mi"


def daemonset_name(run_uid: str) -> str:
    """Give the one name that this run's DaemonSet has."""
    return f"perfprofile-{hashlib.sha256(run_uid.encode()).hexdigest()[:10]}"


def daemonset_manifest(run: RunObject, nodes: Iterable[Node], shape: AgentShape) -> dict[str, Any]:
    """Give the DaemonSet to create for a run over ``nodes``."""
    chosen = tuple(nodes)
    labels = _labels(run)
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": daemonset_name(run.metadata.uid),
            "namespace": shape.namespace,
            "labels": labels,
            "annotations": _annotations(run, chosen),
        },
        "spec": {
            "selector": {"matchLabels": {LABEL_RUN_UID: run.metadata.uid}},
            # A run is over before anything in it could be worth updating.
            "updateStrategy": {"type": "OnDelete"},
            "revisionHistoryLimit": 0,
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec(chosen, shape)},
        },
    }


def chosen_node_names(daemonset: DaemonSet) -> dict[str, str]:
    """Give the nodes a DaemonSet was made for: hostname label to node name, in the order of choice."""
    differing = json.loads(daemonset.metadata.annotations.get(ANNOTATION_NODE_NAMES, "{}"))
    return {hostname: differing.get(hostname, hostname) for hostname in daemonset.hostnames}


def _labels(run: RunObject) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "perfprofile",
        "app.kubernetes.io/component": "agent",
        "app.kubernetes.io/part-of": "perfprofile",
        "app.kubernetes.io/managed-by": "perfprofile-operator",
        LABEL_RUN_UID: run.metadata.uid,
        LABEL_RUN: run.metadata.name,
        LABEL_RUN_NAMESPACE: run.metadata.namespace,
    }


def _annotations(run: RunObject, nodes: tuple[Node, ...]) -> dict[str, str]:
    owners = (owner for owner in run.metadata.owner_references if owner.kind == "PerfProfile")
    annotations = {ANNOTATION_PROFILE: run.spec.profile, ANNOTATION_PROFILE_UID: next((owner.uid for owner in owners), "")}
    differing = {node.hostname: node.metadata.name for node in nodes if node.hostname != node.metadata.name}
    text = json.dumps(differing, separators=(",", ":"))
    if differing and len(text) <= MAX_ANNOTATION:
        annotations[ANNOTATION_NODE_NAMES] = text
    return annotations


def _pod_spec(nodes: tuple[Node, ...], shape: AgentShape) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "affinity": _affinity(nodes),
        "automountServiceAccountToken": False,
        "containers": [_container(shape)],
        "enableServiceLinks": False,
        # perf reports the pids of the host's namespace, and names are read from /proc by them.
        "hostPID": True,
        "serviceAccountName": shape.service_account,
        "terminationGracePeriodSeconds": 10,
        "tolerations": [dict(one) for one in shape.tolerations],
        "volumes": _volumes(shape),
    }
    if shape.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in shape.image_pull_secrets]
    if shape.priority_class:
        spec["priorityClassName"] = shape.priority_class
    return spec


def _affinity(nodes: tuple[Node, ...]) -> dict[str, Any]:
    expression = {"key": HOSTNAME_LABEL, "operator": "In", "values": [node.hostname for node in nodes]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def _container(shape: AgentShape) -> dict[str, Any]:
    return {
        "name": "agent",
        "image": shape.image,
        # Thousands of nodes must not ask the registry for an image they hold.
        "imagePullPolicy": "IfNotPresent",
        "command": [
            "perfprofile-agent",
            "join",
            "--gateway",
            shape.gateway_url,
            "--gateway-ca",
            f"{CA_DIRECTORY}/ca.crt",
            "--token-file",
            f"{TOKEN_DIRECTORY}/token",
            "--spool",
            SPOOL,
        ],
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            # perf looks for its configuration there; nothing is there.
            {"name": "HOME", "value": SPOOL},
        ],
        "resources": dict(shape.resources),
        "securityContext": _security_context(shape),
        # What the agent says at its end becomes the container's message, and so the failure's.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "cgroups", "mountPath": CGROUPS, "readOnly": True},
            {"name": "token", "mountPath": TOKEN_DIRECTORY, "readOnly": True},
            {"name": "gateway-ca", "mountPath": CA_DIRECTORY, "readOnly": True},
            {"name": "spool", "mountPath": SPOOL},
        ],
    }


def _security_context(shape: AgentShape) -> dict[str, Any]:
    if shape.privileged:
        # A privileged container can't forbid privilege escalation: the API server refuses the pair.
        return {"privileged": True, "readOnlyRootFilesystem": True, "runAsUser": 0}
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": [*PERF_CAPABILITIES, *SWITCH_CAPABILITIES]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsUser": 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _volumes(shape: AgentShape) -> list[dict[str, Any]]:
    token = {"serviceAccountToken": {"audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_LIFETIME, "path": "token"}}
    return [
        {"name": "cgroups", "hostPath": {"path": CGROUPS, "type": "Directory"}},
        {"name": "token", "projected": {"sources": [token]}},
        {"name": "gateway-ca", "configMap": {"name": shape.gateway_ca_config_map}},
        {"name": "spool", "emptyDir": {"sizeLimit": shape.spool_size}},
    ]

"""The rights that the operator is documented to need, as RBAC objects; the tests of the reconcilers run with these and no others."""

from typing import Any

SYSTEM, AGENTS = "perfprofile-system", "perfprofile-agents"
ACCOUNT = {"kind": "ServiceAccount", "name": "perfprofile-operator", "namespace": SYSTEM}


def rule(group: str, resources: list[str], verbs: list[str], names: list[str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return {**found, "resourceNames": names} if names else found


CLUSTER_RULES = [
    rule("perfprofile.dev", ["perfprofiles"], ["get", "list", "watch"]),
    rule("perfprofile.dev", ["perfprofileruns"], ["get", "list", "watch", "create", "delete"]),
    rule("perfprofile.dev", ["perfprofiles/status", "perfprofileruns/status"], ["patch"]),
    rule("", ["pods", "nodes"], ["list"]),
    rule("events.k8s.io", ["events"], ["create"]),
    rule("apiregistration.k8s.io", ["apiservices"], ["get", "patch"], ["v1alpha1.data.perfprofile.dev"]),
]
AGENTS_RULES = [
    rule("apps", ["daemonsets"], ["get", "list", "create", "delete"]),
    rule("", ["configmaps"], ["get", "patch"], ["perfprofile-gateway-ca"]),
    rule("", ["events"], ["list"]),
]
SYSTEM_RULES = [rule("", ["secrets"], ["get", "patch"], ["perfprofile-ca", "perfprofile-gateway-tls"])]

RBAC = "/apis/rbac.authorization.k8s.io/v1"


def objects() -> list[tuple[str, dict[str, Any]]]:
    """Give (path, object) of all of them."""
    made = [
        (f"{RBAC}/clusterroles", {"metadata": {"name": "perfprofile-operator"}, "rules": CLUSTER_RULES}),
        (f"{RBAC}/clusterrolebindings", binding("ClusterRole")),
    ]
    for namespace, rules in ((AGENTS, AGENTS_RULES), (SYSTEM, SYSTEM_RULES)):
        made.append((f"{RBAC}/namespaces/{namespace}/roles", {"metadata": {"name": "perfprofile-operator"}, "rules": rules}))
        made.append((f"{RBAC}/namespaces/{namespace}/rolebindings", binding("Role")))
    return made


def binding(kind: str) -> dict[str, Any]:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "perfprofile-operator"}
    return {"metadata": {"name": "perfprofile-operator"}, "roleRef": reference, "subjects": [ACCOUNT]}

"""What is there before the operator starts: namespaces, rights, objects that it fills, nodes."""

from typing import Any

from perfprofile_cluster.errors import ClusterError
from support import operator_rights
from support.apiserver import Api, ApiServer

NODES = ("node1", "node2", "node3")
READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
API_SERVICE = {
    "metadata": {"name": "v1alpha1.data.perfprofile.dev"},
    "spec": {
        "group": "data.perfprofile.dev",
        "version": "v1alpha1",
        "groupPriorityMinimum": 1000,
        "versionPriority": 15,
        "service": {"name": "perfprofile-gateway", "namespace": operator_rights.SYSTEM, "port": 443},
    },
}


def install(server: ApiServer) -> None:
    """Make all of it, as far as it isn't there."""
    api = server.api()
    for namespace in (operator_rights.SYSTEM, operator_rights.AGENTS):
        ensure(api, "/api/v1/namespaces", {"metadata": {"name": namespace}})
    for path, body in operator_rights.objects():
        ensure(api, path, body)
    for secret in ("perfprofile-ca", "perfprofile-gateway-tls"):
        ensure(api, f"/api/v1/namespaces/{operator_rights.SYSTEM}/secrets", {"metadata": {"name": secret}})
    ensure(api, f"/api/v1/namespaces/{operator_rights.AGENTS}/configmaps", {"metadata": {"name": "perfprofile-gateway-ca"}})
    ensure(api, "/apis/apiregistration.k8s.io/v1/apiservices", API_SERVICE)
    for name in NODES:
        ensure(api, "/api/v1/nodes", {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": name[-1]}}})
        api.patch(f"/api/v1/nodes/{name}/status", READY)


def ensure(api: Api, path: str, body: dict[str, Any]) -> None:
    """Create it unless it is there."""
    try:
        api.create(path, body)
    except ClusterError as error:
        if not error.already_exists:
            raise

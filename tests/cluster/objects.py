"""The Kubernetes objects that a fresh cluster needs: rights of the cluster's own programs, its DNS Service, and storage on node1."""

import json
from typing import Any

from cluster.layout import DNS_PORT, DNS_SERVICE, HOST_ADDRESS, NODES

Object = dict[str, Any]

STORAGE_CLASS = "local"
VOLUMES = 6
VOLUMES_DIRECTORY = "/var/lib/perfprofile-volumes"
STORAGE_NODE = NODES[0]


def manifest() -> str:
    """All objects as one List, JSON."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [*rights(), *dns(), *storage()]})


def rights() -> list[Object]:
    """What CoreDNS and kube-proxy may read; all other programs have the API server's built-in roles."""
    rbac = "rbac.authorization.k8s.io"
    return [
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "system:coredns"},
            "rules": [
                {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": "system:coredns"}],
        },
    ]


def dns() -> list[Object]:
    """The Service kube-dns, whose one endpoint is CoreDNS on the host."""
    protocols = ("UDP", "TCP")
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system"},
            "spec": {
                "clusterIP": DNS_SERVICE,
                "ports": [{"name": protocol.lower(), "port": 53, "targetPort": DNS_PORT, "protocol": protocol} for protocol in protocols],
            },
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "kube-dns-host", "namespace": "kube-system", "labels": {"kubernetes.io/service-name": "kube-dns"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [HOST_ADDRESS], "conditions": {"ready": True}}],
            "ports": [{"name": protocol.lower(), "port": DNS_PORT, "protocol": protocol} for protocol in protocols],
        },
    ]


def storage() -> list[Object]:
    """The default StorageClass and its volumes: directories of node1, of type `local` because the kubelet gives those to a pod's fsGroup."""
    return [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": STORAGE_CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
        *(volume(number) for number in range(1, VOLUMES + 1)),
    ]


def volume(number: int) -> Object:
    """One volume; `volumes.release` makes it available again once its claim is gone."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"local-{number}"},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": STORAGE_CLASS,
            "local": {"path": f"{VOLUMES_DIRECTORY}/local-{number}"},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [STORAGE_NODE.name]}]}
                    ]
                }
            },
        },
    }

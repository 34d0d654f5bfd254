"""Kubernetes objects as operator and gateway see them: flat, frozen, and only with the fields that somebody uses."""

from datetime import datetime
from typing import Any

import msgspec

from perfprofile_agent.api.profile import PerfProfileStatus
from perfprofile_agent.api.run import PerfProfileRunSpec, PerfProfileRunStatus

HOSTNAME_LABEL = "kubernetes.io/hostname"
"""The label of a node by which a run's DaemonSet is bound to it (the kubelet sets it)."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of all objects here: compared by value, never changed."""


class OwnerReference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who an object belongs to; it is deleted after that one."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class ObjectMeta(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """meta/v1 ObjectMeta."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    generation: int = 0
    resource_version: str = ""
    owner_references: tuple[OwnerReference, ...] = ()


class ContainerStatus(Value, frozen=True, kw_only=True):
    """How one container of a pod stands; absent texts are empty."""

    name: str
    container_id: str = ""
    """As the kubelet writes it, with the runtime in front: ``containerd://0a1b…``; empty before it was created."""
    ready: bool = False
    running: bool = False
    restart_count: int = 0
    waiting_reason: str = ""
    waiting_message: str = ""
    terminated_reason: str = ""
    terminated_message: str = ""
    exit_code: int | None = None
    last_terminated_reason: str = ""
    last_terminated_message: str = ""
    last_exit_code: int | None = None


class PodCondition(msgspec.Struct, frozen=True, kw_only=True):
    """core/v1 PodCondition."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class Pod(Value, frozen=True, kw_only=True):
    """A pod."""

    metadata: ObjectMeta
    node_name: str = ""
    """Where it runs; empty before it is scheduled."""
    destined_node: str = ""
    """Where its DaemonSet wants it to run, known before it is scheduled; empty for other pods."""
    phase: str = ""
    reason: str = ""
    message: str = ""
    containers: tuple[str, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    """Of init containers, and so of sidecars (restartPolicy Always)."""
    conditions: tuple[PodCondition, ...] = ()
    start_time: datetime | None = None
    """When the kubelet took the pod on."""
    host_ip: str = ""


class Node(Value, frozen=True, kw_only=True):
    """A node."""

    metadata: ObjectMeta
    ready: bool = False
    unschedulable: bool = False

    @property
    def hostname(self) -> str:
        """Value of its hostname label; the node's name where the label is absent."""
        return self.metadata.labels.get(HOSTNAME_LABEL, self.metadata.name)


class DaemonSet(Value, frozen=True, kw_only=True):
    """A DaemonSet, and the hostnames its pods are bound to by node affinity."""

    metadata: ObjectMeta
    hostnames: tuple[str, ...] = ()
    desired: int = 0
    current: int = 0
    ready: int = 0


class Event(Value, frozen=True, kw_only=True):
    """What somebody told about an object."""

    type: str = ""
    reason: str = ""
    note: str = ""


class ProfileObject(Value, frozen=True, kw_only=True):
    """A PerfProfile. The spec stays as it was written: only admission can say in words what is wrong with it."""

    metadata: ObjectMeta
    spec: dict[str, Any]
    status: PerfProfileStatus = PerfProfileStatus()


class RunObject(Value, frozen=True, kw_only=True):
    """A PerfProfileRun."""

    metadata: ObjectMeta
    spec: PerfProfileRunSpec
    status: PerfProfileRunStatus = PerfProfileRunStatus()


class Secret(Value, frozen=True, kw_only=True):
    """A Secret; its data is decoded and never printed."""

    metadata: ObjectMeta
    data: dict[str, bytes] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # typing.override comes with Python 3.12
        return f"Secret({self.metadata.namespace}/{self.metadata.name}, keys={sorted(self.data)})"


class ConfigMap(Value, frozen=True, kw_only=True):
    """A ConfigMap."""

    metadata: ObjectMeta
    data: dict[str, str] = msgspec.field(default_factory=dict)


class ApiService(Value, frozen=True, kw_only=True):
    """An APIService (apiregistration.k8s.io), and the CA by which the API server knows its backend."""

    metadata: ObjectMeta
    ca_bundle: bytes = b""


class TokenIdentity(Value, frozen=True, kw_only=True):
    """Whose a service account token is, as TokenReview says. Texts are empty where the token is not bound to a pod."""

    username: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    node_name: str = ""
    pod_name: str = ""
    pod_uid: str = ""


class Regarding(Value, frozen=True, kw_only=True):
    """The object that an Event is about."""

    api_version: str
    kind: str
    name: str
    namespace: str
    uid: str

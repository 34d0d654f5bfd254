"""Kubernetes objects as the API server writes them, and how they become the flat ones of :mod:`perfprofile_cluster.objects`.

Only the fields that are used are named; msgspec skips the others without building anything from them, which is what keeps
lists of thousands of pods cheap.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from perfprofile_agent.api.profile import PerfProfileStatus
from perfprofile_agent.api.run import PerfProfileRunSpec, PerfProfileRunStatus
from perfprofile_cluster import objects
from perfprofile_cluster.objects import HOSTNAME_LABEL, ObjectMeta


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """camelCase, unknown fields ignored."""


class _Terminated(_Wire, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""
    exit_code: int | None = None


class _Waiting(_Wire, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""


class _ContainerState(_Wire, frozen=True, kw_only=True):
    waiting: _Waiting = _Waiting()
    running: dict[str, Any] | None = None
    terminated: _Terminated = _Terminated()


class _ContainerStatus(_Wire, frozen=True, kw_only=True):
    name: str
    container_id: str = msgspec.field(default="", name="containerID")
    ready: bool = False
    restart_count: int = 0
    state: _ContainerState = _ContainerState()
    last_state: _ContainerState = _ContainerState()

    def flat(self) -> objects.ContainerStatus:
        return objects.ContainerStatus(
            name=self.name,
            container_id=self.container_id,
            ready=self.ready,
            running=self.state.running is not None,
            restart_count=self.restart_count,
            waiting_reason=self.state.waiting.reason,
            waiting_message=self.state.waiting.message,
            terminated_reason=self.state.terminated.reason,
            terminated_message=self.state.terminated.message,
            exit_code=self.state.terminated.exit_code,
            last_terminated_reason=self.last_state.terminated.reason,
            last_terminated_message=self.last_state.terminated.message,
            last_exit_code=self.last_state.terminated.exit_code,
        )


class _Expression(_Wire, frozen=True, kw_only=True):
    key: str = ""
    values: tuple[str, ...] = ()


class _Term(_Wire, frozen=True, kw_only=True):
    match_expressions: tuple[_Expression, ...] = ()
    match_fields: tuple[_Expression, ...] = ()


class _NodeSelector(_Wire, frozen=True, kw_only=True):
    node_selector_terms: tuple[_Term, ...] = ()


class _NodeAffinity(_Wire, frozen=True, kw_only=True):
    required: _NodeSelector = msgspec.field(default=_NodeSelector(), name="requiredDuringSchedulingIgnoredDuringExecution")


class _Affinity(_Wire, frozen=True, kw_only=True):
    node_affinity: _NodeAffinity = _NodeAffinity()

    def hostnames(self) -> tuple[str, ...]:
        expressions = (expression for term in self.node_affinity.required.node_selector_terms for expression in term.match_expressions)
        return tuple(value for expression in expressions if expression.key == HOSTNAME_LABEL for value in expression.values)

    def node(self) -> str:
        """Give the node that the DaemonSet controller bound the pod to (matchFields metadata.name)."""
        fields = (field for term in self.node_affinity.required.node_selector_terms for field in term.match_fields)
        return next((value for field in fields if field.key == "metadata.name" for value in field.values), "")


class _Container(_Wire, frozen=True, kw_only=True):
    name: str


class _PodSpec(_Wire, frozen=True, kw_only=True):
    node_name: str = ""
    affinity: _Affinity = _Affinity()
    containers: tuple[_Container, ...] = ()


class _PodStatus(_Wire, frozen=True, kw_only=True):
    phase: str = ""
    reason: str = ""
    message: str = ""
    start_time: datetime | None = None
    host_ip: str = msgspec.field(default="", name="hostIP")
    conditions: tuple[objects.PodCondition, ...] = ()
    container_statuses: tuple[_ContainerStatus, ...] = ()
    init_container_statuses: tuple[_ContainerStatus, ...] = ()


class WirePod(_Wire, frozen=True, kw_only=True):
    """core/v1 Pod."""

    metadata: ObjectMeta
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()

    def flat(self) -> objects.Pod:
        """Give the flat value."""
        return objects.Pod(
            metadata=self.metadata,
            node_name=self.spec.node_name,
            destined_node=self.spec.affinity.node(),
            containers=tuple(container.name for container in self.spec.containers),
            phase=self.status.phase,
            reason=self.status.reason,
            message=self.status.message,
            conditions=self.status.conditions,
            container_statuses=tuple(status.flat() for status in self.status.container_statuses),
            init_container_statuses=tuple(status.flat() for status in self.status.init_container_statuses),
            start_time=self.status.start_time,
            host_ip=self.status.host_ip,
        )


class _NodeSpec(_Wire, frozen=True, kw_only=True):
    unschedulable: bool = False


class _NodeStatus(_Wire, frozen=True, kw_only=True):
    conditions: tuple[objects.PodCondition, ...] = ()


class WireNode(_Wire, frozen=True, kw_only=True):
    """core/v1 Node."""

    metadata: ObjectMeta
    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus = _NodeStatus()

    def flat(self) -> objects.Node:
        """Give the flat value."""
        ready = any(condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions)
        return objects.Node(metadata=self.metadata, ready=ready, unschedulable=self.spec.unschedulable)


class _TemplateSpec(_Wire, frozen=True, kw_only=True):
    affinity: _Affinity = _Affinity()


class _Template(_Wire, frozen=True, kw_only=True):
    spec: _TemplateSpec = _TemplateSpec()


class _DaemonSetSpec(_Wire, frozen=True, kw_only=True):
    template: _Template = _Template()


class _DaemonSetStatus(_Wire, frozen=True, kw_only=True):
    desired_number_scheduled: int = 0
    current_number_scheduled: int = 0
    number_ready: int = 0


class WireDaemonSet(_Wire, frozen=True, kw_only=True):
    """apps/v1 DaemonSet."""

    metadata: ObjectMeta
    spec: _DaemonSetSpec = _DaemonSetSpec()
    status: _DaemonSetStatus = _DaemonSetStatus()

    def flat(self) -> objects.DaemonSet:
        """Give the flat value."""
        return objects.DaemonSet(
            metadata=self.metadata,
            hostnames=self.spec.template.spec.affinity.hostnames(),
            desired=self.status.desired_number_scheduled,
            current=self.status.current_number_scheduled,
            ready=self.status.number_ready,
        )


class WireEvent(_Wire, frozen=True, kw_only=True):
    """core/v1 Event."""

    metadata: ObjectMeta
    type: str = ""
    reason: str = ""
    message: str = ""

    def flat(self) -> objects.Event:
        """Give the flat value."""
        return objects.Event(type=self.type, reason=self.reason, note=self.message)


class WireProfile(_Wire, frozen=True, kw_only=True):
    """PerfProfile."""

    metadata: ObjectMeta
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: msgspec.Raw = msgspec.Raw(b"{}")

    def flat(self) -> objects.ProfileObject:
        """Give the flat value; a status that can't be read counts as empty, since the operator writes it anew anyway."""
        try:
            status = msgspec.json.decode(self.status, type=PerfProfileStatus)
        except msgspec.DecodeError:
            status = PerfProfileStatus()
        return objects.ProfileObject(metadata=self.metadata, spec=self.spec, status=status)


class WireRun(_Wire, frozen=True, kw_only=True):
    """PerfProfileRun."""

    metadata: ObjectMeta
    spec: PerfProfileRunSpec
    status: PerfProfileRunStatus = PerfProfileRunStatus()

    def flat(self) -> objects.RunObject:
        """Give the flat value."""
        return objects.RunObject(metadata=self.metadata, spec=self.spec, status=self.status)


class _ApiServiceSpec(_Wire, frozen=True, kw_only=True):
    ca_bundle: bytes = b""


class WireApiService(_Wire, frozen=True, kw_only=True):
    """apiregistration.k8s.io/v1 APIService."""

    metadata: ObjectMeta
    spec: _ApiServiceSpec = _ApiServiceSpec()

    def flat(self) -> objects.ApiService:
        """Give the flat value."""
        return objects.ApiService(metadata=self.metadata, ca_bundle=self.spec.ca_bundle)


class AnyObject(_Wire, frozen=True, kw_only=True):
    """An object of any kind."""

    metadata: ObjectMeta


class ListMeta(_Wire, frozen=True, kw_only=True):
    """meta/v1 ListMeta."""

    continue_: str = msgspec.field(default="", name="continue")


class ObjectList(_Wire, frozen=True, kw_only=True):
    """A page of any list, its items still undecoded, so that one unreadable item does not hide the others."""

    metadata: ListMeta = ListMeta()
    items: tuple[msgspec.Raw, ...] = ()


class _Cause(_Wire, frozen=True, kw_only=True):
    reason: str = ""


class _Details(_Wire, frozen=True, kw_only=True):
    causes: tuple[_Cause, ...] = ()


class Failure(_Wire, frozen=True, kw_only=True):
    """meta/v1 Status of a refused call."""

    reason: str = ""
    message: str = ""
    details: _Details = _Details()

    @property
    def terminating(self) -> bool:
        """Whether the namespace is being deleted."""
        return any(cause.reason == "NamespaceTerminating" for cause in self.details.causes)


class _ReviewedUser(_Wire, frozen=True, kw_only=True):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    def first(self, key: str) -> str:
        values = self.extra.get(f"authentication.kubernetes.io/{key}", ())
        return values[0] if values else ""


class _TokenReviewStatus(_Wire, frozen=True, kw_only=True):
    authenticated: bool = False
    audiences: tuple[str, ...] = ()
    user: _ReviewedUser = _ReviewedUser()


class TokenReview(_Wire, frozen=True, kw_only=True):
    """authentication.k8s.io/v1 TokenReview, answered."""

    status: _TokenReviewStatus = _TokenReviewStatus()

    def identity(self, audiences: Iterable[str]) -> objects.TokenIdentity | None:
        """Give whose token it is; None if it is not valid, or not meant for one of ``audiences``."""
        # An API server that ignores audiences answers authenticated=true without any: that must not count.
        if not self.status.authenticated or not set(audiences) & set(self.status.audiences):
            return None
        user = self.status.user
        return objects.TokenIdentity(
            username=user.username,
            uid=user.uid,
            groups=user.groups,
            node_name=user.first("node-name"),
            pod_name=user.first("pod-name"),
            pod_uid=user.first("pod-uid"),
        )


class _AccessStatus(_Wire, frozen=True, kw_only=True):
    allowed: bool = False
    denied: bool = False
    reason: str = ""


class SubjectAccessReview(_Wire, frozen=True, kw_only=True):
    """authorization.k8s.io/v1 SubjectAccessReview, answered."""

    status: _AccessStatus = _AccessStatus()

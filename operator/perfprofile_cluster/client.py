"""The Kubernetes API in typed calls. Absent is None; every failure is a :class:`~perfprofile_cluster.errors.ClusterError`."""

import base64
import hashlib
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from perfprofile_agent.api.names import API_VERSION
from perfprofile_agent.api.profile import LabelSelector
from perfprofile_cluster import objects, wire
from perfprofile_cluster.errors import ClusterError
from perfprofile_cluster.selectors import selector_text
from perfprofile_cluster.transport import MERGE_PATCH, Transport

log = logging.getLogger(__name__)

PAGE: Final = 500
"""Objects in one page of a list: what client-go uses, and small enough that a page of nodes stays below a few megabytes."""
ATTEMPTS: Final = 5
"""At a change that others come between; each takes some milliseconds."""
MAX_NOTE: Final = 1024
"""Bytes of an Event's note (events.k8s.io/v1)."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Flattens(Protocol[T_co]):
    def flat(self) -> T_co: ...


class Cluster:
    """Calls on behalf of the account we run as. Thread-safe: no state but the transport's pool of connections."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    def connect(cls, kubeconfig: str | None = None) -> "Cluster":
        """Connect as the pod's service account, else by a kubeconfig (the file given, or KUBECONFIG's).

        Raises:
            ClusterError: There is no configuration to connect with.
        """
        return cls(Transport.connect(kubeconfig))

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # ---- PerfProfiles and their runs

    def list_profiles(self, namespace: str | None = None) -> list[objects.ProfileObject]:
        """List PerfProfiles, of all namespaces if None."""
        return self._list(_ours("perfprofiles", namespace), wire.WireProfile)

    def get_profile(self, namespace: str, name: str) -> objects.ProfileObject | None:
        """Read one PerfProfile."""
        return self._get(_ours("perfprofiles", namespace, name), wire.WireProfile)

    def patch_profile_status(self, namespace: str, name: str, status: Mapping[str, Any], *, resource_version: str = "") -> None:
        """Merge ``status`` into a PerfProfile's; with ``resource_version``, only if nobody changed it since (else 409)."""
        self._patch(_ours("perfprofiles", namespace, name) + "/status", _versioned({"status": dict(status)}, resource_version))

    def list_runs(self, namespace: str | None = None, selector: str = "") -> list[objects.RunObject]:
        """List PerfProfileRuns, of all namespaces if None."""
        return self._list(_ours("perfprofileruns", namespace), wire.WireRun, {"labelSelector": selector} if selector else {})

    def get_run(self, namespace: str, name: str) -> objects.RunObject | None:
        """Read one PerfProfileRun."""
        return self._get(_ours("perfprofileruns", namespace, name), wire.WireRun)

    def create_run(self, namespace: str, body: Mapping[str, Any]) -> objects.RunObject:
        """Create a PerfProfileRun (``already_exists`` on the error if one of this name is there)."""
        return self._create(_ours("perfprofileruns", namespace), body, wire.WireRun)

    def delete_run(self, namespace: str, name: str, *, uid: str = "") -> None:
        """Delete a PerfProfileRun; with ``uid``, only that one."""
        self._delete(_ours("perfprofileruns", namespace, name), uid)

    def patch_run_status(self, namespace: str, name: str, status: Mapping[str, Any], *, uid: str = "", resource_version: str = "") -> None:
        """Merge ``status`` into a run's.

        With ``resource_version``, only if nobody changed the run since (else ``conflict``). With ``uid``, whoever changed it meanwhile,
        but only if it is still that run (else ``conflict``, or ``not_found``).
        """
        path = _ours("perfprofileruns", namespace, name)
        if uid:
            self._patch_status_of(path, uid, status)
        else:
            self._patch(f"{path}/status", _versioned({"status": dict(status)}, resource_version))

    # ---- Pods, nodes and DaemonSets

    def list_pods(self, namespace: str, selector: LabelSelector | str = "", *, node: str | None = None) -> list[objects.Pod]:
        """List the pods of a namespace that carry the labels, on one node if given."""
        query = {"labelSelector": selector_text(selector), "fieldSelector": f"spec.nodeName={node}" if node else ""}
        return self._list(_core("pods", namespace), wire.WirePod, {key: value for key, value in query.items() if value})

    def get_pod(self, namespace: str, name: str) -> objects.Pod | None:
        """Read one pod."""
        return self._get(_core("pods", namespace, name), wire.WirePod)

    def list_nodes(self) -> list[objects.Node]:
        """List all nodes."""
        return self._list("/api/v1/nodes", wire.WireNode)

    def list_daemonsets(self, namespace: str, selector: str = "") -> list[objects.DaemonSet]:
        """List the DaemonSets of a namespace."""
        return self._list(_daemonsets(namespace), wire.WireDaemonSet, {"labelSelector": selector} if selector else {})

    def get_daemonset(self, namespace: str, name: str) -> objects.DaemonSet | None:
        """Read one DaemonSet."""
        return self._get(_daemonsets(namespace, name), wire.WireDaemonSet)

    def create_daemonset(self, namespace: str, body: Mapping[str, Any]) -> objects.DaemonSet:
        """Create a DaemonSet (``already_exists`` on the error if one of this name is there)."""
        return self._create(_daemonsets(namespace), body, wire.WireDaemonSet)

    def delete_daemonset(self, namespace: str, name: str, *, uid: str = "") -> None:
        """Delete a DaemonSet and, in the background, its pods; with ``uid``, only that one."""
        self._delete(_daemonsets(namespace, name), uid)

    # ---- Configuration

    def get_secret(self, namespace: str, name: str) -> objects.Secret | None:
        """Read one Secret."""
        return self._get_as(_core("secrets", namespace, name), objects.Secret)

    def patch_secret(self, namespace: str, name: str, data: Mapping[str, bytes], *, resource_version: str = "") -> None:
        """Set keys of a Secret; with ``resource_version``, only if nobody changed it since (else 409)."""
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        self._patch(_core("secrets", namespace, name), _versioned({"data": encoded}, resource_version))

    def get_configmap(self, namespace: str, name: str) -> objects.ConfigMap | None:
        """Read one ConfigMap."""
        return self._get_as(_core("configmaps", namespace, name), objects.ConfigMap)

    def patch_configmap(self, namespace: str, name: str, data: Mapping[str, str]) -> None:
        """Set keys of a ConfigMap."""
        self._patch(_core("configmaps", namespace, name), {"data": dict(data)})

    def get_api_service(self, name: str) -> objects.ApiService | None:
        """Read one APIService."""
        return self._get(f"/apis/apiregistration.k8s.io/v1/apiservices/{quote(name)}", wire.WireApiService)

    def patch_api_service_ca(self, name: str, ca_pem: bytes) -> None:
        """Set the CA by which the API server knows an APIService's backend."""
        body = {"spec": {"caBundle": base64.b64encode(ca_pem).decode()}}
        self._patch(f"/apis/apiregistration.k8s.io/v1/apiservices/{quote(name)}", body)

    # ---- Who is it, and may they

    def review_token(self, token: str, audiences: Iterable[str]) -> objects.TokenIdentity | None:
        """Ask whose service account token this is; None if it is not valid for any of ``audiences``."""
        wanted = tuple(audiences)
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, "audiences": wanted}}
        answer = self._transport.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=body)
        return _decode(answer, wire.TokenReview).identity(wanted)

    def authorize(
        self,
        *,
        user: str,
        groups: Iterable[str],
        extra: Mapping[str, Iterable[str]],
        verb: str,
        group: str,
        resource: str,
        subresource: str,
        namespace: str,
        name: str,
    ) -> tuple[bool, str]:
        """Ask whether a user may do something; gives (allowed, the authorizer's reason)."""
        attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace, "name": name}
        spec = {
            "user": user,
            "groups": list(groups),
            "extra": {key: list(values) for key, values in extra.items()},
            "resourceAttributes": {key: value for key, value in attributes.items() if value},
        }
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = self._transport.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
        status = _decode(answer, wire.SubjectAccessReview).status
        return status.allowed and not status.denied, status.reason

    # ---- Events

    def list_events(self, namespace: str, *, regarding_uid: str) -> list[objects.Event]:
        """List what was told about one object."""
        return self._list(_core("events", namespace), wire.WireEvent, {"fieldSelector": f"involvedObject.uid={regarding_uid}"})

    def create_event(self, regarding: objects.Regarding, *, type_: str, reason: str, note: str, action: str, reporter: str) -> None:
        """Tell something about an object, once: the Event's name comes from its content, so that a repeated call changes nothing.

        Args:
            regarding: The object; the Event is written in its namespace and outlives it.
            type_: ``Normal`` or ``Warning``.
            reason: One CamelCase word.
            note: A sentence; cut at :data:`MAX_NOTE` bytes.
            action: What was done, one CamelCase word.
            reporter: Who tells it, for example ``perfprofile.dev/operator``.
        """
        note = note.encode()[:MAX_NOTE].decode(errors="ignore")
        digest = hashlib.sha256(f"{regarding.uid}\0{type_}\0{reason}\0{note}\0{action}".encode()).hexdigest()[:16]
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{regarding.name[:230]}.{digest}", "namespace": regarding.namespace},
            "regarding": {
                "apiVersion": regarding.api_version,
                "kind": regarding.kind,
                "name": regarding.name,
                "namespace": regarding.namespace,
                "uid": regarding.uid,
            },
            "eventTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "reportingController": reporter,
            "reportingInstance": reporter,
            "type": type_,
            "reason": reason,
            "note": note,
            "action": action,
        }
        try:
            self._transport.call("POST", f"/apis/events.k8s.io/v1/namespaces/{quote(regarding.namespace)}/events", body=body)
        except ClusterError as error:
            if not error.already_exists:
                raise

    # ---- How all of them are done

    def _list(self, path: str, kind: type[_Flattens[T]], query: Mapping[str, str] | None = None) -> list[T]:
        try:
            return self._pages(path, kind, {**(query or {}), "limit": PAGE})
        except ClusterError as error:
            if error.status != HTTPStatus.GONE:
                raise
            # The list took longer than the API server keeps its snapshot: take it whole, without pages.
            return self._pages(path, kind, query or {})

    def _pages(self, path: str, kind: type[_Flattens[T]], query: Mapping[str, str | int]) -> list[T]:
        found: list[T] = []
        token = ""
        while True:
            page = _decode(self._transport.call("GET", path, query={**query, "continue": token} if token else query), wire.ObjectList)
            found.extend(_readable(path, page.items, kind))
            token = page.metadata.continue_
            if not token:
                return found

    def _get(self, path: str, kind: type[_Flattens[T]]) -> T | None:
        found = self._get_as(path, kind)
        return None if found is None else found.flat()

    def _get_as(self, path: str, kind: type[T]) -> T | None:
        try:
            return _decode(self._transport.call("GET", path), kind)
        except ClusterError as error:
            if error.not_found:
                return None
            raise

    def _create(self, path: str, body: Mapping[str, Any], kind: type[_Flattens[T]]) -> T:
        return _decode(self._transport.call("POST", path, body=body), kind).flat()

    def _delete(self, path: str, uid: str) -> None:
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._transport.call("DELETE", path, body=body)
        except ClusterError as error:
            if not error.not_found:
                raise

    def _patch(self, path: str, body: Mapping[str, Any]) -> None:
        self._transport.call("PATCH", path, body=body, content_type=MERGE_PATCH)

    def _patch_status_of(self, path: str, uid: str, status: Mapping[str, Any]) -> None:
        """Patch the status of the object with this uid. A uid in the patch itself is ignored for custom resources, a version is not."""
        for _ in range(ATTEMPTS):
            metadata = _decode(self._transport.call("GET", path), wire.AnyObject).metadata
            if metadata.uid != uid:
                break
            try:
                self._patch(f"{path}/status", _versioned({"status": dict(status)}, metadata.resource_version))
            except ClusterError as error:
                if not error.conflict:
                    raise
            else:
                return
        raise ClusterError(HTTPStatus.CONFLICT, "Conflict", f"{path} is another object by now, or changes all the time; read it again")


def _decode(content: bytes | msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise ClusterError(200, "Undecodable", f"{kind.__name__} has another shape than this version knows: {error}") from error


def _readable(path: str, items: Iterable[msgspec.Raw], kind: type[_Flattens[T]]) -> Iterable[T]:
    for item in items:
        try:
            yield _decode(item, kind).flat()
        except ClusterError as error:
            log.warning("Left out an object of %s: %s", path, error.message)


def _ours(resource: str, namespace: str | None, name: str = "") -> str:
    return _path(f"/apis/{API_VERSION}", resource, namespace, name)


def _core(resource: str, namespace: str, name: str = "") -> str:
    return _path("/api/v1", resource, namespace, name)


def _daemonsets(namespace: str, name: str = "") -> str:
    return _path("/apis/apps/v1", "daemonsets", namespace, name)


def _path(root: str, resource: str, namespace: str | None, name: str) -> str:
    """Give a resource's path; quoted and without dot segments, so that a hostile name can't walk elsewhere.

    Raises:
        ClusterError: A name is one that no object can have.
    """
    if {namespace, name} & {".", ".."}:
        raise ClusterError(HTTPStatus.BAD_REQUEST, "BadRequest", "no object is named like this; use a valid name")
    where = f"/namespaces/{quote(namespace, safe='')}" if namespace is not None else ""
    return f"{root}{where}/{resource}" + (f"/{quote(name, safe='')}" if name else "")


def _versioned(body: dict[str, Any], resource_version: str) -> dict[str, Any]:
    return {**body, "metadata": {"resourceVersion": resource_version}} if resource_version else body

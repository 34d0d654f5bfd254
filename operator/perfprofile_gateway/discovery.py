"""What the aggregated API says of itself: discovery and OpenAPI documents, as kube-apiserver's aggregator and kubectl read them.

Only subresources are listed. A resource ``perfprofileruns`` of this group beside the one of ``perfprofile.dev`` would make the short form
``kubectl get perfprofileruns`` ambiguous.
"""

from typing import Any, Final

from perfprofile_agent import __version__
from perfprofile_agent.api.names import DATA_API_VERSION, DATA_GROUP, VERSION

RESOURCE: Final = "perfprofileruns"
SUBRESOURCES: Final = {
    "profile": ("Profile", "application/octet-stream", "The run's profile, merged over nodes and windows: gzipped pprof."),
    "flamegraph": ("FlameGraph", "text/html", "The run's profile as a flame graph: one page that needs nothing else."),
    "top": ("TopFunctions", "text/plain", "The hottest functions of the run, as a table. ?n=20 says how many."),
    "nodes": ("NodeReportList", "application/json", "What every node reported of the run."),
}
"""Subresource: (kind, media type, what it is)."""

AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""Media type of aggregated discovery (KEP-3352)."""

_VERSION: Final = {"groupVersion": DATA_API_VERSION, "version": VERSION}
_ROOT: Final = f"/apis/{DATA_API_VERSION}"
_PATH: Final = f"{_ROOT}/namespaces/{{namespace}}/{RESOURCE}/{{name}}/"


def group() -> dict[str, Any]:
    """meta/v1 APIGroup."""
    return {"kind": "APIGroup", "apiVersion": "v1", "name": DATA_GROUP, "versions": [_VERSION], "preferredVersion": _VERSION}


def group_list() -> dict[str, Any]:
    """meta/v1 APIGroupList."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group()]}


def resource_list() -> dict[str, Any]:
    """meta/v1 APIResourceList."""
    resources = [
        {"name": f"{RESOURCE}/{name}", "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get"]}
        for name, (kind, _, _) in SUBRESOURCES.items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": DATA_API_VERSION, "resources": resources}


def aggregated_list() -> dict[str, Any]:
    """apidiscovery.k8s.io/v2 APIGroupDiscoveryList. A resource without responseKind only carries its subresources."""
    subresources = [
        {"subresource": name, "responseKind": {"group": DATA_GROUP, "version": VERSION, "kind": kind}, "verbs": ["get"]}
        for name, (kind, _, _) in SUBRESOURCES.items()
    ]
    resource = {"resource": RESOURCE, "scope": "Namespaced", "singularResource": "", "verbs": [], "subresources": subresources}
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [{"metadata": {"name": DATA_GROUP}, "versions": [{"version": VERSION, "freshness": "Current", "resources": [resource]}]}],
    }


def wants_aggregated(accept: str) -> bool:
    """Whether an Accept header takes aggregated discovery (version 2)."""
    for choice in accept.split(","):
        _, *parameters = (part.strip() for part in choice.split(";"))
        if {"g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"} <= set(parameters):
            return True
    return False


def openapi_v2() -> dict[str, Any]:
    """OpenAPI 2.0 of the group."""
    paths: dict[str, Any] = {}
    for name, (_, media_type, text) in SUBRESOURCES.items():
        parameters = [{"name": key, "in": "path", "required": True, "type": "string"} for key in ("namespace", "name")]
        operation = {**_operation(name, text), "produces": [media_type], "responses": {"200": {"description": "OK"}}}
        paths[_PATH + name] = {"get": operation, "parameters": parameters}
    return {"swagger": "2.0", "info": _info(), "paths": paths, "definitions": {}}


def openapi_v3() -> dict[str, Any]:
    """OpenAPI 3.0 of the group and version."""
    paths: dict[str, Any] = {}
    for name, (_, media_type, text) in SUBRESOURCES.items():
        parameters = [{"name": key, "in": "path", "required": True, "schema": {"type": "string"}} for key in ("namespace", "name")]
        schema = {"type": "string", "format": "binary"} if name == "profile" else {"type": "string"}
        responses = {"200": {"description": "OK", "content": {media_type: {"schema": schema}}}}
        paths[_PATH + name] = {"get": {**_operation(name, text), "responses": responses}, "parameters": parameters}
    return {"openapi": "3.0.0", "info": _info(), "paths": paths, "components": {"schemas": {}}}


def openapi_v3_index(digest: str) -> dict[str, Any]:
    """The index of OpenAPI 3.0 documents; ``digest`` lets clients keep them."""
    where = f"apis/{DATA_API_VERSION}"
    return {"paths": {where: {"serverRelativeURL": f"/openapi/v3/{where}?hash={digest}"}}}


def _operation(name: str, text: str) -> dict[str, Any]:
    kind = SUBRESOURCES[name][0]
    return {
        "description": text,
        "operationId": f"readDataPerfprofileDevV1alpha1NamespacedPerfProfileRun{kind}",
        "tags": ["dataPerfprofileDev_v1alpha1"],
        "x-kubernetes-action": "get",
        "x-kubernetes-group-version-kind": {"group": DATA_GROUP, "version": VERSION, "kind": kind},
    }


def _info() -> dict[str, str]:
    return {"title": "PerfProfile data", "version": __version__}

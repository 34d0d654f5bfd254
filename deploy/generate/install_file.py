"""deploy/install.yaml: the chart with its own defaults, for those who install with kubectl alone."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from crd_files import to_yaml

NAMESPACE = "perfprofile-system"
KUBERNETES = "1.30.0"
"""The oldest Kubernetes that the chart takes; helm asks for one when no cluster is there."""

NOTE = """\
# PerfProfile, with the chart's defaults. Generated from charts/perfprofile by `make generate`; do not edit.
#
#   kubectl apply --server-side -f deploy/install.yaml
"""


def files(root: Path, helm: str) -> dict[str, str]:
    """Give path to content of deploy/install.yaml; ``helm`` is the program."""
    command = [helm, "template", "perfprofile", "charts/perfprofile", f"--namespace={NAMESPACE}", f"--kube-version={KUBERNETES}"]
    rendered = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    documents = [_without_helm(document) for document in yaml.safe_load_all(rendered) if document]
    documents.sort(key=lambda document: _ORDER.get(document["kind"], len(_ORDER)))
    return {"deploy/install.yaml": NOTE + "".join(f"---\n{to_yaml(document)}" for document in [_namespace(), *documents])}


_ORDER = {kind: place for place, kind in enumerate(("Namespace", "CustomResourceDefinition", "PriorityClass"))}
"""What others need comes first; the rest stays in helm's order."""


def _namespace() -> dict[str, Any]:
    """Give the namespace of operator and gateway, which helm would make by ``--create-namespace`` without labels."""
    labels = {"app.kubernetes.io/name": "perfprofile", "app.kubernetes.io/part-of": "perfprofile"}
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels | levels}}


def _without_helm(document: dict[str, Any]) -> dict[str, Any]:
    """Take off the labels and annotations that mean something to helm only."""
    template = document.get("spec", {}).get("template", {}) if document["kind"] == "Deployment" else {}
    for metadata in (document["metadata"], template.get("metadata", {})):
        labels = metadata.get("labels", {})
        labels.pop("helm.sh/chart", None)
        labels.pop("app.kubernetes.io/managed-by", None)
        annotations = metadata.get("annotations", {})
        annotations.pop("helm.sh/resource-policy", None)
        if "annotations" in metadata and not annotations:
            del metadata["annotations"]
    return document

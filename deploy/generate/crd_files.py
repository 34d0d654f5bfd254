"""CRD files: plain ones for kubectl, and chart templates behind the value ``crds.install``."""

from typing import Any

import yaml

from perfprofile_agent.api import crd

NOTE = "# Generated from perfprofile_agent.api by `make generate`; do not edit.\n"


def files() -> dict[str, str]:
    """Give path to content of the CRD files in deploy/ and in the chart."""
    made: dict[str, str] = {}
    for resource in crd.RESOURCES:
        definition = crd.custom_resource_definition(resource)
        made[f"deploy/crds/{resource.plural}.yaml"] = NOTE + to_yaml(definition)
        made[f"charts/perfprofile/templates/crds/{resource.plural}.yaml"] = _template(definition)
    return made


def to_yaml(document: Any) -> str:
    """Write a document as YAML that people can read: keys in their order, long sentences in one line."""
    return yaml.safe_dump(document, sort_keys=False, width=10_000, allow_unicode=True)


def _template(definition: dict[str, Any]) -> str:
    text = to_yaml(definition)
    if "{{" in text:
        raise ValueError("the CRD holds `{{`, which Helm would take for a template; write the description otherwise")
    keep = "metadata:\n  {{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}\n"
    return "{{- if .Values.crds.install }}\n" + NOTE + text.replace("metadata:\n", keep, 1) + "{{- end }}\n"

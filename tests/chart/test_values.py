"""Values: all described, all in the schema, and refused when they are wrong."""

import json

import pytest
import yaml

import perfprofile_agent
from support.helm import CHART, HelmError


def test_helm_has_nothing_to_say_against_the_chart(helm):
    said = helm.run("lint", "--strict", "--kube-version=1.30.0", str(CHART))

    assert "[ERROR]" not in said
    assert "[WARNING]" not in said


def test_wheel_images_and_chart_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["version"] == chart["appVersion"] == perfprofile_agent.__version__


def test_the_schema_names_exactly_the_values_of_the_file():
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert described(schema) - {"global"} == given(values, schema)


def described(schema, prefix=""):
    names = set()
    for name, inner in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        names |= described(inner, f"{path}.") or {path}
    return names


def given(values, schema, prefix=""):
    names = set()
    for name, value in values.items():
        inner = schema["properties"][name]
        path = f"{prefix}{name}"
        names |= given(value, inner, f"{path}.") if "properties" in inner else {path}
    return names


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("gateway.slotsPerNodes=4", "slotsPerNodes"),
        ("agent.privileged=true", "agent"),
        ("gateway.slotsPerNode=0", "slotsPerNode"),
        ("gateway.persistence.size=lots", "size"),
        ("operator.image.digest=latest", "digest"),
        ("operator.image.pullPolicy=Sometimes", "pullPolicy"),
        ("agents.privileged=perhaps", "privileged"),
        ("agents.namespace=Agents", "namespace"),
        ("agents.tolerations[0].operator=Maybe", "operator"),
        ("agents.resources.limit.cpu=1", "limit"),
        ("agents.namespace=perfprofile-system", "must not be the release's own namespace"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm, setting, complaint):
    with pytest.raises(HelmError) as refusal:
        helm.render(setting)

    assert complaint in str(refusal.value)


def test_an_older_kubernetes_is_refused(helm):
    with pytest.raises(HelmError) as refusal:
        helm.run("template", "x", str(CHART), "--kube-version=1.29.9")

    assert "kubeVersion" in str(refusal.value)

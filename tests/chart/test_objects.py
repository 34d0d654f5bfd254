"""What the chart makes, for the defaults and for each option."""

import pytest

from support.helm import find

SYSTEM, AGENTS = "perfprofile-system", "perfprofile-agents"


def test_these_objects_and_no_others_are_made(objects):
    assert {f"{one['kind']} {one['metadata']['name']}" for one in objects} == {
        "APIService v1alpha1.data.perfprofile.dev",
        "ClusterRole perfprofile-edit",
        "ClusterRole perfprofile-gateway",
        "ClusterRole perfprofile-operator",
        "ClusterRole perfprofile-view",
        "ClusterRoleBinding perfprofile-gateway",
        "ClusterRoleBinding perfprofile-operator",
        "ConfigMap perfprofile-gateway-ca",
        "CustomResourceDefinition perfprofileruns.perfprofile.dev",
        "CustomResourceDefinition perfprofiles.perfprofile.dev",
        "Deployment perfprofile-gateway",
        "Deployment perfprofile-operator",
        "Namespace perfprofile-agents",
        "PersistentVolumeClaim perfprofile-gateway",
        "PriorityClass perfprofile-agent",
        "Role perfprofile-gateway",
        "Role perfprofile-operator",
        "RoleBinding perfprofile-gateway",
        "RoleBinding perfprofile-gateway-authentication-reader",
        "RoleBinding perfprofile-operator",
        "Secret perfprofile-ca",
        "Secret perfprofile-gateway-tls",
        "Service perfprofile-gateway",
        "ServiceAccount perfprofile-agent",
        "ServiceAccount perfprofile-gateway",
        "ServiceAccount perfprofile-operator",
    }


@pytest.mark.parametrize(
    ("settings", "gone"),
    [
        (["crds.install=false"], {"CustomResourceDefinition"}),
        (["agents.createNamespace=false"], {"Namespace"}),
        (["agents.priorityClass.create=false"], {"PriorityClass"}),
        (["agents.priorityClass.name="], {"PriorityClass"}),
        (["gateway.persistence.enabled=false"], {"PersistentVolumeClaim"}),
        (["gateway.persistence.existingClaim=mine"], {"PersistentVolumeClaim"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_leaves_out_its_objects_and_nothing_else(helm, objects, settings, gone):
    left = helm.render(*settings)

    assert {one["kind"] for one in objects} - {one["kind"] for one in left} == gone
    assert [one["metadata"]["name"] for one in objects if one["kind"] not in gone] == [one["metadata"]["name"] for one in left]


def test_rights_of_users_can_be_left_to_the_administrator(helm):
    names = {one["metadata"]["name"] for one in helm.render("rbac.aggregateToDefaultRoles=false")}

    assert not {"perfprofile-edit", "perfprofile-view"} & names


def test_policies_cover_the_pods_of_all_three_programs(helm):
    policies = [one for one in helm.render("networkPolicy.enabled=true") if one["kind"] == "NetworkPolicy"]

    assert {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in policies} == {
        (SYSTEM, "perfprofile-operator"),
        (SYSTEM, "perfprofile-gateway"),
        (AGENTS, "perfprofile-agent"),
    }


def test_an_upgrade_cannot_blank_what_the_operator_filled_in(objects):
    """The manifests carry no data field at all, so neither helm nor kubectl owns one."""
    for kind, name in [("Secret", "perfprofile-ca"), ("Secret", "perfprofile-gateway-tls"), ("ConfigMap", "perfprofile-gateway-ca")]:
        assert not {"data", "stringData", "binaryData"} & find(objects, kind, name).keys()
    assert "caBundle" not in find(objects, "APIService", "v1alpha1.data.perfprofile.dev")["spec"]


def test_what_people_made_outlives_the_release_unless_they_say_otherwise(helm, objects):
    kept = {one["metadata"]["name"] for one in objects if one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"}
    none = helm.render("crds.keep=false", "gateway.persistence.keep=false")

    assert kept == {"perfprofiles.perfprofile.dev", "perfprofileruns.perfprofile.dev", "perfprofile-gateway"}
    assert not [one for one in none if one["metadata"].get("annotations", {}).get("helm.sh/resource-policy")]


@pytest.mark.parametrize("program", ["operator", "gateway"])
def test_a_program_runs_as_pod_security_restricted_asks(objects, program):
    """kubernetes.io/docs/concepts/security/pod-security-standards, restricted."""
    pod = find(objects, "Deployment", f"perfprofile-{program}")["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostPID", "hostNetwork", "hostIPC"} & pod.keys()
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]


@pytest.mark.parametrize("program", ["operator", "gateway"])
def test_a_program_is_one_pod_that_is_probed_and_limited(objects, program):
    deployment = find(objects, "Deployment", f"perfprofile-{program}")["spec"]
    (container,) = deployment["template"]["spec"]["containers"]

    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    assert {"livenessProbe", "readinessProbe"} <= container.keys()
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]


def test_the_operators_word_to_the_gateway_is_a_token_for_the_gateway_only(objects):
    pod = find(objects, "Deployment", "perfprofile-operator")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "gateway-token"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "gateway-token"]
    token = volume["projected"]["sources"][0]["serviceAccountToken"]

    assert token["audience"] == "perfprofile-gateway"
    assert environment["PERFPROFILE_GATEWAY_TOKEN_FILE"] == f"{mount['mountPath']}/{token['path']}"


def test_only_the_agents_namespace_may_hold_privileged_pods(objects):
    labels = find(objects, "Namespace", AGENTS)["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
    assert {one["metadata"].get("namespace") for one in objects} <= {SYSTEM, AGENTS, "kube-system", None}


def test_names_of_namespaces_go_everywhere(helm):
    objects = helm.render("agents.namespace=profilers", namespace="tools")
    environment = {
        variable["name"]: variable["value"]
        for variable in find(objects, "Deployment", "perfprofile-operator")["spec"]["template"]["spec"]["containers"][0]["env"]
    }

    assert environment["PERFPROFILE_NAMESPACE"] == "tools"
    assert environment["PERFPROFILE_AGENTS_NAMESPACE"] == "profilers"
    assert environment["PERFPROFILE_GATEWAY_URL"] == "https://perfprofile-gateway.tools.svc:8444"
    assert "perfprofile-system" not in str(objects)
    assert AGENTS not in str(objects)


def test_a_digest_wins_over_a_tag(helm):
    digest = "sha256:" + "0" * 64
    objects = helm.render("operator.image.repository=r/o", "operator.image.tag=t", f"operator.image.digest={digest}")

    for program in ("operator", "gateway"):
        (container,) = find(objects, "Deployment", f"perfprofile-{program}")["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"r/o@{digest}"


def test_settings_of_agents_reach_the_operator_as_it_reads_them(helm):
    """Lists of names by commas, structures as JSON: the operator's own settings parse them."""
    from perfprofile_operator.config import Settings

    objects = helm.render(
        "agents.image.repository=r/a", "agents.image.tag=t", "agents.imagePullSecrets={one,two}", "agents.privileged=true"
    )
    (container,) = find(objects, "Deployment", "perfprofile-operator")["spec"]["template"]["spec"]["containers"]

    settings = Settings.from_environment({variable["name"]: variable["value"] for variable in container["env"]})

    assert settings.agent_image == "r/a:t"
    assert tuple(settings.agent_image_pull_secrets) == ("one", "two")
    assert settings.agent_privileged is True
    assert settings.agent_resources["requests"] == {"cpu": "10m", "memory": "64Mi"}
    assert list(settings.agent_tolerations) == [{"operator": "Exists"}]
    assert settings.agent_priority_class == find(objects, "PriorityClass", "perfprofile-agent")["metadata"]["name"]


def test_the_gateway_takes_the_settings_that_the_chart_gives(objects):
    from perfprofile_gateway.config import Settings

    (container,) = find(objects, "Deployment", "perfprofile-gateway")["spec"]["template"]["spec"]["containers"]

    settings = Settings.from_environment({variable["name"]: variable["value"] for variable in container["env"]})

    assert settings == Settings()

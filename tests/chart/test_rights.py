"""Least privilege, as the manifests grant it: nothing that would let a stolen operator or gateway take the cluster."""

import pytest

from support import operator_rights
from support.helm import find

DANGEROUS_VERBS = {"*", "escalate", "bind", "impersonate"}
DANGEROUS_RESOURCES = {"*", "pods/exec", "pods/attach", "pods/ephemeralcontainers", "nodes/proxy", "serviceaccounts/token"}


def rules_of(objects, account):
    """Every rule of every role bound to a service account, with the binding's namespace ("" for the whole cluster)."""
    rules = []
    for binding in objects:
        if binding["kind"] not in {"RoleBinding", "ClusterRoleBinding"} or account not in {one["name"] for one in binding["subjects"]}:
            continue
        namespace = binding["metadata"].get("namespace", "")
        reference = binding["roleRef"]
        roles = [one for one in objects if (one["kind"], one["metadata"]["name"]) == (reference["kind"], reference["name"])]
        rules += [(namespace, rule) for role in roles if role["metadata"].get("namespace", "") in {"", namespace} for rule in role["rules"]]
    return rules


@pytest.mark.parametrize("account", ["perfprofile-operator", "perfprofile-gateway"])
def test_no_right_leads_to_more_rights(objects, account):
    for _, rule in rules_of(objects, account):
        assert not DANGEROUS_VERBS & set(rule["verbs"])
        assert not DANGEROUS_RESOURCES & set(rule["resources"])
        assert "*" not in rule["apiGroups"]


@pytest.mark.parametrize("account", ["perfprofile-operator", "perfprofile-gateway"])
def test_secrets_are_read_by_name_and_never_listed(objects, account):
    for namespace, rule in rules_of(objects, account):
        if "secrets" in rule["resources"]:
            assert namespace == "perfprofile-system"
            assert set(rule["resourceNames"]) <= {"perfprofile-ca", "perfprofile-gateway-tls"}
            assert set(rule["verbs"]) <= {"get", "patch"}


def test_only_the_operator_may_read_the_authoritys_key(objects):
    readers = {
        account
        for account in ("perfprofile-operator", "perfprofile-gateway", "perfprofile-agent")
        for _, rule in rules_of(objects, account)
        if "perfprofile-ca" in rule.get("resourceNames", ())
    }

    assert readers == {"perfprofile-operator"}


def test_the_operator_starts_workloads_in_the_agents_namespace_only(objects):
    places = {namespace for namespace, rule in rules_of(objects, "perfprofile-operator") if "daemonsets" in rule["resources"]}

    assert places == {"perfprofile-agents"}


def test_the_operator_makes_no_pods_and_no_roles(objects):
    made = {
        resource for _, rule in rules_of(objects, "perfprofile-operator") if "create" in rule["verbs"] for resource in rule["resources"]
    }

    assert made == {"perfprofileruns", "daemonsets", "events"}


def test_the_operator_has_the_rights_that_its_own_tests_run_with(objects):
    """tests/reconcile runs the operator on a real API server under these, so that none is missing and none is there for nothing."""
    given = rules_of(objects, "perfprofile-operator")

    expected = [("", rule) for rule in operator_rights.CLUSTER_RULES]
    expected += [(operator_rights.AGENTS, rule) for rule in operator_rights.AGENTS_RULES]
    expected += [(operator_rights.SYSTEM, rule) for rule in operator_rights.SYSTEM_RULES]
    assert single_rights(given) == single_rights(expected)


def single_rights(rules):
    """One tuple for each single thing that may be done."""
    return {
        (namespace, group, resource, verb, name)
        for namespace, rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def test_agents_are_bound_to_no_role(objects):
    assert rules_of(objects, "perfprofile-agent") == []
    assert find(objects, "ServiceAccount", "perfprofile-agent")["automountServiceAccountToken"] is False


def test_viewers_of_a_namespace_read_profiles_and_editors_ask_for_them(objects):
    view, edit = (find(objects, "ClusterRole", f"perfprofile-{name}") for name in ("view", "edit"))
    aggregation = "rbac.authorization.k8s.io/aggregate-to-view"

    assert view["metadata"]["labels"][aggregation] == "true"
    assert aggregation not in edit["metadata"]["labels"]
    assert {verb for rule in view["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert {resource for rule in view["rules"] if rule["apiGroups"] == ["data.perfprofile.dev"] for resource in rule["resources"]} == {
        f"perfprofileruns/{part}" for part in ("profile", "flamegraph", "top", "nodes")
    }
    assert not [rule for rule in edit["rules"] if "perfprofileruns" in rule["resources"] and "create" in rule["verbs"]]

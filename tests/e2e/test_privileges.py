"""What the programs may do, as the running cluster sees it."""

import pytest

from support.kubectl import Kubectl, eventually
from support.runs import AGENTS, SYSTEM, Team

CAPABILITIES = {"PERFMON", "SYSLOG", "SYS_PTRACE", "DAC_READ_SEARCH", "CHECKPOINT_RESTORE", "IPC_LOCK"}
TO_BECOME_ANOTHER_USER = {"SETUID", "SETGID", "SETPCAP"}
"""Held at start only, to switch from uid 0 to 65532; see docs/security.md."""


@pytest.fixture
def agent_pod(team: Team, kubectl: Kubectl):
    team.start("work", "encoder")
    team.ask("cpu", target={}, duration="10s")
    team.run_in_phase("cpu", "Recording", within=60)
    return kubectl.items("-n", AGENTS, "pods", "-l", f"perfprofile.dev/run-namespace={team.namespace}")[0]


def test_the_agents_pod_is_not_privileged_and_holds_only_the_documented_capabilities(agent_pod):
    spec = agent_pod["spec"]
    (container,) = spec["containers"]
    security = container["securityContext"]

    assert not security.get("privileged", False)
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"]["drop"] == ["ALL"]
    assert set(security["capabilities"]["add"]) == CAPABILITIES | TO_BECOME_ANOTHER_USER
    assert spec["automountServiceAccountToken"] is False
    assert all(mount.get("readOnly") for mount in container["volumeMounts"] if mount["name"] != "spool")


def test_the_running_agent_is_not_root_and_holds_only_what_perf_needs(agent_pod, kubectl: Kubectl):
    """As /proc tells of the process itself, not as the manifest promises."""
    in_agent = ("-n", AGENTS, "exec", agent_pod["metadata"]["name"], "--")
    script = """
import glob
for process in glob.glob("/proc/[0-9]*"):
    try:
        arguments = open(process + "/cmdline").read().split("\\0")
        if "join" in arguments:
            print(open(process + "/status").read())
    except OSError:
        pass
"""

    status = dict(line.split(":", 1) for line in kubectl(*in_agent, "python3", "-c", script).splitlines() if ":" in line)

    assert status["Uid"].split() == ["65532"] * 4
    assert int(status["CapEff"], 16).bit_count() == len(CAPABILITIES)
    assert status["CapEff"] == status["CapBnd"] == status["CapAmb"]
    assert status["NoNewPrivs"].strip() == "1"


def test_the_agents_service_account_has_no_rbac_at_all(kubectl: Kubectl):
    """It may do what every authenticated account may (ask what it may do, read public discovery), and nothing else."""
    agent = kubectl.as_user(f"system:serviceaccount:{AGENTS}:perfprofile-agent")

    listed = agent("auth", "can-i", "--list", "-n", AGENTS)

    resources = {line.split()[0] for line in listed.splitlines()[1:] if line and not line.startswith(" ")}
    assert resources <= {
        "selfsubjectreviews.authentication.k8s.io",
        "selfsubjectaccessreviews.authorization.k8s.io",
        "selfsubjectrulesreviews.authorization.k8s.io",
    }, listed


@pytest.mark.parametrize(
    "verb_and_resource", ["list secrets", "get pods/exec", "create pods", "get nodes/proxy", "create clusterroles", "create daemonsets"]
)
def test_the_operator_may_not(kubectl: Kubectl, verb_and_resource):
    operator = kubectl.as_user(f"system:serviceaccount:{SYSTEM}:perfprofile-operator")

    verb, resource = verb_and_resource.split()
    answer = operator_answer(operator, verb, resource)

    assert answer == "no"


def operator_answer(operator: Kubectl, verb: str, resource: str) -> str:
    try:
        return operator("auth", "can-i", verb, resource, "-n", "default").strip()
    except AssertionError:
        return "no"


def test_users_objects_carry_no_finalizer_and_no_annotation_of_ours(team: Team):
    team.start("work", "encoder")
    team.ask("cpu", target={}, duration="3s")
    team.finished_run("cpu")

    metadata = eventually(lambda: team.profile_object("cpu")["metadata"], within=5)

    assert not metadata.get("finalizers")
    assert set(metadata.get("annotations", {})) <= {"kubectl.kubernetes.io/last-applied-configuration"}

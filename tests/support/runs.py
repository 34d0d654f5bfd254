"""A team that asks for profiles: its namespace, its workloads, its PerfProfiles, and what it reads of them."""

from typing import Any

from perfprofile_agent.pprof import wire
from perfprofile_agent.pprof.model import Profile
from support.kubectl import Kubectl, KubectlError, eventually

SYSTEM = "perfprofile-system"
AGENTS = "perfprofile-agents"
WORKLOADS_IMAGE = "perfprofile.dev/demo-workloads:dev"
TERMINAL = {"Succeeded", "PartiallySucceeded", "Failed", "Denied", "Cancelled"}


class Team:
    """One namespace."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self.kubectl, self.namespace = kubectl, namespace

    def create(self) -> None:
        self.kubectl("create", "namespace", self.namespace)

    def delete(self) -> None:
        self.kubectl("delete", "namespace", self.namespace, "--wait=false")

    def start(self, name: str, *command: str, nodes: tuple[str, ...] = ("",)) -> None:
        """Start a workload, one pod for each of ``nodes`` ("" lets the scheduler choose), and wait until all run."""
        self.kubectl.apply(*(self._pod(f"{name}-{index}", name, command, node) for index, node in enumerate(nodes)))
        self.kubectl("-n", self.namespace, "wait", "pod", "-l", f"app={name}", "--for=condition=Ready", "--timeout=90s", timeout=100)

    def _pod(self, pod: str, app: str, command: tuple[str, ...], node: str) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "app",
                    "image": WORKLOADS_IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": list(command),
                    "resources": {"limits": {"cpu": "300m"}},
                }
            ],
        }
        if node:
            spec["nodeSelector"] = {"kubernetes.io/hostname": node}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod, "namespace": self.namespace, "labels": {"app": app}},
            "spec": spec,
        }

    def ask(self, name: str, **spec: Any) -> None:
        """Apply a PerfProfile."""
        self.kubectl.apply(
            {
                "apiVersion": "perfprofile.dev/v1alpha1",
                "kind": "PerfProfile",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": spec,
            }
        )

    def profile_object(self, name: str) -> Any:
        return self.kubectl.get("-n", self.namespace, "perfprofile", name)

    def runs(self, profile: str) -> list[Any]:
        return self.kubectl.items("-n", self.namespace, "perfprofileruns", "-l", f"perfprofile.dev/profile={profile}")

    def run_in_phase(self, profile: str, *phases: str, within: float) -> Any:
        """Wait until a run of ``profile`` is in one of ``phases``; give it."""

        def observe() -> Any:
            return next((run for run in self.runs(profile) if run.get("status", {}).get("phase") in phases), None)

        return eventually(observe, within=within, describe=lambda: f"no run of {profile} in {phases}: {self.runs(profile)}")

    def finished_run(self, profile: str, *, within: float = 120) -> Any:
        return self.run_in_phase(profile, *TERMINAL, within=within)

    def read(self, run: str, what: str = "profile", *, user: str = "") -> bytes:
        """Read a run's data through the API server, as any kubeconfig would."""
        kubectl = self.kubectl.as_user(user) if user else self.kubectl
        return kubectl.raw("get", "--raw", f"/apis/data.perfprofile.dev/v1alpha1/namespaces/{self.namespace}/perfprofileruns/{run}/{what}")

    def profile_of(self, run: str) -> Profile:
        return wire.decode(self.read(run), max_bytes=1 << 26)

    def daemon_sets(self) -> list[str]:
        """Names of the DaemonSets that work for this namespace's runs."""
        found = self.kubectl.items("-n", AGENTS, "daemonsets", "-l", f"perfprofile.dev/run-namespace={self.namespace}")
        return [item["metadata"]["name"] for item in found]

    def no_daemon_set_is_left(self) -> None:
        eventually(lambda: not self.daemon_sets(), within=60, describe=lambda: f"left: {self.daemon_sets()}")


def condition(resource: Any, kind: str) -> Any:
    """Give the condition of a type, or an empty dict."""
    return next((one for one in resource.get("status", {}).get("conditions", []) if one["type"] == kind), {})


def functions_of(profile: Profile) -> dict[str, int]:
    """Give each function's samples (cumulative): in how many samples its name stands."""
    counts: dict[str, int] = {}
    for sample in profile.samples:
        names = {profile.functions[line.function].name for index in sample.locations for line in profile.locations[index].lines}
        for name in names:
            counts[name] = counts.get(name, 0) + sample.values[0]
    return counts


def labels_of(profile: Profile, key: str) -> set[str]:
    """Give all values of a label; a sample without it counts as ""."""
    return {next((label.text for label in sample.labels if label.key == key), "") for sample in profile.samples}


def refused(kubectl_error: KubectlError) -> bool:
    """Whether the API server said 403."""
    return "Forbidden" in kubectl_error.stderr or "forbidden" in kubectl_error.stderr

"""`make demo`: the whole product on a real cluster, from nothing to two profiles that can be looked at.

It tells each step, uses nothing but what a user would use (kubectl, deploy/install.yaml, deploy/examples), and leaves profiles and flame
graphs in build/demo.
"""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cluster import images, lifecycle, packages, programs
from cluster.commands import run
from cluster.layout import HERE, KUBECONFIG, PROJECT
from cluster.steps import NotReadyError, say, side_by_side, step

RESULTS = PROJECT / "build" / "demo"
SYSTEM = "perfprofile-system"
IMAGES = "perfprofile.dev"
TERMINAL = {"Succeeded", "PartiallySucceeded", "Failed", "Denied", "Cancelled"}
LONGEST_RUN = 180.0
HOTTEST = 8

WITHOUT_ROOT = """\
make demo sets up a real Kubernetes cluster of two nodes on this machine, and that needs root: `sudo make demo`.

What can be had without root:
  make demo CONTEXT=…      the same on a cluster that you have already (a context of your kubeconfig)
  make venv && .venv/bin/perfprofile-agent record --duration 10s -o cpu.pb.gz
                           profiles this machine, no Kubernetes; needs perf, and kernel.perf_event_paranoid of 1 or less for a whole machine
"""


class DemoError(RuntimeError):
    """The demo could not go on; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is profiled: the example's PerfProfile, its namespace, and how its own functions' names begin."""

    namespace: str
    profile: str
    own: str

    @property
    def example(self) -> Path:
        """The manifest that a user would write."""
        return PROJECT / "deploy" / "examples" / f"{self.profile}.yaml"


SUBJECTS = (Subject(namespace="shop", profile="checkout", own="py::"), Subject(namespace="media", profile="encoder", own="main."))


@dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """A cluster to show it on: how kubectl is called, and where its nodes find the images."""

    kubectl_command: tuple[str, ...]
    registry: str = IMAGES

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run kubectl."""
        return run(*self.kubectl_command, *arguments, stdin=stdin)

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """Give the items of a list."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "-o", "json"))["items"]
        return found

    def save(self, path: str, file: Path) -> None:
        """Write what the API server gives at a path to a file, byte by byte."""
        with file.open("wb") as sink:
            subprocess.run([*self.kubectl_command, "get", "--raw", path], stdout=sink, check=True)

    def apply(self, manifest: Path) -> None:
        """Apply a manifest, its images taken from this cluster's registry."""
        text = manifest.read_text()
        for name in ("perfprofile-agent", "perfprofile-operator", "demo-workloads"):
            text = text.replace(f"{IMAGES}/{name}:", f"{self.registry}/{name}:")
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)


def main() -> None:
    """Show it, on the cluster that CONTEXT names or on one of our own.

    Raises:
        DemoError, CommandError, NotReadyError: a step failed.
    """
    kubernetes = _cluster()
    side_by_side(partial(_install, kubernetes), partial(_start_workloads, kubernetes))
    runs = _profile(kubernetes)
    for subject in SUBJECTS:
        _show(kubernetes, subject, runs[subject])
    _say_what_next(kubernetes, runs)


def _cluster() -> Kubernetes:
    context, registry = os.environ.get("CONTEXT"), os.environ.get("REGISTRY")
    if context:
        return _existing_cluster(context, registry)
    if not packages.is_root():
        raise DemoError(WITHOUT_ROOT)
    say("The demo brings up a cluster of two nodes on this machine: 6 to 9 min the first time, seconds when it runs already.\n")
    lifecycle.up()
    return Kubernetes(kubectl_command=(str(programs.path("kubectl")), f"--kubeconfig={KUBECONFIG}"))


def _existing_cluster(context: str, registry: str | None) -> Kubernetes:
    if shutil.which("kubectl") is None:
        raise DemoError(f"CONTEXT={context} needs kubectl on PATH: https://kubernetes.io/docs/tasks/tools/")
    if not registry:
        version = images.version()
        say(
            f"No REGISTRY=… is given, so the nodes must have these images: {IMAGES}/perfprofile-{{agent,operator}}:{version}, {images.DEMO_WORKLOADS.name}."
        )
        say(
            "They are built by `docker build --target agent .`, `docker build --target operator .` and tests/cluster/workloads/Dockerfile.\n"
        )
    return Kubernetes(kubectl_command=("kubectl", f"--context={context}"), registry=registry or IMAGES)


def _install(kubernetes: Kubernetes) -> None:
    with step("installing deploy/install.yaml: CRDs, operator, gateway, the aggregated API", "20 s"):
        kubernetes.apply(PROJECT / "deploy" / "install.yaml")
        for program in ("operator", "gateway"):
            kubernetes.kubectl("-n", SYSTEM, "rollout", "status", f"deployment/perfprofile-{program}", "--timeout=120s")
        kubernetes.kubectl("wait", "--for=condition=Available", "--timeout=60s", "apiservice/v1alpha1.data.perfprofile.dev")


def _start_workloads(kubernetes: Kubernetes) -> None:
    with step("starting two workloads: checkout (Python) in the namespace shop, encoder (Go) in media", "10 s"):
        kubernetes.apply(HERE / "workloads" / "workloads.yaml")
        for subject in SUBJECTS:
            kubernetes.kubectl("-n", subject.namespace, "rollout", "status", f"deployment/{subject.profile}", "--timeout=120s")


def _profile(kubernetes: Kubernetes) -> dict[Subject, dict[str, Any]]:
    """Apply both PerfProfiles and wait until their runs have ended; give the runs."""
    for subject in SUBJECTS:
        _forget_earlier(kubernetes, subject)
    with step("profiling both, as their teams would: kubectl apply -f deploy/examples/{checkout,encoder}.yaml", "20 s"):
        for subject in SUBJECTS:
            kubernetes.kubectl("apply", "-f", subject.example)
        return Watch(kubernetes).until_all_ended()


def _forget_earlier(kubernetes: Kubernetes, subject: Subject) -> None:
    """A PerfProfile that is applied unchanged makes no new run, so that of an earlier demo is deleted."""
    kubernetes.kubectl("-n", subject.namespace, "delete", "perfprofiles", subject.profile, "--ignore-not-found")
    if _runs(kubernetes, subject):
        kubernetes.kubectl("-n", subject.namespace, "wait", "perfprofileruns", "-l", _label(subject), "--for=delete", "--timeout=60s")


def _runs(kubernetes: Kubernetes, subject: Subject) -> list[dict[str, Any]]:
    return kubernetes.items("-n", subject.namespace, "perfprofileruns", "-l", _label(subject))


def _label(subject: Subject) -> str:
    return f"perfprofile.dev/profile={subject.profile}"


@dataclass
class Watch:
    """Looks at the runs once a second and tells every change."""

    kubernetes: Kubernetes
    told: dict[Subject, str] = field(default_factory=dict)

    def until_all_ended(self) -> dict[Subject, dict[str, Any]]:
        """Wait until each subject has a run that has ended."""
        deadline = time.monotonic() + LONGEST_RUN
        while True:
            newest = {subject: runs[0] for subject in SUBJECTS if (runs := _runs(self.kubernetes, subject))}
            for subject, found in newest.items():
                self._tell(subject, found)
            if len(newest) == len(SUBJECTS) and all(found.get("status", {}).get("phase") in TERMINAL for found in newest.values()):
                return newest
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"not within {LONGEST_RUN:.0f} s: both runs ended; `kubectl -n {SYSTEM} logs deployment/perfprofile-operator` tells more"
                )
            time.sleep(1)

    def _tell(self, subject: Subject, found: dict[str, Any]) -> None:
        text = progress(found)
        if self.told.get(subject) != text:
            self.told[subject] = text
            say(f"         {subject.namespace}/{found['metadata']['name']}: {text}")


def progress(found: dict[str, Any]) -> str:
    """Say in a line where a run stands."""
    status = found.get("status", {})
    nodes, samples = status.get("nodes", {}), status.get("samples", {})
    counts = [f"{nodes[state]} {state}" for state in ("recording", "succeeded", "failed") if nodes.get(state)]
    return (
        f"{status.get('phase', 'not seen by the operator yet')}; of {nodes.get('desired', 0)} nodes: {', '.join(counts) or 'none reported'}"
        + (f"; {samples['shown']} samples" if samples.get("shown") else "")
    )


def _show(kubernetes: Kubernetes, subject: Subject, found: dict[str, Any]) -> None:
    name, status = found["metadata"]["name"], found["status"]
    complete: dict[str, Any] = next((one for one in status["conditions"] if one["type"] == "Complete"), {})
    say(f"\n{subject.namespace}/{name}: {status['phase']}\n  {complete.get('message', '')}")
    if status["phase"] not in {"Succeeded", "PartiallySucceeded"}:
        raise DemoError(f"the run {subject.namespace}/{name} gave no profile; its status above says why")
    RESULTS.mkdir(parents=True, exist_ok=True)
    for what, file in (("profile", f"{subject.profile}.pb.gz"), ("flamegraph", f"{subject.profile}.html")):
        kubernetes.save(data_path(subject, name, what), RESULTS / file)
    table = kubernetes.kubectl("get", "--raw", f"{data_path(subject, name, 'top')}?n=200")
    say("".join(f"  {line}\n" for line in hottest(table, subject.own)).rstrip())


def data_path(subject: Subject, name: str, what: str) -> str:
    """Where the API server gives a run's data."""
    return f"/apis/data.perfprofile.dev/v1alpha1/namespaces/{subject.namespace}/perfprofileruns/{name}/{what}"


def hottest(table: str, own: str) -> list[str]:
    """Shorten the gateway's table to its hottest functions, and to the program's own, which in Python do their work in the interpreter."""
    lines = table.splitlines()
    heading = next((number for number, line in enumerate(lines) if line.split()[:1] == ["flat"]), 0)
    rows = lines[heading + 1 :]
    others = [row for row in rows[HOTTEST:] if own in row]
    return [lines[heading], *rows[:HOTTEST], *([f"{'…':>12}", *others] if others else [])]


def _say_what_next(kubernetes: Kubernetes, runs: dict[Subject, dict[str, Any]]) -> None:
    kubectl = " ".join(kubernetes.kubectl_command)
    subject, found = next(iter(runs.items()))
    say(f"""
Look at them:
  flame graphs    {RESULTS}/checkout.html and encoder.html, in any browser
  with pprof      go tool pprof -http=: {RESULTS}/checkout.pb.gz
  from the API    {kubectl} get --raw {data_path(subject, found["metadata"]["name"], "flamegraph")} > flamegraph.html
  all runs        {kubectl} get perfprofiles,perfprofileruns --all-namespaces""")
    if kubernetes.registry == IMAGES and "--kubeconfig" in kubectl:
        say("  end it          make cluster-down")

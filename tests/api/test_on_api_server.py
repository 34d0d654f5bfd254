"""A real API server takes the CRDs, and refuses wrong objects with a sentence that says what to change."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from perfprofile_agent.api.names import API_VERSION
from support.kubectl import Kubectl, KubectlError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*.yaml"))
LONG = "a" * 254


def profile(spec: Any, name: str = "case") -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "PerfProfile", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def run(spec: Any, name: str = "case") -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "PerfProfileRun", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def create(kubectl: Kubectl, body: dict[str, Any], *, store: bool = False) -> dict[str, Any]:
    """Create an object, or only ask whether it could be; unknown fields are refused, as kubectl does by default."""
    dry = () if store else ("--dry-run=server",)
    created: dict[str, Any] = json.loads(kubectl("create", "-f", "-", "-o", "json", *dry, stdin=json.dumps(body)))
    return created


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"target": {"podSelector": {}}},
        {"target": {"podSelector": {"matchLabels": {"app": "checkout"}}, "containers": ["app"]}},
        {"target": {"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}},
        {"target": {"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a", "b"]}]}}},
        {"target": {"nodeSelector": {"kubernetes.io/arch": "arm64"}, "nodeSample": {"count": 5}}},
        {"target": {"nodeSample": {"percent": 10}}},
        {"perf": {"events": ["cycles", "cpu/event=0x3c,umask=0x1/", "sched:sched_switch", "l1d.replacement"]}},
        {"perf": {"frequency": 10_000}},
        {"perf": {"period": 1_000_000, "callGraph": "Dwarf", "kernelFrames": False}},
        {"perf": {"extraArgs": ["--strict-freq"]}},
        {"duration": "1h"},
        {"duration": "1m30s"},
        {"duration": "1500ms"},
        {"schedule": {"cron": "*/15 8-18 * * 1-5", "timeZone": "Europe/Berlin"}},
        {"continuous": {"every": "60s"}},
        {"continuous": {"pacedBy": "CloudProfiler"}},
        {"sinks": ["store", "archive.example"]},
        {"labels": {"team": "payments", "empty": ""}},
        {"ttlAfterFinished": "0s"},
    ],
    ids=json.dumps,
)
def test_a_good_profile_is_taken(kubectl, spec):
    create(kubectl, profile(spec))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (None, "spec: Required value"),
        ({"nodeSample": {"count": 1}}, 'unknown field "spec.nodeSample"'),
        ({"target": {"podselector": {}}}, 'unknown field "spec.target.podselector"'),
        ({"target": {"nodeSample": {}}}, "set exactly one of count and percent"),
        ({"target": {"nodeSample": {"count": 1, "percent": 1}}}, "set exactly one of count and percent"),
        ({"target": {"nodeSample": {"count": 0}}}, "should be greater than or equal to 1"),
        ({"target": {"nodeSample": {"percent": 101}}}, "should be less than or equal to 100"),
        ({"target": {"containers": ["Not a name"]}}, "should match '^[a-z0-9]"),
        ({"target": {"nodeSelector": {LONG: ""}}}, "keys are at most 253 characters long"),
        ({"target": {"podSelector": {"matchLabels": {f"l{i}": "" for i in range(65)}}}}, "must have at most 64 items"),
        ({"target": {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In"}]}}}, "In and NotIn need values"),
        ({"target": {"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["x"]}]}}}, "In and NotIn need"),
        ({"target": {"podSelector": {"matchExpressions": [{"key": "app", "operator": "Like"}]}}}, 'supported values: "In", "NotIn"'),
        ({"target": {"podSelector": {"matchExpressions": [{"operator": "Exists"}]}}}, "key: Required value"),
        ({"perf": {"events": []}}, "should have at least 1 items"),
        ({"perf": {"events": ["cycles"] * 9}}, "must have at most 8 items"),
        ({"perf": {"events": ["probe.c"]}}, "events are names that `perf list` shows, never files"),
        ({"perf": {"events": ["cycles,probe.o:u"]}}, "events are names that `perf list` shows, never files"),
        ({"perf": {"events": ["-o"]}}, "should match '^[A-Za-z0-9_]"),
        ({"perf": {"events": ["a b"]}}, "should match '^[A-Za-z0-9_]"),
        ({"perf": {"frequency": 99_000}}, "should be less than or equal to 10000"),
        ({"perf": {"frequency": 99, "period": 1000}}, "frequency and period exclude each other: set one of them"),
        ({"perf": {"frequency": "99"}}, 'must be of type integer: "string"'),
        ({"perf": {"callGraph": "Magic"}}, 'supported values: "FramePointer", "Dwarf", "LBR", "None"'),
        ({"perf": {"kernelFrames": "yes"}}, 'must be of type boolean: "string"'),
        ({"perf": {"command": "perf record -o /etc/passwd"}}, 'unknown field "spec.perf.command"'),
        ({"duration": "30"}, "should match"),
        ({"duration": "soon"}, "should match"),
        ({"duration": "500ms"}, "duration is between 1s and 1h"),
        ({"duration": "61m"}, "duration is between 1s and 1h"),
        ({"duration": "99999999999999999999h"}, "Invalid value"),
        ({"schedule": {"timeZone": "Europe/Berlin"}}, "cron: Required value"),
        ({"schedule": {"cron": "* * * * *"}, "continuous": {}}, "schedule and continuous exclude each other: set one of them"),
        ({"schedule": {"cron": "* * * * *", "concurrencyPolicy": "Maybe"}}, 'supported values: "Allow", "Forbid", "Replace"'),
        ({"continuous": {"pacedBy": "Nobody"}}, 'supported values: "CloudProfiler"'),
        ({"sinks": []}, "should have at least 1 items"),
        ({"sinks": ["https://example"]}, "should match '^[a-z0-9]"),
        ({"labels": {"node": "elsewhere"}}, "are set by PerfProfile itself; use other names"),
        ({"labels": {"text": LONG}}, "may not be more than 253"),
        ({"ttlAfterFinished": "a week"}, "should match"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:80],
)
def test_a_wrong_profile_is_refused_with_what_to_change(kubectl, spec, sentence):
    body = profile(spec)
    if spec is None:
        del body["spec"]

    with pytest.raises(KubectlError) as refusal:
        create(kubectl, body)

    assert sentence in refusal.value.stderr


def test_a_name_that_leaves_no_room_for_its_runs_is_refused(kubectl):
    create(kubectl, profile({}, name="a" * 45))

    with pytest.raises(KubectlError) as refusal:
        create(kubectl, profile({}, name="a" * 46))

    assert "metadata.name is at most 45 characters long: choose a shorter name" in refusal.value.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_taken(kubectl, example: Path):
    body = yaml.safe_load(example.read_text())
    body["metadata"]["namespace"] = "default"

    create(kubectl, body)


def test_the_api_server_fills_in_what_was_left_out(kubectl):
    created = create(kubectl, profile({"schedule": {"cron": "* * * * *"}}))

    assert created["spec"] == {
        "target": {"podSelector": {}},
        "perf": {"events": ["auto"], "callGraph": "FramePointer", "kernelFrames": True},
        "duration": "30s",
        "schedule": {
            "cron": "* * * * *",
            "concurrencyPolicy": "Forbid",
            "suspend": False,
            "successfulRunsHistoryLimit": 3,
            "failedRunsHistoryLimit": 1,
        },
        "sinks": ["store"],
        "ttlAfterFinished": "168h",
    }


def test_the_spec_of_a_run_never_changes(kubectl):
    create(kubectl, run({"profile": "case"}, name="fixed"), store=True)

    with pytest.raises(KubectlError) as refusal:
        kubectl("-n", "default", "patch", "perfprofilerun", "fixed", "--type=merge", '-p={"spec":{"duration":"10s"}}')

    assert "the spec of a run never changes: apply the PerfProfile anew" in refusal.value.stderr


def test_conditions_are_one_for_each_type(kubectl):
    create(kubectl, run({"profile": "case"}, name="conditions"), store=True)
    condition = {"type": "Complete", "status": "True", "reason": "Succeeded", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    twice = json.dumps({"status": {"conditions": [condition, condition]}})

    with pytest.raises(KubectlError) as refusal:
        kubectl("-n", "default", "patch", "perfprofilerun", "conditions", "--subresource=status", "--type=merge", f"-p={twice}")

    assert "Duplicate value" in refusal.value.stderr


def test_kubectl_get_shows_how_a_run_goes(kubectl):
    create(kubectl, run({"profile": "case"}, name="columns"), store=True)
    status = {"phase": "PartiallySucceeded", "nodes": {"desired": 5, "succeeded": 4, "failed": 1}, "samples": {"shown": 1234}}
    patch = json.dumps({"status": status})
    kubectl("-n", "default", "patch", "ppr", "columns", "--subresource=status", "--type=merge", f"-p={patch}")

    heading, line = kubectl("-n", "default", "get", "ppr", "columns").splitlines()

    assert heading.split() == ["NAME", "PHASE", "NODES", "SUCCEEDED", "FAILED", "SAMPLES", "AGE"]
    assert line.split()[:6] == ["columns", "PartiallySucceeded", "5", "4", "1", "1234"]


def test_short_names_and_the_category_are_known(kubectl):
    kubectl("-n", "default", "get", "pp")

    resources = kubectl("api-resources", "--categories=profiling", "-o", "name").split()

    assert sorted(resources) == ["perfprofileruns.perfprofile.dev", "perfprofiles.perfprofile.dev"]


def test_every_field_is_explained(kubectl):
    said = kubectl("explain", "perfprofile.spec.target.nodeSample")

    assert "This share of the nodes, rounded up." in said

"""``join`` as the DaemonSet runs it: as root at first, against a real HTTPS gateway, with the real perf and cgroups like the kubelet's."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perfprofile_agent.api.assignment import Assignment, TargetContainer, TargetPod
from perfprofile_agent.api.profile import Perf
from perfprofile_agent.pprof import wire
from perfprofile_agent.pprof.model import Profile
from support.fake_gateway import Answer, FakeGateway
from support.recordings import require_perf
from support.workload import burner, burning, pod_cgroups

pytestmark = pytest.mark.root

OURS = ("0a1b2c3d-1111-2222-3333-444455556666", "a" * 64)
PERF = Perf(frequency=199)
THEIRS = ("0a1b2c3d-1111-2222-3333-999999999999", "b" * 64)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("programs")
    return burner(folder, "our_checkout"), burner(folder, "their_secret")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[FakeGateway]:
    with FakeGateway(tmp_path) as server:
        server.say("POST /v1/reports", Answer(204))
        server.say("PUT /v1/profiles/0", Answer(201))
        yield server


def target(uid: str, container: str) -> TargetPod:
    return TargetPod(namespace="shop", name="checkout-x", uid=uid, containers=(TargetContainer(name="app", id=container),))


def assign(*pods: TargetPod, seconds: float = 2, perf: Perf = PERF) -> Answer:
    return Answer(
        200,
        msgspec.to_builtins(
            Assignment(
                run_uid="0c0d",
                run_namespace="shop",
                run_name="checkout-1",
                node="node-1",
                window=0,
                perf=perf,
                duration_seconds=seconds,
                remaining_seconds=seconds + 60,
                pods=pods,
                labels={"team": "payments"},
            )
        ),
    )


@contextmanager
def agent(gateway: FakeGateway, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run the agent; its spool is writable for everybody, as an emptyDir is, and its token only readable for root."""
    require_perf()
    spool = tmp_path / "spool"
    spool.mkdir()
    spool.chmod(0o777)
    gateway.token_file.chmod(0o600)
    command = [sys.executable, "-m", "perfprofile_agent.agent.cli", "join", "--gateway", gateway.url, "--gateway-ca", str(gateway.ca_file)]
    command += ["--token-file", str(gateway.token_file), "--spool", str(spool)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"POD_UID": ""}) as process:
        try:
            yield process
        finally:
            process.kill()


def await_terminal(gateway: FakeGateway, within: float = 30) -> dict[str, Any]:
    """Wait for the report that ends the window, and give it."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        for report in gateway.reports():
            if report["state"] != "Recording":
                return report
        time.sleep(0.05)
    pytest.fail(f"no terminal report came, only {gateway.reports()}")


def stopped(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """Tell the agent to stop as the kubelet does, and give its log."""
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    return [json.loads(line) for line in said.splitlines()]


def uploaded(gateway: FakeGateway) -> Profile:
    (request,) = gateway.received("PUT")
    return wire.decode(request.body)


def names(profile: Profile) -> set[str]:
    return {function.name for function in profile.functions}


@pytest.mark.parametrize(
    "also", [(), (target("0a1b2c3d-1111-2222-3333-000000000000", "c" * 64),)], ids=["filtered in the kernel", "filtered here"]
)
def test_a_run_shows_its_own_pod_by_name_and_nobody_elses(
    gateway: FakeGateway, tmp_path: Path, programs: tuple[Path, Path], also: tuple[TargetPod, ...]
) -> None:
    """A target pod that isn't there makes the agent record all, so that it isn't missed when it comes."""
    gateway.say("GET /v1/assignment", assign(target(*OURS), *also))
    with (
        pod_cgroups(OURS, THEIRS) as (ours, theirs),
        burning(programs[0], cgroup=ours),
        burning(programs[1], cgroup=theirs),
        agent(gateway, tmp_path) as process,
    ):
        report = await_terminal(gateway)
        log = stopped(process)

    assert report["state"] == "Succeeded", report
    profile = uploaded(gateway)
    assert {"our_checkout", "our_checkout_caller"} <= names(profile)
    assert not any("their_secret" in text for text in (*names(profile), *(mapping.filename for mapping in profile.mappings)))
    labels = {label[:2] for sample in profile.samples for label in sample.labels}
    assert {("namespace", "shop"), ("pod", "checkout-x"), ("container", "app"), ("node", "node-1"), ("team", "payments")} <= labels
    assert report["samplesShown"] == sum(sample.values[0] for sample in profile.samples) > 10
    assert report["samplesRecorded"] == report["samplesShown"] + report.get("samplesOutOfScope", 0)
    assert (report.get("samplesOutOfScope", 0) > 10) == bool(also)
    assert report["event"] in {"cycles", "cpu-clock", "task-clock"}
    assert report["perfVersion"]
    assert report["kernel"] == os.uname().release
    assert gateway.reports()[0] == {
        "window": 0,
        "state": "Recording",
        "event": report["event"],
        "perfVersion": report["perfVersion"],
        "kernel": report["kernel"],
    }
    assert process.returncode == 0
    (privileges,) = [line for line in log if line["message"] == "privileges"]
    assert privileges["switched"]
    assert not any("first-token" in json.dumps(line) for line in log)
    assert (tmp_path / "spool/0c0d-0.done").stat().st_uid == 65532


def test_an_idle_target_is_a_failure_that_says_so(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.say("GET /v1/assignment", assign(target(*OURS), seconds=1))
    with pod_cgroups(OURS), agent(gateway, tmp_path):
        report = await_terminal(gateway)

    assert report["state"] == "Failed"
    assert report["reason"] == "NoSamples"
    assert gateway.received("PUT") == []


def test_a_target_that_left_is_a_failure_that_says_so(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.say("GET /v1/assignment", assign(target(*OURS)))
    with agent(gateway, tmp_path):
        report = await_terminal(gateway)

    assert report["reason"] == "TargetGone"
    assert "shop/checkout-x" in report["message"]


def test_an_event_that_is_unknown_is_a_failure_with_perfs_words(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.say("GET /v1/assignment", assign(target(*OURS), perf=Perf(events=("nosuch",))))
    with pod_cgroups(OURS), agent(gateway, tmp_path):
        report = await_terminal(gateway)

    assert report["reason"] == "EventNotSupported"
    assert "nosuch" in report["message"]


def test_sigterm_while_recording_is_reported_at_once(gateway: FakeGateway, tmp_path: Path, programs: tuple[Path, Path]) -> None:
    gateway.say("GET /v1/assignment", assign(target(*OURS), seconds=60))
    with pod_cgroups(OURS) as (ours,), burning(programs[0], cgroup=ours), agent(gateway, tmp_path) as process:
        while not gateway.received("POST"):
            time.sleep(0.05)
        began = time.monotonic()
        stopped(process)

    assert time.monotonic() - began < 8
    assert await_terminal(gateway)["reason"] == "Interrupted"
    assert process.returncode == 0


def test_a_run_that_is_deleted_stops_perf(gateway: FakeGateway, tmp_path: Path, programs: tuple[Path, Path]) -> None:
    gateway.say("GET /v1/assignment", assign(target(*OURS), seconds=60))
    gateway.say("POST /v1/reports", Answer(410, {"error": "the run is gone"}))
    with pod_cgroups(OURS) as (ours,), burning(programs[0], cgroup=ours), agent(gateway, tmp_path) as process:
        assert process.stderr
        states = []
        while "Cancelled" not in states:
            states.append(json.loads(process.stderr.readline()).get("state"))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()

    assert states[-2:] == ["Recording", "Cancelled"]
    assert children == []

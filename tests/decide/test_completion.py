"""Where a run goes, from its counts and the time alone."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from perfprofile_agent.api.conditions import ConditionType, Phase
from perfprofile_agent.api.run import NodeCounts, NodeFailure, PerfProfileRunSpec, PerfProfileRunStatus
from perfprofile_cluster.objects import DaemonSet, ObjectMeta, RunObject
from perfprofile_operator.decide import completion
from perfprofile_operator.decide.completion import Inspection
from perfprofile_operator.decide.conditions import find
from perfprofile_operator.decide.patches import run_status_patch

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DEADLINE = 10 + 180
NEW = RunObject(metadata=ObjectMeta(name="cpu-1", uid="u"), spec=PerfProfileRunSpec(profile="cpu", duration="10s"))
AGENTS = DaemonSet(metadata=ObjectMeta(name="d", creation_timestamp=START), hostnames=("a", "b", "c"))
PLACED = replace(NEW, status=completion.with_agents(NEW, AGENTS, START))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def counting(recording: int = 0, succeeded: int = 0, failed: int = 0, run: RunObject = PLACED) -> RunObject:
    counts = NodeCounts(desired=3, recording=recording, succeeded=succeeded, failed=failed)
    return replace(run, status=replace(run.status, nodes=counts))


def test_placing_takes_its_times_from_the_daemonset_however_late_it_is_looked_at():
    late = completion.with_agents(NEW, AGENTS, at(100))

    assert (late.start_time, late.deadline) == ("2026-11-23T12:00:00Z", "2026-11-23T12:03:10Z")
    assert late.nodes.desired == 3
    assert replace(late, conditions=()) == replace(PLACED.status, conditions=())


@pytest.mark.parametrize(
    ("run", "seconds", "phase"),
    [
        (counting(), 0, Phase.PENDING),
        (counting(failed=1), 5, Phase.PENDING),
        (counting(recording=1), 5, Phase.RECORDING),
        (counting(succeeded=1), 5, Phase.RECORDING),
        (counting(), DEADLINE, Phase.COLLECTING),
        (counting(succeeded=3), 5, Phase.SUCCEEDED),
        (counting(succeeded=2, failed=1), 5, Phase.PARTIALLY_SUCCEEDED),
        (counting(failed=3), 5, Phase.FAILED),
        (counting(succeeded=2), DEADLINE + 119, Phase.COLLECTING),
        (counting(succeeded=2), DEADLINE + 120, Phase.PARTIALLY_SUCCEEDED),
        (counting(), DEADLINE + 120, Phase.FAILED),
    ],
)
def test_the_phase_follows_from_counts_and_time(run, seconds, phase):
    plan = completion.progress(run, agents_present=True, now=at(seconds))

    assert plan.status.phase == phase
    assert plan.remove_agents == phase.terminal
    assert (plan.announcement is not None) == phase.terminal
    assert (plan.look_again is None) == phase.terminal
    assert (plan.status.completion_time is not None) == phase.terminal


def test_collecting_begins_when_the_window_of_the_first_node_is_over():
    recording = completion.progress(counting(recording=1), agents_present=True, now=at(30))
    run = counting(recording=2, run=replace(PLACED, status=recording.status))

    assert recording.look_again == timedelta(seconds=10)
    assert completion.progress(run, agents_present=True, now=at(39)).status.phase == Phase.RECORDING
    assert completion.progress(run, agents_present=True, now=at(40)).status.phase == Phase.COLLECTING


def test_looking_again_is_never_later_than_the_next_boundary():
    assert completion.progress(counting(), agents_present=True, now=at(DEADLINE - 3)).look_again == timedelta(seconds=3)


def test_without_agents_nobody_is_waited_for_after_the_deadline():
    plan = completion.progress(counting(succeeded=1), agents_present=False, now=at(DEADLINE))

    assert (plan.status.phase, find(plan.status.conditions, ConditionType.COMPLETE).reason) == ("PartiallySucceeded", "Interrupted")


@pytest.mark.parametrize(
    ("run", "last", "seconds", "expected"),
    [
        (NEW, None, 0, Inspection.NOT_NEEDED),
        (counting(), None, 5, Inspection.FOR_THE_HOPELESS),
        (counting(), 5, 14, Inspection.NOT_NEEDED),
        (counting(), 5, 15, Inspection.FOR_THE_HOPELESS),
        (counting(recording=2, succeeded=1), None, 30, Inspection.NOT_NEEDED),
        (counting(recording=2, succeeded=1), None, DEADLINE, Inspection.FOR_ALL_SILENT),
        (counting(succeeded=2, failed=1), None, DEADLINE, Inspection.NOT_NEEDED),
    ],
)
def test_pods_are_looked_at_only_when_somebody_is_missing(run, last, seconds, expected):
    assert completion.inspection(run, None if last is None else at(last), at(seconds)) is expected


def test_the_pods_of_many_nodes_are_looked_at_seldom():
    run = replace(PLACED, status=replace(PLACED.status, nodes=NodeCounts(desired=5000)))

    assert completion.inspection(run, at(0), at(49)) is Inspection.NOT_NEEDED
    assert completion.inspection(run, at(0), at(50)) is Inspection.FOR_THE_HOPELESS


def test_the_end_names_the_failed_nodes_with_reason_and_next_step():
    failures = tuple(NodeFailure(node=f"n{number}", reason="PerfMissing", message="perf is missing. Install it.") for number in range(5))
    run = counting(failed=3)

    plan = completion.progress(replace(run, status=replace(run.status, failures=failures)), agents_present=True, now=at(9))

    message = find(plan.status.conditions, ConditionType.COMPLETE).message
    assert "n0: PerfMissing: perf is missing. Install it." in message
    assert "n3" not in message
    assert "2 more" in message


def test_the_patch_holds_no_field_of_the_gateway():
    ended = completion.progress(counting(succeeded=3), agents_present=True, now=at(9)).status

    patch = run_status_patch(PerfProfileRunStatus(), ended)

    assert set(patch) == {"phase", "startTime", "deadline", "completionTime", "conditions", "nodes"}
    assert patch["nodes"] == {"desired": 3}
    assert run_status_patch(ended, ended) == {}


def test_a_finished_run_expires_after_its_time():
    ended = replace(PLACED, status=completion.progress(counting(succeeded=3), agents_present=True, now=at(9)).status)

    assert completion.expires(PLACED) is None
    assert completion.expires(ended) == at(9) + timedelta(hours=168)

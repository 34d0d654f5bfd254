"""The agent's cycle: its table, cell by cell, and what it does in each state, with a gateway and a perf made of values."""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perfprofile_agent.agent.config import JoinSettings
from perfprofile_agent.agent.cycle import TRANSITIONS, Cycle, Event, State, Surroundings, successor
from perfprofile_agent.agent.outcome import Counts, Finished
from perfprofile_agent.api.assignment import Assignment, Wait
from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.api.profile import Perf
from perfprofile_agent.api.report import NodeReport, NodeState
from perfprofile_agent.errors import PerfProfileError
from perfprofile_agent.node.errors import NodeError
from perfprofile_agent.sinks.base import ProfileMeta, Receipt, digest
from perfprofile_agent.sinks.errors import ProfileNotHeld, RunOver, SinkError
from perfprofile_agent.sinks.retry import Backoff
from perfprofile_agent.sinks.spool import Spool

ASSIGNMENT = Assignment(
    run_uid="0a1b",
    run_namespace="shop",
    run_name="checkout-1",
    node="node-1",
    window=0,
    perf=Perf(),
    duration_seconds=30.0,
    remaining_seconds=210.0,
    pods=(),
    labels={},
)
WAIT = Wait(retry_after_seconds=5.0, reason="NodeBusy", message="all slots are taken")
BROKEN = SinkError("connection refused", retryable=True, unreachable=True)
REFUSED = SinkError("400, not a profile", retryable=False)
OVER = RunOver("410")
COUNTS = Counts(recorded=100, shown=60, lost=2, event="cycles", perf_version="6.1", kernel="6.18", notices=("kernel symbols are hidden",))


class Time:
    """A clock that moves when somebody sleeps, and the request to stop, which may come at a set time."""

    def __init__(self, stop_at: float | None = None) -> None:
        self.now = 0.0
        self._stop_at = stop_at

    @property
    def at(self) -> float | None:
        return self._stop_at if self._stop_at is not None and self.now >= self._stop_at else None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        before = self.at is None
        self.now += seconds
        if before and self.at is not None:
            self.now = self.at


@dataclass
class ScriptedGateway:
    """Answers from lists; the last answer of each stays."""

    assignments: list[Assignment | Wait | Exception] = field(default_factory=lambda: [ASSIGNMENT])
    reports: list[Exception | None] = field(default_factory=lambda: [None])
    uploads: list[Exception | None] = field(default_factory=lambda: [None])
    told: list[NodeReport] = field(default_factory=list)
    held: list[bytes] = field(default_factory=list)

    def assignment(self) -> Assignment | Wait:
        return _next(self.assignments)

    def report(self, report: NodeReport) -> None:
        self.told.append(report)
        _next(self.reports)

    def deliver(self, profile: bytes, meta: ProfileMeta) -> Receipt:  # noqa: ARG002 - the seam has it
        self.held.append(profile)
        _next(self.uploads)
        return Receipt("gateway", len(profile), digest(profile))

    @property
    def terminal(self) -> list[NodeReport]:
        return [report for report in self.told if report.state.terminal]


def _next(answers: list[Any]) -> Any:
    answer = answers.pop(0) if len(answers) > 1 else answers[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


class ScriptedWindow:
    """A window that takes its time and then gives what it was told to give."""

    def __init__(
        self, time: Time, *, recording: Exception | None = None, converting: Exception | None = None, counts: Counts = COUNTS
    ) -> None:
        self._time = time
        self._recording = recording
        self._converting = converting
        self._counts = counts
        self.recorded: list[float] = []
        self.closed = False

    def record(self, *, duration: float, stop: Callable[[], bool], started: Callable[[], None]) -> None:
        started()
        began = self._time.now
        while self._time.now < began + duration and not stop():
            self._time.sleep(0.25)
        self.recorded.append(self._time.now - began)
        if self._recording:
            raise self._recording

    def convert(self) -> Finished:
        if self._converting:
            raise self._converting
        return Finished(profile=b"profile" if self._counts.shown else b"", counts=self._counts)

    def counts(self) -> Counts:
        return Counts(event="cycles")

    def close(self) -> None:
        self.closed = True


@dataclass
class World:
    """One agent and all around it."""

    directory: Path
    gateway: ScriptedGateway = field(default_factory=ScriptedGateway)
    time: Time = field(default_factory=Time)
    window: ScriptedWindow | Exception | None = None
    beats: ScriptedGateway = field(default_factory=ScriptedGateway)

    def cycle(self) -> Cycle:
        window = self.window or ScriptedWindow(self.time)
        self.window = window

        def open_window(_: Assignment) -> ScriptedWindow:
            if isinstance(window, Exception):
                raise window
            return window

        settings = JoinSettings(gateway="https://gateway", gateway_ca=self.directory, token_file=self.directory, spool=self.directory)
        surroundings = Surroundings(
            gateway=self.gateway,
            heartbeat_gateway=self.beats,
            open_window=open_window,
            spool=Spool(self.directory, max_bytes=1 << 20),
            stop=self.time,
            clock=self.time.clock,
            backoff=Backoff(first=1, longest=8, random=lambda: 0.5),
        )
        return Cycle(settings, surroundings)

    def run(self) -> State:
        return self.cycle().run()

    @property
    def spooled(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_cell_of_the_table_leads_to_a_state_or_is_no_way(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert not state.terminal
        assert successor(state, event) in State
    else:
        with pytest.raises(KeyError):
            successor(state, event)


def test_every_state_can_fail_and_is_reached_and_leads_to_an_end() -> None:
    reached = {State.WAITING, *TRANSITIONS.values()}
    assert reached == set(State)
    for state in State:
        seen, todo = {state}, deque([state])
        while todo:
            here = todo.popleft()
            following = {after for (before, _), after in TRANSITIONS.items() if before is here}
            todo.extend(following - seen)
            seen |= following
        assert any(after.terminal for after in seen)
        assert state.terminal or (state, Event.FAILED) in TRANSITIONS


def test_a_run_that_goes_well_delivers_then_reports_then_is_done(world: World) -> None:
    assert world.run() is State.DONE

    assert world.gateway.held == [b"profile"]
    (report,) = world.gateway.told
    assert report == NodeReport(
        window=0,
        state=NodeState.SUCCEEDED,
        samples_recorded=100,
        samples_shown=60,
        samples_out_of_scope=40,
        samples_lost=2,
        profile_bytes=7,
        profile_sha256=digest(b"profile"),
        event="cycles",
        perf_version="6.1",
        kernel="6.18",
        notices=("kernel symbols are hidden",),
    )
    assert world.window.recorded == [30.0]
    assert world.window.closed


def test_while_perf_records_the_gateway_is_told(world: World) -> None:
    world.run()

    assert world.beats.told[0] == NodeReport(window=0, state=NodeState.RECORDING, event="cycles")


def test_it_waits_as_long_as_it_is_told(world: World) -> None:
    world.gateway.assignments = [WAIT, WAIT, ASSIGNMENT]

    assert world.run() is State.DONE
    assert world.time.now == 40


def test_a_gateway_that_is_not_there_yet_is_awaited(world: World) -> None:
    world.gateway.assignments = [BROKEN, BROKEN, BROKEN, ASSIGNMENT]

    assert world.run() is State.DONE


def test_a_gateway_that_stays_away_is_given_up(world: World) -> None:
    world.gateway.assignments = [BROKEN]

    assert world.run() is State.CANCELLED
    assert 600 < world.time.now < 620


def test_410_ends_it_without_a_word(world: World) -> None:
    world.gateway.assignments = [WAIT, OVER]

    assert world.run() is State.CANCELLED
    assert world.gateway.told == []


def test_an_answer_that_makes_no_sense_ends_it(world: World) -> None:
    world.gateway.assignments = [SinkError("no Assignment", retryable=False)]

    assert world.run() is State.FAILED


def test_being_told_to_stop_while_waiting_ends_it(world: World) -> None:
    world.time = Time(stop_at=7)
    world.gateway.assignments = [WAIT]

    assert world.run() is State.CANCELLED
    assert world.time.now == 7


def test_what_keeps_perf_from_recording_is_reported(world: World) -> None:
    world.window = NodeError(Reason.TARGET_GONE, "None of the pods is here. Apply again.")

    assert world.run() is State.FAILED
    assert [(report.reason, report.message) for report in world.gateway.told] == [("TargetGone", "None of the pods is here. Apply again.")]


def test_a_failing_perf_is_reported_with_its_reason(world: World) -> None:
    world.window = ScriptedWindow(world.time, recording=NodeError(Reason.EVENT_NOT_SUPPORTED, "No such event. Use auto."))

    assert world.run() is State.FAILED
    assert world.gateway.told[-1].reason == "EventNotSupported"
    assert world.gateway.told[-1].state is NodeState.FAILED
    assert world.window.closed


def test_output_that_cannot_be_converted_is_reported(world: World) -> None:
    world.window = ScriptedWindow(world.time, converting=PerfProfileError("record at offset 96"))

    assert world.run() is State.FAILED
    assert world.gateway.told[-1].reason == "ConversionFailed"
    assert "offset 96" in world.gateway.told[-1].message


def test_a_defect_of_the_agent_is_reported_too(world: World) -> None:
    world.window = ScriptedWindow(world.time, converting=ZeroDivisionError("oops"))

    assert world.run() is State.FAILED
    assert world.gateway.told[-1].reason == "AgentCrashed"
    assert "ZeroDivisionError: oops" in world.gateway.told[-1].message


def test_a_window_without_samples_of_the_target_is_a_failure_that_tells_the_counts(world: World) -> None:
    world.window = ScriptedWindow(world.time, counts=Counts(recorded=250, event="cpu-clock"))

    assert world.run() is State.FAILED
    (report,) = world.gateway.told
    assert report.reason == "NoSamples"
    assert report.samples_recorded == report.samples_out_of_scope == 250
    assert "recorded 250 samples of cpu-clock, all of them outside" in report.message
    assert world.gateway.held == []


def test_a_busy_gateway_gets_the_profile_later(world: World) -> None:
    world.gateway.uploads = [BROKEN, SinkError("429", retryable=True, retry_after=10), None]

    assert world.run() is State.DONE
    assert len(world.gateway.held) == 3


def test_a_refused_profile_is_reported(world: World) -> None:
    world.gateway.uploads = [REFUSED]

    assert world.run() is State.FAILED
    assert world.gateway.told[-1].reason == "UploadRefused"
    assert "not a profile" in world.gateway.told[-1].message


def test_at_the_deadline_delivering_ends(world: World) -> None:
    world.gateway.uploads = [BROKEN]
    world.gateway.reports = [BROKEN]

    assert world.run() is State.FAILED
    assert world.time.now <= 210
    assert world.gateway.told[-1].reason == "DeadlineExceeded"


def test_a_profile_that_got_lost_is_uploaded_again(world: World) -> None:
    world.gateway.reports = [ProfileNotHeld("409"), None]

    assert world.run() is State.DONE
    assert len(world.gateway.held) == 2


def test_a_gateway_that_loses_it_for_ever_is_not_fed_for_ever(world: World) -> None:
    world.gateway.reports = [ProfileNotHeld("1"), ProfileNotHeld("2"), ProfileNotHeld("3"), None]

    assert world.run() is State.FAILED
    assert len(world.gateway.held) == 3
    assert world.gateway.told[-1].reason == "UploadRefused"


@pytest.mark.parametrize("where", ["uploads", "reports"])
def test_a_run_that_is_over_takes_nothing_any_more(world: World, where: str) -> None:
    setattr(world.gateway, where, [OVER])

    assert world.run() is State.CANCELLED


def test_being_told_to_stop_while_recording_is_reported_as_interrupted(world: World) -> None:
    world.time = Time(stop_at=12)

    assert world.run() is State.FAILED
    (report,) = world.gateway.told
    assert (report.state, report.reason) == (NodeState.FAILED, "Interrupted")
    assert world.window.recorded == [12.0]


def test_being_told_to_stop_while_delivering_leaves_some_seconds_for_it(world: World) -> None:
    world.time = Time(stop_at=31)
    world.gateway.uploads = [BROKEN, BROKEN, BROKEN, None]

    assert world.run() is State.DONE
    assert world.time.now < 31 + 8


def test_and_no_more_than_some_seconds(world: World) -> None:
    world.time = Time(stop_at=31)
    world.gateway.uploads = [BROKEN]

    assert world.run() is State.FAILED
    assert world.time.now <= 31 + 8
    assert world.gateway.told[-1].reason == "Interrupted"


def test_when_the_deadline_is_near_the_window_is_shortened_and_says_so(world: World) -> None:
    world.gateway.assignments = [msgspec.structs.replace(ASSIGNMENT, remaining_seconds=35.0)]

    assert world.run() is State.DONE
    assert world.window.recorded == [20.0]
    assert world.gateway.told[-1].notices[0] == "recorded 20 s of 30 s, because the run's deadline was near"


def test_without_time_left_perf_is_not_started(world: World) -> None:
    world.gateway.assignments = [msgspec.structs.replace(ASSIGNMENT, remaining_seconds=10.0)]

    assert world.run() is State.FAILED
    assert world.gateway.told[-1].reason == "DeadlineExceeded"
    assert world.window.recorded == []


def test_a_finished_profile_outlives_a_restart_of_the_agent(world: World) -> None:
    """The first life ends while it delivers; the second delivers what the first has recorded, and records nothing."""
    world.gateway.uploads = [REFUSED]
    world.gateway.reports = [SinkError("no", retryable=False)]
    world.run()
    assert world.spooled == ["0a1b-0.json", "0a1b-0.pb.gz"]

    second = World(world.directory)
    assert second.run() is State.DONE

    assert second.gateway.held == [b"profile"]
    assert second.window.recorded == []
    assert second.gateway.told[-1].samples_shown == 60
    assert second.gateway.told[-1].notices == ("kernel symbols are hidden",)


def test_a_damaged_spool_means_recording_again(world: World) -> None:
    (world.directory / "0a1b-0.json").write_bytes(msgspec.json.encode(NodeReport(window=0, state=NodeState.SUCCEEDED, profile_sha256="x")))
    (world.directory / "0a1b-0.pb.gz").write_bytes(b"half a pro")

    assert world.run() is State.DONE
    assert world.window.recorded == [30.0]


def test_a_window_that_was_reported_is_not_recorded_again_after_a_restart(world: World) -> None:
    world.run()
    assert world.spooled == ["0a1b-0.done"]

    second = World(world.directory)
    assert second.run() is State.DONE

    assert second.gateway.told == []
    assert second.window.recorded == []


def test_without_a_working_spool_the_profile_is_delivered_all_the_same(world: World) -> None:
    cycle = world.cycle()
    world.directory.rmdir()

    assert cycle.run() is State.DONE
    assert world.gateway.held == [b"profile"]

"""One window of a run on this node, from the question "what shall I record?" to the last report: a state machine.

What may follow what stands in one table, TRANSITIONS; what is done in a state stands in one method each, which ends by
giving the event that came of it. Everything outside (gateway, perf, clock) is handed in.
"""

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol, TypeVar

import msgspec

from perfprofile_agent.agent import outcome
from perfprofile_agent.agent.config import JoinSettings
from perfprofile_agent.agent.heartbeat import Heartbeat
from perfprofile_agent.agent.outcome import Counts, Failure, Finished
from perfprofile_agent.api.assignment import Assignment, Wait
from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.api.report import NodeReport
from perfprofile_agent.errors import PerfProfileError
from perfprofile_agent.node.errors import NodeError
from perfprofile_agent.sinks.base import ProfileMeta, Receipt, digest
from perfprofile_agent.sinks.errors import ProfileNotHeld, RunOver, SinkError, SpoolError
from perfprofile_agent.sinks.retry import Backoff, keep_trying
from perfprofile_agent.sinks.spool import Spool

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
_MAX_UPLOADS = 3
"""How often a profile is uploaded that the gateway took and then doesn't hold."""
_SHORTEST_WINDOW = 1.0
"""Seconds; with less time left it is not worth starting perf."""


class State(StrEnum):
    """Where the agent is with its window."""

    WAITING = "Waiting"
    RECORDING = "Recording"
    CONVERTING = "Converting"
    DELIVERING = "Delivering"
    REPORTING = "Reporting"
    REPORTING_FAILURE = "ReportingFailure"
    DONE = "Done"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def terminal(self) -> bool:
        """Whether nothing follows."""
        return self in {State.DONE, State.FAILED, State.CANCELLED}


class Event(StrEnum):
    """What can come of a state."""

    ASSIGNED = "assigned"
    RESUMED = "resumed"
    """An earlier life of this agent has left the finished profile in the spool."""
    RECORDED = "recorded"
    CONVERTED = "converted"
    DELIVERED = "delivered"
    REPORTED = "reported"
    PROFILE_NOT_HELD = "profile not held"
    FAILED = "failed"
    GONE = "gone"
    """The run is over, or deleted."""
    INTERRUPTED = "interrupted"
    """The agent was told to stop."""
    EXPIRED = "expired"
    """The time for it is over."""


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.WAITING, Event.ASSIGNED): State.RECORDING,
    (State.WAITING, Event.RESUMED): State.DELIVERING,
    (State.WAITING, Event.REPORTED): State.DONE,
    (State.WAITING, Event.FAILED): State.FAILED,
    (State.WAITING, Event.GONE): State.CANCELLED,
    (State.WAITING, Event.INTERRUPTED): State.CANCELLED,
    (State.WAITING, Event.EXPIRED): State.CANCELLED,
    (State.RECORDING, Event.RECORDED): State.CONVERTING,
    (State.RECORDING, Event.FAILED): State.REPORTING_FAILURE,
    (State.RECORDING, Event.GONE): State.CANCELLED,
    (State.RECORDING, Event.INTERRUPTED): State.REPORTING_FAILURE,
    (State.RECORDING, Event.EXPIRED): State.REPORTING_FAILURE,
    (State.CONVERTING, Event.CONVERTED): State.DELIVERING,
    (State.CONVERTING, Event.FAILED): State.REPORTING_FAILURE,
    (State.DELIVERING, Event.DELIVERED): State.REPORTING,
    (State.DELIVERING, Event.FAILED): State.REPORTING_FAILURE,
    (State.DELIVERING, Event.GONE): State.CANCELLED,
    (State.DELIVERING, Event.EXPIRED): State.REPORTING_FAILURE,
    (State.REPORTING, Event.REPORTED): State.DONE,
    (State.REPORTING, Event.PROFILE_NOT_HELD): State.DELIVERING,
    (State.REPORTING, Event.FAILED): State.REPORTING_FAILURE,
    (State.REPORTING, Event.GONE): State.CANCELLED,
    (State.REPORTING, Event.EXPIRED): State.FAILED,
    (State.REPORTING_FAILURE, Event.REPORTED): State.FAILED,
    (State.REPORTING_FAILURE, Event.FAILED): State.FAILED,
    (State.REPORTING_FAILURE, Event.GONE): State.CANCELLED,
    (State.REPORTING_FAILURE, Event.EXPIRED): State.FAILED,
}


def successor(state: State, event: Event) -> State:
    """Give the state that follows.

    Raises:
        KeyError: ``event`` can't come of ``state``: a defect of the cycle.
    """
    return TRANSITIONS[state, event]


class Gateway(Protocol):
    """The gateway as the cycle needs it; ``sinks.gateway.GatewayClient`` is the real one, with the errors named there."""

    def assignment(self) -> Assignment | Wait:
        """Ask what to record."""

    def report(self, report: NodeReport) -> None:
        """Send a report."""

    def deliver(self, profile: bytes, meta: ProfileMeta) -> Receipt:
        """Upload a profile."""


class Window(Protocol):
    """A window that is recorded and converted on this node; ``window.NodeWindow`` is the real one."""

    def record(self, *, duration: float, stop: Callable[[], bool], started: Callable[[], None]) -> None:
        """Record for ``duration`` seconds, less if ``stop`` says so; call ``started`` when sampling has begun."""

    def convert(self) -> Finished:
        """Give what was recorded as a profile."""

    def counts(self) -> Counts:
        """Give what is known so far."""

    def close(self) -> None:
        """Let go of files and processes; may be called twice."""


class Stop(Protocol):
    """The request to stop; ``stopping.StopSignal`` is the real one."""

    at: float | None

    def sleep(self, seconds: float) -> None:
        """Sleep, less if the request comes."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """All that the cycle needs from outside."""

    gateway: Gateway
    heartbeat_gateway: Gateway
    """A client of its own, for the heartbeat's thread."""
    open_window: Callable[[Assignment], Window]
    """Prepares a window. Raises PerfProfileError if it can't be recorded here."""
    spool: Spool
    stop: Stop
    clock: Callable[[], float]
    """Seconds, monotonic."""
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(kw_only=True)
class _Work:
    """The window at hand."""

    assignment: Assignment
    deadline: float
    window: Window | None = None
    counts: Counts = field(default_factory=Counts)
    notices: tuple[str, ...] = ()
    profile: bytes = b""
    receipt: Receipt | None = None
    uploads: int = 0
    failure: Failure = field(
        default_factory=lambda: Failure(Reason.AGENT_CRASHED, "The agent failed without saying why. Report it with its log.")
    )

    @property
    def key(self) -> str:
        return f"{self.assignment.run_uid}-{self.assignment.window}"


class Cycle:
    """Carries one window through."""

    def __init__(self, settings: JoinSettings, surroundings: Surroundings) -> None:
        self._settings = settings
        self._outside = surroundings
        self._work: _Work | None = None
        self.state = State.WAITING
        self._actions: dict[State, Callable[[], Event]] = {
            State.WAITING: self._wait,
            State.RECORDING: self._record,
            State.CONVERTING: self._convert,
            State.DELIVERING: self._deliver,
            State.REPORTING: self._report,
            State.REPORTING_FAILURE: self._report_failure,
        }

    def run(self) -> State:
        """Go on until a terminal state, and give it."""
        try:
            while not self.state.terminal:
                event = self._act()
                before, self.state = self.state, successor(self.state, event)
                _LOG.info("state", extra={"state": self.state, "was": before, "event": event, **self._told()})
        finally:
            self._close_window()
        return self.state

    def _act(self) -> Event:
        try:
            return self._actions[self.state]()
        except RunOver:
            return Event.GONE
        except NodeError as error:
            return self._fail(error.reason, error.message)
        except PerfProfileError as error:
            return self._fail(Reason.CONVERSION_FAILED, f"perf's output could not be turned into a profile: {error}")
        except Exception as error:  # noqa: BLE001 - a defect of the agent must reach the run's status like any other failure
            _LOG.exception("defect")
            return self._fail(
                Reason.AGENT_CRASHED,
                f"The agent failed by a defect of its own: {type(error).__name__}: {error}. Report it with the agent's log.",
            )

    def _wait(self) -> Event:
        reached = self._outside.clock()
        failures = 0
        while self._outside.stop.at is None:
            try:
                answer = self._outside.gateway.assignment()
            except RunOver:
                raise
            except SinkError as error:
                if not error.retryable:
                    return self._fail(Reason.GATEWAY_UNAVAILABLE, str(error))
                failures += 1
                delay = self._outside.backoff.delay(failures, error.retry_after)
                _LOG.warning("no answer", extra={"error": str(error), "retry_in": round(delay, 1)})
                if self._outside.clock() - reached > self._settings.unreachable_limit:
                    return Event.EXPIRED
            else:
                if isinstance(answer, Assignment):
                    return self._accept(answer)
                reached, failures = self._outside.clock(), 0
                delay = answer.retry_after_seconds
                _LOG.info("waiting", extra={"reason": answer.reason, "detail": answer.message, "retry_in": delay})
            self._outside.stop.sleep(delay)
        return Event.INTERRUPTED

    def _accept(self, assignment: Assignment) -> Event:
        work = _Work(assignment=assignment, deadline=self._outside.clock() + assignment.remaining_seconds)
        self._work = work
        spool = self._outside.spool
        if spool.get(f"{work.key}.done") is not None:
            return Event.REPORTED
        kept, profile = spool.get(f"{work.key}.json"), spool.get(f"{work.key}.pb.gz")
        if kept and profile:
            report = msgspec.json.decode(kept, type=NodeReport)
            if report.profile_sha256 == digest(profile):
                work.counts, work.profile = _counts(report), profile
                return Event.RESUMED
        return Event.ASSIGNED

    def _record(self) -> Event:
        work = self._at_work()
        left = work.deadline - self._outside.clock() - self._settings.delivery_margin
        duration = min(work.assignment.duration_seconds, left)
        if duration < min(_SHORTEST_WINDOW, work.assignment.duration_seconds):
            return self._expire("too little time was left to record")
        if duration < work.assignment.duration_seconds:
            work.notices = (f"recorded {duration:.0f} s of {work.assignment.duration_seconds:.0f} s, because the run's deadline was near",)
        window = work.window = self._outside.open_window(work.assignment)
        work.counts = window.counts()
        beat = Heartbeat(
            lambda: self._outside.heartbeat_gateway.report(outcome.recording(work.assignment.window, window.counts())),
            interval=self._settings.heartbeat,
            unreachable_limit=self._settings.unreachable_limit,
        )
        with beat as heartbeat:

            def stop() -> bool:
                return self._outside.stop.at is not None or heartbeat.over or heartbeat.unreachable or self._outside.clock() > work.deadline

            window.record(duration=duration, stop=stop, started=heartbeat.start)
        return self._after_recording(heartbeat)

    def _after_recording(self, heartbeat: Heartbeat) -> Event:
        if heartbeat.over:
            return Event.GONE
        if self._outside.stop.at is not None:
            self._at_work().failure = Failure(Reason.INTERRUPTED, "The agent was told to stop before its window was over. Apply again.")
            return Event.INTERRUPTED
        if heartbeat.unreachable:
            return self._expire(f"the gateway did not answer for {self._settings.unreachable_limit:.0f} s")
        if self._outside.clock() > self._at_work().deadline:
            return self._expire("perf had not ended by then")
        return Event.RECORDED

    def _convert(self) -> Event:
        work = self._at_work()
        assert work.window  # noqa: S101 - Recording made it
        finished = work.window.convert()
        work.counts = dataclasses.replace(finished.counts, notices=(*work.notices, *finished.counts.notices))
        nothing = outcome.without_samples(finished.counts, work.assignment.duration_seconds)
        if nothing:
            return self._fail(nothing.reason, nothing.message)
        work.profile = finished.profile
        self._close_window()
        self._keep()
        return Event.CONVERTED

    def _close_window(self) -> None:
        """Free the recording's memory and files while the profile waits for its delivery."""
        if self._work and self._work.window:
            self._work.window.close()
            self._work.window = None

    def _keep(self) -> None:
        """Put the profile into the spool; without a working spool a restart would record again, which is no reason to fail."""
        work = self._at_work()
        receipt = Receipt("spool", len(work.profile), digest(work.profile))
        report = outcome.succeeded(work.assignment.window, work.counts, receipt)
        try:
            self._outside.spool.put(f"{work.key}.pb.gz", work.profile)
            self._outside.spool.put(f"{work.key}.json", msgspec.json.encode(report))
        except SpoolError as error:
            _LOG.warning("not spooled", extra={"error": str(error)})

    def _deliver(self) -> Event:
        work = self._at_work()
        if work.uploads >= _MAX_UPLOADS:
            return self._fail(
                Reason.UPLOAD_REFUSED, f"The gateway took the profile {work.uploads} times but doesn't hold it. Look at its log."
            )
        work.uploads += 1
        meta = ProfileMeta(window=work.assignment.window, node=work.assignment.node)
        try:
            work.receipt = self._try(lambda: self._outside.gateway.deliver(work.profile, meta))
        except RunOver:
            raise
        except SinkError as error:
            if error.retryable:
                return self._expire(str(error))
            return self._fail(Reason.UPLOAD_REFUSED, f"{error}. The profile was recorded but is not kept; apply again.")
        return Event.DELIVERED

    def _report(self) -> Event:
        work = self._at_work()
        assert work.receipt  # noqa: S101 - Delivering made it
        report = outcome.succeeded(work.assignment.window, work.counts, work.receipt)
        try:
            self._try(lambda: self._outside.gateway.report(report))
        except RunOver:
            raise
        except ProfileNotHeld:
            return Event.PROFILE_NOT_HELD
        except SinkError as error:
            return Event.EXPIRED if error.retryable else self._fail(Reason.UPLOAD_REFUSED, str(error))
        self._remember_the_end()
        return Event.REPORTED

    def _report_failure(self) -> Event:
        work = self._at_work()
        _LOG.warning("failed", extra={"reason": work.failure.reason, "detail": work.failure.message})
        report = outcome.failed(work.assignment.window, work.counts, work.failure)
        try:
            self._try(lambda: self._outside.gateway.report(report))
        except RunOver:
            raise
        except SinkError as error:
            _LOG.warning("failure not reported", extra={"error": str(error)})
            return Event.EXPIRED if error.retryable else Event.FAILED
        self._remember_the_end()
        return Event.REPORTED

    def _remember_the_end(self) -> None:
        work, spool = self._at_work(), self._outside.spool
        try:
            spool.put(f"{work.key}.done", b"")
            spool.remove(f"{work.key}.json")
            spool.remove(f"{work.key}.pb.gz")
        except SpoolError as error:
            _LOG.warning("spool not cleared", extra={"error": str(error)})

    def _try(self, operation: Callable[[], T]) -> T:
        return keep_trying(
            operation,
            until=self._until,
            backoff=self._outside.backoff,
            clock=self._outside.clock,
            sleep=self._outside.stop.sleep,
            on_failure=lambda error, delay: _LOG.warning("again", extra={"error": str(error), "retry_in": round(delay, 1)}),
        )

    def _until(self) -> float:
        """Give the time until which delivering and reporting go on: the run's deadline, soon after a request to stop."""
        deadline, stopped = self._at_work().deadline, self._outside.stop.at
        return deadline if stopped is None else min(deadline, stopped + self._settings.flush)

    def _fail(self, reason: Reason, message: str) -> Event:
        if self._work:
            self._work.failure = Failure(reason, message)
        else:
            _LOG.error("failed", extra={"reason": reason, "detail": message})
        return Event.FAILED

    def _expire(self, why: str) -> Event:
        work = self._at_work()
        if self._outside.stop.at is None:
            work.failure = Failure(Reason.DEADLINE_EXCEEDED, f"The node's time for this run was over: {why}. Apply again.")
        else:
            work.failure = Failure(Reason.INTERRUPTED, f"The agent was told to stop before it could deliver: {why}. Apply again.")
        return Event.EXPIRED

    def _at_work(self) -> _Work:
        assert self._work  # noqa: S101 - every state but Waiting has it
        return self._work

    def _told(self) -> dict[str, object]:
        """Give what log lines say of the window at hand."""
        if not self._work:
            return {}
        assignment = self._work.assignment
        return {"run": f"{assignment.run_namespace}/{assignment.run_name}", "window": assignment.window, "node": assignment.node}


def _counts(report: NodeReport) -> Counts:
    return Counts(
        recorded=report.samples_recorded,
        shown=report.samples_shown,
        lost=report.samples_lost,
        event=report.event,
        perf_version=report.perf_version,
        kernel=report.kernel,
        notices=report.notices,
    )

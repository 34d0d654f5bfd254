"""What a PerfProfile's status says: its own acceptance, and how its latest run goes. And whether a run has to be made."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from perfprofile_agent.api.conditions import EXPLANATIONS, ConditionType, Phase, Reason, Status
from perfprofile_agent.api.profile import PerfProfileStatus
from perfprofile_cluster.objects import ObjectMeta, ProfileObject, RunObject
from perfprofile_operator.decide.admission import Accepted, Refused
from perfprofile_operator.decide.clock import text_of
from perfprofile_operator.decide.completion import phase_of
from perfprofile_operator.decide.conditions import find, with_condition

REFUSED_PHASE = "Refused"
"""Phase of a PerfProfile whose spec can't be carried out."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A PerfProfile and what there is of it."""

    profile: ProfileObject
    run_name: str
    """The name that the run of its present spec has."""
    runs: tuple[RunObject, ...]
    """Its own runs, of all generations."""

    @property
    def run(self) -> RunObject | None:
        """The run of the present spec."""
        return next((run for run in self.runs if run.metadata.name == self.run_name), None)

    @property
    def run_was_made(self) -> bool:
        """Whether there is or was a run of the present spec. Once made it is never made again, whoever deleted it."""
        return self.run is not None or self.profile.status.latest_run == self.run_name


def owned(profile: ObjectMeta, runs: Iterable[RunObject]) -> tuple[RunObject, ...]:
    """Give the runs that belong to this very PerfProfile, not to an earlier one of the same name."""
    return tuple(run for run in runs if any(owner.uid == profile.uid for owner in run.metadata.owner_references))


def needs_attention(profile: ProfileObject, runs: Iterable[RunObject]) -> bool:
    """Whether a PerfProfile is to be looked at on a resync: cheap, and wrong only towards looking once too often."""
    status = profile.status
    settled = status.phase == REFUSED_PHASE or (status.phase != "" and Phase(status.phase).terminal)
    unfinished = any(not phase_of(run).terminal for run in runs)
    return status.observed_generation != profile.metadata.generation or not settled or status.active_runs > 0 or unfinished


class _Said(NamedTuple):
    """What a condition gives as its reason; a str where another version of the operator may have written it."""

    reason: Reason | str
    message: str

    @classmethod
    def meaning(cls, reason: Reason) -> "_Said":
        return cls(reason, EXPLANATIONS[reason].meaning)


def status_of(situation: Situation, verdict: Accepted | Refused, now: datetime) -> PerfProfileStatus:
    """Give the status as it should be."""
    status = _counted(situation)
    if isinstance(verdict, Refused):
        said = _Said(verdict.reason, verdict.message)
        return _with(replace(status, phase=REFUSED_PHASE), situation, ConditionType.ACCEPTED, Status.FALSE, said, now)
    status = _accepted(status, situation, now)
    run = situation.run
    return _without_run(status, situation, now) if run is None else _with_run(status, situation, run, now)


def with_refused_run(situation: Situation, answer: str, now: datetime) -> PerfProfileStatus:
    """Give the status of a PerfProfile whose run the API server refused to create, with its answer."""
    said = _Said(Reason.RUN_REFUSED, f"Could not create the run: {answer} {EXPLANATIONS[Reason.RUN_REFUSED].next_step}")
    status = replace(_accepted(_counted(situation), situation, now), phase=str(Phase.PENDING))
    return _with(status, situation, ConditionType.COMPLETE, Status.FALSE, said, now)


def _counted(situation: Situation) -> PerfProfileStatus:
    return replace(
        situation.profile.status,
        observed_generation=situation.profile.metadata.generation,
        active_runs=sum(not phase_of(run).terminal for run in situation.runs),
    )


def _accepted(status: PerfProfileStatus, situation: Situation, now: datetime) -> PerfProfileStatus:
    return _with(status, situation, ConditionType.ACCEPTED, Status.TRUE, _Said.meaning(Reason.ACCEPTED), now)


def _with_run(status: PerfProfileStatus, situation: Situation, run: RunObject, now: datetime) -> PerfProfileStatus:
    created = run.metadata.creation_timestamp
    status = replace(
        status,
        phase=str(phase_of(run)),
        latest_run=run.metadata.name,
        last_run_time=text_of(created) if created is not None else status.last_run_time,
    )
    complete = find(run.status.conditions, ConditionType.COMPLETE)
    if complete is None:
        return _with(status, situation, ConditionType.COMPLETE, Status.FALSE, _Said.meaning(Reason.WAITING_FOR_AGENTS), now)
    return _with(status, situation, ConditionType.COMPLETE, complete.status, _Said(complete.reason, complete.message), now)


def _without_run(status: PerfProfileStatus, situation: Situation, now: datetime) -> PerfProfileStatus:
    """Say what became of a run that was made and is gone: one that was over keeps its end, one that was not was deleted meanwhile."""
    before = find(status.conditions, ConditionType.COMPLETE)
    if before is not None and before.status == Status.TRUE and before.observed_generation == situation.profile.metadata.generation:
        return status
    explanation = EXPLANATIONS[Reason.RUN_DELETED]
    said = _Said(Reason.RUN_DELETED, f"Run {situation.run_name}: {explanation.meaning} {explanation.next_step}")
    return _with(replace(status, phase=str(Phase.CANCELLED)), situation, ConditionType.COMPLETE, Status.FALSE, said, now)


def _with(
    status: PerfProfileStatus, situation: Situation, type_: ConditionType, holds: Status, said: _Said, now: datetime
) -> PerfProfileStatus:
    generation = situation.profile.metadata.generation
    conditions = with_condition(status.conditions, type_, holds, said.reason, said.message, now=now, generation=generation)
    return replace(status, conditions=conditions)

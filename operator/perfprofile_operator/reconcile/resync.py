"""Looking at everything that is not finished, without being told: what makes a lost watch cost time and nothing else."""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta

from perfprofile_cluster.client import Cluster
from perfprofile_cluster.objects import RunObject
from perfprofile_operator.decide.completion import expires, phase_of
from perfprofile_operator.decide.mirror import needs_attention
from perfprofile_operator.reconcile.work import Key, Outcome, Work


class Resync:
    """Lists PerfProfiles and runs, and wakes those for which there is something to do."""

    def __init__(self, cluster: Cluster, *, every: timedelta, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._every = every
        self._clock = clock

    def reconcile(self) -> Outcome:
        """Give the keys of all that is unfinished, or due to be deleted."""
        profiles, runs = self._cluster.list_profiles(), self._cluster.list_runs()
        now = self._clock()
        by_profile: dict[tuple[str, str], list[RunObject]] = defaultdict(list)
        for run in runs:
            by_profile[run.metadata.namespace, run.spec.profile].append(run)
        wanted = [Key(Work.RUN, run.metadata.namespace, run.metadata.name) for run in runs if _due(run, now)]
        for profile in profiles:
            place = profile.metadata.namespace, profile.metadata.name
            if needs_attention(profile, by_profile[place]):
                wanted.append(Key(Work.PROFILE, *place))
        return Outcome(again=self._every, wake=tuple(wanted))


def _due(run: RunObject, now: datetime) -> bool:
    if not phase_of(run).terminal:
        return True
    end = expires(run)
    return end is not None and end <= now

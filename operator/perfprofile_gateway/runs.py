"""Runs and their pods as the gateway sees them: read from the API server, kept for seconds."""

import time
from datetime import datetime
from http import HTTPStatus
from typing import Final

from perfprofile_agent.api.conditions import Phase
from perfprofile_cluster.objects import Pod, RunObject
from perfprofile_gateway.errors import Refusal
from perfprofile_gateway.kubernetes import Cached, Calls, Kubernetes
from perfprofile_gateway.store.rows import RunKey

_RUN_SECONDS: Final = 2.0
_PODS_SECONDS: Final = 3.0
_STALE_SECONDS: Final = 60.0
"""While the API server is away, agents go on with what is known: a run that was there a minute ago is good enough to deliver to."""


class Runs:
    """Reads runs, and lists their target pods once for all agents of a run."""

    def __init__(self, kubernetes: Kubernetes, calls: Calls) -> None:
        self._kubernetes, self._calls = kubernetes, calls
        self._runs: Cached[tuple[str, str], RunObject | None] = Cached(seconds=_RUN_SECONDS, stale=_STALE_SECONDS)
        self._pods: Cached[str, list[Pod]] = Cached(seconds=_PODS_SECONDS)

    async def find(self, namespace: str, name: str) -> RunObject | None:
        """Give a run, or None where there is none.

        Raises:
            ClusterError: the API server could not be asked.
        """
        return await self._runs.get((namespace, name), lambda: self._calls(self._kubernetes.get_run, namespace, name))

    async def existing(self, key: RunKey) -> RunObject:
        """Give the run that an agent works for.

        Raises:
            Refusal: 410, it is gone (or another run has its name by now).
            ClusterError: the API server could not be asked.
        """
        run = await self.find(key.namespace, key.name)
        if run is not None and run.metadata.uid != key.uid:
            self._runs.forget((key.namespace, key.name))  # it may have been made anew since
            run = await self.find(key.namespace, key.name)
        if run is None or run.metadata.uid != key.uid or run.metadata.deletion_timestamp is not None:
            raise Refusal(HTTPStatus.GONE, f"Run {key.namespace}/{key.name} is gone: stop, nobody waits for this node any more.")
        return run

    async def open(self, key: RunKey) -> RunObject:
        """Give the run that an agent works for, if it still goes on.

        Raises:
            Refusal: 410, it is over or gone.
            ClusterError: the API server could not be asked.
        """
        run = await self.existing(key)
        if is_over(run):
            raise Refusal(HTTPStatus.GONE, f"Run {key.namespace}/{key.name} is over ({run.status.phase}): stop, its results are final.")
        return run

    async def pods(self, run: RunObject) -> list[Pod]:
        """List the pods that a run's selector names, on all nodes.

        Raises:
            ClusterError: the API server could not be asked.
        """
        selector = run.spec.target.pod_selector
        return await self._pods.get(run.metadata.uid, lambda: self._calls(self._kubernetes.list_pods, run.metadata.namespace, selector))


def is_over(run: RunObject) -> bool:
    """Whether a run is in a phase that it never leaves. Unknown phases (of a later version) count as not over."""
    return run.status.phase in {phase.value for phase in Phase if phase.terminal}


def key_of(run: RunObject) -> RunKey:
    """Name a run."""
    return RunKey(run.metadata.uid, run.metadata.namespace, run.metadata.name)


def deadline_of(run: RunObject) -> float | None:
    """Give a run's deadline in seconds since the epoch, or None before the operator has placed it."""
    if not run.status.deadline:
        return None
    return datetime.fromisoformat(run.status.deadline).timestamp()


def remaining_seconds(run: RunObject) -> float | None:
    """Give the time until a run's deadline, negative after it, or None before the operator has placed it."""
    deadline = deadline_of(run)
    return None if deadline is None else deadline - time.time()

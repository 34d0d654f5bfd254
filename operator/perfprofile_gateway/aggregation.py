"""A run's counts in its status: always recomputed from the store, written at most once a second for each run.

Whoever stores a report marks its run; a loop takes the marked runs, waits until a second has passed since the run's last patch, and
writes one merge patch. A mark that comes meanwhile stays for the next round, so nothing is lost and bursts cost one call. Marks are not
kept over a restart: then all runs that still go on are marked.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from perfprofile_agent.api.names import DATA_API_VERSION
from perfprofile_agent.api.report import NodeState
from perfprofile_agent.api.run import MAX_FAILURES, NodeFailure, SampleCounts
from perfprofile_cluster.errors import ClusterError
from perfprofile_gateway.kubernetes import Calls, Kubernetes
from perfprofile_gateway.runs import is_over, key_of
from perfprofile_gateway.store import rows
from perfprofile_gateway.store.rows import RunKey, StoredReport
from perfprofile_gateway.store.store import Store

log = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0)
_AT_ONCE: Final = 8
"""Runs whose patches are under way at a time."""


def profile_path(run: RunKey, what: str = "profile") -> str:
    """Give the path, below the API server's address, at which a run's data is read."""
    return f"/apis/{DATA_API_VERSION}/namespaces/{run.namespace}/perfprofileruns/{run.name}/{what}"


def summary(run: RunKey, reports: Iterable[StoredReport]) -> dict[str, Any]:
    """Give the gateway's part of a run's status. Pure."""
    states = dict.fromkeys(NodeState, 0)
    samples = SampleCounts()
    failures: list[NodeFailure] = []
    for stored in reports:
        report = stored.report
        states[report.state] += 1
        samples = SampleCounts(
            recorded=samples.recorded + report.samples_recorded,
            shown=samples.shown + report.samples_shown,
            out_of_scope=samples.out_of_scope + report.samples_out_of_scope,
            lost=samples.lost + report.samples_lost,
        )
        if report.state is NodeState.FAILED and len(failures) < MAX_FAILURES:
            failures.append(NodeFailure(node=stored.node, reason=report.reason, message=report.message))
    status: dict[str, Any] = {
        "nodes": {
            "recording": states[NodeState.RECORDING],
            "succeeded": states[NodeState.SUCCEEDED],
            "failed": states[NodeState.FAILED],
        },
        # Written in full, zeros too: a merge patch leaves alone what it doesn't name.
        "samples": {
            "recorded": samples.recorded,
            "shown": samples.shown,
            "outOfScope": samples.out_of_scope,
            "lost": samples.lost,
        },
        "failures": msgspec.to_builtins(failures),
    }
    if states[NodeState.SUCCEEDED]:
        status["profilePath"] = profile_path(run)
    return status


class Aggregator:
    """Keeps the counts in the statuses of runs."""

    def __init__(self, store: Store, kubernetes: Kubernetes, calls: Calls, *, interval: float = INTERVAL_SECONDS) -> None:
        self._store, self._kubernetes, self._calls, self._interval = store, kubernetes, calls, interval
        self._marked: dict[RunKey, None] = {}
        self._not_before: dict[RunKey, float] = {}
        self._failed: dict[RunKey, int] = {}
        self._written: dict[RunKey, dict[str, Any]] = {}
        self._wake = asyncio.Event()

    def mark(self, run: RunKey) -> None:
        """Have a run's status written soon."""
        self._marked[run] = None
        self._wake.set()

    async def run(self) -> None:
        """Write statuses until cancelled."""
        await self._mark_active()
        while True:
            due = self._take_due()
            if due:
                await asyncio.gather(*(self._write(run) for run in due))
            else:
                await self._sleep()

    async def flush(self) -> None:
        """Write what is marked, once, without waiting; for the end of the program."""
        marked, self._marked = list(self._marked), {}
        await asyncio.gather(*(self._write(run) for run in marked))

    async def _mark_active(self) -> None:
        """Mark every run that still goes on: the last process may have died between a report and its patch."""
        while True:
            try:
                active = await self._calls(self._kubernetes.list_runs)
            except ClusterError as error:
                log.warning("Could not list runs; trying again", extra={"error": error.message})
                await asyncio.sleep(_RETRY_SECONDS[1])
                continue
            known = set(await self._store.read(rows.known_runs))
            for run in active:
                if not is_over(run) and key_of(run) in known:
                    self.mark(key_of(run))
            return

    def _take_due(self) -> list[RunKey]:
        now = time.monotonic()
        due = [run for run in self._marked if self._not_before.get(run, 0.0) <= now][:_AT_ONCE]
        for run in due:
            del self._marked[run]
        return due

    async def _sleep(self) -> None:
        self._wake.clear()
        waits = [self._not_before.get(run, 0.0) - time.monotonic() for run in self._marked]
        try:
            async with asyncio.timeout(max(0.01, min(waits)) if waits else None):
                await self._wake.wait()
        except TimeoutError:
            return
        if waits:
            # Somebody marked a run while others wait for their time: look again, but not in a busy loop.
            await asyncio.sleep(0.01)

    async def _write(self, run: RunKey) -> None:
        self._not_before[run] = time.monotonic() + self._interval
        status = summary(run, await self._store.read(lambda connection: rows.reports_of(connection, run.uid)))
        if status == self._written.get(run):
            return
        try:
            await self._calls(self._kubernetes.patch_run_status, run.namespace, run.name, status, uid=run.uid)
        except ClusterError as error:
            self._retry_or_drop(run, error)
        else:
            self._failed.pop(run, None)
            self._written[run] = status
            self._not_before[run] = time.monotonic() + self._interval

    def _retry_or_drop(self, run: RunKey, error: ClusterError) -> None:
        if error.not_found or (error.refused and error.status != 403) or error.conflict:  # noqa: PLR2004 - 403 is mended by an admin
            # The run is gone, or another one has its name: a patch bound to its uid will never pass.
            self.forget(run)
            log.info("A run is gone; its counts are not written", extra={"run": run.uid, "error": error.message})
            return
        failed = self._failed[run] = self._failed.get(run, 0) + 1
        delay = error.retry_after or _RETRY_SECONDS[min(failed, len(_RETRY_SECONDS)) - 1]
        self._not_before[run] = time.monotonic() + delay
        self.mark(run)
        log.warning("Could not write a run's counts; trying again", extra={"run": run.uid, "error": error.message, "seconds": delay})

    def forget(self, run: RunKey) -> None:
        """Drop what is remembered of a run."""
        for remembered in (self._marked, self._not_before, self._failed, self._written):
            remembered.pop(run, None)

"""Forgetting runs that Kubernetes no longer knows, after a grace, and files that no row names."""

import asyncio
import logging
import time
from typing import Final

from perfprofile_cluster.errors import ClusterError
from perfprofile_gateway.aggregation import Aggregator
from perfprofile_gateway.kubernetes import Calls, Kubernetes
from perfprofile_gateway.metrics import Metrics
from perfprofile_gateway.store import rows
from perfprofile_gateway.store.rows import RunKey
from perfprofile_gateway.store.store import Store

log = logging.getLogger(__name__)

_EVERY_SECONDS: Final = 60.0


class Collector:
    """Keeps the store in step with Kubernetes."""

    def __init__(
        self, store: Store, kubernetes: Kubernetes, calls: Calls, *, aggregator: Aggregator, metrics: Metrics, grace: float
    ) -> None:
        self._store, self._kubernetes, self._calls = store, kubernetes, calls
        self._aggregator, self._metrics, self._grace = aggregator, metrics, grace

    async def run(self) -> None:
        """Collect every minute until cancelled."""
        while True:
            try:
                await self.collect()
            except ClusterError as error:
                # Not knowing what exists is no reason to delete anything.
                log.warning("Could not list runs; nothing is forgotten", extra={"error": error.message})
            await asyncio.sleep(_EVERY_SECONDS)

    async def collect(self) -> list[RunKey]:
        """Forget what is due, and give it.

        Raises:
            ClusterError: the API server could not be asked.
        """
        existing = {run.metadata.uid for run in await self._calls(self._kubernetes.list_runs)}
        overdue = await self._store.write(lambda connection: rows.mark_missing(connection, existing, now=time.time(), grace=self._grace))
        gone = [run for run in overdue if await self._is_gone(run)]
        for run in gone:
            await self._store.forget(run.uid)
            self._aggregator.forget(run)
            self._metrics.count("runs_forgotten_total")
            log.info("Forgot a run that is gone", extra={"run": run.uid, "run_namespace": run.namespace, "run_name": run.name})
        await self._store.sweep()
        return gone

    async def _is_gone(self, run: RunKey) -> bool:
        """Ask for the run itself: a list leaves out objects that this version can't read, and those aren't gone."""
        try:
            found = await self._calls(self._kubernetes.get_run, run.namespace, run.name)
        except ClusterError as error:
            log.warning("Could not read a run; it is kept", extra={"run": run.uid, "error": error.message})
            return False
        return found is None or found.metadata.uid != run.uid

"""Puts the gateway together, runs it, and takes it down in order.

Up: health port → store → ports bound → credentials (only then the ports accept) → aggregation and collection. Down: no new connections →
requests under way get some seconds → counts written → workers and store closed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from aiohttp import web

from perfprofile_gateway import health
from perfprofile_gateway.access import Access
from perfprofile_gateway.agents_api import AgentsApi
from perfprofile_gateway.aggregated_api import AggregatedApi
from perfprofile_gateway.aggregation import Aggregator
from perfprofile_gateway.collection import Collector
from perfprofile_gateway.config import Settings
from perfprofile_gateway.kubernetes import Calls, Kubernetes
from perfprofile_gateway.listener import Listener
from perfprofile_gateway.metrics import Metrics
from perfprofile_gateway.results import Results
from perfprofile_gateway.runs import Runs
from perfprofile_gateway.store import rows
from perfprofile_gateway.store.store import Store
from perfprofile_gateway.tls import Credentials
from perfprofile_gateway.workers import Workers

log = logging.getLogger(__name__)

_SHUTDOWN_SECONDS: Final = 10.0
"""For requests under way at the end; with the flush well below the pod's grace period of 30 s."""
_FLUSH_SECONDS: Final = 5.0
_NOT_READY_RATIO: Final = 0.9
_LOCK_SECONDS: Final = 1.0


class Gateway:
    """The gateway's parts, wired."""

    def __init__(self, settings: Settings, kubernetes: Kubernetes, store: Store, metrics: Metrics) -> None:
        self._settings, self._store = settings, store
        self._calls, self._workers = Calls(), Workers(settings.workers)
        runs = Runs(kubernetes, self._calls)
        self.credentials = Credentials(settings, kubernetes, self._calls)
        self.aggregator = Aggregator(store, kubernetes, self._calls)
        self.collector = Collector(
            store, kubernetes, self._calls, aggregator=self.aggregator, metrics=metrics, grace=settings.run_grace_seconds
        )
        self.agents = AgentsApi(
            settings,
            access=Access(settings, kubernetes, self._calls),
            runs=runs,
            store=store,
            workers=self._workers,
            aggregator=self.aggregator,
            metrics=metrics,
        )
        self.api = AggregatedApi(
            credentials=self.credentials,
            kubernetes=kubernetes,
            calls=self._calls,
            runs=runs,
            store=store,
            results=Results(store.files, self._workers, max_bytes=settings.max_decompressed_bytes),
            metrics=metrics,
        )

    async def close(self) -> None:
        """Write the counts that wait, and stop what runs in threads and processes."""
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self.aggregator.flush()
        except TimeoutError:
            log.warning("Counts could not be written in time; they are recomputed at the next start")
        self._workers.close()
        self._calls.close()


class Ports:
    """Where a running gateway listens."""

    def __init__(self) -> None:
        self.http = self.agents = self.api = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the exception of a background task that ended, which none should."""


@asynccontextmanager
async def running(settings: Settings, kubernetes: Kubernetes) -> AsyncIterator[Ports]:
    """Run a gateway while inside.

    Raises:
        StoreError: the data directory can't be used.
        OSError: a port can't be bound.
    """
    metrics, ports = Metrics(), Ports()
    parts: list[tuple[Gateway, Store]] = []

    async def readiness() -> str:
        return _complaint(*parts[0]) if parts else "the store is not open yet"

    async def gauges() -> None:
        for _, store in parts:
            profiles, size = await store.read(rows.totals)
            metrics.stored(profiles=profiles, size=size, disk=store.files.used_ratio())

    async with AsyncExitStack() as stack:
        plain = await _listen(stack, health.application(metrics, readiness, gauges), settings.listen_host, settings.http_port)
        await plain.use(None)
        store = await _open_store(settings)
        stack.callback(store.close)
        gateway = Gateway(settings, kubernetes, store, metrics)
        stack.push_async_callback(gateway.close)
        agents = await _listen(stack, gateway.agents.application(), settings.listen_host, settings.agents_port)
        api = await _listen(stack, gateway.api.application(), settings.listen_host, settings.api_port)
        ports.http, ports.agents, ports.api = plain.port, agents.port, api.port
        parts.append((gateway, store))
        for work in (gateway.credentials.run(agents=agents, api=api), gateway.aggregator.run(), gateway.collector.run()):
            task = asyncio.create_task(work)
            task.add_done_callback(lambda done: _tell(ports.failed, done))
            stack.push_async_callback(_cancel, task)
        log.info("Started", extra={"agents_port": agents.port, "api_port": api.port, "http_port": plain.port})
        yield ports


async def _open_store(settings: Settings) -> Store:
    while (store := await asyncio.to_thread(Store.open, settings.data_dir)) is None:
        log.info("Waiting for another gateway to let go of the data directory", extra={"directory": str(settings.data_dir)})
        await asyncio.sleep(_LOCK_SECONDS)
    return store


async def _listen(stack: AsyncExitStack, application: web.Application, host: str | None, port: int) -> Listener:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    listener = Listener(runner, host=host, port=port)
    stack.push_async_callback(listener.close)
    return listener


def _complaint(gateway: Gateway, store: Store) -> str:
    if not gateway.credentials.complete:
        return "TLS certificate or front proxy CA not there yet: the operator fills the Secret, the API server the ConfigMap"
    if store.files.used_ratio() > _NOT_READY_RATIO:
        return "the disk is more than 90 % full: enlarge the volume or delete runs"
    return ""


def _tell(failed: "asyncio.Future[None]", done: "asyncio.Task[None]") -> None:
    if done.cancelled() or failed.done():
        return
    failed.set_exception(done.exception() or RuntimeError("A background task ended."))


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])

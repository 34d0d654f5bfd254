"""Metrics in Prometheus' text form.

prometheus-client is the format's own library, 0.6 MB without dependencies; labels here are only ever from closed sets, so that nobody
outside can make series grow.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_COUNTERS: Final = {
    "reports_total": ("Node reports stored.", ("state", "reason")),
    "profile_bytes_total": ("Bytes of profiles stored, gzipped.", ()),
    "runs_forgotten_total": ("Runs deleted from the store because Kubernetes no longer knows them.", ()),
}
_PREFIX = "perfprofile_gateway_"


class Metrics:
    """The metrics of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._counters = {
            name: Counter(_PREFIX + name, text, labels, registry=self._registry) for name, (text, labels) in _COUNTERS.items()
        }
        self._requests = Histogram(
            _PREFIX + "request_seconds",
            "Time to answer a request.",
            ("port", "route", "method", "status"),
            registry=self._registry,
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self._profiles = Gauge(_PREFIX + "profiles", "Profiles held.", registry=self._registry)
        self._stored = Gauge(_PREFIX + "stored_bytes", "Bytes of the profiles held.", registry=self._registry)
        self._disk = Gauge(_PREFIX + "disk_used_ratio", "How full the data directory's disk is, 0 to 1.", registry=self._registry)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def stored(self, *, profiles: int, size: int, disk: float) -> None:
        """Set what the store holds."""
        self._profiles.set(profiles)
        self._stored.set(size)
        self._disk.set(disk)

    def text(self) -> bytes:
        """Give all of them in the text format."""
        return generate_latest(self._registry)

    def middleware(self, port: str) -> Middleware:
        """Measure the requests of one port, by route (never by path: paths hold names of runs)."""

        @web.middleware
        async def measure(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
            started, status = time.monotonic(), 499
            try:
                answer = await handler(request)
                status = answer.status
            finally:
                resource = request.match_info.route.resource
                route = resource.canonical if resource is not None else "none"
                self._requests.labels(port, route, _method(request), str(status)).observe(time.monotonic() - started)
            return answer

        return measure


def _method(request: web.Request) -> str:
    return request.method if request.method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "other"

"""Plain HTTP for the kubelet and Prometheus: liveness, readiness, metrics. Nothing here tells whose profiles there are."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from perfprofile_gateway.metrics import Metrics

Readiness = Callable[[], Awaitable[str]]
"""Gives why the gateway isn't ready, or "" if it is."""


def application(metrics: Metrics, readiness: Readiness, refresh: Callable[[], Awaitable[None]]) -> web.Application:
    """Give the aiohttp application; ``refresh`` brings gauges up to date before they are read."""

    async def alive(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_request: web.Request) -> web.Response:
        complaint = await readiness()
        return web.Response(text=f"{complaint or 'ok'}\n", status=HTTPStatus.SERVICE_UNAVAILABLE if complaint else HTTPStatus.OK)

    async def metrics_text(_request: web.Request) -> web.Response:
        await refresh()
        return web.Response(body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application()
    app.router.add_get("/healthz", alive)
    app.router.add_get("/livez", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", metrics_text)
    return app

"""GET /healthz and /readyz for the kubelet.

Alive means: the workers live, and one of them has come to an end with something lately; an API server that is away doesn't count, since
being restarted helps nobody then. Ready means: the certificates are in place and everything has been looked at once.
"""

import time
from typing import Final

from aiohttp import web

from perfprofile_operator.reconcile.controller import Controller
from perfprofile_operator.reconcile.work import Work

STUCK: Final = 180.0
"""Seconds without any progress after which the operator counts as stuck: chores alone make progress every 30 s, with backoff every 60."""


class Health:
    """A small HTTP server."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        application = web.Application()
        application.add_routes([web.get("/healthz", self._alive), web.get("/readyz", self._ready)])
        self._runner = web.AppRunner(application, handle_signals=False, access_log=None, shutdown_timeout=1.0)

    async def start(self, port: int) -> None:
        """Listen on all addresses, since the kubelet comes by the pod's."""
        await self._runner.setup()
        await web.TCPSite(self._runner, None, port).start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _alive(self, _: web.Request) -> web.Response:
        idle = time.monotonic() - self._controller.last_progress
        if self._controller.failed or idle > STUCK:
            return web.Response(status=503, text=f"no progress for {idle:.0f} s: restart the operator and look at its log\n")
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        missing = [str(work) for work in (Work.CERTIFICATES, Work.RESYNC) if not self._controller.has_done(work)]
        if missing:
            return web.Response(status=503, text=f"not done yet: {', '.join(missing)}; look at the operator's log\n")
        return web.Response(text="ok\n")

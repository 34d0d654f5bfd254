"""kopf under supervision: it watches, and when it ends, for whatever reason, it is started again.

kopf leaves its process on several faults of a watch (an ERROR 500 in the stream, an HTTP 410, a cut line, an API server that is away for
longer than its patience). Here it has a thread and an event loop of its own, so that whatever it does ends there: tasks that it leaves
behind die with the loop, and the reconcilers, which also look for themselves every half a minute, go on meanwhile.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import kopf
from kopf._core.engines.peering import Identity

from perfprofile_operator.handlers import perfprofileruns, perfprofiles
from perfprofile_operator.reconcile.work import Key

log = logging.getLogger(__name__)

FIRST_BACKOFF: Final = 1.0
"""Seconds until kopf is started again; doubles with each end that comes soon."""
LAST_BACKOFF: Final = 30.0
"""Seconds at most."""
STEADY: Final = 60.0
"""Seconds of running after which an end counts as the first again."""

API_BACKOFFS: Final[Iterable[float]] = (1, 2, 3, 5, 8, 13, 21, *([30] * 20))
"""Seconds between kopf's own attempts at a call: eleven minutes in all, so that an outage of ten minutes is sat out in place."""


def settings() -> kopf.OperatorSettings:
    """Give kopf's settings, where its defaults don't fit."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False  # Events are told on purpose, by the reconcilers
    chosen.peering.standalone = True  # its peering is no lease; the Deployment has one replica and is recreated
    chosen.scanning.disabled = True  # watching CRDs and namespaces would need rights that nothing else needs
    chosen.networking.request_timeout = 30  # default 300: a hung call would hold the watch back for five minutes
    chosen.networking.connect_timeout = 5
    chosen.networking.error_backoffs = API_BACKOFFS
    chosen.watching.connect_timeout = 5
    chosen.watching.server_timeout = 300  # a watch is renewed now and then, whatever stands between us and the API server
    chosen.watching.client_timeout = 330
    chosen.watching.reconnect_backoff = 1 + random.random()  # noqa: S311 - jitter. Default 0.1: a 410 in the stream would list ten times a second
    chosen.process.ultimate_exiting_timeout = None  # it would kill the process; the supervision is what ends kopf
    return chosen


def registry(wake: Callable[[Key], None]) -> kopf.OperatorRegistry:
    """Give all handlers there are."""
    made = kopf.OperatorRegistry()
    perfprofiles.register(made, wake)
    perfprofileruns.register(made, wake)

    # Said explicitly, since kopf would otherwise load the whole Kubernetes client library to log in, 50 MiB.
    @kopf.on.login(registry=made)
    async def login(**arguments: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)

    return made


class Watching:
    """Keeps kopf running in a thread."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_kopf: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._supervise, name="watching", daemon=True)
        self.starts = 0
        logging.getLogger("kopf").setLevel(logging.WARNING)  # else a line for every event of every object
        # It tells each fault three times, with tracebacks, and warns that it gets no signals; the supervision tells a fault once.
        logging.getLogger("kopf._core.reactor").setLevel(logging.CRITICAL)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Stop watching, and wait for the end for so long."""
        self._stopping.set()
        loop, stop_kopf = self._loop, self._stop_kopf
        if loop is not None and stop_kopf is not None:
            try:
                loop.call_soon_threadsafe(stop_kopf.set)
            except RuntimeError:  # the loop has just been closed
                log.debug("kopf had ended already")
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _supervise(self) -> None:
        backoff = FIRST_BACKOFF
        while not self._stopping.is_set():
            started = time.monotonic()
            self.starts += 1
            ended = self._run_once()
            if self._stopping.is_set():
                return
            if time.monotonic() - started >= STEADY:
                backoff = FIRST_BACKOFF
            pause = backoff * (0.5 + random.random())  # noqa: S311 - jitter
            log.warning("The watch ended: %s; starting it again in %.1f s", ended, pause)
            self._stopping.wait(pause)
            backoff = min(LAST_BACKOFF, backoff * 2)

    def _run_once(self) -> str:
        """Run kopf until it ends; gives why."""
        try:
            asyncio.run(self._kopf())
        except Exception as error:  # noqa: BLE001 - whatever kopf ends with, it is started again; that is what this is for
            return f"{type(error).__name__}: {error}"
        return "kopf ended by itself"

    async def _kopf(self) -> None:
        self._loop = asyncio.get_running_loop()
        # kopf leaves failed tasks behind; asyncio would tell each with a traceback, after the supervision has told what ended kopf.
        self._loop.set_exception_handler(lambda _, context: log.debug("Left behind by kopf: %s", context.get("exception")))
        self._stop_kopf = asyncio.Event()
        if self._stopping.is_set():
            return
        await kopf.operator(
            registry=registry(self._wake),
            settings=settings(),
            # Left alone, kopf asks for the user's name, and ends where the uid has none, as in the image.
            identity=Identity("perfprofile-operator"),
            clusterwide=True,
            standalone=True,
            stop_flag=self._stop_kopf,
        )

"""The program: settings from the environment, logs as JSON, ends in order on SIGTERM."""

import asyncio
import logging
import os
import signal
import sys
from typing import Any

from perfprofile_cluster.client import Cluster
from perfprofile_cluster.errors import ClusterError
from perfprofile_gateway import logs
from perfprofile_gateway.config import Settings
from perfprofile_gateway.errors import ConfigurationError, StoreError
from perfprofile_gateway.factory import running

log = logging.getLogger("perfprofile_gateway")


def main() -> None:
    """Run until told to stop. Exit status: 0 told to stop, 1 something broke, 2 settings are wrong."""
    logs.configure("INFO")
    try:
        settings = Settings.from_environment(os.environ)
        logs.configure(settings.log_level)
        cluster = Cluster.connect()
    except (ConfigurationError, ClusterError) as error:
        log.error("Could not start: %s", error)  # noqa: TRY400 - the sentence says all; a traceback would bury it
        sys.exit(2)
    try:
        asyncio.run(serve(settings, cluster))
    except (StoreError, OSError) as error:
        log.error("Could not run: %s", error)  # noqa: TRY400 - as above
        sys.exit(1)
    finally:
        cluster.close()


async def serve(settings: Settings, cluster: Cluster) -> None:
    """Run until SIGTERM or SIGINT, or until a part of the gateway breaks."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(settings, cluster) as ports:
        stopped = asyncio.create_task(stop.wait())
        ends: list[asyncio.Future[Any]] = [stopped, ports.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        log.info("Stopping")
    if ports.failed.done():
        ports.failed.result()

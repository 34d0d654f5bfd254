"""The program perfprofile-operator."""

import asyncio
import logging
import os
import signal
import sys

from perfprofile_agent.errors import PerfProfileError
from perfprofile_cluster.client import Cluster
from perfprofile_operator.config import Settings
from perfprofile_operator.factory import Operator, build
from perfprofile_operator.reconcile.work import Work

log = logging.getLogger("perfprofile_operator")


def main() -> int:
    """Run until SIGTERM or SIGINT; gives the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        settings = Settings.from_environment(os.environ)
        cluster = Cluster.connect()
    except PerfProfileError as error:
        log.error("%s", error)  # noqa: TRY400 - the sentence says it all; a traceback would hide it
        return 1
    asyncio.run(_run(build(settings, cluster), settings))
    return 0


async def _run(operator: Operator, settings: Settings) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    if settings.health_port:
        await operator.health.start(settings.health_port)
    working = asyncio.create_task(_work(operator), name="start")
    log.info("Started in namespace %s; agents go to %s", settings.namespace, settings.agents_namespace)
    await stopped.wait()
    log.info("Stopping; what is unfinished goes on with the next start")
    working.cancel()
    await asyncio.get_running_loop().run_in_executor(None, operator.watching.stop)
    await operator.controller.stop()
    await operator.health.stop()


async def _work(operator: Operator) -> None:
    await operator.controller.start()
    # kopf looks for the kinds once, when it starts. Before they could be listed, it would not find them, and then watch nothing.
    await operator.controller.until_done(Work.RESYNC)
    operator.watching.start()


if __name__ == "__main__":
    sys.exit(main())

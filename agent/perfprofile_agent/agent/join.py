"""The agent as a DaemonSet's pod: gives up root, carries out its assignment, and sleeps until it is deleted.

It sleeps because a DaemonSet restarts pods that end; deleting it is the operator's part.
"""

import logging
import time

from perfprofile_agent import __version__
from perfprofile_agent.agent import factory
from perfprofile_agent.agent.config import JoinSettings
from perfprofile_agent.agent.cycle import Cycle
from perfprofile_agent.agent.logs import log_as_json
from perfprofile_agent.agent.stopping import StopSignal
from perfprofile_agent.node.capabilities import give_up_root
from perfprofile_agent.node.errors import NodeError
from perfprofile_agent.sinks.retry import Backoff

_LOG = logging.getLogger(__name__)


def join(settings: JoinSettings) -> int:
    """Carry out the assignment of the gateway, wait for SIGTERM, and give the exit status.

    0: told to stop; 1: root couldn't be given up; 2: the settings make no sense.
    """
    log_as_json()
    stop = StopSignal.install()
    _LOG.info("started", extra={"version": __version__, "gateway": settings.gateway})
    try:
        switch = give_up_root()
    except NodeError as error:
        _LOG.critical("can't go on", extra={"reason": error.reason, "detail": error.message})
        return 1
    _LOG.info("privileges", extra={"switched": switch.switched, "kept": switch.kept, "missing": switch.missing})
    try:
        surroundings = factory.surroundings(settings, stop, clock=time.monotonic, backoff=Backoff())
    except (ValueError, OSError) as error:
        _LOG.critical("can't go on", extra={"detail": str(error)})
        return 2
    state = Cycle(settings, surroundings).run()
    _LOG.info("over", extra={"state": state})
    stop.sleep_until_requested()
    return 0

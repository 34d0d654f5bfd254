"""PerfProfiles came, changed or went: have them looked at."""

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from perfprofile_agent.api.names import GROUP, VERSION
from perfprofile_operator.reconcile.work import Key, Work


def register(registry: kopf.OperatorRegistry, wake: Callable[[Key], None]) -> None:
    """Watch PerfProfiles."""

    # on.event, and nothing above it: kopf's other handlers write their progress into annotations of users' objects, or a finalizer.
    @kopf.on.event(GROUP, VERSION, "perfprofiles", registry=registry)
    async def perfprofile_seen(body: Mapping[str, Any], **_: object) -> None:
        wake(Key(Work.PROFILE, body["metadata"]["namespace"], body["metadata"]["name"]))

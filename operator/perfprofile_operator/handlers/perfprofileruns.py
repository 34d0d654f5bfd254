"""PerfProfileRuns came, changed or went: have them looked at, and the PerfProfiles that mirror them."""

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from perfprofile_agent.api.names import GROUP, VERSION
from perfprofile_operator.reconcile.work import Key, Work


def register(registry: kopf.OperatorRegistry, wake: Callable[[Key], None]) -> None:
    """Watch PerfProfileRuns."""

    @kopf.on.event(GROUP, VERSION, "perfprofileruns", registry=registry)
    async def perfprofilerun_seen(body: Mapping[str, Any], **_: object) -> None:
        namespace = body["metadata"]["namespace"]
        wake(Key(Work.RUN, namespace, body["metadata"]["name"]))
        profile = body.get("spec", {}).get("profile", "")
        if profile:
            wake(Key(Work.PROFILE, namespace, profile))

"""The agents' port: assignments out; node reports and profiles in. Every call is on behalf of the (run, node) that the token proves.

=======  ===================================  ======================================================================
GET      /v1/assignment                       200 Assignment, 202 Wait, 410 the run (or this node's part of it) is over
POST     /v1/reports                          204; 409 it says Succeeded but the profile isn't held; 410 the run is gone
PUT      /v1/profiles/{window}                201 stored, 200 the same was held; 400, 410, 413, 429
POST     /v1/runs/{run_uid}/node-failures     204; the operator's only
=======  ===================================  ======================================================================
"""

import logging
import random
import time
from http import HTTPStatus
from typing import Annotated, Final, NoReturn

import msgspec
from aiohttp import web
from msgspec import Meta
from sqlalchemy import Connection

from perfprofile_agent.api.assignment import TargetPod, Wait
from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.api.durations import parse_duration
from perfprofile_agent.api.report import NodeReport, NodeState
from perfprofile_cluster.objects import RunObject
from perfprofile_gateway import assignments, runs
from perfprofile_gateway.access import Access, Agent
from perfprofile_gateway.aggregation import Aggregator
from perfprofile_gateway.answers import errors_as_json, json_answer, read_json
from perfprofile_gateway.checking import Expected, check_upload
from perfprofile_gateway.config import Settings
from perfprofile_gateway.errors import Refusal
from perfprofile_gateway.metrics import Metrics
from perfprofile_gateway.runs import Runs
from perfprofile_gateway.store import rows
from perfprofile_gateway.store.rows import Kept, Recorded, RunKey, Slot, WindowKey
from perfprofile_gateway.store.store import Store
from perfprofile_gateway.text import one_line
from perfprofile_gateway.uploads import Received, announced_digest, receive, too_large
from perfprofile_gateway.workers import Workers

log = logging.getLogger(__name__)

WINDOWS: Final = 1
"""Windows of a run, for now: a run is one window until continuous profiles come."""
_BUSY_SECONDS: Final = 5.0
_PLACING_SECONDS: Final = 1.0
_MAX_REPORT_BYTES: Final = 64 * 2**10
_MAX_FAILURES_BYTES: Final = 16 * 2**20
"""10,000 nodes with long messages."""
_MAX_MESSAGE: Final = 1024
_MAX_NOTICES: Final = 20
_MAX_COUNT: Final = 2**53
"""Largest count that every JSON reader keeps exact."""
_DISK_FULL_RATIO: Final = 0.95

Count = Annotated[int, Meta(ge=0, le=_MAX_COUNT)]


class FailedNode(msgspec.Struct, frozen=True):
    """A node that the operator gives up."""

    node: Annotated[str, Meta(min_length=1, max_length=253)]
    reason: Reason
    message: str = ""
    window: Annotated[int, Meta(ge=0, lt=WINDOWS)] = 0


class FailedNodes(msgspec.Struct, frozen=True):
    """Body of node-failures."""

    namespace: str
    run: str
    failures: tuple[FailedNode, ...]


class AgentsApi:
    """Handlers of the agents' port."""

    def __init__(
        self,
        settings: Settings,
        *,
        access: Access,
        runs: Runs,
        store: Store,
        workers: Workers,
        aggregator: Aggregator,
        metrics: Metrics,
    ) -> None:
        self._settings, self._access, self._runs, self._store = settings, access, runs, store
        self._workers, self._aggregator, self._metrics = workers, aggregator, metrics
        self._uploading = 0
        self._without_targets: dict[WindowKey, float] = {}

    def application(self) -> web.Application:
        """Give the aiohttp application."""
        application = web.Application(middlewares=[self._metrics.middleware("agents"), errors_as_json])
        application.router.add_get("/v1/assignment", self.assignment)
        application.router.add_post("/v1/reports", self.report)
        application.router.add_put("/v1/profiles/{window}", self.profile)
        application.router.add_post("/v1/runs/{run_uid}/node-failures", self.node_failures)
        return application

    # ---- GET /v1/assignment

    async def assignment(self, request: web.Request) -> web.Response:
        """Tell an agent what to record, to wait, or to stop."""
        agent = await self._agent(request)
        run = await self._runs.open(agent.run)
        key = WindowKey(agent.run.uid, agent.node, 0)
        await self._refuse_if_over(key)
        remaining = runs.remaining_seconds(run)
        if remaining is None:
            return _later(assignments.wait(_PLACING_SECONDS, Reason.WAITING_FOR_AGENTS, "The operator is placing the run."))
        if remaining < parse_duration(run.spec.duration):
            await self._give_up(agent, key, Reason.DEADLINE_EXCEEDED, "The agent asked too late to record before the run's deadline.")
        pods = assignments.targets(await self._runs.pods(run), node=agent.node, containers=run.spec.target.containers)
        if not pods:
            return await self._no_targets(agent, key)
        return await self._assign(agent, key, run, pods, remaining)

    async def _assign(self, agent: Agent, key: WindowKey, run: RunObject, pods: tuple[TargetPod, ...], remaining: float) -> web.Response:
        self._without_targets.pop(key, None)
        now = time.time()
        duration = parse_duration(run.spec.duration)
        lease, slots = now + min(remaining, duration + assignments.DELIVERY_SECONDS), self._settings.slots_per_node
        slot = await self._store.write(
            lambda connection: rows.take_slot(connection, agent.run, key, slots=slots, now=now, lease_until=lease)
        )
        if slot is Slot.OVER:
            await self._refuse_if_over(key)
        if slot is Slot.BUSY:
            if remaining < duration + _BUSY_SECONDS:
                await self._give_up(agent, key, Reason.NODE_BUSY, "")
            message = f"All {slots} recording slots of node {agent.node} are taken by other runs; this run waits for one."
            return _later(assignments.wait(_BUSY_SECONDS, Reason.NODE_BUSY, message))
        return json_answer(assignments.assignment(run, node=agent.node, window=key.window, pods=pods, remaining=remaining))

    async def _no_targets(self, agent: Agent, key: WindowKey) -> web.Response:
        since = self._without_targets.setdefault(key, time.monotonic())
        if time.monotonic() - since >= assignments.TARGET_GRACE_SECONDS:
            del self._without_targets[key]
            await self._give_up(agent, key, Reason.TARGET_GONE, "")
        message = f"No running container of the target is on node {agent.node} now; waiting for one."
        return _later(assignments.wait(_PLACING_SECONDS * 2, Reason.TARGET_GONE, message))

    async def _refuse_if_over(self, key: WindowKey) -> None:
        state = await self._store.read(lambda connection: rows.state_of(connection, key))
        if state in {NodeState.SUCCEEDED, NodeState.FAILED}:
            raise Refusal(HTTPStatus.GONE, f"This node's part of the run is over ({state}): stop.")

    async def _give_up(self, agent: Agent, key: WindowKey, reason: Reason, message: str) -> NoReturn:
        report = assignments.failure(key.window, reason, message)
        await self._record(agent.run, key, report, lease=0.0)
        raise Refusal(HTTPStatus.GONE, f"{report.message} This node's part of the run is over: stop.")

    # ---- POST /v1/reports

    async def report(self, request: web.Request) -> web.Response:
        """Store what an agent says of its window."""
        agent = await self._agent(request)
        report = checked_report(await read_json(request, NodeReport, max_bytes=_MAX_REPORT_BYTES))
        run = await self._runs.existing(agent.run)
        lease = time.time() + parse_duration(run.spec.duration) + assignments.DELIVERY_SECONDS
        recorded = await self._record(agent.run, WindowKey(agent.run.uid, agent.node, report.window), report, lease=lease)
        if recorded is Recorded.NO_PROFILE:
            raise Refusal(HTTPStatus.CONFLICT, "The report says Succeeded, but this profile isn't held: upload it, then report again.")
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _record(self, run: RunKey, key: WindowKey, report: NodeReport, *, lease: float) -> Recorded:
        now = time.time()
        recorded = await self._store.write(lambda connection: rows.record_report(connection, run, key, report, now=now, lease_until=lease))
        if recorded is Recorded.STORED:
            self._aggregator.mark(run)
            self._metrics.count("reports_total", state=report.state.value, reason=report.reason)
        return recorded

    # ---- PUT /v1/profiles/{window}

    async def profile(self, request: web.Request) -> web.Response:
        """Take a window's profile."""
        agent = await self._agent(request)
        key = WindowKey(agent.run.uid, agent.node, _window_of(request))
        digest = announced_digest(request.headers.get("Content-SHA256", ""))
        limit = self._settings.max_profile_bytes
        if (request.content_length or 0) > limit:
            raise too_large(limit)
        if self._uploading >= self._settings.max_uploads:
            spread = random.uniform(1, 4)  # noqa: S311 - no secret: it keeps those who were refused from coming back together
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "Too many uploads at a time: wait and send again.", retry_after=spread)
        self._uploading += 1
        try:
            await self._runs.open(agent.run)
            received = await receive(request.content.iter_any(), self._store.files, digest=digest, max_bytes=limit)
            try:
                kept = await self._keep(agent, key, received)
            finally:
                self._store.files.discard(received.path)
        finally:
            self._uploading -= 1
        return web.Response(status=HTTPStatus.CREATED if kept is Kept.STORED else HTTPStatus.OK)

    async def _keep(self, agent: Agent, key: WindowKey, received: Received) -> Kept:
        if await self._store.read(lambda connection: rows.holds(connection, key, received.sha256)):
            return Kept.SAME
        await self._refuse_if_over(key)
        if self._store.files.used_ratio() > _DISK_FULL_RATIO:
            raise Refusal(HTTPStatus.INSUFFICIENT_STORAGE, "The gateway's disk is full: enlarge its volume or delete runs.", retry_after=30)
        expected = Expected(namespace=agent.run.namespace, node=agent.node, max_bytes=self._settings.max_decompressed_bytes)
        complaint = await self._workers.run(check_upload, str(received.path), expected)
        if complaint:
            log.warning("Refused a profile", extra={"run": agent.run.uid, "node": agent.node, "complaint": complaint})
            raise Refusal(HTTPStatus.BAD_REQUEST, f"Not a profile that may be kept: {complaint}. Report it as a bug of the agent.")
        kept = await self._store.keep_profile(agent.run, key, received.path, sha256=received.sha256, size=received.size)
        if kept is Kept.OVER:
            await self._refuse_if_over(key)
        self._metrics.count("profile_bytes_total", received.size)
        return kept

    # ---- POST /v1/runs/{run_uid}/node-failures

    async def node_failures(self, request: web.Request) -> web.Response:
        """Take the operator's word for nodes that can't speak for themselves."""
        await self._access.operator(request.headers.get("Authorization", ""))
        body = await read_json(request, FailedNodes, max_bytes=_MAX_FAILURES_BYTES)
        run = RunKey(request.match_info["run_uid"], body.namespace, body.run)
        await self._runs.existing(run)
        now = time.time()

        def record(connection: Connection) -> list[Recorded]:
            """All in one transaction: the operator waits seconds, not minutes, for its thousands of nodes."""
            return [
                rows.record_report(connection, run, WindowKey(run.uid, node, report.window), report, now=now, lease_until=0.0)
                for node, report in reports
            ]

        reports = [
            (failed.node, assignments.failure(failed.window, failed.reason, one_line(failed.message, _MAX_MESSAGE)))
            for failed in body.failures
        ]
        if Recorded.STORED in await self._store.write(record):
            self._aggregator.mark(run)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _agent(self, request: web.Request) -> Agent:
        return await self._access.agent(request.headers.get("Authorization", ""))


def checked_report(report: NodeReport) -> NodeReport:
    """Check what JSON's shape doesn't, and make the texts fit to be shown.

    Raises:
        Refusal: 400.
    """
    if not 0 <= report.window < WINDOWS:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"The run has no window {report.window}: report the window of the assignment.")
    if report.state is NodeState.FAILED and report.reason not in set(Reason):
        raise Refusal(HTTPStatus.BAD_REQUEST, "A failed window needs one of the documented reasons: use an agent of the gateway's version.")
    counts = (
        report.samples_recorded,
        report.samples_shown,
        report.samples_out_of_scope,
        report.samples_lost,
        report.profile_bytes,
    )
    if not all(0 <= count <= _MAX_COUNT for count in counts):
        raise Refusal(HTTPStatus.BAD_REQUEST, "Counts must not be negative, nor above 2^53.")
    return msgspec.structs.replace(
        report,
        reason=report.reason if report.state is NodeState.FAILED else "",
        message=one_line(report.message, _MAX_MESSAGE),
        event=one_line(report.event, 128),
        perf_version=one_line(report.perf_version, 128),
        kernel=one_line(report.kernel, 128),
        profile_sha256=report.profile_sha256.lower(),
        notices=tuple(one_line(notice, 500) for notice in report.notices[:_MAX_NOTICES]),
    )


def _later(wait: Wait) -> web.Response:
    return json_answer(wait, status=HTTPStatus.ACCEPTED, retry_after=wait.retry_after_seconds)


def _window_of(request: web.Request) -> int:
    text = request.match_info["window"]
    if text not in map(str, range(WINDOWS)):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"The run has no window {text[:20]}: use the window of the assignment.")
    return int(text)

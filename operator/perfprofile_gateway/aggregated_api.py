"""The aggregated API: what people read, through the Kubernetes API server and with its authentication and RBAC.

Every request must come from the front proxy (:mod:`perfprofile_gateway.frontproxy`). Discovery is for all; data is for whom a
SubjectAccessReview allows ``get`` on the subresource, in the run's namespace.
"""

import hashlib
import logging
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from perfprofile_agent.api.names import DATA_API_VERSION, DATA_GROUP
from perfprofile_agent.api.report import NodeState
from perfprofile_cluster.objects import RunObject
from perfprofile_gateway import discovery, flamegraph
from perfprofile_gateway.apistatus import Handler, errors_as_status
from perfprofile_gateway.errors import Refusal
from perfprofile_gateway.flamegraph import Facts
from perfprofile_gateway.frontproxy import Caller, caller_of, check_certificate
from perfprofile_gateway.kubernetes import Cached, Calls, Kubernetes
from perfprofile_gateway.metrics import Metrics
from perfprofile_gateway.results import Results
from perfprofile_gateway.runs import Runs
from perfprofile_gateway.store import rows
from perfprofile_gateway.store.rows import HeldProfile, StoredReport
from perfprofile_gateway.store.store import Store
from perfprofile_gateway.tls import Credentials

log = logging.getLogger(__name__)

_ACCESS_SECONDS: Final = 10.0
_CALLER: Final = web.RequestKey("caller", Caller)
_PATH: Final = f"/apis/{DATA_API_VERSION}/namespaces/{{namespace}}/{discovery.RESOURCE}/{{name}}/"
_TOP: Final = 20
_MAX_TOP: Final = 1000


class _Question(NamedTuple):
    caller: Caller
    namespace: str
    name: str
    subresource: str


class AggregatedApi:
    """Handlers of the API port."""

    def __init__(
        self,
        *,
        credentials: Credentials,
        kubernetes: Kubernetes,
        calls: Calls,
        runs: Runs,
        store: Store,
        results: Results,
        metrics: Metrics,
    ) -> None:
        self._credentials, self._kubernetes, self._calls = credentials, kubernetes, calls
        self._runs, self._store, self._results, self._metrics = runs, store, results, metrics
        self._allowed: Cached[_Question, tuple[bool, str]] = Cached(seconds=_ACCESS_SECONDS)

    def application(self) -> web.Application:
        """Give the aiohttp application."""
        application = web.Application(middlewares=[self._metrics.middleware("api"), errors_as_status, self._front_proxy_only])
        router = application.router
        _add_documents(router)
        router.add_get(_PATH + "profile", self.profile, allow_head=False)
        router.add_get(_PATH + "flamegraph", self.flamegraph, allow_head=False)
        router.add_get(_PATH + "top", self.top, allow_head=False)
        router.add_get(_PATH + "nodes", self.nodes, allow_head=False)
        return application

    async def profile(self, request: web.Request) -> web.StreamResponse:
        """The merged profile, gzipped pprof."""
        run = await self._readable_run(request, "profile")
        path = await self._results.profile(await self._held(run))
        name = f"{run.metadata.namespace}-{run.metadata.name}.pb.gz"
        return _file(path, "application/octet-stream", {"Content-Disposition": f'attachment; filename="{name}"'})

    async def flamegraph(self, request: web.Request) -> web.StreamResponse:
        """The flame graph's page."""
        run = await self._readable_run(request, "flamegraph")
        held = await self._held(run)
        reports = await self._reports(run)
        path = await self._results.flamegraph(held, facts_of(run, reports))
        return _file(path, "text/html; charset=utf-8", {"Content-Security-Policy": flamegraph.content_security_policy()})

    async def top(self, request: web.Request) -> web.StreamResponse:
        """The table of hottest functions."""
        run = await self._readable_run(request, "top")
        count = _count_of(request)
        return _file(await self._results.top(await self._held(run), count), "text/plain; charset=utf-8", {})

    async def nodes(self, request: web.Request) -> web.StreamResponse:
        """What the nodes reported."""
        run = await self._readable_run(request, "nodes")
        items = [{"node": one.node, **msgspec.to_builtins(one.report)} for one in await self._reports(run)]
        body = {
            "apiVersion": DATA_API_VERSION,
            "kind": discovery.SUBRESOURCES["nodes"][0],
            "metadata": {"name": run.metadata.name, "namespace": run.metadata.namespace},
            "items": items,
        }
        return _json(body)

    async def _readable_run(self, request: web.Request, subresource: str) -> RunObject:
        """Give the run that a request is about, if the caller may read this of it."""
        question = _Question(request[_CALLER], request.match_info["namespace"], request.match_info["name"], subresource)
        allowed, reason = await self._allowed.get(question, lambda: self._ask(question))
        if not allowed:
            what = f'{discovery.RESOURCE}/{subresource} "{question.name}" in the namespace "{question.namespace}"'
            message = f'User "{question.caller.user}" cannot get {what} of the API group "{DATA_GROUP}"'
            raise Refusal(HTTPStatus.FORBIDDEN, f"{message}: {reason or 'ask an administrator of the namespace for that right'}")
        run = await self._runs.find(question.namespace, question.name)
        if run is None:
            raise Refusal(
                HTTPStatus.NOT_FOUND,
                f"There is no PerfProfileRun {question.namespace}/{question.name}: kubectl get perfprofileruns lists them.",
            )
        return run

    async def _ask(self, question: _Question) -> tuple[bool, str]:
        return await self._calls(
            self._kubernetes.authorize,
            user=question.caller.user,
            groups=question.caller.groups,
            extra=dict(question.caller.extra),
            verb="get",
            group=DATA_GROUP,
            resource=discovery.RESOURCE,
            subresource=question.subresource,
            namespace=question.namespace,
            name=question.name,
        )

    async def _held(self, run: RunObject) -> list[HeldProfile]:
        held = await self._store.read(lambda connection: rows.profiles_of(connection, run.metadata.uid))
        if not held:
            phase = run.status.phase or "Pending"
            message = f"Run {run.metadata.name} has no profile (phase {phase}): {_why_none(run)}"
            raise Refusal(HTTPStatus.NOT_FOUND, message)
        return held

    async def _reports(self, run: RunObject) -> list[StoredReport]:
        return await self._store.read(lambda connection: rows.reports_of(connection, run.metadata.uid))

    @property
    def _front_proxy_only(self) -> Any:
        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            proxy = self._credentials.front_proxy
            if proxy is None:
                raise Refusal(
                    HTTPStatus.SERVICE_UNAVAILABLE, "The gateway doesn't know the front proxy's CA yet: try again.", retry_after=1
                )
            check_certificate(proxy, request.get_extra_info("peercert"))
            request[_CALLER] = caller_of(proxy, request.headers.items())
            return await handler(request)

        return check


def facts_of(run: RunObject, reports: list[StoredReport]) -> Facts:
    """Sum up a run for the page's header."""
    done = [one.report for one in reports if one.report.state is NodeState.SUCCEEDED]
    recorded, lost = sum(one.samples_recorded for one in done), sum(one.samples_lost for one in done)
    return Facts(
        run=run.metadata.name,
        namespace=run.metadata.namespace,
        start=run.status.start_time or "",
        duration=run.spec.duration,
        nodes=len(done),
        nodes_failed=sum(one.report.state is NodeState.FAILED for one in reports),
        samples=sum(one.samples_shown for one in done),
        lost=lost,
        lost_ratio=lost / (recorded + lost) if recorded + lost else 0.0,
        events=tuple(sorted({one.event for one in done if one.event})),
        notices=tuple(sorted({notice for one in done for notice in one.notices}))[:5],
    )


def _why_none(run: RunObject) -> str:
    if run.status.phase in {"", "Pending", "Recording", "Collecting"}:
        return "wait until a node has delivered; `kubectl get perfprofileruns -w` shows how far it is"
    return "no node delivered one; status.failures of the run says why"


def _count_of(request: web.Request) -> int:
    text = request.query.get("n", str(_TOP))
    if text not in map(str, range(1, _MAX_TOP + 1)):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"n is how many functions are shown, from 1 to {_MAX_TOP}: for example ?n={_TOP}.")
    return int(text)


def _file(path: Path, media_type: str, headers: dict[str, str]) -> web.FileResponse:
    return web.FileResponse(
        path,
        headers={"Content-Type": media_type, "X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache", **headers},
    )


def _json(body: object, media_type: str = "application/json") -> web.Response:
    return web.Response(body=msgspec.json.encode(body), headers={"Content-Type": media_type, "Vary": "Accept"})


def _add_documents(router: web.UrlDispatcher) -> None:
    openapi3 = msgspec.json.encode(discovery.openapi_v3())
    documents: dict[str, object] = {
        f"/apis/{DATA_GROUP}": discovery.group(),
        f"/apis/{DATA_API_VERSION}": discovery.resource_list(),
        "/openapi/v2": discovery.openapi_v2(),
        "/openapi/v3": discovery.openapi_v3_index(hashlib.sha256(openapi3).hexdigest()[:32].upper()),
        f"/openapi/v3/apis/{DATA_API_VERSION}": discovery.openapi_v3(),
    }

    async def groups(request: web.Request) -> web.Response:
        if discovery.wants_aggregated(request.headers.get("Accept", "")):
            return _json(discovery.aggregated_list(), discovery.AGGREGATED)
        return _json(discovery.group_list())

    async def document(request: web.Request) -> web.Response:
        return _json(documents[request.path])

    async def alive(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    router.add_get("/apis", groups)
    for path in documents:
        router.add_get(path, document)
    for path in ("/healthz", "/livez", "/readyz"):
        router.add_get(path, alive)

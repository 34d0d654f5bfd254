"""What the gateway asks of Kubernetes, and the caches between it and the API server.

:class:`Kubernetes` names the calls (a :class:`perfprofile_cluster.client.Cluster` has them, and its RBAC role allows no others).
They block, so :class:`Calls` runs them in threads of their own. :class:`Cached` lets thousands of agents cost a few calls a second.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar

from perfprofile_agent.api.profile import LabelSelector
from perfprofile_cluster.errors import ClusterError
from perfprofile_cluster.objects import ConfigMap, Pod, RunObject, Secret, TokenIdentity

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
P = ParamSpec("P")

_THREADS: Final = 12
"""Calls to the API server at a time; fewer than the connections that the cluster client keeps."""


class Kubernetes(Protocol):
    """The calls; each raises :class:`~perfprofile_cluster.errors.ClusterError`."""

    def review_token(self, token: str, audiences: Iterable[str]) -> TokenIdentity | None:
        """TokenReview."""

    def authorize(
        self,
        *,
        user: str,
        groups: Iterable[str],
        extra: Mapping[str, Iterable[str]],
        verb: str,
        group: str,
        resource: str,
        subresource: str,
        namespace: str,
        name: str,
    ) -> tuple[bool, str]:
        """SubjectAccessReview."""

    def get_pod(self, namespace: str, name: str) -> Pod | None:
        """An agent's own pod."""

    def list_pods(self, namespace: str, selector: LabelSelector | str = "") -> list[Pod]:
        """The pods a run may show."""

    def get_run(self, namespace: str, name: str) -> RunObject | None:
        """One run."""

    def list_runs(self) -> list[RunObject]:
        """All runs."""

    def patch_run_status(self, namespace: str, name: str, status: Mapping[str, Any], *, uid: str = "") -> None:
        """Counts of a run."""

    def get_secret(self, namespace: str, name: str) -> Secret | None:
        """The gateway's certificate."""

    def get_configmap(self, namespace: str, name: str) -> ConfigMap | None:
        """The front proxy's CA."""


class Calls:
    """Runs blocking calls in threads of their own, so that a slow API server doesn't hold up the disk's threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="kubernetes")

    async def __call__(self, call: Callable[P, V], *args: P.args, **kwargs: P.kwargs) -> V:
        """Call, and give what it gives."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(*args, **kwargs))

    def close(self) -> None:
        """Stop; calls under way end by their own timeouts."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Cached(Generic[K, V]):
    """Answers by key, each kept for a while and loaded once however many ask. Failures are not kept.

    Args:
        seconds: how long an answer is good; a function of the answer where that depends on it.
        stale: how much longer an old answer serves while the API server can't give a new one. Never for questions of access.
        limit: answers kept; the least recently loaded goes first.
    """

    def __init__(
        self,
        *,
        seconds: float | Callable[[V], float],
        stale: float = 0.0,
        limit: int = 20_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds, self._stale, self._limit, self._clock = seconds, stale, limit, clock
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        """Give the answer for ``key``, which ``load`` gets where it isn't known.

        Raises:
            ClusterError: it could not be loaded, and no recent one is known.
        """
        kept = self._kept.get(key)
        if kept is not None and self._clock() < kept[0]:
            return kept[1]
        try:
            return await asyncio.shield(self._loading.get(key) or self._start(key, load))
        except ClusterError as error:
            if kept is not None and error.transient and self._clock() < kept[0] + self._stale:
                return kept[1]
            raise

    def forget(self, key: K) -> None:
        """Load anew next time."""
        self._kept.pop(key, None)

    def _start(self, key: K, load: Callable[[], Awaitable[V]]) -> "asyncio.Task[V]":
        task = asyncio.create_task(self._fill(key, load))
        self._loading[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))
        return task

    def _ended(self, key: K, done: "asyncio.Task[V]") -> None:
        self._loading.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever asked got it; nobody is left to hear it if they all went away

    async def _fill(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        value = await load()
        seconds = self._seconds(value) if callable(self._seconds) else self._seconds
        self._kept[key] = (self._clock() + seconds, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return value

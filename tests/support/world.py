"""A cluster around the operator's reconcilers: a real API server, and a kubelet, a gateway and a clock that do as the test says."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from perfprofile_agent.api.run import NodeFailure
from perfprofile_cluster.client import Cluster
from perfprofile_cluster.errors import ClusterError
from perfprofile_cluster.objects import DaemonSet, RunObject
from perfprofile_cluster.transport import Transport
from perfprofile_operator.config import Settings
from perfprofile_operator.errors import GatewayError
from perfprofile_operator.factory import agent_shape
from perfprofile_operator.manifests.daemonset import chosen_node_names
from perfprofile_operator.reconcile.orphans import Orphans
from perfprofile_operator.reconcile.profiles import Profiles
from perfprofile_operator.reconcile.resync import Resync
from perfprofile_operator.reconcile.runs import AFTER_POSTING, Runs
from perfprofile_operator.reconcile.work import Key, Outcome, Work
from support.apiserver import OPERATOR, Api, ApiServer
from support.operator_rights import AGENTS

OURS = "/apis/perfprofile.dev/v1alpha1"


class Killed(BaseException):
    """The operator's process was killed here."""


class MortalTransport(Transport):
    """Dies with a write: the ``after``-th one is done, and then nobody is there to see the answer."""

    def __init__(self, configuration: Any) -> None:
        super().__init__(configuration)
        self.after: int | None = None
        self.writes: list[str] = []

    def call(self, method: str, path: str, **arguments: Any) -> bytes:
        answer = super().call(method, path, **arguments)
        if method != "GET":
            self.writes.append(f"{method} {path}")
            if self.after is not None and len(self.writes) >= self.after:
                raise Killed
        return answer


class Gateway:
    """What the real gateway does with reports: the first terminal record of a node stands, and the counts go into the run's status."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.records: dict[str, dict[str, NodeFailure | None]] = {}
        self.posts: list[NodeFailure] = []
        self.away = False

    def recording(self, run: RunObject, nodes: int) -> None:
        self._cluster.patch_run_status(run.metadata.namespace, run.metadata.name, {"nodes": {"recording": nodes}})

    def deliver(self, run: RunObject, node: str) -> None:
        """A node delivers its profile."""
        self.records.setdefault(run.metadata.uid, {}).setdefault(node, None)
        self._write(run)

    def post_failures(self, run: RunObject, failures: Iterable[NodeFailure]) -> None:
        if self.away:
            raise GatewayError(0, "away")
        for failure in failures:
            self.posts.append(failure)
            self.records.setdefault(run.metadata.uid, {}).setdefault(failure.node, failure)
        self._write(run)

    def _write(self, run: RunObject) -> None:
        records = self.records[run.metadata.uid]
        failed = [failure for failure in records.values() if failure is not None]
        status = {
            "nodes": {"recording": 0, "succeeded": len(records) - len(failed), "failed": len(failed)},
            "samples": {"shown": 100 * (len(records) - len(failed))},
            "failures": [{"node": one.node, "reason": one.reason, "message": one.message} for one in failed[:20]],
            "profilePath": f"/apis/data.perfprofile.dev/v1alpha1/namespaces/{run.metadata.namespace}/perfprofileruns/{run.metadata.name}/profile",
        }
        self._cluster.patch_run_status(run.metadata.namespace, run.metadata.name, status)


class Process:
    """One life of the operator: fresh reconcilers, no memory of an earlier life. Does what the controller does, in one thread."""

    def __init__(self, cluster: Cluster, gateway: Gateway, settings: Settings, clock: Callable[[], datetime]) -> None:
        orphans = Orphans(cluster, agents_namespace=settings.agents_namespace, every=timedelta(seconds=30))
        profiles = Profiles(cluster, clock=clock)
        runs = Runs(cluster, gateway, orphans, agent_shape(settings), clock=clock)
        resync = Resync(cluster, every=timedelta(seconds=30), clock=clock)
        self._reconcilers: dict[Work, Callable[[Key], Outcome]] = {
            Work.PROFILE: lambda key: profiles.reconcile(key.namespace, key.name),
            Work.RUN: lambda key: runs.reconcile(key.namespace, key.name),
            Work.RESYNC: lambda _: resync.reconcile(),
            Work.SWEEP: lambda _: orphans.sweep(),
        }

    def settle(self, rounds: int = 60) -> None:
        """Resync, sweep, and follow until nothing more is woken, or wanted within two seconds."""
        waiting = [Key(Work.RESYNC), Key(Work.SWEEP)]
        while waiting:
            rounds -= 1
            assert rounds > 0, f"still awake: {waiting}"
            key = waiting.pop(0)
            try:
                outcome = self._reconcilers[key.work](key)
            except ClusterError as error:
                if not error.conflict:
                    raise
                outcome = Outcome(wake=(key,))
            soon = (key,) if outcome.again is not None and outcome.again <= AFTER_POSTING else ()
            waiting.extend(other for other in (*outcome.wake, *soon) if other not in waiting)

    def look_at(self, key: Key) -> Outcome:
        """Reconcile one key."""
        return self._reconcilers[key.work](key)


class World:
    """One team's namespace, and everything around it."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.api: Api = server.api()
        self.cluster = server.cluster()
        self.namespace = namespace
        self.gateway = Gateway(self.cluster)
        self.settings = Settings()
        self.now = datetime.now(UTC)
        self.transport = MortalTransport.connect(str(server.kubeconfig(OPERATOR)))
        assert isinstance(self.transport, MortalTransport)
        self.operator = self.restart()

    def restart(self) -> Process:
        """Start the operator anew."""
        self.transport.after = None
        self.operator = Process(Cluster(self.transport), self.gateway, self.settings, lambda: self.now)
        return self.operator

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # ---- The team

    def start_pod(self, name: str, node: str, *, phase: str = "Running", containers: tuple[str, ...] = ("app",), **labels: str) -> None:
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        spec = {"nodeName": node, "containers": [{"name": one, "image": "app"} for one in containers]}
        self.api.create(pods, {"metadata": {"name": name, "labels": labels or {"app": "web"}}, "spec": spec})
        self.api.patch(f"{pods}/{name}/status", {"status": {"phase": phase}})

    def ask(self, name: str = "cpu", **spec: Any) -> None:
        """Apply a PerfProfile."""
        spec.setdefault("target", {"podSelector": {"matchLabels": {"app": "web"}}})
        body = {"apiVersion": "perfprofile.dev/v1alpha1", "kind": "PerfProfile", "metadata": {"name": name}, "spec": spec}
        self.api.create(f"{OURS}/namespaces/{self.namespace}/perfprofiles", body)

    def change(self, name: str = "cpu", **spec: Any) -> None:
        self.api.patch(f"{OURS}/namespaces/{self.namespace}/perfprofiles/{name}", {"spec": spec})

    def delete_profile(self, name: str = "cpu") -> None:
        self.api.delete(f"{OURS}/namespaces/{self.namespace}/perfprofiles/{name}")

    def delete_run(self, run: RunObject) -> None:
        self.api.delete(f"{OURS}/namespaces/{self.namespace}/perfprofileruns/{run.metadata.name}")

    # ---- The kubelet and the DaemonSet controller

    def start_agents(self, run: RunObject, *, status: dict[str, Any] | None = None) -> None:
        """Make the agents' pods, all in the state given (default: the agent runs)."""
        running = {"phase": "Running", "containerStatuses": [{**CONTAINER, "state": {"running": {}}}]}
        labels = {"perfprofile.dev/run-uid": run.metadata.uid}
        for node in chosen_node_names(self.daemonset(run)).values():
            name = f"agent-{node}-{run.metadata.uid[:8]}"
            pods = f"/api/v1/namespaces/{AGENTS}/pods"
            spec = {"nodeName": node, "containers": [{"name": "agent", "image": "agent"}]}
            self.api.create(pods, {"metadata": {"name": name, "labels": labels}, "spec": spec})
            self.api.patch(f"{pods}/{name}/status", {"status": status or running})

    # ---- What is seen

    def runs(self) -> list[RunObject]:
        return self.cluster.list_runs(self.namespace)

    def run(self) -> RunObject:
        (run,) = self.runs()
        return run

    def profile(self, name: str = "cpu") -> Any:
        return self.api.get(f"{OURS}/namespaces/{self.namespace}/perfprofiles/{name}")

    def daemonset(self, run: RunObject) -> DaemonSet:
        (found,) = self.cluster.list_daemonsets(AGENTS, f"perfprofile.dev/run-uid={run.metadata.uid}")
        return found

    def daemonsets(self) -> list[DaemonSet]:
        return self.cluster.list_daemonsets(AGENTS, f"perfprofile.dev/run-namespace={self.namespace}")

    def events(self) -> list[tuple[str, str, str]]:
        """Give (kind, type, reason) of all Events of the namespace, sorted."""
        items = self.api.get(f"/api/v1/namespaces/{self.namespace}/events")["items"]
        return sorted((one["involvedObject"]["kind"], one["type"], one["reason"]) for one in items)


CONTAINER = {"name": "agent", "image": "agent", "imageID": "", "ready": False, "restartCount": 0}


def condition(status: Any, kind: str) -> Any:
    """Give the condition of a type, from a dict or one of our statuses."""
    conditions = (
        status.get("conditions", [])
        if isinstance(status, dict)
        else [{"status": str(one.status), "reason": one.reason, "message": one.message, "type": one.type} for one in status.conditions]
    )
    return next((one for one in conditions if one["type"] == kind), None)

"""The only place that puts the operator together."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from perfprofile_cluster.client import Cluster
from perfprofile_operator.config import Settings
from perfprofile_operator.gateway_client import GatewayClient
from perfprofile_operator.handlers.watching import Watching
from perfprofile_operator.health import Health
from perfprofile_operator.manifests.daemonset import AgentShape
from perfprofile_operator.reconcile.certificates import Certificates
from perfprofile_operator.reconcile.controller import Controller
from perfprofile_operator.reconcile.orphans import Orphans
from perfprofile_operator.reconcile.profiles import Profiles
from perfprofile_operator.reconcile.resync import Resync
from perfprofile_operator.reconcile.runs import Runs
from perfprofile_operator.reconcile.work import Work


@dataclass(frozen=True, kw_only=True)
class Operator:
    """The parts that are started and stopped."""

    controller: Controller
    watching: Watching
    health: Health


def now() -> datetime:
    """The one clock; everything else is handed the time."""
    return datetime.now(UTC)


def agent_shape(settings: Settings) -> AgentShape:
    """Give what the settings say of agents."""
    return AgentShape(
        namespace=settings.agents_namespace,
        image=settings.agent_image,
        gateway_url=settings.gateway_url,
        service_account=settings.agent_service_account,
        gateway_ca_config_map=settings.gateway_ca_config_map,
        image_pull_secrets=settings.agent_image_pull_secrets,
        privileged=settings.agent_privileged,
        resources=settings.agent_resources,
        tolerations=tuple(settings.agent_tolerations),
        priority_class=settings.agent_priority_class,
        spool_size=settings.agent_spool_size,
    )


def build(settings: Settings, cluster: Cluster) -> Operator:
    """Put the operator together."""
    certificates = Certificates(cluster, settings, clock=now)
    gateway = GatewayClient(
        url=settings.gateway_url, token_file=Path(settings.gateway_token_file), ca_bundle=lambda: certificates.ca_bundle
    )
    orphans = Orphans(cluster, agents_namespace=settings.agents_namespace, every=timedelta(seconds=settings.sweep_seconds))
    profiles = Profiles(cluster, clock=now)
    runs = Runs(cluster, gateway, orphans, agent_shape(settings), clock=now)
    resync = Resync(cluster, every=timedelta(seconds=settings.resync_seconds), clock=now)
    controller = Controller(
        {
            Work.PROFILE: lambda key: profiles.reconcile(key.namespace, key.name),
            Work.RUN: lambda key: runs.reconcile(key.namespace, key.name),
            Work.RESYNC: lambda _: resync.reconcile(),
            Work.SWEEP: lambda _: orphans.sweep(),
            Work.CERTIFICATES: lambda _: certificates.reconcile(),
        },
        workers=settings.workers,
    )
    return Operator(controller=controller, watching=Watching(controller.wake), health=Health(controller))

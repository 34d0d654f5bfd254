"""Every setting of the operator: its unit, its default, and why that default. Read from the environment once, at start."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from perfprofile_operator.errors import SettingsError

PREFIX = "PERFPROFILE_"
MAX_PORT = 65535


def _default_resources() -> dict[str, Any]:
    # Half a core is what conversion may take for a second after the window; 256 MiB leaves room above the agent's goal of 150 MiB.
    return {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "256Mi", "ephemeral-storage": "600Mi"}}


def _default_tolerations() -> list[dict[str, Any]]:
    # A profiled pod may run on any tainted node that it tolerates; its agent has to get there too.
    return [{"operator": "Exists"}]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The operator's settings. The environment variable of ``agent_image`` is ``PERFPROFILE_AGENT_IMAGE``, and so on."""

    namespace: str = "perfprofile-system"
    """Where operator and gateway live."""

    agents_namespace: str = "perfprofile-agents"
    """Where the runs' DaemonSets live; the only namespace in which the operator may create anything privileged."""

    agent_image: str = "perfprofile.dev/perfprofile-agent:dev"
    """Image of the agents; by default what the test cluster is given. The chart sets one by digest."""

    agent_image_pull_secrets: tuple[str, ...] = ()
    """Names of pull secrets in the agents' namespace, comma separated; none by default."""

    agent_privileged: bool = False
    """True runs agents privileged, for kernels before 5.9, which don't know CAP_PERFMON well enough; false as capabilities suffice."""

    agent_service_account: str = "perfprofile-agent"
    """Account of the agents: it has no rights at all and only names them to the gateway."""

    agent_resources: dict[str, Any] = field(default_factory=_default_resources)
    """resources of the agent's container (JSON)."""

    agent_tolerations: list[dict[str, Any]] = field(default_factory=_default_tolerations)
    """tolerations of the agents' pods (JSON); by default every taint."""

    agent_priority_class: str = ""
    """PriorityClass of the agents' pods; empty means the cluster's default. The chart makes a low one that preempts nobody."""

    agent_spool_size: str = "512Mi"
    """Size limit of the agent's spool (a Kubernetes quantity): some thousand profiles, while the gateway is away."""

    gateway_url: str = "https://perfprofile-gateway.perfprofile-system.svc:8444"
    """The gateway's port for agents, as agents and operator reach it."""

    gateway_token_file: str = "/var/run/secrets/perfprofile/token"  # noqa: S105 - a path
    """Projected token of the operator's account with the audience perfprofile-gateway; read anew for each call, as the kubelet renews it."""

    gateway_service: str = "perfprofile-gateway"
    """Name of the gateway's Service, for which its certificate is made."""

    ca_secret: str = "perfprofile-ca"  # noqa: S105 - a name
    """Secret (in ``namespace``) that keeps the CA; only the operator reads it."""

    gateway_tls_secret: str = "perfprofile-gateway-tls"  # noqa: S105 - a name
    """Secret (in ``namespace``) with the gateway's certificate."""

    gateway_ca_config_map: str = "perfprofile-gateway-ca"
    """ConfigMap (in ``agents_namespace``) with the CA that agents trust."""

    api_service: str = "v1alpha1.data.perfprofile.dev"
    """APIService whose caBundle is set; empty if the aggregated API is not installed."""

    health_port: int = 8080
    """Port of /healthz and /readyz; 0 for none."""

    workers: int = 4
    """Objects reconciled at the same time: calls wait for the API server, and the operator's share of it should stay small."""

    resync_seconds: float = 30.0
    """How often everything unfinished is looked at without being told: bounds what a lost watch costs, at two lists each time."""

    sweep_seconds: float = 30.0
    """How often DaemonSets without a run are looked for; half the time in which everything should have converged after a fault."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings.

        Raises:
            SettingsError: A variable has a value that can't be used.
        """
        given = {key.removeprefix(PREFIX).lower(): value for key, value in environment.items() if key.startswith(PREFIX) and value}
        readers = {name: _READERS.get(name, _text) for name in cls.__dataclass_fields__}
        return cls(**{name: read(PREFIX + name.upper(), given[name]) for name, read in readers.items() if name in given})


def _text(_name: str, value: str) -> str:
    return value


def _names(_name: str, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _boolean(name: str, value: str) -> bool:
    try:
        return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
    except KeyError as error:
        raise SettingsError(name, f"{value!r} is neither true nor false") from error


def _positive(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError as error:
        raise SettingsError(name, f"{value!r} is not a number") from error
    if number <= 0:
        raise SettingsError(name, f"{value} is not above 0")
    return number


def _port(name: str, value: str) -> int:
    if not value.isdigit() or int(value) > MAX_PORT:
        raise SettingsError(name, f"{value!r} is not a port (0 to 65535)")
    return int(value)


def _count(name: str, value: str) -> int:
    return int(_positive(name, value))


def _url(name: str, value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname:
        raise SettingsError(name, f"{value!r} is not an https URL")
    return value.rstrip("/")


def _json_object(name: str, value: str) -> dict[str, Any]:
    found = _json(name, value)
    if not isinstance(found, dict):
        raise SettingsError(name, "is not a JSON object")
    return found


def _json_objects(name: str, value: str) -> list[dict[str, Any]]:
    found = _json(name, value)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise SettingsError(name, "is not a JSON list of objects")
    return found


def _json(name: str, value: str) -> object:
    try:
        return json.loads(value)
    except ValueError as error:
        raise SettingsError(name, f"is not JSON ({error})") from error


_READERS: dict[str, Any] = {
    "agent_image_pull_secrets": _names,
    "agent_privileged": _boolean,
    "agent_resources": _json_object,
    "agent_tolerations": _json_objects,
    "gateway_url": _url,
    "health_port": _port,
    "workers": _count,
    "resync_seconds": _positive,
    "sweep_seconds": _positive,
}

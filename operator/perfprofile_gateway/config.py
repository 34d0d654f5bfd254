"""Settings of the gateway: environment variables, each with unit, default and reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfprofile_gateway.errors import ConfigurationError

DECOMPRESSED_FACTOR: Final = 8
"""A profile may grow this much when decompressed. Real ones grow 3 to 6 times; gzip itself could grow a thousandfold."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set from outside."""

    namespace: str = "perfprofile-system"
    """PERFPROFILE_NAMESPACE: where operator and gateway run, and where the certificate's Secret is."""
    agents_namespace: str = "perfprofile-agents"
    """PERFPROFILE_AGENTS_NAMESPACE: where agent pods run; only pods of this namespace may speak as agents."""
    agent_service_account: str = "perfprofile-agent"
    """PERFPROFILE_AGENT_SERVICE_ACCOUNT: the service account of agent pods."""
    operator_service_account: str = "perfprofile-operator"
    """PERFPROFILE_OPERATOR_SERVICE_ACCOUNT: the only one that may report failures in the name of nodes."""
    tls_secret: str = "perfprofile-gateway-tls"  # noqa: S105 - the name of a Secret, not a secret
    """PERFPROFILE_TLS_SECRET: Secret with tls.crt and tls.key, filled by the operator."""
    data_dir: Path = Path("/var/lib/perfprofile")
    """PERFPROFILE_DATA_DIR: database and profiles; should outlive the pod."""
    slots_per_node: int = 4
    """PERFPROFILE_SLOTS_PER_NODE: recordings at a time on one node, over all runs, so that many teams can't overload it together."""
    max_profile_bytes: int = 16 * 2**20
    """PERFPROFILE_MAX_PROFILE_BYTES: largest gzipped profile of one node and window, in bytes."""
    max_uploads: int = 64
    """PERFPROFILE_MAX_UPLOADS: uploads in flight; further ones are answered 429."""
    workers: int = 2
    """PERFPROFILE_WORKERS: processes that parse, merge and render profiles."""
    listen_host: str | None = None
    """PERFPROFILE_LISTEN_HOST: address to listen on; absent means all."""
    api_port: int = 8443
    """PERFPROFILE_API_PORT: aggregated API, called by the API server only."""
    agents_port: int = 8444
    """PERFPROFILE_AGENTS_PORT: protocol of the agents."""
    http_port: int = 8080
    """PERFPROFILE_HTTP_PORT: plain HTTP for probes and metrics."""
    run_grace_seconds: float = 600.0
    """PERFPROFILE_RUN_GRACE_SECONDS: how long a run that Kubernetes no longer knows is kept; covers a restore of etcd or a hasty delete."""
    log_level: str = "INFO"
    """PERFPROFILE_LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""

    @property
    def max_decompressed_bytes(self) -> int:
        """Largest decompressed profile, in bytes."""
        return self.max_profile_bytes * DECOMPRESSED_FACTOR

    @property
    def agent_username(self) -> str:
        """The name under which the API server knows agents."""
        return f"system:serviceaccount:{self.agents_namespace}:{self.agent_service_account}"

    @property
    def operator_username(self) -> str:
        """The name under which the API server knows the operator."""
        return f"system:serviceaccount:{self.namespace}:{self.operator_service_account}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings.

        Raises:
            ConfigurationError: a variable holds something that it may not hold.
        """
        read = _Reader(environment)
        return cls(
            namespace=read.text("NAMESPACE", cls.namespace),
            agents_namespace=read.text("AGENTS_NAMESPACE", cls.agents_namespace),
            agent_service_account=read.text("AGENT_SERVICE_ACCOUNT", cls.agent_service_account),
            operator_service_account=read.text("OPERATOR_SERVICE_ACCOUNT", cls.operator_service_account),
            tls_secret=read.text("TLS_SECRET", cls.tls_secret),
            data_dir=Path(read.text("DATA_DIR", str(cls.data_dir))),
            slots_per_node=read.number("SLOTS_PER_NODE", cls.slots_per_node, least=1),
            max_profile_bytes=read.number("MAX_PROFILE_BYTES", cls.max_profile_bytes, least=1024),
            max_uploads=read.number("MAX_UPLOADS", cls.max_uploads, least=1),
            workers=read.number("WORKERS", cls.workers, least=1),
            listen_host=read.text("LISTEN_HOST", "") or None,
            api_port=read.number("API_PORT", cls.api_port, least=0),
            agents_port=read.number("AGENTS_PORT", cls.agents_port, least=0),
            http_port=read.number("HTTP_PORT", cls.http_port, least=0),
            run_grace_seconds=float(read.number("RUN_GRACE_SECONDS", int(cls.run_grace_seconds), least=0)),
            log_level=read.choice("LOG_LEVEL", cls.log_level, ("DEBUG", "INFO", "WARNING", "ERROR")),
        )


class _Reader:
    """Reads variables of the environment; an empty one counts as absent, as Helm templates easily leave one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str) -> str:
        return self._environment.get(f"PERFPROFILE_{name}", "").strip() or default

    def number(self, name: str, default: int, *, least: int) -> int:
        text = self.text(name, str(default))
        if not text.isdecimal() or int(text) < least:
            raise ConfigurationError(f"PERFPROFILE_{name} is {text!r}: set a whole number of at least {least}, or remove it for {default}")
        return int(text)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        text = self.text(name, default)
        if text not in choices:
            raise ConfigurationError(f"PERFPROFILE_{name} is {text!r}: set one of {', '.join(choices)}")
        return text

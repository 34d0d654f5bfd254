"""The gateway's certificate: made, renewed before it expires, and made known to the API server and the agents.

Everything stays in objects that the manifests create empty, so that the operator needs no right to create or list Secrets::

    Secret perfprofile-ca            ca.crt (the CA, and older ones while they live), ca.key
    Secret perfprofile-gateway-tls   tls.crt, tls.key, ca.crt         ── mounted by the gateway
    ConfigMap perfprofile-gateway-ca ca.crt                           ── mounted by the agents
    APIService                       spec.caBundle                    ── read by the API server

The CA is made known before anything that it signed is put to use. Keys are never logged.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from perfprofile_cluster.client import Cluster
from perfprofile_cluster.objects import Secret
from perfprofile_operator import pki
from perfprofile_operator.config import Settings
from perfprofile_operator.errors import OperatorError
from perfprofile_operator.pki import Pair
from perfprofile_operator.reconcile.work import Outcome

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = timedelta(minutes=10)
"""How often the objects are compared with what they should be; somebody may have reinstalled the APIService, which empties its CA."""


class CertificateError(OperatorError):
    """The certificates can't be kept; says which object is missing."""


def server_names(service: str, namespace: str) -> tuple[str, ...]:
    """Give the names by which the gateway is called: by agents and operator, and (``.svc``) by the API server."""
    return (f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.cluster.local", f"{service}.{namespace}", service)


class Certificates:
    """Keeps the certificates, and knows the CA for the operator's own calls to the gateway."""

    def __init__(self, cluster: Cluster, settings: Settings, *, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._bundle = b""

    @property
    def ca_bundle(self) -> bytes:
        """The CA certificates in PEM; empty before the first reconcile."""
        return self._bundle

    def reconcile(self) -> Outcome:
        """Bring all of them to where they should be.

        Raises:
            CertificateError: An object that the manifests create is not there.
        """
        ca = self._ca()
        self._publish(ca.certificate)
        self._bundle = ca.certificate
        self._server(ca)
        return Outcome(again=LOOK_AGAIN)

    def _ca(self) -> Pair:
        secret = self._secret(self._settings.ca_secret)
        bundle, key = secret.data.get("ca.crt", b""), secret.data.get("ca.key", b"")
        now = self._clock()
        if pki.ca_is_good(bundle, key, now):
            return Pair(certificate=bundle, key=key)
        made = pki.new_ca(now)
        after = Pair(certificate=pki.with_unexpired(made.certificate, bundle, now), key=made.key)
        # With the version that was read: of two operators that make a CA at once, one fails here, and finds the other's next time.
        self._cluster.patch_secret(
            self._settings.namespace,
            secret.metadata.name,
            {"ca.crt": after.certificate, "ca.key": after.key},
            resource_version=secret.metadata.resource_version,
        )
        log.info("Made a new CA for the gateway")
        return after

    def _publish(self, bundle: bytes) -> None:
        """Make the CA known."""
        settings = self._settings
        found = self._cluster.get_configmap(settings.agents_namespace, settings.gateway_ca_config_map)
        if found is None:
            raise CertificateError(_missing("ConfigMap", settings.agents_namespace, settings.gateway_ca_config_map))
        if found.data.get("ca.crt", "") != bundle.decode():
            self._cluster.patch_configmap(settings.agents_namespace, settings.gateway_ca_config_map, {"ca.crt": bundle.decode()})
        service = self._cluster.get_api_service(settings.api_service) if settings.api_service else None
        if service is not None and service.ca_bundle != bundle:
            self._cluster.patch_api_service_ca(settings.api_service, bundle)

    def _server(self, ca: Pair) -> None:
        settings = self._settings
        names = server_names(settings.gateway_service, settings.namespace)
        secret = self._secret(settings.gateway_tls_secret)
        now = self._clock()
        server = Pair(certificate=secret.data.get("tls.crt", b""), key=secret.data.get("tls.key", b""))
        good = pki.server_is_good(server, ca.certificate, names, now)
        if good and secret.data.get("ca.crt") == ca.certificate:
            return
        if not good:
            server = pki.new_server(ca, names, now)
            log.info("Made a new certificate for the gateway")
        self._cluster.patch_secret(
            settings.namespace,
            settings.gateway_tls_secret,
            {"tls.crt": server.certificate, "tls.key": server.key, "ca.crt": ca.certificate},
            resource_version=secret.metadata.resource_version,
        )

    def _secret(self, name: str) -> Secret:
        found = self._cluster.get_secret(self._settings.namespace, name)
        if found is None:
            raise CertificateError(_missing("Secret", self._settings.namespace, name))
        return found


def _missing(kind: str, namespace: str, name: str) -> str:
    return f"{kind} {namespace}/{name} is not there. Install the manifests again: they create it empty, and the operator fills it"

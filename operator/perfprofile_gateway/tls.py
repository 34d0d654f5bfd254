"""The gateway's TLS: its certificate out of a Secret, the front proxy's CA out of a ConfigMap, both renewed without a restart.

Waiting for the certificate is no fault: the operator fills the Secret when it first starts. Until then nothing listens, so callers are
refused at once rather than kept waiting.
"""

import asyncio
import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from perfprofile_cluster.errors import ClusterError
from perfprofile_cluster.objects import Secret
from perfprofile_gateway.config import Settings
from perfprofile_gateway.errors import ConfigurationError
from perfprofile_gateway.frontproxy import FrontProxy, front_proxy
from perfprofile_gateway.kubernetes import Calls, Kubernetes
from perfprofile_gateway.listener import Listener

log = logging.getLogger(__name__)

_FRONT_PROXY_CONFIGMAP: Final = ("kube-system", "extension-apiserver-authentication")
_FIRST_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 60.0


class Certificate(NamedTuple):
    """A certificate chain and its private key, PEM."""

    chain: bytes
    key: bytes

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # typing.override comes with Python 3.12
        return "Certificate(…)"


def certificate_of(secret: Secret | None) -> Certificate | None:
    """Give the certificate that a Secret holds, or None while it is empty."""
    if secret is None:
        return None
    chain, key = secret.data.get("tls.crt", b""), secret.data.get("tls.key", b"")
    return Certificate(chain, key) if chain.strip() and key.strip() else None


def server_context(certificate: Certificate, *, client_ca: str = "") -> ssl.SSLContext:
    """Make the TLS side of a server.

    With ``client_ca``, client certificates are asked for and a wrong one ends the handshake; that there is one at all, each request
    checks, because then the caller can be told in words.

    Raises:
        ConfigurationError: certificate and key don't fit, or aren't PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        with _in_memory(certificate.chain) as chain, _in_memory(certificate.key) as key:
            context.load_cert_chain(chain, key)
        if client_ca:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as Go does: every certificate of the bundle is an anchor
            context.load_verify_locations(cadata=client_ca)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"The certificate, its key or the front proxy's CA can't be used: {error}. Let the operator renew it."
        ) from error
    return context


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Give a path for an API that wants files: a private key should never be on a disk."""
    descriptor = os.memfd_create("perfprofile-tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


class Credentials:
    """Reads certificate and CA, and hands them to the listeners whenever they change."""

    def __init__(self, settings: Settings, kubernetes: Kubernetes, calls: Calls) -> None:
        self._settings, self._kubernetes, self._calls = settings, kubernetes, calls
        self._certificate: Certificate | None = None
        self.front_proxy: FrontProxy | None = None

    @property
    def complete(self) -> bool:
        """Whether both ports listen."""
        return self._certificate is not None and self.front_proxy is not None

    async def run(self, *, agents: Listener, api: Listener, first: float = _FIRST_SECONDS, again: float = _AGAIN_SECONDS) -> None:
        """Look for changes until cancelled."""
        while True:
            try:
                await self._refresh(agents, api)
            except (ClusterError, ConfigurationError) as error:
                log.warning("Could not renew TLS credentials; trying again", extra={"error": str(error)})
            await asyncio.sleep(again if self.complete else first)

    async def _refresh(self, agents: Listener, api: Listener) -> None:
        secret = await self._calls(self._kubernetes.get_secret, self._settings.namespace, self._settings.tls_secret)
        certificate = certificate_of(secret)
        if certificate is None:
            log.info("Waiting for the operator to fill the certificate's Secret", extra={"secret": self._settings.tls_secret})
            return
        renewed = certificate != self._certificate
        if renewed:
            await agents.use(server_context(certificate))
            log.info("Serving agents with a new certificate", extra={"port": agents.port})
        self._certificate = certificate
        configmap = await self._calls(self._kubernetes.get_configmap, *_FRONT_PROXY_CONFIGMAP)
        proxy = front_proxy(configmap.data if configmap else {})
        if renewed or proxy != self.front_proxy:
            await api.use(server_context(certificate, client_ca=proxy.ca))
            self.front_proxy = proxy
            log.info("Serving the aggregated API with new credentials", extra={"port": api.port})

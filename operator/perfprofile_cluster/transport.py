"""One HTTP call to the API server: configuration and credentials by the Kubernetes client, bytes in and out.

The client's generated classes are left out on purpose: building them costs more than everything else done with an answer.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import urllib3
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config

from perfprofile_agent import __version__
from perfprofile_cluster.errors import UNREACHABLE, ClusterError
from perfprofile_cluster.wire import Failure

CONNECT_TIMEOUT: Final = 5.0
"""Seconds; an API server that does not even accept a connection is away."""
READ_TIMEOUT: Final = 30.0
"""Seconds; longer than any single page of a list takes, short enough to notice a hung connection."""
CONNECTIONS: Final = 16
"""Kept open at most; more than either program has threads that call the API."""

_load: Any = kubernetes_config
"""The same module; its functions carry no types."""

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"


class Transport:
    """Calls the API server. Thread-safe."""

    def __init__(self, configuration: Any) -> None:
        configuration.connection_pool_maxsize = CONNECTIONS
        # One more try where a kept connection turned out dead; waiting as the server asks (429) is the caller's business.
        configuration.retries = urllib3.Retry(total=1, redirect=0, status=0, respect_retry_after_header=False)
        self._client = kubernetes_client.ApiClient(configuration)
        self._client.user_agent = f"perfprofile/{__version__}"
        self._host: str = configuration.host

    @classmethod
    def connect(cls, kubeconfig: str | None = None) -> "Transport":
        """Take the configuration of the pod we run in, else (or if ``kubeconfig`` names a file) a kubeconfig's current context.

        Raises:
            ClusterError: There is neither.
        """
        configuration = kubernetes_client.Configuration()
        try:
            if kubeconfig is None:
                try:
                    _load.load_incluster_config(client_configuration=configuration)
                except kubernetes_config.ConfigException:
                    _load.load_kube_config(client_configuration=configuration)
            else:
                _load.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
        except kubernetes_config.ConfigException as error:
            raise ClusterError(
                UNREACHABLE, "Unreachable", f"{error}. Run in a pod with a service account, or set KUBECONFIG to a kubeconfig file"
            ) from error
        return cls(configuration)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
    ) -> bytes:
        """Call ``path`` and give the answer's body.

        Raises:
            ClusterError: No answer, or one that is not a success.
        """
        url = f"{self._host}{path}?{urlencode(query)}" if query else f"{self._host}{path}"
        headers = {"Accept": JSON, "Content-Type": content_type, "User-Agent": self._client.user_agent}
        try:
            self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            answer: Any = self._client.call_api(
                method, url, header_params=headers, body=body, _request_timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)
            )
            content: bytes = answer.read()
        except (urllib3.exceptions.HTTPError, kubernetes_client.ApiException, OSError) as error:
            raise ClusterError(UNREACHABLE, "Unreachable", f"{method} {path}: {_plain(error)}") from error
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise _refusal(answer.status, content, answer.getheader("Retry-After"))
        return content

    def close(self) -> None:
        """Close the kept connections."""
        self._client.rest_client.close()


def _plain(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def _refusal(status: int, content: bytes, retry_after: str | None) -> ClusterError:
    try:
        failure = msgspec.json.decode(content, type=Failure)
    except (msgspec.DecodeError, json.JSONDecodeError):
        failure = Failure(message=content[:300].decode(errors="replace"))
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    return ClusterError(status, failure.reason or f"Http{status}", failure.message, retry_after=seconds, terminating=failure.terminating)

"""The one call that the operator makes to the gateway: failures of nodes that can't report for themselves.

Wire: ``POST /v1/runs/{run uid}/node-failures`` on the gateway's port for agents, with the operator's own projected token. HTTPS by the
standard library: one small call a run is no reason for an HTTP library.
"""

import http.client
import ssl
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from perfprofile_agent.api.run import NodeFailure
from perfprofile_cluster.objects import RunObject
from perfprofile_operator.errors import GatewayError

TIMEOUT: Final = 10.0
"""Seconds for each read and write; the gateway answers at once, or is not well."""
PAUSE: Final = 5.0
"""Seconds in which a gateway that could not be reached is not called again: each call may cost a worker its whole timeout."""
BATCH: Final = 500
"""Failures in one call: with messages of 1 KiB, half a megabyte."""
MAX_ANSWER: Final = 65536
"""Bytes of an answer that are read."""


class _Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One element of ``failures``; ``window`` is 0 as long as runs have one window."""

    node: str
    window: int = 0
    reason: str
    message: str


class _Failures(msgspec.Struct, frozen=True, kw_only=True):
    namespace: str
    run: str
    failures: tuple[_Failure, ...]


class GatewayClient:
    """Posts to the gateway. Thread-safe: each call has its own connection."""

    def __init__(self, *, url: str, token_file: Path, ca_bundle: Callable[[], bytes]) -> None:
        self._parts = urlsplit(url)
        self._token_file = token_file
        self._ca_bundle = ca_bundle
        self._away_until = 0.0

    def post_failures(self, run: RunObject, failures: Iterable[NodeFailure]) -> None:
        """Post node failures; nodes that have a terminal record keep it.

        Raises:
            GatewayError: The gateway could not be reached, or did not take them.
        """
        rest = [_Failure(node=failure.node, reason=failure.reason, message=failure.message) for failure in failures]
        path = f"/v1/runs/{quote(run.metadata.uid, safe='')}/node-failures"
        while rest:
            batch, rest = tuple(rest[:BATCH]), rest[BATCH:]
            body = _Failures(namespace=run.metadata.namespace, run=run.metadata.name, failures=batch)
            self._post(path, msgspec.json.encode(body))

    def _post(self, path: str, body: bytes) -> None:
        if time.monotonic() < self._away_until:
            raise GatewayError(0, "it was away a moment ago. Look at the Deployment perfprofile-gateway")
        connection = self._connection()
        try:
            headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
            connection.request("POST", path, body=body, headers=headers)
            answer = connection.getresponse()
            words = answer.read(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            self._away_until = time.monotonic() + PAUSE
            raise GatewayError(0, f"{type(error).__name__}: {error}. Look at the Deployment perfprofile-gateway") from error
        finally:
            connection.close()
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise GatewayError(answer.status, words[:500].decode(errors="replace"))

    def _connection(self) -> http.client.HTTPSConnection:
        bundle = self._ca_bundle()
        if not bundle:
            raise GatewayError(0, "its CA is not known yet. Look at the operator's log for what is wrong with the certificates")
        context = ssl.create_default_context(cadata=bundle.decode())
        return http.client.HTTPSConnection(self._parts.hostname or "", self._parts.port, timeout=TIMEOUT, context=context)

    def _token(self) -> str:
        try:
            return self._token_file.read_text().strip()
        except OSError as error:
            raise GatewayError(0, f"no token to show: {error}. Mount one, and set PERFPROFILE_GATEWAY_TOKEN_FILE to its path") from error

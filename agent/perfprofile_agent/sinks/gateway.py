"""The gateway, seen from an agent: ask for the assignment, send reports, upload profiles. HTTPS with the standard library.

The protocol, one request each: ``GET /v1/assignment``, ``POST /v1/reports``, ``PUT /v1/profiles/{window}``. Every request is
idempotent, so each may be sent again after a broken connection. Identity is a projected service-account token, which the
kubelet renews in its file, so it is read anew for each request; it never reaches a log or an error message.
"""

import contextlib
import http.client
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec

from perfprofile_agent import __version__
from perfprofile_agent.api.assignment import Assignment, Wait
from perfprofile_agent.api.report import NodeReport
from perfprofile_agent.sinks.base import ProfileMeta, Receipt, digest
from perfprofile_agent.sinks.errors import ProfileNotHeld, RunOver, SinkError

TIMEOUT_SECONDS: Final = 30.0
"""For connecting, and for each wait on the network."""
_MAX_ANSWER = 16 << 20
"""Bytes; an assignment of a node's few hundred pods has some hundred kilobytes."""
_MAX_SENTENCE = 300
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_NOT_REACHED = "Check the perfprofile-gateway Service and its pods, and network policies between the nodes and it."

_OK, _ACCEPTED, _UNAUTHORIZED, _FORBIDDEN, _CONFLICT, _GONE, _TOO_MANY = 200, 202, 401, 403, 409, 410, 429
_SERVER_ERROR = 500


T = TypeVar("T")


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class GatewayClient:
    """One agent's client. Not for several threads at once: give each its own."""

    def __init__(self, url: str, *, ca_file: Path, token_file: Path, timeout: float = TIMEOUT_SECONDS) -> None:
        """Speak to the gateway at ``url`` (https only), whose certificate the CA in ``ca_file`` has signed.

        Raises:
            ValueError: ``url`` isn't an https URL of a host without path.
        """
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.username:
            raise ValueError(f"{url!r} is not the gateway's address: write https://HOST:PORT")
        self._host, self._port = parts.hostname, parts.port or 443
        self._ca_file, self._token_file, self._timeout = ca_file, token_file, timeout
        self._connection: http.client.HTTPSConnection | None = None

    def assignment(self) -> Assignment | Wait:
        """Ask what to record.

        Raises:
            RunOver: nothing any more.
            SinkError: no answer, or none that can be used.
        """
        answer = self._request("GET", "/v1/assignment")
        if answer.status == _ACCEPTED:
            wait = _decode(answer.body, Wait)
            told = _retry_after(answer.headers)
            return wait if told is None else msgspec.structs.replace(wait, retry_after_seconds=told)
        if answer.status == _OK:
            return _decode(answer.body, Assignment)
        raise _error("The gateway gave no assignment", answer)

    def report(self, report: NodeReport) -> None:
        """Send a report.

        Raises:
            RunOver: the run is gone.
            ProfileNotHeld: upload the profile (again) first.
            SinkError: it wasn't taken.
        """
        answer = self._request("POST", "/v1/reports", msgspec.json.encode(report), {"Content-Type": "application/json"})
        if answer.status // 100 != 2:  # noqa: PLR2004 - class of success
            raise _error("The gateway did not take the report", answer)

    def deliver(self, profile: bytes, meta: ProfileMeta) -> Receipt:
        """Upload a gzipped pprof.

        Raises:
            RunOver: the run is gone.
            SinkError: it wasn't taken.
        """
        sha256 = digest(profile)
        path = f"/v1/profiles/{meta.window}"
        answer = self._request("PUT", path, profile, {"Content-Type": "application/octet-stream", "Content-SHA256": sha256})
        if answer.status // 100 != 2:  # noqa: PLR2004 - class of success
            raise _error("The gateway refused the profile", answer)
        return Receipt(f"https://{self._host}:{self._port}{path}", len(profile), sha256, known=answer.status == _OK)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def _request(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> _Answer:
        complete = {
            "Authorization": f"Bearer {self._token()}",
            "Accept": "application/json",
            "User-Agent": f"perfprofile-agent/{__version__}",
            **(headers or {}),
        }
        kept_alive = self._connection is not None
        try:
            return self._exchange(method, path, body, complete)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not kept_alive:
                raise self._unreached(error) from error
        try:  # the gateway may have closed the kept connection, so once more with a new one
            return self._exchange(method, path, body, complete)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreached(error) from error

    def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> _Answer:
        connection = self._connection or self._connect()
        self._connection = connection
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # an early answer (413) may have come before all was sent
            connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        content = response.read(_MAX_ANSWER + 1)
        if len(content) > _MAX_ANSWER:
            raise http.client.HTTPException(f"an answer of more than {_MAX_ANSWER} bytes")
        if response.will_close:
            self.close()
        return _Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, content)

    def _connect(self) -> http.client.HTTPSConnection:
        # A new context each time: the CA is renewed in its file, and stands empty there until the operator has filled it.
        context = ssl.create_default_context(cafile=str(self._ca_file))
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=context)

    def _token(self) -> str:
        try:
            token = self._token_file.read_text().strip()
        except OSError as error:
            raise SinkError(
                f"Could not read the agent's token {self._token_file}: {error.strerror}. Check the projected volume.", retryable=True
            ) from error
        if not token or not token.isascii() or not token.isprintable():
            raise SinkError(f"The agent's token {self._token_file} is empty or malformed. Check the projected volume.", retryable=True)
        return token

    def _unreached(self, error: Exception) -> SinkError:
        said = str(error) or type(error).__name__
        return SinkError(
            f"Could not reach the gateway at {self._host}:{self._port}: {said}. {_NOT_REACHED}", retryable=True, unreachable=True
        )


def _error(what: str, answer: _Answer) -> SinkError:
    message = f"{what}: {answer.status}, {_sentence(answer.body)}"
    if answer.status == _GONE:
        return RunOver(message)
    if answer.status == _CONFLICT:
        return ProfileNotHeld(message)
    # 401 and 403 pass when the token is renewed, or when the API server that reviews it answers again.
    retryable = answer.status >= _SERVER_ERROR or answer.status in {_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY}
    return SinkError(message, retryable=retryable, retry_after=_retry_after(answer.headers))


def _sentence(body: bytes) -> str:
    """Give the ``error`` of a JSON answer, else the beginning of the text, printable."""
    try:
        said = msgspec.json.decode(body, type=dict[str, Any]).get("error", "")
    except msgspec.DecodeError:
        said = body[:_MAX_SENTENCE].decode(errors="replace")
    text = "".join(character if character.isprintable() else " " for character in str(said))
    return text.strip()[:_MAX_SENTENCE] or "without a reason"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Give the seconds of a Retry-After header; None if absent or a date, which the gateway never sends."""
    text = headers.get("retry-after", "")
    return float(text) if _SECONDS.fullmatch(text) else None


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise SinkError(
            f"The gateway's answer is no {kind.__name__}: {error}. Let agents and gateway be of the same version.", retryable=False
        ) from error

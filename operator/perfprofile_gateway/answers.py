"""Answers of the agents' port: JSON out, refusals as ``{"error": "<sentence with the next step>"}``, bodies read under a limit."""

import logging
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

import msgspec
from aiohttp import web

from perfprofile_cluster.errors import ClusterError
from perfprofile_gateway.errors import Refusal

log = logging.getLogger(__name__)
T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_RETRY_SECONDS = 2.0


def json_answer(body: object, *, status: int = HTTPStatus.OK, retry_after: float | None = None) -> web.Response:
    """Answer with JSON."""
    headers = {} if retry_after is None else {"Retry-After": str(math.ceil(retry_after))}
    return web.Response(body=msgspec.json.encode(body), status=status, headers=headers, content_type="application/json")


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Translate refusals, and whatever else goes wrong, to JSON errors; the only place of this port that does."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return json_answer({"error": refusal.message}, status=refusal.status, retry_after=refusal.retry_after)
    except ClusterError as error:
        log.warning("Could not ask the API server", extra={"path": request.path, "status": error.status, "error": error.message})
        message = "The gateway could not ask the Kubernetes API: try again."
        return json_answer({"error": message}, status=HTTPStatus.SERVICE_UNAVAILABLE, retry_after=error.retry_after or _RETRY_SECONDS)
    except web.HTTPException as error:
        return json_answer({"error": f"{error.reason}: see the protocol in docs for what this port answers."}, status=error.status)
    except Exception:  # the rim: an unforeseen fault must not show its details to the caller
        log.exception("Could not answer a request", extra={"path": request.path})
        message = "The gateway could not answer: try again, and look at its log if this goes on."
        return json_answer({"error": message}, status=HTTPStatus.INTERNAL_SERVER_ERROR, retry_after=_RETRY_SECONDS)


async def read_json(request: web.Request, kind: type[T], *, max_bytes: int) -> T:
    """Read a JSON body of a model's shape.

    Raises:
        Refusal: 413 above ``max_bytes``, 400 if it has another shape.
    """
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {max_bytes} bytes: shorten its messages.")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(
            HTTPStatus.BAD_REQUEST, f"The body is not a {kind.__name__}: {error}. Use an agent of the gateway's version."
        ) from error

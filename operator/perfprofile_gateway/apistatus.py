"""Errors of the aggregated API: meta/v1 Status objects, which kubectl prints as sentences."""

import logging
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from perfprofile_cluster.errors import ClusterError
from perfprofile_gateway.errors import Refusal

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_REASONS: Final = {
    HTTPStatus.BAD_REQUEST: "BadRequest",
    HTTPStatus.UNAUTHORIZED: "Unauthorized",
    HTTPStatus.FORBIDDEN: "Forbidden",
    HTTPStatus.NOT_FOUND: "NotFound",
    HTTPStatus.METHOD_NOT_ALLOWED: "MethodNotAllowed",
    HTTPStatus.NOT_ACCEPTABLE: "NotAcceptable",
    HTTPStatus.GONE: "Gone",
    HTTPStatus.TOO_MANY_REQUESTS: "TooManyRequests",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalError",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailable",
}
"""Reasons of apimachinery's metav1.StatusReason by HTTP status."""


def status_object(code: int, message: str, *, retry_after: float | None = None) -> dict[str, Any]:
    """Give a failure as a meta/v1 Status."""
    reason = _REASONS[HTTPStatus(code)] if code in _REASONS else ""
    details = {} if retry_after is None else {"details": {"retryAfterSeconds": math.ceil(retry_after)}}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
        **details,
    }


@web.middleware
async def errors_as_status(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Translate refusals, and whatever else goes wrong, to Status objects; the only place of this port that does."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return _answer(refusal.status, refusal.message, retry_after=refusal.retry_after)
    except ClusterError as error:
        log.warning("Could not ask the API server", extra={"path": request.path, "status": error.status, "error": error.message})
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, "The gateway could not ask the Kubernetes API: try again.", retry_after=2)
    except web.HTTPException as error:
        return _answer(error.status, f"{error.reason}: this API serves perfprofileruns/profile, /flamegraph, /top and /nodes, with get.")
    except Exception:  # the rim: an unforeseen fault must not show its details to the caller
        log.exception("Could not answer a request", extra={"path": request.path})
        return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, "The gateway could not answer: look at its log.")


def _answer(code: int, message: str, *, retry_after: float | None = None) -> web.Response:
    headers = {} if retry_after is None else {"Retry-After": str(math.ceil(retry_after))}
    body = msgspec.json.encode(status_object(code, message, retry_after=retry_after))
    return web.Response(body=body, status=code, headers=headers, content_type="application/json")

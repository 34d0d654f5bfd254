"""Who speaks on the agents' port: a TokenReview says whose token it is, and the agent's pod says which run it works for.

Nothing an agent says of itself is believed: the node and the pod come from the token (the API server bound it to them), the run comes
from the labels of that pod, which only the operator's DaemonSet sets.
"""

import base64
import binascii
import hashlib
import time
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

from perfprofile_agent.api.names import LABEL_RUN, LABEL_RUN_NAMESPACE, LABEL_RUN_UID, TOKEN_AUDIENCE
from perfprofile_cluster.objects import Pod, TokenIdentity
from perfprofile_gateway.config import Settings
from perfprofile_gateway.errors import Refusal
from perfprofile_gateway.kubernetes import Cached, Calls, Kubernetes
from perfprofile_gateway.store.rows import RunKey

KEEP_SECONDS: Final = 60.0
"""How long a review is believed: a token whose pod was deleted passes no longer than that."""
_KEEP_REFUSED_SECONDS: Final = 5.0
_MAX_TOKEN: Final = 16_384
"""Characters; a projected token has about 1,200."""

_NO_TOKEN = "Send the projected service account token (audience perfprofile-gateway) as `Authorization: Bearer <token>`."  # noqa: S105 - a sentence
_BAD_TOKEN = "The token was refused: it is expired, of another audience, or its pod is gone. Read the token file again and retry."  # noqa: S105 - a sentence


class Agent(NamedTuple):
    """Who an agent is."""

    run: RunKey
    node: str
    pod: str


class _Reviewed(NamedTuple):
    identity: TokenIdentity | None
    good_for: float


class _Claims(msgspec.Struct):
    exp: float = 0.0


class Access:
    """Tells agents and operator from everybody else."""

    def __init__(self, settings: Settings, kubernetes: Kubernetes, calls: Calls) -> None:
        self._settings, self._kubernetes, self._calls = settings, kubernetes, calls
        self._reviews: Cached[bytes, _Reviewed] = Cached(seconds=lambda reviewed: reviewed.good_for)
        self._pods: Cached[str, Pod] = Cached(seconds=KEEP_SECONDS)

    async def agent(self, authorization: str) -> Agent:
        """Give the agent that an ``Authorization`` header stands for.

        Raises:
            Refusal: 401 for a token that isn't valid here, 403 for one that isn't an agent's.
            ClusterError: the API server could not be asked.
        """
        identity = await self._identity(authorization)
        if identity.username != self._settings.agent_username:
            raise Refusal(HTTPStatus.FORBIDDEN, f"{identity.username} is not the agents' service account; only agents' pods may call this.")
        if not (identity.node_name and identity.pod_name and identity.pod_uid):
            raise Refusal(
                HTTPStatus.FORBIDDEN, "The token is not bound to a pod and a node: use a projected token (Kubernetes 1.30 or later)."
            )
        pod = await self._pods.get(identity.pod_uid, lambda: self._pod_of(identity))
        return agent_of(identity, pod)

    async def operator(self, authorization: str) -> None:
        """Let the operator pass.

        Raises:
            Refusal: 401 for a token that isn't valid here, 403 for anybody else's.
            ClusterError: the API server could not be asked.
        """
        identity = await self._identity(authorization)
        if identity.username != self._settings.operator_username:
            raise Refusal(HTTPStatus.FORBIDDEN, f"Only {self._settings.operator_username} may report failures of nodes.")

    async def _identity(self, authorization: str) -> TokenIdentity:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN:
            raise Refusal(HTTPStatus.UNAUTHORIZED, _NO_TOKEN)
        reviewed = await self._reviews.get(hashlib.sha256(token.encode()).digest(), lambda: self._review(token))
        if reviewed.identity is None:
            raise Refusal(HTTPStatus.UNAUTHORIZED, _BAD_TOKEN)
        return reviewed.identity

    async def _review(self, token: str) -> _Reviewed:
        identity = await self._calls(self._kubernetes.review_token, token, (TOKEN_AUDIENCE,))
        if identity is None:
            return _Reviewed(None, _KEEP_REFUSED_SECONDS)
        return _Reviewed(identity, max(0.0, min(KEEP_SECONDS, expiry(token) - time.time())))

    async def _pod_of(self, identity: TokenIdentity) -> Pod:
        pod = await self._calls(self._kubernetes.get_pod, self._settings.agents_namespace, identity.pod_name)
        if pod is None or pod.metadata.uid != identity.pod_uid:
            raise Refusal(HTTPStatus.UNAUTHORIZED, _BAD_TOKEN)
        return pod


def agent_of(identity: TokenIdentity, pod: Pod) -> Agent:
    """Say for which run and node an agent speaks, from its token and its pod.

    Raises:
        Refusal: 403, the pod is on another node than the token says, or no run's.
    """
    if pod.node_name != identity.node_name:
        raise Refusal(HTTPStatus.FORBIDDEN, "The token's node is not the node of its pod; delete the agent's pod to get a fresh token.")
    labels = pod.metadata.labels
    run = RunKey(labels.get(LABEL_RUN_UID, ""), labels.get(LABEL_RUN_NAMESPACE, ""), labels.get(LABEL_RUN, ""))
    if not all(run):
        raise Refusal(HTTPStatus.FORBIDDEN, f"Pod {identity.pod_name} carries no run's labels ({LABEL_RUN_UID}, …): it is no run's agent.")
    return Agent(run, identity.node_name, identity.pod_name)


def expiry(token: str) -> float:
    """Give when a JWT says that it expires (seconds since the epoch), or infinity where it doesn't say.

    Only ever used to keep a review for a shorter time; whether the token is valid, the API server has said.
    """
    parts = token.split(".")
    try:
        payload = parts[1] + "=" * (-len(parts[1]) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(payload), type=_Claims).exp or float("inf")
    except (IndexError, binascii.Error, ValueError, msgspec.DecodeError):
        return float("inf")

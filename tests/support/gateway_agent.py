"""An agent as far as the gateway sees one: asks, uploads, reports."""

import hashlib
from typing import Any

import msgspec

from perfprofile_agent.api.report import NodeReport, NodeState
from perfprofile_agent.pprof import wire
from support.gateway import GatewayUnderTest, eventually
from support.profiles import profile


class Agent:
    """An agent of a run on a node, as far as the gateway sees one."""

    def __init__(self, gateway: GatewayUnderTest, token: str, node: str = "node-1", namespace: str = "shop") -> None:
        self.gateway, self.token, self.node, self.namespace = gateway, token, node, namespace

    def ask(self) -> tuple[int, Any]:
        status, _, body = self.gateway.agents("GET", "/v1/assignment", self.token)
        return status, msgspec.json.decode(body)

    def upload(self, content: bytes | None = None, *, digest: str | None = None, window: str = "0", seed: int = 1) -> tuple[int, str]:
        """Upload a profile (a good one unless given)."""
        content = self.profile(seed) if content is None else content
        digest = hashlib.sha256(content).hexdigest() if digest is None else digest
        status, _, body = self.gateway.agents("PUT", f"/v1/profiles/{window}", self.token, content, Content_SHA256=digest)
        return status, body.decode()

    def profile(self, seed: int = 1) -> bytes:
        return wire.encode(profile(namespace=self.namespace, node=self.node, seed=seed))

    def report(self, state: NodeState, **fields: Any) -> int:
        body = msgspec.json.encode(NodeReport(window=0, state=state, **fields))
        return self.gateway.agents("POST", "/v1/reports", self.token, body)[0]

    def succeed(self, seed: int = 1, **fields: Any) -> None:
        """Do all that an agent does."""
        eventually(lambda: self.ask()[0] == 200)
        assert self.report(NodeState.RECORDING) == 204
        content = self.profile(seed)
        assert self.upload(content)[0] == 201
        digest = hashlib.sha256(content).hexdigest()
        counts = {"samples_recorded": 250, "samples_shown": 200, "samples_out_of_scope": 50, "event": "cpu-clock"}
        assert self.report(NodeState.SUCCEEDED, profile_sha256=digest, profile_bytes=len(content), **{**counts, **fields}) == 204

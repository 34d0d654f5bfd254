"""Who may speak on the agents' port, and as whom."""

import asyncio
import base64
import json

import msgspec
import pytest

from perfprofile_cluster.errors import ClusterError
from perfprofile_cluster.objects import TokenIdentity
from perfprofile_gateway.access import expiry
from perfprofile_gateway.kubernetes import Cached
from support.gateway import AGENT, DictKubernetes, GatewayUnderTest
from support.gateway_agent import Agent


@pytest.fixture
def token(kubernetes: DictKubernetes) -> str:
    kubernetes.add_pod("checkout-1")
    return kubernetes.add_agent(kubernetes.add_run("run-1"))


def ask(gateway: GatewayUnderTest, token: str) -> int:
    return gateway.agents("GET", "/v1/assignment", token)[0]


@pytest.mark.parametrize("header", ["", "Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Bearer " + "x" * 20_000])
def test_no_usable_token_is_401_on_every_path(gateway, header):
    for method, path in (
        ("GET", "/v1/assignment"),
        ("POST", "/v1/reports"),
        ("PUT", "/v1/profiles/0"),
        ("POST", "/v1/runs/x/node-failures"),
    ):
        status, _, body = gateway.agents(method, path, Authorization=header) if len(header) < 8000 else gateway.agents(method, path)
        assert status == 401
        assert "error" in msgspec.json.decode(body)


def test_an_unknown_or_expired_token_is_401(gateway):
    assert ask(gateway, "nobody-knows-it") == 401


def test_a_token_of_another_audience_is_401(gateway, kubernetes):
    kubernetes.add_pod("checkout-1")
    assert ask(gateway, kubernetes.add_agent(kubernetes.add_run("run-1"), audience="https://kubernetes.default.svc")) == 401


def test_the_operators_token_gets_no_assignment_and_an_agents_token_reports_for_no_other_node(gateway, kubernetes, token):
    assert ask(gateway, kubernetes.add_operator()) == 403
    body = b'{"namespace":"shop","run":"run-1","failures":[]}'
    assert gateway.agents("POST", "/v1/runs/uid-shop-run-1/node-failures", token, body)[0] == 403


def test_another_service_account_is_403(gateway, kubernetes, token):
    audience, identity = kubernetes.tokens[token]
    kubernetes.tokens["other"] = (audience, msgspec.structs.replace(identity, username="system:serviceaccount:bank:default"))
    assert ask(gateway, "other") == 403


def test_a_token_that_is_not_bound_to_a_pod_is_403(gateway, kubernetes):
    kubernetes.tokens["unbound"] = ("perfprofile-gateway", TokenIdentity(username=AGENT))
    assert ask(gateway, "unbound") == 403


def test_a_token_whose_pod_is_gone_or_made_anew_is_401(gateway, kubernetes, token):
    name, pod = next((key, pod) for key, pod in kubernetes.pods.items() if key[0] == "perfprofile-agents")
    kubernetes.pods[name] = msgspec.structs.replace(pod, metadata=msgspec.structs.replace(pod.metadata, uid="another"))
    assert ask(gateway, token) == 401
    del kubernetes.pods[name]
    assert ask(gateway, token) == 401


def test_a_pod_on_another_node_than_its_token_says_is_403(gateway, kubernetes, token):
    name, pod = next((key, pod) for key, pod in kubernetes.pods.items() if key[0] == "perfprofile-agents")
    kubernetes.pods[name] = msgspec.structs.replace(pod, node_name="node-2")
    assert ask(gateway, token) == 403


def test_a_pod_without_a_runs_labels_is_403(gateway, kubernetes):
    kubernetes.add_pod("checkout-1")
    run = kubernetes.add_run("run-1")
    token = kubernetes.add_agent(run, **{"perfprofile.dev/run-uid": ""})
    assert ask(gateway, token) == 403


def test_labels_that_mix_two_runs_open_neither(gateway, kubernetes):
    """The uid of one's own run with the name of another namespace's."""
    kubernetes.add_pod("vault-1", namespace="bank")
    kubernetes.add_run("theirs", namespace="bank")
    token = kubernetes.add_agent(kubernetes.add_run("run-1"), **{"perfprofile.dev/run": "theirs", "perfprofile.dev/run-namespace": "bank"})
    assert ask(gateway, token) == 410


def test_an_agent_writes_only_under_its_own_node(gateway, kubernetes, token):
    """Whatever the body says: the node comes from the token."""
    kubernetes.add_pod("checkout-2", node="node-2")
    other = Agent(gateway, kubernetes.add_agent(kubernetes.runs["shop", "run-1"], "node-2"), "node-2")
    mine = Agent(gateway, token)
    assert mine.upload(other.profile())[0] == 400
    assert other.upload()[0] == 201
    mine.succeed()
    assert other.ask()[0] == 200, "the other node's window is still open"


def test_a_token_is_reviewed_once_a_minute_however_often_it_is_shown(gateway, kubernetes, token):
    assert {ask(gateway, token) for _ in range(10)} == {200}
    assert kubernetes.calls["review_token"] == 1
    assert kubernetes.calls["get_pod"] == 1


def test_a_refused_token_is_not_reviewed_for_every_try(gateway, kubernetes):
    assert {ask(gateway, "wrong") for _ in range(10)} == {401}
    assert kubernetes.calls["review_token"] == 1


def jwt(payload: object) -> str:
    return ".".join(["e30", base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("="), "sig"])


@pytest.mark.parametrize(
    ("token", "expected"),
    [(jwt({"exp": 1000}), 1000.0), (jwt({}), float("inf")), (jwt([]), float("inf")), ("opaque", float("inf")), ("a.%%%.c", float("inf"))],
)
def test_the_expiry_of_a_token_is_read_without_trust(token, expected):
    assert expiry(token) == expected


# ---- The cache between the gateway and the API server


def test_answers_are_kept_for_their_time_and_no_longer():
    now, loaded = [0.0], []

    async def load() -> int:
        loaded.append(1)
        return len(loaded)

    async def scenario() -> list[int]:
        cache: Cached[str, int] = Cached(seconds=60, clock=lambda: now[0])
        first = [await cache.get("key", load), await cache.get("key", load)]
        now[0] = 60.0
        return [*first, await cache.get("key", load)]

    assert asyncio.run(scenario()) == [1, 1, 2]


def test_many_who_ask_at_once_cause_one_call():
    calls = []

    async def load() -> str:
        calls.append(1)
        await asyncio.sleep(0)
        return "answer"

    async def scenario() -> set[str]:
        cache: Cached[str, str] = Cached(seconds=1)
        return set(await asyncio.gather(*(cache.get("key", load) for _ in range(100))))

    assert asyncio.run(scenario()) == {"answer"}
    assert len(calls) == 1


@pytest.mark.parametrize(("stale", "late", "expected"), [(30, 5, "old"), (30, 31, None), (0, 5, None)])
def test_an_old_answer_serves_during_an_outage_only_where_that_is_allowed(stale, late, expected):
    now = [0.0]

    async def good() -> str:
        return "old"

    async def bad() -> str:
        raise ClusterError(0, "Unreachable", "gone")

    async def scenario() -> str | None:
        cache: Cached[str, str] = Cached(seconds=1, stale=stale, clock=lambda: now[0])
        await cache.get("key", good)
        now[0] = 1.0 + late
        try:
            return await cache.get("key", bad)
        except ClusterError:
            return None

    assert asyncio.run(scenario()) == expected


def test_the_cache_is_bounded():
    async def scenario() -> int:
        cache: Cached[int, int] = Cached(seconds=60, limit=10)
        for key in range(100):
            await cache.get(key, lambda key=key: asyncio.sleep(0, key))
        return len(cache._kept)

    assert asyncio.run(scenario()) == 10

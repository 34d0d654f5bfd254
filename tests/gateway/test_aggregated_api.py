"""The API port: only for the front proxy, and then only for whom RBAC lets."""

import ssl

import msgspec
import pytest

from perfprofile_agent.pprof import wire
from support import pki
from support.gateway import DictKubernetes, GatewayUnderTest, eventually
from support.gateway_agent import Agent
from support.profiles import profile

ROOT = "/apis/data.perfprofile.dev/v1alpha1"
RUN = f"{ROOT}/namespaces/shop/perfprofileruns/run-1"


@pytest.fixture
def reader(kubernetes: DictKubernetes) -> str:
    """A user who may read everything of namespace shop."""
    kubernetes.allowed |= {("jane", "shop", what) for what in ("profile", "flamegraph", "top", "nodes")}
    return "jane"


@pytest.fixture
def delivered(gateway: GatewayUnderTest, kubernetes: DictKubernetes) -> GatewayUnderTest:
    """A run of two nodes that have delivered."""
    run = kubernetes.add_run("run-1")
    for node in ("node-1", "node-2"):
        kubernetes.add_pod(f"checkout-{node}", node=node)
    for node in ("node-1", "node-2"):
        Agent(gateway, kubernetes.add_agent(run, node), node).succeed()
    return gateway


def status_of(answer) -> dict:
    status, headers, body = answer
    found = msgspec.json.decode(body)
    assert headers["content-type"].startswith("application/json")
    assert (found["kind"], found["apiVersion"], found["status"], found["code"]) == ("Status", "v1", "Failure", status)
    return found


def test_the_merged_profile_holds_the_samples_of_all_nodes(delivered, reader):
    status, headers, body = delivered.api(f"{RUN}/profile", reader)
    merged = wire.decode(body)
    assert status == 200
    assert headers["content-disposition"] == 'attachment; filename="shop-run-1.pb.gz"'
    assert {label.text for sample in merged.samples for label in sample.labels if label.key == "node"} == {"node-1", "node-2"}
    assert sum(sample.values[0] for sample in merged.samples) == 2 * sum(sample.values[0] for sample in profile().samples)


def test_a_node_that_delivers_later_is_in_the_next_answer(delivered, kubernetes, reader):
    before = wire.decode(delivered.api(f"{RUN}/profile", reader)[2])
    kubernetes.add_pod("checkout-3", node="node-3")
    Agent(delivered, kubernetes.add_agent(kubernetes.runs["shop", "run-1"], "node-3"), "node-3").succeed()
    after = wire.decode(delivered.api(f"{RUN}/profile", reader)[2])
    assert len(after.samples) == len(before.samples) * 3 / 2


def test_the_page_says_of_what_it_is(delivered, reader):
    status, headers, body = delivered.api(f"{RUN}/flamegraph", reader)
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert headers["content-security-policy"].startswith("default-src 'none'")
    page = body.decode()
    for fact in ("run-1", "shop", "10s", "cpu-clock", "400"):
        assert fact in page


def test_the_table_shows_as_many_functions_as_are_asked_for(delivered, reader):
    text = delivered.api(f"{RUN}/top?n=3", reader)[2].decode()
    assert "Showing 3 functions" in text
    assert "Showing 20 functions" in delivered.api(f"{RUN}/top", reader)[2].decode()
    for wrong in ("0", "x", "-1", "1e9", ""):
        assert status_of(delivered.api(f"{RUN}/top?n={wrong}", reader))["reason"] == "BadRequest"


def test_the_nodes_reports_are_listed(delivered, reader):
    body = msgspec.json.decode(delivered.api(f"{RUN}/nodes", reader)[2])
    assert [(item["node"], item["state"], item["samplesShown"]) for item in body["items"]] == [
        ("node-1", "Succeeded", 200),
        ("node-2", "Succeeded", 200),
    ]


def test_a_run_without_a_profile_yet_is_404_and_says_its_phase(gateway, kubernetes, reader):
    kubernetes.add_run("run-1", phase="Recording")
    found = status_of(gateway.api(f"{RUN}/profile", reader))
    assert (found["code"], found["reason"]) == (404, "NotFound")
    assert "phase Recording" in found["message"]


def test_a_profile_without_its_terminal_report_is_not_shown(gateway, kubernetes, reader):
    kubernetes.add_pod("checkout-1")
    agent = Agent(gateway, kubernetes.add_agent(kubernetes.add_run("run-1")))
    agent.upload()
    assert gateway.api(f"{RUN}/profile", reader)[0] == 404


def test_a_run_that_is_not_there_is_404(gateway, reader):
    assert status_of(gateway.api(f"{RUN}/profile", reader))["code"] == 404


def test_whom_rbac_does_not_let_gets_403_whether_the_run_is_there_or_not(delivered, kubernetes, reader):
    for user, path in (
        ("joe", RUN),
        (reader, f"{ROOT}/namespaces/bank/perfprofileruns/run-1"),
        ("joe", f"{ROOT}/namespaces/shop/perfprofileruns/none"),
    ):
        for what in ("profile", "flamegraph", "top", "nodes"):
            assert status_of(delivered.api(f"{path}/{what}", user))["reason"] == "Forbidden"


def test_a_right_to_one_subresource_is_no_right_to_another(delivered, kubernetes):
    kubernetes.allowed.add(("joe", "shop", "nodes"))
    assert delivered.api(f"{RUN}/nodes", "joe")[0] == 200
    assert delivered.api(f"{RUN}/profile", "joe")[0] == 403


def test_the_review_is_asked_with_all_that_the_front_proxy_tells(delivered, kubernetes):
    delivered.api(f"{RUN}/top", "joe", X_Remote_Group="dev", X_Remote_Extra_Scopes="a%2Fb", X_Remote_Extra_Example_com_2fkey="v")
    asked = kubernetes.questions[-1]
    assert (asked["user"], tuple(asked["groups"]), asked["verb"], asked["group"]) == ("joe", ("dev",), "get", "data.perfprofile.dev")
    assert (asked["resource"], asked["subresource"], asked["namespace"], asked["name"]) == ("perfprofileruns", "top", "shop", "run-1")
    assert asked["extra"]["scopes"] == ("a%2Fb",)


def test_reviews_are_kept_for_seconds_and_apart_for_each_user(delivered, kubernetes, reader):
    for _ in range(5):
        delivered.api(f"{RUN}/nodes", reader)
        delivered.api(f"{RUN}/nodes", "joe")
    assert len(kubernetes.questions) == 2


# ---- Only the front proxy


def test_without_a_client_certificate_everything_is_401(delivered, reader):
    for path in ("/apis", ROOT, "/openapi/v2", "/healthz", f"{RUN}/profile", "/nothing"):
        assert status_of(delivered.anonymous_api(path, reader))["reason"] == "Unauthorized"


def test_a_certificate_of_another_name_is_401(delivered, reader):
    other = pki.client(delivered.front_proxy_ca, "somebody-else")
    assert delivered.api(f"{RUN}/profile", reader, certificate=other)[0] == 401


def test_a_certificate_of_another_ca_ends_the_handshake(delivered, reader):
    foreign = pki.client(pki.authority("front-proxy-ca"), "front-proxy-client")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        delivered.api(f"{RUN}/profile", reader, certificate=foreign)


def test_the_gateways_own_ca_is_no_front_proxys(delivered, reader):
    """Who got a certificate from the CA that signs servers can't speak for users."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        delivered.api(f"{RUN}/profile", reader, certificate=pki.client(delivered.ca, "front-proxy-client"))


def test_the_front_proxy_must_name_a_user(delivered):
    assert delivered.api(f"{RUN}/profile")[0] == 401


# ---- Discovery


def test_discovery_lists_the_subresources_and_no_plain_resource(gateway):
    body = msgspec.json.decode(gateway.api(ROOT, "system:aggregator")[2])
    assert body["kind"] == "APIResourceList"
    assert {item["name"] for item in body["resources"]} == {f"perfprofileruns/{what}" for what in ("profile", "flamegraph", "top", "nodes")}


def test_aggregated_discovery_is_given_to_whom_asks_for_it(gateway):
    plain = gateway.api("/apis", "system:aggregator", Accept="application/json")
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    aggregated = gateway.api("/apis", "system:aggregator", Accept=accept)
    assert msgspec.json.decode(plain[2])["kind"] == "APIGroupList"
    assert msgspec.json.decode(aggregated[2])["kind"] == "APIGroupDiscoveryList"
    assert "as=APIGroupDiscoveryList" in aggregated[1]["content-type"]


def test_openapi_documents_are_where_the_index_says(gateway):
    assert msgspec.json.decode(gateway.api("/openapi/v2", "system:aggregator")[2])["swagger"] == "2.0"
    index = msgspec.json.decode(gateway.api("/openapi/v3", "system:aggregator")[2])
    where = index["paths"]["apis/data.perfprofile.dev/v1alpha1"]["serverRelativeURL"]
    assert (
        f"{RUN.replace('shop', '{namespace}').replace('run-1', '{name}')}/profile"
        in msgspec.json.decode(gateway.api(where, "system:aggregator")[2])["paths"]
    )


@pytest.mark.parametrize(
    ("method", "path", "code"), [("GET", f"{ROOT}/nothing", 404), ("POST", f"{RUN}/profile", 405), ("DELETE", f"{RUN}/profile", 405)]
)
def test_what_the_api_has_not_is_answered_as_a_status(gateway, reader, method, path, code):
    assert status_of(gateway.api(path, reader, method=method))["code"] == code


def test_an_outage_of_the_api_is_503(gateway, kubernetes):
    kubernetes.down = True
    assert status_of(gateway.api(f"{RUN}/profile", "jane"))["reason"] == "ServiceUnavailable"


def test_metrics_name_no_run_and_no_user(delivered, reader):
    delivered.api(f"{RUN}/profile", reader)
    text = eventually(lambda: delivered.http("GET", "/metrics")[2]).decode()
    assert 'perfprofile_gateway_request_seconds_count{method="GET",port="api",route="' in text
    assert "perfprofile_gateway_profiles 2.0" in text
    assert not {"run-1", "jane", "shop"} & set(text.replace('"', " ").replace("/", " ").split())

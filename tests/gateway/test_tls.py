"""Certificates come and change while the gateway runs."""

import ssl

import pytest

from perfprofile_cluster.objects import ObjectMeta, Secret
from perfprofile_gateway import tls
from perfprofile_gateway.errors import ConfigurationError
from support import pki
from support.gateway import GatewayUnderTest, eventually


def test_nothing_listens_until_the_operator_has_filled_the_secret(tmp_path, kubernetes):
    under_test = GatewayUnderTest(tmp_path, kubernetes)
    name = ("perfprofile-system", "perfprofile-gateway-tls")
    kubernetes.secrets[name] = Secret(metadata=ObjectMeta(name=name[1]), data={"tls.crt": b"", "tls.key": b""})
    with under_test.running() as gateway:
        assert gateway.http("GET", "/healthz")[0] == 200
        assert gateway.http("GET", "/readyz")[0] == 503
        with pytest.raises((ssl.SSLError, ConnectionError)):
            gateway.agents("GET", "/v1/assignment")
        under_test.renew_certificate()
        gateway.wait_ready()
        assert gateway.agents("GET", "/v1/assignment")[0] == 401


def test_a_new_certificate_is_taken_into_use_and_a_broken_one_is_not(tmp_path, kubernetes, monkeypatch):
    monkeypatch.setattr(tls, "_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(tls.Credentials.run, "__kwdefaults__", {"first": 0.05, "again": 0.05})
    with GatewayUnderTest(tmp_path, kubernetes).running() as gateway:
        gateway.wait_ready()
        new = gateway.renew_certificate()
        shown = new.certificate.public_bytes(pki.serialization.Encoding.DER)
        eventually(lambda: gateway.served_certificate() == shown)

        name = ("perfprofile-system", "perfprofile-gateway-tls")
        kubernetes.secrets[name] = Secret(metadata=ObjectMeta(name=name[1]), data={"tls.crt": new.crt, "tls.key": pki.authority().key})
        before = kubernetes.calls["get_secret"]
        eventually(lambda: kubernetes.calls["get_secret"] > before + 2)
        assert gateway.served_certificate() == shown


def test_a_front_proxy_ca_that_was_replaced_is_trusted_no_more(tmp_path, kubernetes, monkeypatch):
    monkeypatch.setattr(tls.Credentials.run, "__kwdefaults__", {"first": 0.05, "again": 0.05})
    with GatewayUnderTest(tmp_path, kubernetes).running() as gateway:
        gateway.wait_ready()
        assert gateway.api("/apis", "system:aggregator")[0] == 200
        key = ("kube-system", "extension-apiserver-authentication")
        new = pki.authority("new-front-proxy-ca")
        data = {**kubernetes.configmaps[key].data, "requestheader-client-ca-file": new.crt.decode()}
        kubernetes.configmaps[key] = type(kubernetes.configmaps[key])(metadata=ObjectMeta(name=key[1]), data=data)
        eventually(lambda: gateway.api("/apis", "system:aggregator", certificate=pki.client(new, "front-proxy-client"))[0] == 200)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            gateway.api("/apis", "system:aggregator")


def test_a_key_of_another_certificate_is_refused():
    ca = pki.authority()
    with pytest.raises(ConfigurationError):
        tls.server_context(tls.Certificate(pki.server(ca, "a").crt, pki.server(ca, "b").key))


def test_old_versions_of_tls_are_not_spoken():
    pair = pki.server(pki.authority(), "a")
    assert tls.server_context(tls.Certificate(pair.crt, pair.key)).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_private_key_is_not_in_the_text_of_a_certificate():
    pair = pki.server(pki.authority(), "a")
    assert "PRIVATE" not in repr(tls.Certificate(pair.crt, pair.key))

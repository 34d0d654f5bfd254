"""The certificates are made, kept, renewed in time, and trusted by a real TLS handshake."""

import logging
import ssl
from datetime import UTC, datetime, timedelta

import pytest

from perfprofile_operator import pki
from perfprofile_operator.config import Settings
from perfprofile_operator.reconcile.certificates import CertificateError, Certificates, server_names
from support.apiserver import OPERATOR
from support.operator_rights import AGENTS, SYSTEM

NOW = datetime.now(UTC)
NAMES = server_names("perfprofile-gateway", SYSTEM)


def handshake(pair: pki.Pair, bundle: bytes, name: str, directory) -> None:
    """A whole TLS handshake, in memory."""
    (directory / "tls.crt").write_bytes(pair.certificate)
    (directory / "tls.key").write_bytes(pair.key)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    trusting = ssl.create_default_context(cadata=bundle.decode())
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    client.do_handshake()


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_has_the_ca_trusts_the_gateway_by_all_its_names(tmp_path, name):
    ca = pki.new_ca(NOW)

    handshake(pki.new_server(ca, NAMES, NOW), ca.certificate, name, tmp_path)


def test_nobody_else_is_trusted(tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(pki.new_server(pki.new_ca(NOW), NAMES, NOW), pki.new_ca(NOW).certificate, NAMES[0], tmp_path)


def test_a_new_ca_does_not_cut_off_what_the_old_one_signed(tmp_path):
    old, new = pki.new_ca(NOW), pki.new_ca(NOW)
    bundle = pki.with_unexpired(new.certificate, old.certificate, NOW)

    handshake(pki.new_server(old, NAMES, NOW), bundle, NAMES[0], tmp_path)
    handshake(pki.new_server(pki.Pair(certificate=bundle, key=new.key), NAMES, NOW), bundle, NAMES[0], tmp_path)
    assert pki.with_unexpired(new.certificate, old.certificate, NOW + timedelta(days=3651)) == new.certificate


@pytest.mark.parametrize(
    ("bundle", "key", "days", "good"),
    [
        ("own", "own", 0, True),
        ("own", "own", 3650 - 731, True),
        ("own", "own", 3650 - 730, False),
        ("own", "other", 0, False),
        ("none", "own", 0, False),
        ("own", "none", 0, False),
        ("rubbish", "own", 0, False),
    ],
)
def test_which_ca_is_kept(bundle, key, days, good):
    own, other = pki.new_ca(NOW), pki.new_ca(NOW)
    bundles = {"own": own.certificate, "none": b"", "rubbish": b"-----BEGIN CERTIFICATE-----"}
    keys = {"own": own.key, "other": other.key, "none": b""}

    assert pki.ca_is_good(bundles[bundle], keys[key], NOW + timedelta(days=days)) is good


def test_which_server_certificate_is_kept():
    ca, other = pki.new_ca(NOW), pki.new_ca(NOW)
    server = pki.new_server(ca, NAMES, NOW)

    assert pki.server_is_good(server, ca.certificate, NAMES, NOW + timedelta(days=59))
    assert not pki.server_is_good(server, ca.certificate, NAMES, NOW + timedelta(days=60))
    assert not pki.server_is_good(server, other.certificate, NAMES, NOW)
    assert not pki.server_is_good(server, ca.certificate, (*NAMES, "another"), NOW)
    assert not pki.server_is_good(pki.Pair(certificate=server.certificate, key=ca.key), ca.certificate, NAMES, NOW)
    assert not pki.server_is_good(pki.Pair(certificate=b"", key=b""), ca.certificate, NAMES, NOW)


def test_keys_are_never_printed():
    assert "PRIVATE KEY" not in repr(pki.new_ca(NOW))


class Clock:
    def __init__(self, days_ago: int = 0) -> None:
        self.now = NOW - timedelta(days=days_ago)

    def __call__(self) -> datetime:
        return self.now


def test_they_are_filled_in_once_and_renewed_in_time(installed, tmp_path, caplog):
    cluster = installed.cluster(OPERATOR)
    clock = Clock(days_ago=61)
    installed.cluster().patch_secret(SYSTEM, "perfprofile-ca", {"ca.crt": b"", "ca.key": b""})
    certificates = Certificates(cluster, Settings(), clock=clock)
    with caplog.at_level(logging.DEBUG):
        certificates.reconcile()
    first = cluster.get_secret(SYSTEM, "perfprofile-gateway-tls")

    certificates.reconcile()
    assert cluster.get_secret(SYSTEM, "perfprofile-gateway-tls").metadata.resource_version == first.metadata.resource_version
    clock.now += timedelta(days=61)
    certificates.reconcile()
    renewed = cluster.get_secret(SYSTEM, "perfprofile-gateway-tls").data

    assert renewed["tls.crt"] != first.data["tls.crt"]
    assert renewed["ca.crt"] == first.data["ca.crt"] == certificates.ca_bundle
    assert cluster.get_configmap(AGENTS, "perfprofile-gateway-ca").data["ca.crt"].encode() == certificates.ca_bundle
    assert cluster.get_api_service("v1alpha1.data.perfprofile.dev").ca_bundle == certificates.ca_bundle
    handshake(pki.Pair(certificate=renewed["tls.crt"], key=renewed["tls.key"]), certificates.ca_bundle, NAMES[0], tmp_path)
    assert "PRIVATE" not in caplog.text
    assert renewed["tls.key"].decode().splitlines()[1] not in caplog.text


def test_a_spoiled_secret_is_made_good(installed):
    admin, clock = installed.cluster(), Clock()
    certificates = Certificates(installed.cluster(OPERATOR), Settings(), clock=clock)
    certificates.reconcile()
    admin.patch_secret(SYSTEM, "perfprofile-gateway-tls", {"tls.crt": b"rubbish", "ca.crt": b""})
    admin.patch_configmap(AGENTS, "perfprofile-gateway-ca", {"ca.crt": ""})

    certificates.reconcile()

    assert admin.get_secret(SYSTEM, "perfprofile-gateway-tls").data["ca.crt"] == certificates.ca_bundle
    assert admin.get_configmap(AGENTS, "perfprofile-gateway-ca").data["ca.crt"].encode() == certificates.ca_bundle


def test_a_missing_object_is_named_with_the_next_step(installed):
    certificates = Certificates(installed.cluster(), Settings(ca_secret="elsewhere"), clock=Clock())

    with pytest.raises(CertificateError, match=r"Secret perfprofile-system/elsewhere is not there. Install the manifests"):
        certificates.reconcile()

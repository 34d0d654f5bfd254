"""The gateway's certificate and the CA that signs it: made and judged here, kept elsewhere. Pure, but for the random numbers of keys."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFETIME: Final = timedelta(days=3650)
CA_RENEWAL: Final = timedelta(days=730)
"""A new CA is made when the old one lives no longer than this; both are trusted until the old one has expired."""
SERVER_LIFETIME: Final = timedelta(days=90)
SERVER_RENEWAL: Final = timedelta(days=30)
"""A new certificate is made when the old one lives no longer than this: 30 days of an operator that is away do no harm."""
CLOCK_SKEW: Final = timedelta(hours=1)
"""Certificates are valid from this long before they are made, for nodes whose clocks are late."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate (PEM) and its private key (PEM, PKCS 8), which is never shown."""

    certificate: bytes
    key: bytes = field(repr=False)


def new_ca(now: datetime) -> Pair:
    """Make a self-signed CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("perfprofile-ca")
    builder = _builder(name, name, key.public_key(), now, CA_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def new_server(ca: Pair, names: tuple[str, ...], now: datetime) -> Pair:
    """Make a server certificate for ``names`` (DNS names), signed by ``ca``."""
    authority = first_certificate(ca.certificate)
    signer = serialization.load_pem_private_key(ca.key, None)
    if authority is None or not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ValueError("the CA is not one that this module made; empty its Secret and a new one is made")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(authority.subject, _name(names[0]), key.public_key(), now, SERVER_LIFETIME)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    # Python's ssl with VERIFY_X509_STRICT (the default since 3.13) asks for this one.
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    return _pair(builder.sign(signer, hashes.SHA256()), key)


def ca_is_good(bundle: bytes, key: bytes, now: datetime) -> bool:
    """Whether the bundle's first certificate is a CA of this key that lives long enough."""
    certificate = first_certificate(bundle)
    return certificate is not None and _belongs(certificate, key) and certificate.not_valid_after_utc - now > CA_RENEWAL


def server_is_good(server: Pair, bundle: bytes, names: tuple[str, ...], now: datetime) -> bool:
    """Whether the certificate is signed by the bundle's first, is for all of ``names``, belongs to its key and lives long enough."""
    certificate, authority = first_certificate(server.certificate), first_certificate(bundle)
    if certificate is None or authority is None or not _belongs(certificate, server.key):
        return False
    if certificate.not_valid_after_utc - now <= SERVER_RENEWAL or not _signed_by(certificate, authority):
        return False
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    return set(names) <= set(found)


def with_unexpired(new: bytes, old_bundle: bytes, now: datetime) -> bytes:
    """Give the new CA followed by those of the old bundle that still live, so that what they signed stays trusted."""
    try:
        old = x509.load_pem_x509_certificates(old_bundle) if old_bundle else []
    except ValueError:
        old = []
    living = (certificate for certificate in old if certificate.not_valid_after_utc > now)
    return new + b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in living)


def first_certificate(pem: bytes) -> x509.Certificate | None:
    """Give the first certificate of a PEM text; None if there is none that can be read."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        return None


def _belongs(certificate: x509.Certificate, key: bytes) -> bool:
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return False
    return private.public_key() == certificate.public_key()


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - the library raises InvalidSignature, ValueError or TypeError: each means no
        return False
    return True


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )

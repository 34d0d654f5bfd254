"""The cluster's certificates and kubeconfigs, made with openssl.

Two authorities: one for the cluster (servers and clients), one for the front proxy alone, since whoever holds a certificate of that one
may speak for any user. Keys are P-256, which take no time to make.
"""

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import run
from cluster.layout import API_SERVER, DOMAIN, HOST_ADDRESS, KUBECONFIG, KUBERNETES_SERVICE, NODES, STATE

DIRECTORY = STATE / "pki"
DAYS = "3650"
EC_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
ADMINS = "system:masters"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate to be made; ``names`` (DNS:…, IP:…) make it a server's too."""

    file: str
    common_name: str
    organization: str = ""
    names: tuple[str, ...] = ()
    authority: str = "ca"

    @property
    def crt(self) -> Path:
        """Its place, PEM."""
        return DIRECTORY / f"{self.file}.crt"

    @property
    def key(self) -> Path:
        """Its private key's place, PEM."""
        return DIRECTORY / f"{self.file}.key"


AUTHORITY = DIRECTORY / "ca.crt"
FRONT_PROXY_AUTHORITY = DIRECTORY / "front-proxy-ca.crt"
SERVICE_ACCOUNT_KEY = DIRECTORY / "service-accounts.key"
SERVICE_ACCOUNT_PUBLIC_KEY = DIRECTORY / "service-accounts.pub"

API = Certificate(
    file="kube-apiserver",
    common_name="kube-apiserver",
    names=(
        f"IP:{HOST_ADDRESS}",
        f"IP:{KUBERNETES_SERVICE}",
        "IP:127.0.0.1",
        *(
            f"DNS:{name}"
            for name in ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}")
        ),
    ),
)
KUBELET_CLIENT = Certificate(file="kubelet-client", common_name="kube-apiserver-kubelet-client", organization=ADMINS)
FRONT_PROXY = Certificate(file="front-proxy", common_name="front-proxy-client", authority="front-proxy-ca")
CLIENTS = {
    "admin": Certificate(file="admin", common_name="admin", organization=ADMINS),
    "kube-controller-manager": Certificate(file="kube-controller-manager", common_name="system:kube-controller-manager"),
    "kube-scheduler": Certificate(file="kube-scheduler", common_name="system:kube-scheduler"),
    "kube-proxy": Certificate(file="kube-proxy", common_name="system:kube-proxy"),
    "coredns": Certificate(file="coredns", common_name="system:coredns"),
    **{
        node.name: Certificate(
            file=node.name,
            common_name=f"system:node:{node.name}",
            organization="system:nodes",
            names=(f"IP:{node.address}", f"DNS:{node.name}"),
        )
        for node in NODES
    },
}


def kubeconfig(client: str) -> Path:
    """Give the place of a client's kubeconfig."""
    return KUBECONFIG if client == "admin" else DIRECTORY / f"{client}.kubeconfig"


def ensure() -> None:
    """Make all certificates and kubeconfigs, unless they are there."""
    if KUBECONFIG.exists():
        return
    DIRECTORY.mkdir(parents=True, exist_ok=True, mode=0o700)
    _authority("ca", "perfprofile-test-cluster")
    _authority("front-proxy-ca", "perfprofile-test-front-proxy")
    run("openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", SERVICE_ACCOUNT_KEY)
    run("openssl", "ec", "-in", SERVICE_ACCOUNT_KEY, "-pubout", "-out", SERVICE_ACCOUNT_PUBLIC_KEY)
    for certificate in (API, KUBELET_CLIENT, FRONT_PROXY, *CLIENTS.values()):
        _issue(certificate)
    for client, certificate in reversed(CLIENTS.items()):
        kubeconfig(client).write_text(json.dumps(_kubeconfig(client, certificate), indent=1))


def _authority(file: str, common_name: str) -> None:
    key, crt = DIRECTORY / f"{file}.key", DIRECTORY / f"{file}.crt"
    may_sign = (
        "-addext",
        "keyUsage=critical,digitalSignature,keyCertSign",
    )  # Python 3.13 and later refuse an authority that doesn't say so
    run("openssl", "req", "-x509", *EC_KEY, "-keyout", key, "-out", crt, "-days", DAYS, "-subj", f"/CN={common_name}", *may_sign)


def _issue(certificate: Certificate) -> None:
    organization = f"/O={certificate.organization}" if certificate.organization else ""
    request = certificate.crt.with_suffix(".csr")
    run(
        "openssl",
        "req",
        "-new",
        *EC_KEY,
        "-keyout",
        certificate.key,
        "-out",
        request,
        "-subj",
        f"{organization}/CN={certificate.common_name}",
    )
    extensions = certificate.crt.with_suffix(".ext")
    usage = "clientAuth,serverAuth" if certificate.names else "clientAuth"
    names = f"subjectAltName={','.join(certificate.names)}\n" if certificate.names else ""
    identifiers = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    extensions.write_text(
        f"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n{identifiers}{names}"
    )
    authority = DIRECTORY / certificate.authority
    run(
        *("openssl", "x509", "-req", "-in", request, "-out", certificate.crt, "-days", DAYS, "-extfile", extensions),
        *("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-set_serial", str(secrets.randbits(100))),
    )


def _kubeconfig(client: str, certificate: Certificate) -> dict[str, object]:
    def embedded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    name = "perfprofile-test"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": API_SERVER, "certificate-authority-data": embedded(AUTHORITY)}}],
        "users": [
            {"name": client, "user": {"client-certificate-data": embedded(certificate.crt), "client-key-data": embedded(certificate.key)}}
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": client}}],
        "current-context": name,
    }

"""A real API server that aggregates: with a front proxy of its own, the manifests' rights, and a gateway behind an APIService."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from perfprofile_cluster.client import Cluster
from perfprofile_cluster.errors import ClusterError
from support import pki
from support.apiserver import Api, ApiServer, eventually
from support.gateway import HOST

MANIFESTS = Path(__file__).parents[2] / "deploy" / "install.yaml"
SYSTEM, AGENTS = "perfprofile-system", "perfprofile-agents"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
_PLACES = {
    "ClusterRole": RBAC + "/clusterroles",
    "ClusterRoleBinding": RBAC + "/clusterrolebindings",
    "Role": RBAC + "/namespaces/{}/roles",
    "RoleBinding": RBAC + "/namespaces/{}/rolebindings",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
}


class AggregatingApiServer(ApiServer):
    """As its parent, and it has an aggregation layer."""

    def _write_credentials(self) -> None:
        super()._write_credentials()
        self.front_proxy_ca = pki.authority("front-proxy-ca")
        proxy = pki.client(self.front_proxy_ca, "front-proxy-client")
        for name, content in (
            ("front-proxy-ca.crt", self.front_proxy_ca.crt),
            ("front-proxy.crt", proxy.crt),
            ("front-proxy.key", proxy.key),
        ):
            (self.directory / name).write_bytes(content)

    def _start(self, program: str, *arguments: str) -> None:
        more = ()
        if program == "kube-apiserver":
            more = (
                f"--requestheader-client-ca-file={self.directory / 'front-proxy-ca.crt'}",
                "--requestheader-allowed-names=front-proxy-client",
                "--requestheader-username-headers=X-Remote-User",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                f"--proxy-client-cert-file={self.directory / 'front-proxy.crt'}",
                f"--proxy-client-key-file={self.directory / 'front-proxy.key'}",
            )
        super()._start(program, *arguments, *more)

    def install(self) -> None:
        """Create namespaces and what the manifests say of accounts, rights, Secrets and ConfigMaps."""
        api = self.api()
        for name in (SYSTEM, AGENTS):
            api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        for manifest in yaml.safe_load_all(MANIFESTS.read_text()):
            if manifest and manifest["kind"] in _PLACES:
                create(api, _PLACES[manifest["kind"]].format(manifest["metadata"].get("namespace")), manifest)
        api.close()

    def account(self, namespace: str, name: str) -> Cluster:
        """Give our client as a service account, by a real token."""
        return Cluster.connect(str(self.account_kubeconfig(namespace, name)))

    def account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Give a kubeconfig with a real token of a service account."""
        token = self.token(namespace, name, audiences=())
        content = yaml.safe_load(self.kubeconfig().read_text())
        content["users"][0]["user"]["token"] = token
        path = self.directory / f"{namespace}-{name}.kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    def token(self, namespace: str, name: str, *, audiences: tuple[str, ...], pod: dict[str, Any] | None = None) -> str:
        """Have the API server make a token, bound to a pod if given."""
        spec: dict[str, Any] = {"audiences": list(audiences), "expirationSeconds": 600}
        if pod:
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        api = self.api()
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        made = api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", body)
        api.close()
        return str(made["status"]["token"])

    def expired(self, token: str) -> str:
        """Give the same token as it will be when it has expired, signed by the API server's key."""
        header, payload, _ = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
        claims = json.loads(payload)
        past = {**claims, "exp": claims["iat"] - 60, "iat": claims["iat"] - 660, "nbf": claims["iat"] - 660}
        signed = f"{_base64(header)}.{_base64(json.dumps(past).encode())}"
        key = serialization.load_pem_private_key((self.directory / "accounts.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def aggregate(self, port: int, ca: bytes) -> None:
        """Register the gateway; its Service leads to this machine, for there is no network of pods."""
        api = self.api()
        ports = [{"port": 443, "targetPort": port}]
        service = {
            "metadata": {"name": "perfprofile-gateway"},
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": ports},
        }
        create(api, f"/api/v1/namespaces/{SYSTEM}/services", service)
        spec = {
            "group": "data.perfprofile.dev",
            "version": "v1alpha1",
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
            "service": {"name": "perfprofile-gateway", "namespace": SYSTEM, "port": port},
            "caBundle": base64.b64encode(ca).decode(),
        }
        create(api, "/apis/apiregistration.k8s.io/v1/apiservices", {"metadata": {"name": "v1alpha1.data.perfprofile.dev"}, "spec": spec})
        eventually(lambda: _available(api), within=40)
        api.close()

    def fill_certificate(self, pair: pki.Pair) -> None:
        """Do what the operator does."""
        self.cluster().patch_secret(SYSTEM, "perfprofile-gateway-tls", {"tls.crt": pair.crt, "tls.key": pair.key})


def create(api: Api, path: str, body: dict[str, Any]) -> Any:
    """Create an object unless it is there."""
    try:
        return api.create(path, body)
    except ClusterError as error:
        if not error.already_exists:
            raise
        return None


def _available(api: Api) -> bool:
    status = api.get("/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.data.perfprofile.dev").get("status", {})
    conditions = status.get("conditions", [])
    assert all("TLS" not in one.get("message", "") for one in conditions), conditions
    return any(one["type"] == "Available" and one["status"] == "True" for one in conditions)


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


__all__ = ["HOST", "AggregatingApiServer"]

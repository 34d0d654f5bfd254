"""etcd, kube-apiserver, kube-controller-manager, kube-scheduler and CoreDNS on the host: their flags, and when they are ready."""

from pathlib import Path

from cluster import certificates, processes, programs
from cluster.commands import CommandError, run
from cluster.layout import (
    DNS_PORT,
    DOMAIN,
    ETCD,
    ETCD_PEER,
    HOST_ADDRESS,
    KUBECONFIG,
    POD_NETWORK,
    SERVICE_NETWORK,
    STATE,
)
from cluster.steps import until

DATA = STATE / "etcd"


def start() -> None:
    """Start whatever doesn't run yet, and wait until the API server is ready."""
    processes.start("etcd", programs.path("etcd"), *etcd_flags())
    processes.start("kube-apiserver", programs.path("kube-apiserver"), *api_server_flags())
    until(
        lambda: processes.all_run("etcd", "kube-apiserver") and ready(),
        what=f"the API server is ready; see {processes.log_of('kube-apiserver')}",
        within=90,
    )
    processes.start("kube-controller-manager", programs.path("kube-controller-manager"), *controller_manager_flags())
    processes.start("kube-scheduler", programs.path("kube-scheduler"), *scheduler_flags())


def start_dns() -> None:
    """Start CoreDNS, which needs the objects that let it read Services."""
    corefile = STATE / "Corefile"
    corefile.write_text(f"""{DOMAIN}:{DNS_PORT} 10.in-addr.arpa:{DNS_PORT} {{
    bind {HOST_ADDRESS}
    errors
    kubernetes {DOMAIN} 10.in-addr.arpa {{
        kubeconfig {certificates.kubeconfig("coredns")}
        ttl 5
    }}
    cache 5
}}
""")
    processes.start("coredns", programs.path("coredns"), "-conf", corefile)


def ready() -> bool:
    """Whether the API server says so."""
    try:
        return kubectl("get", "--raw", "/readyz") == "ok"
    except CommandError:
        return False


def kubectl(*arguments: str | Path, stdin: str | None = None) -> str:
    """Run kubectl as the cluster's administrator.

    Raises:
        CommandError: kubectl said no.
    """
    return run(programs.path("kubectl"), f"--kubeconfig={KUBECONFIG}", *arguments, stdin=stdin)


def etcd_flags() -> list[str]:
    """A single member that answers on a socket of this cluster only, and doesn't wait for the disk: nothing here must survive a crash."""
    return [
        f"--data-dir={DATA}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        f"--listen-peer-urls={ETCD_PEER}",
        f"--initial-advertise-peer-urls={ETCD_PEER}",
        f"--initial-cluster=default={ETCD_PEER}",
        "--log-level=warn",
    ]


def api_server_flags() -> list[str]:
    """The flags of a cluster as kubeadm makes it: Node and RBAC authorization, Pod Security, aggregation behind the front proxy's certificate."""
    issuer = f"https://kubernetes.default.svc.{DOMAIN}"
    return [
        f"--etcd-servers={ETCD}",
        f"--bind-address={HOST_ADDRESS}",
        f"--advertise-address={HOST_ADDRESS}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--tls-cert-file={certificates.API.crt}",
        f"--tls-private-key-file={certificates.API.key}",
        f"--client-ca-file={certificates.AUTHORITY}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--service-account-issuer={issuer}",
        f"--api-audiences={issuer}",
        f"--service-account-key-file={certificates.SERVICE_ACCOUNT_PUBLIC_KEY}",
        f"--service-account-signing-key-file={certificates.SERVICE_ACCOUNT_KEY}",
        f"--kubelet-certificate-authority={certificates.AUTHORITY}",
        f"--kubelet-client-certificate={certificates.KUBELET_CLIENT.crt}",
        f"--kubelet-client-key={certificates.KUBELET_CLIENT.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={certificates.FRONT_PROXY_AUTHORITY}",
        f"--requestheader-allowed-names={certificates.FRONT_PROXY.common_name}",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={certificates.FRONT_PROXY.crt}",
        f"--proxy-client-key-file={certificates.FRONT_PROXY.key}",
        # The host has routes to pods, and no kube-proxy that would know Services' addresses.
        "--enable-aggregator-routing=true",
        "--profiling=false",
    ]


def controller_manager_flags() -> list[str]:
    """All controllers; no port of its own, no election."""
    kubeconfig = certificates.kubeconfig("kube-controller-manager")
    return [
        f"--kubeconfig={kubeconfig}",
        "--secure-port=0",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={certificates.SERVICE_ACCOUNT_KEY}",
        f"--root-ca-file={certificates.AUTHORITY}",
        f"--cluster-cidr={POD_NETWORK}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--profiling=false",
    ]


def scheduler_flags() -> list[str]:
    """No port of its own, no election."""
    return [f"--kubeconfig={certificates.kubeconfig('kube-scheduler')}", "--secure-port=0", "--leader-elect=false", "--profiling=false"]

"""One node: namespaces of its own, and in them containerd, a kubelet and kube-proxy, each with its own root and state.

Every setting that differs from the programs' defaults stands here with its reason; reference: kubelet.config.k8s.io/v1beta1,
kubeproxy.config.k8s.io/v1alpha1, containerd's CRI plugin configuration (version 2), CNI's bridge plugin.
"""

import json
import sys
from pathlib import Path

from cluster import certificates, cgroups, network, processes, programs
from cluster.commands import CommandError, run
from cluster.layout import DNS_SERVICE, DOMAIN, HERE, PAUSE_IMAGE, POD_NETWORK, Node
from cluster.steps import until

CNI_PLUGINS = "/usr/lib/cni"


def start(node: Node) -> None:
    """Start the node up to containerd; give it its images next, then `start_kubernetes`."""
    cgroups.create(node)
    _write_configuration(node)
    init = processes.find(_init(node)) or _start_init(node)
    containerd = f"{node.name}-containerd"
    processes.start(containerd, "containerd", "--config", node.state / "containerd.toml", wrapper=inside(init.pid))
    until(lambda: _answers(node), what=f"containerd of {node.name}; see {processes.log_of(containerd)}", within=30)


def start_kubernetes(node: Node) -> None:
    """Start the node's kubelet and kube-proxy."""
    start_kubelet(node)
    wrapper = inside(_running_init(node))
    processes.start(f"{node.name}-kube-proxy", programs.path("kube-proxy"), f"--config={node.state / 'kube-proxy.json'}", wrapper=wrapper)


def start_kubelet(node: Node) -> None:
    """Start the node's kubelet, again after a test has stopped it (`processes.stop("node2-kubelet")`)."""
    processes.start(
        f"{node.name}-kubelet",
        programs.path("kubelet"),
        f"--config={node.state / 'kubelet.json'}",
        f"--kubeconfig={certificates.kubeconfig(node.name)}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        wrapper=inside(_running_init(node)),
    )


def inside(pid: int) -> tuple[str, ...]:
    """The command that runs a program in the namespaces of a node's process 1."""
    return ("nsenter", f"--target={pid}", "--net", "--mount", "--pid", "--uts", "--")


def ctr(node: Node, *arguments: str | Path) -> str:
    """Run containerd's client on a node, in the namespace that the kubelet uses."""
    return run(*inside(_running_init(node)), "ctr", "--namespace=k8s.io", *arguments)


def _init(node: Node) -> str:
    return f"{node.name}-init"


def _running_init(node: Node) -> int:
    init = processes.find(_init(node))
    if init is None:
        raise RuntimeError(f"{node.name} doesn't run; see {processes.log_of(_init(node))}, and run `make cluster-up`")
    return init.pid


def _start_init(node: Node) -> processes.Process:
    ready = node.var / "ready"
    ready.unlink(missing_ok=True)
    namespaces = ("unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc", "--propagation=slave", "--")
    init = processes.start(_init(node), sys.executable, "-S", "-s", HERE / "node_init.py", node.name, node.var, wrapper=namespaces)
    until(ready.exists, what=f"{node.name}'s process 1; see {processes.log_of(_init(node))}", within=10)
    network.connect(node, init.pid)
    return init


def _answers(node: Node) -> bool:
    try:
        ctr(node, "version")
    except CommandError:
        return False
    return True


def _write_configuration(node: Node) -> None:
    for directory in ("lib/kubelet", "log", "tmp"):
        (node.var / directory).mkdir(parents=True, exist_ok=True)
    (node.state / "cni").mkdir(exist_ok=True)
    run_link = node.var / "run"
    if not run_link.is_symlink():
        run_link.symlink_to("/run")
    (node.state / "resolv.conf").write_text("")
    (node.state / "containerd.toml").write_text(_containerd(node))
    (node.state / "cni" / "10-bridge.conflist").write_text(json.dumps(_cni(node), indent=1))
    (node.state / "kubelet.json").write_text(json.dumps(_kubelet(node), indent=1))
    (node.state / "kube-proxy.json").write_text(json.dumps(_kube_proxy(node), indent=1))


def _containerd(node: Node) -> str:
    return f"""version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true  # without CAP_SYS_RESOURCE no sandbox would start otherwise
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PLUGINS}"
  conf_dir = "{node.state / "cni"}"
"""


def _cni(node: Node) -> dict[str, object]:
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": node.pod_network}]], "routes": [{"dst": "0.0.0.0/0"}]},
            },
        ],
    }


def _kubelet(node: Node) -> dict[str, object]:
    certificate = certificates.CLIENTS[node.name]
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificates.AUTHORITY)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificate.crt),
        "tlsPrivateKeyFile": str(certificate.key),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": DOMAIN,
        "resolvConf": str(node.state / "resolv.conf"),
        "cgroupDriver": "cgroupfs",  # the node's cgroups are no systemd's
        "cgroupRoot": node.cgroup,
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,  # less would need CAP_SYS_RESOURCE
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%"},
        "imageGCHighThresholdPercent": 100,  # nothing could pull the images again
        "serializeImagePulls": False,
    }


def _kube_proxy(node: Node) -> dict[str, object]:
    untouched = "0s"
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(certificates.kubeconfig("kube-proxy"))},
        "mode": "iptables",
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": node.name,
        # The connection table's settings belong to the machine, not to a node.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": untouched, "tcpEstablishedTimeout": untouched},
    }

"""The cluster's network: a bridge on the host, a cable from it into each node, and routes to the pods.

Packets are routed, never translated: a pod's address means the same everywhere, so the API server reaches the pods of an aggregated API,
and pods reach the API server. Nothing leads out of the machine.
"""

import json
import subprocess

from cluster.commands import run
from cluster.layout import BRIDGE, HOST_ADDRESS, NODE_NETWORK_BITS, NODES, Node

NODE_SIDE = "eth0"
LET_NODES_TALK = ("FORWARD", "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT", "-m", "comment", "--comment", "perfprofile test cluster")
"""Where bridged packets pass iptables and somebody (Docker) drops what is forwarded, the nodes would not reach each other."""


def create_bridge() -> None:
    """Make the bridge with the host's address, unless it is there."""
    if _exists(BRIDGE):
        return
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "add", f"{HOST_ADDRESS}/{NODE_NETWORK_BITS}", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    if _somebody_filters():
        run("iptables", "--wait", "-I", *LET_NODES_TALK)


def connect(node: Node, pid: int) -> None:
    """Lay a cable from the bridge into the network namespace of process ``pid``, and set routes on both sides."""
    run("ip", "link", "add", node.interface, "type", "veth", "peer", "name", NODE_SIDE, "netns", str(pid))
    run("ip", "link", "set", node.interface, "master", BRIDGE, "up")
    inside = ("nsenter", f"--net=/proc/{pid}/ns/net")
    run(*inside, "ip", "link", "set", "lo", "up")
    run(*inside, "ip", "address", "add", f"{node.address}/{NODE_NETWORK_BITS}", "dev", NODE_SIDE)
    run(*inside, "ip", "link", "set", NODE_SIDE, "up")
    run(*inside, "ip", "route", "add", "default", "via", HOST_ADDRESS)
    for other in NODES:
        if other != node:
            run(*inside, "ip", "route", "add", other.pod_network, "via", other.address)
    run(*inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    run("ip", "route", "replace", node.pod_network, "via", node.address, "dev", BRIDGE)


def remove() -> None:
    """Remove the bridge with its routes; the cables went with the nodes' namespaces."""
    for node in NODES:
        if _exists(node.interface):
            run("ip", "link", "delete", node.interface)
    if _exists(BRIDGE):
        run("ip", "link", "delete", BRIDGE)
    if _somebody_filters():
        subprocess.run(["iptables", "--wait", "-D", *LET_NODES_TALK], capture_output=True, check=False)


def _exists(interface: str) -> bool:
    return any(link["ifname"] == interface for link in json.loads(run("ip", "-json", "link", "show")))


def _somebody_filters() -> bool:
    """Whether there are rules for forwarded packets; asked with iptables-save, which makes no tables of its own."""
    rules = run("iptables-save", "--table", "filter")
    return ":FORWARD DROP" in rules or "-A FORWARD" in rules

"""``python -m bench.gateway`` (in tests/): what the gateway takes and gives on this machine, over real TLS on loopback.

The senders run beside the gateway on the same CPUs, so a machine of their own would show more. Kubernetes is answered from memory.
"""

import argparse
import hashlib
import http.client
import multiprocessing
import os
import queue
import ssl
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from perfprofile_agent.api.report import NodeState
from perfprofile_agent.pprof import wire
from support.gateway import DictKubernetes, GatewayUnderTest
from support.gateway_agent import Agent
from support.profiles import profile


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--uploads", type=int, default=600)
    parser.add_argument("--senders", type=int, default=16, help="connections at a time")
    parser.add_argument("--samples", type=int, default=5000, help="samples in a profile; 5000 make about 100 KB")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print(f"machine: {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        kubernetes = DictKubernetes()
        with GatewayUnderTest(Path(name), kubernetes, workers=options.workers).running() as gateway:
            gateway.wait_ready()
            contents = [wire.encode(profile(samples=options.samples, functions=900, node="node-1", seed=seed)) for seed in range(8)]
            print(f"profiles of {statistics.mean(map(len, contents)) / 1000:.0f} KB, {options.samples} samples")
            upload(gateway, kubernetes, contents, options.uploads, options.senders)
            merge(gateway, kubernetes, options.samples)
            for process, role in (
                (os.getpid(), "gateway (with this bench's own profiles)"),
                *((child.pid, "worker") for child in children()),
            ):
                print(f"resident: {resident(process) >> 20} MiB {role}")


def upload(gateway: GatewayUnderTest, kubernetes: DictKubernetes, contents: list[bytes], count: int, senders: int) -> None:
    tokens = [kubernetes.add_agent(kubernetes.add_run(f"run-{index}")) for index in range(count)]
    Agent(gateway, kubernetes.add_agent(kubernetes.add_run("warm"))).upload(contents[0])
    context = multiprocessing.get_context("spawn")
    times: Any = context.Queue()
    arguments = (str(gateway.ca_file), gateway.ports.agents, tokens, contents, senders, times)
    process = context.Process(target=send, args=arguments)
    process.start()
    seconds, latencies, refused = times.get()
    process.join()
    latencies.sort()
    p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    print(
        f"uploads: {count / seconds:.0f}/s over {senders} connections, p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, told to wait {refused}"
    )


def send(ca_file: str, port: int, tokens: list[str], contents: list[bytes], senders: int, times: Any) -> None:
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for token in tokens:
        waiting.put(token)
    latencies: list[float] = []
    refused = [0]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]

    def work(number: int) -> None:
        connection = http.client.HTTPSConnection("localhost", port, context=ssl.create_default_context(cafile=ca_file))
        while not waiting.empty():
            try:
                token = waiting.get_nowait()
            except queue.Empty:
                break
            which = number % len(contents)
            started = time.monotonic()
            while True:
                headers = {"Authorization": f"Bearer {token}", "Content-SHA256": digests[which]}
                connection.request("PUT", "/v1/profiles/0", body=contents[which], headers=headers)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 429:
                    break
                refused[0] += 1
                time.sleep(float(answer.headers["Retry-After"]))
            assert answer.status == 201, body
            latencies.append(time.monotonic() - started)
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(senders)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.put((time.monotonic() - started, latencies, refused[0]))


def merge(gateway: GatewayUnderTest, kubernetes: DictKubernetes, samples: int, nodes: int = 50) -> None:
    run = kubernetes.add_run("merged")
    kubernetes.allowed |= {("jane", "shop", what) for what in ("profile", "flamegraph", "top")}
    for index in range(nodes):
        node = f"node-{index}"
        content = wire.encode(profile(samples=samples, functions=900, node=node, seed=index))
        agent = Agent(gateway, kubernetes.add_agent(run, node), node)
        assert agent.upload(content)[0] == 201
        assert agent.report(NodeState.SUCCEEDED, profile_sha256=hashlib.sha256(content).hexdigest()) == 204
    path = "/apis/data.perfprofile.dev/v1alpha1/namespaces/shop/perfprofileruns/merged/"
    for what in ("profile", "profile", "flamegraph", "flamegraph", "top"):
        started = time.monotonic()
        status, _, body = gateway.api(path + what, "jane")
        assert status == 200, body
        print(f"{what} of {nodes} nodes: {time.monotonic() - started:.2f} s, {len(body) / 1000:.0f} KB")


def children() -> list[Any]:
    return multiprocessing.active_children()


def resident(process: int) -> int:
    fields = Path(f"/proc/{process}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()

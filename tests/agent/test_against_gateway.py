"""Agent and gateway together, both real, with the real perf between them: what one sends the other takes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from perfprofile_agent.pprof import wire
from support.gateway import DictKubernetes, GatewayUnderTest, eventually
from support.recordings import require_perf
from support.workload import burner, burning, pod_cgroups

UID = "0a1b2c3d-1111-2222-3333-444455556666"
CONTAINER = "ab" * 32


@pytest.mark.root
def test_what_an_agent_records_is_read_from_the_gateway_by_name(tmp_path: Path) -> None:
    require_perf()
    kubernetes = DictKubernetes()
    pod = kubernetes.add_pod("checkout-x")
    kubernetes.pods["shop", "checkout-x"] = msgspec.structs.replace(pod, metadata=msgspec.structs.replace(pod.metadata, uid=UID))
    run = kubernetes.add_run("checkout-1", duration="2s")
    kubernetes.allowed.add(("alice", "shop", "profile"))
    (tmp_path / "token").write_text(kubernetes.add_agent(run))
    (tmp_path / "spool").mkdir(mode=0o777)
    (tmp_path / "spool").chmod(0o777)
    program = burner(tmp_path, "our_checkout")

    with (
        pod_cgroups((UID, CONTAINER)) as (cgroup,),
        burning(program, cgroup=cgroup),
        GatewayUnderTest(tmp_path, kubernetes).running() as gateway,
    ):
        gateway.wait_ready()
        command = [sys.executable, "-m", "perfprofile_agent.agent.cli", "join", "--gateway", f"https://localhost:{gateway.ports.agents}"]
        command += ["--gateway-ca", str(gateway.ca_file), "--token-file", str(tmp_path / "token"), "--spool", str(tmp_path / "spool")]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"POD_UID": ""}) as agent:
            path = "/apis/data.perfprofile.dev/v1alpha1/namespaces/shop/perfprofileruns/checkout-1/profile"
            eventually(lambda: gateway.api(path, "alice")[0] == 200, within=40)
            agent.send_signal(signal.SIGTERM)
            said = agent.communicate(timeout=20)[1]
        profile = wire.decode(gateway.api(path, "alice")[2])

    assert [json.loads(line).get("state") for line in said.splitlines()][-2:] == ["Done", "Done"]
    assert {"our_checkout", "our_checkout_caller", "main"} <= {function.name for function in profile.functions}
    labels = {label[:2] for sample in profile.samples for label in sample.labels}
    assert {("namespace", "shop"), ("pod", "checkout-x"), ("container", "app"), ("node", "node-1")} <= labels

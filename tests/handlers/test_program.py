"""perfprofile-operator as it is deployed: one process, kopf inside, told of changes by its watches alone."""

from pathlib import Path

from support.apiserver import eventually
from support.operator_rights import AGENTS, SYSTEM
from support.world import condition


def test_it_becomes_ready_and_has_filled_the_certificates(program, installed):
    cluster = installed.cluster()

    tls = cluster.get_secret(SYSTEM, "perfprofile-gateway-tls").data

    assert program.answer("healthz") == 200
    assert tls["tls.crt"].startswith(b"-----BEGIN CERTIFICATE")
    assert cluster.get_configmap(AGENTS, "perfprofile-gateway-ca").data["ca.crt"].encode() == tls["ca.crt"]
    assert cluster.get_api_service("v1alpha1.data.perfprofile.dev").ca_bundle == tls["ca.crt"]
    key = tls["tls.key"].decode().splitlines()[1]
    assert key not in program.log


def test_its_watches_tell_it_of_all_that_happens(program, world):
    world.ask(duration="10s")
    run = eventually(lambda: next((run for run in world.runs() if run.status.phase == "Pending"), None))
    world.gateway.recording(run, 2)
    eventually(lambda: world.run().status.phase == "Recording")
    for node in ("node1", "node2"):
        world.gateway.deliver(run, node)

    eventually(lambda: world.run().status.phase == "Succeeded")
    eventually(lambda: world.profile()["status"]["phase"] == "Succeeded")
    eventually(lambda: not world.daemonsets())
    metadata = world.profile()["metadata"]
    assert not metadata.get("finalizers")
    assert not metadata.get("annotations")
    written = world.api.get(f"/apis/perfprofile.dev/v1alpha1/namespaces/{world.namespace}/perfprofileruns/{run.metadata.name}")
    assert not written["metadata"].get("finalizers")
    assert not written["metadata"].get("annotations")


def test_a_deleted_profile_is_noticed_at_once(program, world):
    world.ask(duration="10s")
    eventually(world.daemonsets)

    world.delete_profile()

    eventually(lambda: not world.daemonsets(), within=5)
    assert world.run().status.phase == "Cancelled"


def test_a_deleted_run_is_noticed_at_once(program, world):
    world.ask(duration="10s")
    eventually(world.daemonsets)

    world.delete_run(world.run())

    eventually(lambda: not world.daemonsets(), within=5)
    eventually(lambda: condition(world.profile()["status"], "Complete")["reason"] == "RunDeleted", within=5)


def test_killed_and_started_again_it_goes_on_where_it_was(program, world):
    world.ask(duration="10s")
    run = eventually(lambda: next((run for run in world.runs() if run.status.deadline), None))
    program.kill()
    for node in ("node1", "node2"):
        world.gateway.deliver(run, node)

    program.start()

    eventually(lambda: world.run().status.phase == "Succeeded")
    eventually(lambda: not world.daemonsets())
    assert [event for event in world.events() if event[2] == "RunCreated"] == [("PerfProfile", "Normal", "RunCreated")]


def test_it_stops_at_sigterm_within_seconds_and_logs_no_traceback(program):
    code = program.terminate()
    log = program.log
    program.start()

    assert code == 0
    assert "Traceback" not in log, log[-3000:]


def test_its_memory_stays_small(program):
    status = Path(f"/proc/{program.pid}/status").read_text()

    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    assert resident < 150 * 1024, f"{resident} KiB"

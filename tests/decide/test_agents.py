"""What pods tell of agents: whom there is no hope for, and why somebody was silent."""

from datetime import UTC, datetime, timedelta

import pytest

from perfprofile_cluster.objects import ContainerStatus, Event, Node, ObjectMeta, Pod, PodCondition
from perfprofile_operator.decide.agents import Agents, hopeless, silent

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def agents(pod: Pod | None, *, ready: bool = True, gone: bool = False, events: tuple[Event, ...] = ()) -> Agents:
    return Agents(
        chosen={"host-a": "a"},
        pods=() if pod is None else (pod,),
        nodes=() if gone else (Node(metadata=ObjectMeta(name="a"), ready=ready),),
        events=events,
        waiting_since={"p": START},
        placed=START,
    )


def pod(phase: str = "Pending", node: str = "a", conditions: tuple[PodCondition, ...] = (), **container) -> Pod:
    status = (ContainerStatus(name="agent", **container),) if container else ()
    metadata = ObjectMeta(name="agent-x", uid="p")
    return Pod(
        metadata=metadata,
        node_name=node,
        destined_node="a",
        phase=phase,
        reason="OutOfcpu",
        message="too full",
        container_statuses=status,
        conditions=conditions,
    )


REFUSAL = (Event(type="Warning", reason="FailedCreate", note='pods "x" is forbidden: exceeded quota'),)
UNSCHEDULED = (PodCondition(type="PodScheduled", status="False", message="0/3 nodes are available: insufficient memory"),)

CERTAIN = {
    "gone": (agents(None, gone=True), "NodeLost", "not in the cluster"),
    "image pull": (agents(pod(waiting_reason="ImagePullBackOff", waiting_message="Back-off x:1")), "ImagePullFailed", "x:1"),
    "image name": (agents(pod(waiting_reason="InvalidImageName")), "ImagePullFailed", "InvalidImageName"),
    "image never": (agents(pod(waiting_reason="ErrImageNeverPull")), "ImagePullFailed", "registry"),
    "container": (agents(pod(waiting_reason="CreateContainerError", waiting_message="no such file")), "PodRejected", "no such file"),
    "refused": (agents(None, events=REFUSAL), "PodRejected", "exceeded quota"),
    "crashes": (
        agents(
            pod("Running", waiting_reason="CrashLoopBackOff", restart_count=3, last_exit_code=1, last_terminated_message="one\nthe end")
        ),
        "AgentCrashed",
        "exit code 1) after 3 restarts: the end",
    ),
}
LIKELY = {
    "not ready": (agents(pod("Running", running=True), ready=False), "NodeNotReady", "not ready"),
    "no pod": (agents(None), "DeadlineExceeded", "No agent's pod"),
    "rejected": (agents(pod("Failed")), "PodRejected", "OutOfcpu too full"),
    "unscheduled": (agents(pod(node="", conditions=UNSCHEDULED)), "PodRejected", "insufficient memory"),
    "creating": (agents(pod(waiting_reason="ContainerCreating")), "DeadlineExceeded", "ContainerCreating"),
    "no status": (agents(pod()), "DeadlineExceeded", "had not started"),
    "ended": (agents(pod("Running", terminated_reason="OOMKilled", exit_code=137)), "AgentCrashed", "OOMKilled, exit code 137"),
    "runs": (agents(pod("Running", running=True)), "DeadlineExceeded", "did not report"),
}


@pytest.mark.parametrize(("observed", "reason", "words"), CERTAIN.values(), ids=CERTAIN)
def test_hopeless(observed, reason, words):
    (failure,) = hopeless(observed, START + timedelta(seconds=20))

    assert (failure.node, failure.reason) == ("a", reason)
    assert words in failure.message
    assert silent(observed, START + timedelta(seconds=20)) == (failure,)


@pytest.mark.parametrize(("observed", "reason", "words"), LIKELY.values(), ids=LIKELY)
def test_silent_at_the_deadline(observed, reason, words):
    now = START + timedelta(seconds=300)

    (failure,) = silent(observed, now)

    assert (failure.node, failure.reason) == ("a", reason)
    assert words in failure.message
    assert hopeless(observed, now) == ()


@pytest.mark.parametrize(
    "observed", [case[0] for name, case in CERTAIN.items() if name != "gone"], ids=[name for name in CERTAIN if name != "gone"]
)
def test_trouble_is_given_twenty_seconds(observed):
    assert hopeless(observed, START + timedelta(seconds=19)) == ()


def test_a_message_is_never_longer_than_the_schema_takes():
    (failure,) = hopeless(agents(pod(waiting_reason="ErrImagePull", waiting_message="x" * 5000)), START + timedelta(seconds=20))

    assert len(failure.message) == 1024

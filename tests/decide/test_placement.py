"""From pods to nodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfprofile_agent.api.profile import NodeSample, Target
from perfprofile_cluster.objects import Node, ObjectMeta, Pod
from perfprofile_operator.decide.placement import Nowhere, Placed, place


def node(name: str, **labels: str) -> Node:
    return Node(metadata=ObjectMeta(name=name, labels=labels), ready=True)


def pod(name: str, on: str, phase: str = "Running", containers: tuple[str, ...] = ("app",)) -> Pod:
    return Pod(metadata=ObjectMeta(name=name), node_name=on, phase=phase, containers=containers)


NODES = [node("a", zone="1"), node("b", zone="2"), node("c", zone="2")]
PODS = [pod("x", "b"), pod("y", "a"), pod("z", "b", containers=("app", "side"))]


def names(placed: Placed | Nowhere) -> list[str]:
    assert isinstance(placed, Placed), placed
    return [one.metadata.name for one in placed.nodes]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target(), ["a", "b"]),
        (Target(containers=("side",)), ["b"]),
        (Target(node_selector={"zone": "2"}), ["b"]),
        (Target(node_sample=NodeSample(count=9)), ["a", "b"]),
        (Target(node_sample=NodeSample(percent=100)), ["a", "b"]),
    ],
    ids=["all", "container", "nodeSelector", "larger sample", "whole sample"],
)
def test_nodes_that_host_target_pods_are_chosen(target, expected):
    assert names(place("run", target, PODS, NODES)) == expected


@pytest.mark.parametrize(
    ("target", "pods", "words"),
    [
        (Target(), [], "No pod of this namespace matches"),
        (Target(), [pod("x", "", "Pending"), pod("y", "a", "Succeeded")], "2 pods match"),
        (Target(containers=("db",)), PODS, "none has a container named db"),
        (Target(node_selector={"zone": "9"}), PODS, "none of their 2 nodes"),
    ],
    ids=["no pod", "none running", "no container", "no node"],
)
def test_nowhere_says_which_part_of_the_target_failed(target, pods, words):
    found = place("run", target, pods, NODES)

    assert isinstance(found, Nowhere)
    assert words in found.message


MANY = [node(f"n{number}") for number in range(40)]
EVERYWHERE = [pod(f"p{number}", f"n{number}") for number in range(40)]


@given(st.text(max_size=20), st.integers(1, 40), st.randoms())
def test_a_sample_is_the_same_in_whatever_order_things_are_listed(run, count, chance):
    target = Target(node_sample=NodeSample(count=count))
    shuffled = chance.sample(MANY, len(MANY)), chance.sample(EVERYWHERE, len(EVERYWHERE))

    first = names(place(run, target, EVERYWHERE, MANY))

    assert names(place(run, target, shuffled[1], shuffled[0])) == first
    assert len(first) == count


def test_a_sample_differs_from_run_to_run():
    target = Target(node_sample=NodeSample(count=5))

    assert len({tuple(names(place(f"run-{number}", target, EVERYWHERE, MANY))) for number in range(20)}) == 20


def test_a_node_that_goes_changes_a_sample_by_one_at_most():
    target = Target(node_sample=NodeSample(count=5))
    before = set(names(place("run", target, EVERYWHERE, MANY)))

    for gone in MANY:
        after = set(names(place("run", target, EVERYWHERE, [one for one in MANY if one is not gone])))
        assert len(before & after) >= 4


@pytest.mark.parametrize(("percent", "expected"), [(1, 1), (10, 4), (11, 5), (100, 40)])
def test_a_percentage_is_rounded_up(percent, expected):
    assert len(names(place("run", Target(node_sample=NodeSample(percent=percent)), EVERYWHERE, MANY))) == expected

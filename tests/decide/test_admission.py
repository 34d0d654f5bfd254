"""What is accepted and what is refused, as one table."""

import pytest

from perfprofile_operator.decide.admission import Accepted, Refused, admit

ACCEPTED = {
    "nothing said": {},
    "everything said": {
        "target": {
            "podSelector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["x"]}]},
            "containers": ["app"],
            "nodeSelector": {"zone": "a"},
            "nodeSample": {"percent": 10},
        },
        "perf": {"events": ["cycles:u", "cpu-clock"], "period": 1000, "callGraph": "Dwarf", "kernelFrames": False},
        "duration": "1h",
        "labels": {"team": "payments"},
        "ttlAfterFinished": "10m",
    },
    "a field of a later version": {"fromTheFuture": True},
    "existence of a label": {"target": {"podSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}},
}
REFUSED = {
    "schedule": ({"schedule": {"cron": "* * * * *"}}, "NotYetSupported", "spec.schedule"),
    "continuous": ({"continuous": {"every": "60s"}}, "NotYetSupported", "spec.continuous"),
    "extra arguments": ({"perf": {"extraArgs": ["--all-user"]}}, "NotYetSupported", "spec.perf.extraArgs"),
    "unknown sink": ({"sinks": ["store", "elsewhere"]}, "InvalidSpec", "no sink named 'elsewhere'"),
    "no duration": ({"duration": "0s"}, "InvalidSpec", "spec.duration"),
    "too long a duration": ({"duration": "61m"}, "InvalidSpec", "spec.duration"),
    "a duration in words": ({"duration": "half an hour"}, "InvalidSpec", "spec.duration"),
    "two rates": ({"perf": {"frequency": 99, "period": 5}}, "InvalidSpec", "spec.perf"),
    "too high a rate": ({"perf": {"frequency": 99_000}}, "InvalidSpec", "spec.perf.frequency"),
    "an event that is a program": ({"perf": {"events": ["evil.c"]}}, "InvalidSpec", "spec.perf.events"),
    "an event that is an option": ({"perf": {"events": ["-o/etc/passwd"]}}, "InvalidSpec", "spec.perf.events"),
    "an unknown call graph": ({"perf": {"callGraph": "Guess"}}, "InvalidSpec", "spec.perf.callGraph"),
    "a sample of two sizes": ({"target": {"nodeSample": {"count": 1, "percent": 1}}}, "InvalidSpec", "spec.target.nodeSample"),
    "a sample of no size": ({"target": {"nodeSample": {}}}, "InvalidSpec", "spec.target.nodeSample"),
    "In of nothing": (
        {"target": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}},
        "InvalidSpec",
        "spec.target.podSelector.matchExpressions",
    ),
    "Exists of something": (
        {"target": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}}},
        "InvalidSpec",
        "spec.target.podSelector.matchExpressions",
    ),
    "a label of ours": ({"labels": {"pod": "not-mine"}}, "InvalidSpec", "spec.labels"),
    "something of another type": ({"perf": {"kernelFrames": "yes"}}, "InvalidSpec", "spec.perf.kernelFrames"),
}


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(spec):
    assert isinstance(admit(spec), Accepted)


@pytest.mark.parametrize(("spec", "reason", "place"), REFUSED.values(), ids=REFUSED)
def test_refused_with_the_field_and_the_next_step(spec, reason, place):
    verdict = admit(spec)

    assert isinstance(verdict, Refused)
    assert (verdict.reason, place in verdict.message) == (reason, True), verdict.message
    assert "pply again" in verdict.message

"""The run of a PerfProfile."""

import msgspec

from perfprofile_agent.api.profile import PerfProfileSpec
from perfprofile_agent.api.run import PerfProfileRunSpec
from perfprofile_cluster.objects import ObjectMeta
from perfprofile_operator.manifests.run import run_manifest, run_name

PROFILE = ObjectMeta(name="checkout", namespace="payments", uid="u1", generation=7)


def test_the_name_follows_from_profile_and_generation_alone():
    assert run_name(PROFILE) == run_name(PROFILE)
    assert run_name(PROFILE).startswith("checkout-")
    assert run_name(PROFILE).endswith("-7")


def test_a_profile_made_anew_has_runs_of_other_names():
    assert run_name(PROFILE) != run_name(ObjectMeta(name="checkout", namespace="payments", uid="u2", generation=7))


def test_the_longest_allowed_profile_name_still_gives_a_label_value():
    assert len(run_name(ObjectMeta(name="x" * 45, uid="u", generation=10**10))) <= 63


def test_the_spec_is_a_copy_of_what_was_asked_for():
    spec = msgspec.convert(
        {
            "target": {"podSelector": {"matchLabels": {"app": "web"}}},
            "perf": {"period": 5},
            "duration": "9s",
            "labels": {"a": "b"},
            "ttlAfterFinished": "1h",
        },
        PerfProfileSpec,
    )

    copied = msgspec.convert(run_manifest(PROFILE, spec)["spec"], PerfProfileRunSpec)

    assert copied.profile == "checkout"
    for field in ("target", "perf", "duration", "sinks", "labels", "ttl_after_finished"):
        assert getattr(copied, field) == getattr(spec, field)


def test_it_belongs_to_the_profile_without_holding_up_its_deletion():
    (owner,) = run_manifest(PROFILE, PerfProfileSpec())["metadata"]["ownerReferences"]

    assert (owner["kind"], owner["name"], owner["uid"]) == ("PerfProfile", "checkout", "u1")
    assert "blockOwnerDeletion" not in owner

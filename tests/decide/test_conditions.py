"""Conditions keep their time as long as their status stays."""

from datetime import UTC, datetime, timedelta

from perfprofile_agent.api.conditions import ConditionType, Reason, Status
from perfprofile_operator.decide.conditions import find, with_condition

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
RECORDING = with_condition((), ConditionType.COMPLETE, Status.FALSE, Reason.RECORDING, "records", now=NOW)


def test_the_same_again_changes_nothing():
    assert with_condition(RECORDING, ConditionType.COMPLETE, Status.FALSE, Reason.RECORDING, "records", now=LATER) == RECORDING


def test_another_reason_keeps_the_time():
    changed = with_condition(RECORDING, ConditionType.COMPLETE, Status.FALSE, Reason.COLLECTING, "collects", now=LATER)

    assert find(changed, ConditionType.COMPLETE).reason == "Collecting"
    assert find(changed, ConditionType.COMPLETE).last_transition_time == "2026-11-23T12:00:00Z"


def test_another_status_moves_the_time():
    changed = with_condition(RECORDING, ConditionType.COMPLETE, Status.TRUE, Reason.SUCCEEDED, "done", now=LATER)

    assert find(changed, ConditionType.COMPLETE).last_transition_time == "2026-11-23T12:01:00Z"


def test_other_conditions_stay_as_they_are():
    both = with_condition(RECORDING, ConditionType.PLACED, Status.TRUE, Reason.PLACED, "placed", now=LATER)

    assert both[0] == RECORDING[0]
    assert [one.type for one in both] == ["Complete", "Placed"]


def test_a_message_is_cut_at_the_schemas_limit():
    (condition,) = with_condition((), ConditionType.COMPLETE, Status.TRUE, Reason.ALL_NODES_FAILED, "x" * 9999, now=NOW)

    assert len(condition.message) == 4096

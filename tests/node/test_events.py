"""Which event auto means."""

import pytest

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.node.errors import NodeError
from perfprofile_agent.node.events import CANDIDATES, Trial, choose, resolve, try_event


def answering(**outcomes: Trial):
    return lambda event: outcomes[event.replace("-", "_")]


def test_cycles_come_first() -> None:
    assert choose(answering(cycles=Trial.WORKS)) == "cycles"


@pytest.mark.parametrize("cycles", [Trial.UNSUPPORTED, Trial.SILENT, Trial.FORBIDDEN])
def test_an_event_that_yields_no_sample_is_passed_over(cycles: Trial) -> None:
    assert choose(answering(cycles=cycles, cpu_clock=Trial.WORKS)) == "cpu-clock"


def test_a_refusal_by_the_kernel_is_told_with_the_setting() -> None:
    with pytest.raises(NodeError) as error:
        choose(answering(cycles=Trial.UNSUPPORTED, cpu_clock=Trial.FORBIDDEN, task_clock=Trial.FORBIDDEN))

    assert error.value.reason is Reason.PERF_NOT_PERMITTED
    assert "perf_event_paranoid" in error.value.message


def test_a_machine_without_any_of_them_is_told_which_were_tried() -> None:
    with pytest.raises(NodeError) as error:
        choose(answering(cycles=Trial.UNSUPPORTED, cpu_clock=Trial.SILENT, task_clock=Trial.SILENT))

    assert error.value.reason is Reason.EVENT_NOT_SUPPORTED
    assert "cpu-clock: silent" in error.value.message


def test_auto_is_replaced_and_repetitions_go() -> None:
    attempt = answering(cycles=Trial.UNSUPPORTED, cpu_clock=Trial.WORKS)

    assert resolve(("auto", "page-faults", "cpu-clock"), attempt) == ("cpu-clock", "page-faults")


def test_without_auto_nothing_is_tried() -> None:
    assert resolve(("cycles",), answering()) == ("cycles",)


@pytest.mark.root
def test_this_kernel_samples_at_least_one_candidate() -> None:
    assert Trial.WORKS in [try_event(event) for event in CANDIDATES]

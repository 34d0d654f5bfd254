"""Why perf failed, told from what perf 6.1 really says."""

import signal

import pytest

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.node.diagnosis import Ending, failure, own_words

NO_EVENT = """event syntax error: 'nosuch'
                     \\___ parser error
Run 'perf list' for a list of valid events

 Usage: perf record [<options>] [<command>]
    or: perf record [<options>] -- <command> [<options>]

    -e, --event <event>   event selector. use 'perf list' to list available events
"""
NOT_SUPPORTED = "Error:\nThe instructions event is not supported.\n"
LIMITED = """Error:
Access to performance monitoring and observability operations is limited.
Consider adjusting /proc/sys/kernel/perf_event_paranoid setting to open
access to performance monitoring and observability operations for processes
without CAP_PERFMON, CAP_SYS_PTRACE or CAP_SYS_ADMIN Linux capability.
"""
NO_CGROUP = "no access to cgroup /sys/fs/cgroup/unified/nosuchpath\n\n Usage: perf record [<options>] [<command>]\n"
NO_TRACEFS = """event syntax error: 'sched:sched_switch'
                     \\___ can't access trace events

Error:\tNo permissions to read /sys/kernel/tracing//events/sched/sched_switch
Hint:\tTry 'sudo mount -o remount,mode=755 /sys/kernel/tracing/'
"""


@pytest.mark.parametrize(
    ("status", "stderr", "reason"),
    [
        (129, NO_EVENT, Reason.EVENT_NOT_SUPPORTED),
        (255, NOT_SUPPORTED, Reason.EVENT_NOT_SUPPORTED),
        (255, "Error:\ncpu-clock: PMU Hardware or event type doesn't support branch stack sampling.\n", Reason.EVENT_NOT_SUPPORTED),
        (255, LIMITED, Reason.PERF_NOT_PERMITTED),
        (129, NO_TRACEFS, Reason.PERF_NOT_PERMITTED),
        (129, NO_CGROUP, Reason.TARGET_GONE),
        (244, "Couldn't create thread/CPU maps: No such process\n", Reason.TARGET_GONE),
        (2, "WARNING: perf not found for kernel 6.8.0-31\n", Reason.PERF_MISSING),
        (255, "failed to mmap with 12 (Cannot allocate memory)\n", Reason.PERF_FAILED),
        (1, "", Reason.PERF_FAILED),
    ],
)
def test_the_reason_follows_from_perfs_words(status: int, stderr: str, reason: Reason) -> None:
    error = failure(Ending(status=status, stderr=stderr), events=("nosuch",), paranoid=2)

    assert error
    assert error.reason is reason
    assert error.message.rstrip().endswith(tuple(".1e")), "it ends with a sentence or a command"
    assert len(error.message) <= 1024


def test_the_message_carries_perfs_own_words_without_its_usage() -> None:
    error = failure(Ending(status=129, stderr=NO_EVENT), events=("nosuch",), paranoid=2)

    assert error
    assert "event syntax error: 'nosuch'" in error.message
    assert "perf list" in error.message
    assert "Usage" not in error.message


def test_a_refusal_names_the_setting_and_its_value() -> None:
    error = failure(Ending(status=255, stderr=LIMITED), events=("cycles",), paranoid=4)

    assert error
    assert "kernel.perf_event_paranoid is 4" in error.message
    assert "CAP_PERFMON" in error.message


@pytest.mark.parametrize("status", [0, -signal.SIGINT, 130])
def test_ending_by_our_interrupt_is_success(status: int) -> None:
    assert failure(Ending(status=status, stderr="", stopped=True), events=(), paranoid=2) is None


def test_ending_by_itself_with_success_is_success() -> None:
    assert failure(Ending(status=0, stderr=""), events=(), paranoid=2) is None


def test_an_interrupt_by_somebody_else_is_a_failure() -> None:
    error = failure(Ending(status=-signal.SIGINT, stderr=""), events=(), paranoid=2)

    assert error
    assert error.reason is Reason.PERF_FAILED


def test_a_kill_points_at_memory() -> None:
    error = failure(Ending(status=-signal.SIGKILL, stderr="", seconds=3.2, stopped=True), events=(), paranoid=2)

    assert error
    assert error.reason is Reason.PERF_FAILED
    assert "SIGKILL after 3.2 s" in error.message
    assert "memory limit" in error.message


def test_own_words_are_printable_and_short() -> None:
    assert own_words("Error:\n\x1b[31mbad\x00 thing\n[ perf record: Woken up 1 times ]\n") == "[31mbad  thing"
    assert len(own_words("x" * 10_000)) == 400

"""The arguments of perf record."""

import pytest

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.api.profile import CallGraph
from perfprofile_agent.node.command import Control, RecordOptions, buffer_bytes, checked, record_arguments, split_events, user_only
from perfprofile_agent.node.errors import NodeError

NEW = (6, 1)


def text(options: RecordOptions, version: tuple[int, int] = NEW, control: Control | None = None) -> str:
    return " ".join(record_arguments(options, version, control))


def test_all_processes_with_stacks_is_the_default() -> None:
    assert text(RecordOptions(events=("cycles",))) == "record -o - -N -B -F 99 --no-bpf-event --all-cgroups --call-graph fp -a -e cycles"


def test_each_event_is_repeated_for_each_cgroup() -> None:
    """Perf gives the n-th cgroup of -G to the n-th event; one list of events with one cgroup would leave all but the first unfiltered."""
    options = RecordOptions(events=("cycles", "page-faults"), cgroups=("/kubepods/poda", "/kubepods/podb"))

    assert text(options).endswith(
        "-a -e cycles -e page-faults -G kubepods/poda,kubepods/poda -e cycles -e page-faults -G kubepods/podb,kubepods/podb"
    )


def test_events_joined_by_commas_count_one_by_one() -> None:
    options = RecordOptions(events=("cycles,cpu/event=0x3c,umask=1/",), cgroups=("/a",))

    assert text(options).endswith("-e cycles -e cpu/event=0x3c,umask=1/ -G a,a")
    assert split_events("cycles,cpu/event=0x3c,umask=1/") == ("cycles", "cpu/event=0x3c,umask=1/")


def test_control_starts_perf_with_its_events_disabled() -> None:
    assert "-D -1 --control fd:7,8" in text(RecordOptions(events=("cycles",)), control=Control(7, 8))


def test_period_takes_the_place_of_frequency() -> None:
    arguments = text(RecordOptions(events=("cycles",), frequency=None, period=1000))

    assert "-c 1000" in arguments
    assert "-F" not in arguments


def test_pids_take_the_place_of_all() -> None:
    arguments = text(RecordOptions(events=("cycles",), pids=(1, 22)))

    assert "-p 1,22" in arguments
    assert " -a" not in arguments


def test_an_old_perf_is_spared_options_it_does_not_know() -> None:
    arguments = text(RecordOptions(events=("cycles",)), version=(4, 19))

    assert "--all-cgroups" not in arguments
    assert "--no-bpf-event" not in arguments


def test_without_the_kernel_events_are_restricted_to_user_mode() -> None:
    arguments = text(RecordOptions(events=("cycles", "sched:sched_switch"), kernel_frames=False))

    assert arguments.endswith("--user-callchains -a -e cycles:u -e sched:sched_switch")


@pytest.mark.parametrize(
    ("event", "restricted"),
    [
        ("cycles", "cycles:u"),
        ("cycles:pp", "cycles:ppu"),
        ("cycles:kpp", "cycles:ppu"),
        ("cycles:u", "cycles:u"),
        ("cpu/cycles/", "cpu/cycles/u"),
        ("cpu/cycles/k", "cpu/cycles/u"),
        ("sched:sched_switch", "sched:sched_switch"),
    ],
)
def test_user_mode_is_written_as_a_modifier_except_for_tracepoints(event: str, restricted: str) -> None:
    assert user_only(event) == restricted


@pytest.mark.parametrize("event", ["tmp/evil.c", "evil.o", "evil.bpf", "dir/evil.c/", "-e"])
def test_events_that_would_make_perf_load_a_program_are_refused(event: str) -> None:
    with pytest.raises(NodeError) as error:
        checked(event)

    assert error.value.reason is Reason.EVENT_NOT_SUPPORTED
    assert "perf list" in error.value.message


@pytest.mark.parametrize("event", ["cpu/mem_load_retired.l1_miss/", "offcore_requests.all_requests", "syscalls:sys_enter_openat"])
def test_events_with_dots_and_colons_pass(event: str) -> None:
    assert checked(event) == event


@pytest.mark.parametrize(
    ("frequency", "graph", "cpus", "kib"),
    [
        (99, CallGraph.FRAME_POINTER, 2, 512),
        (99, CallGraph.NONE, 2, 128),
        (4999, CallGraph.FRAME_POINTER, 2, 8192),
        (99, CallGraph.DWARF, 2, 4096),
        (4999, CallGraph.FRAME_POINTER, 256, 1024),
        (4999, CallGraph.DWARF, 4096, 128),
    ],
)
def test_buffers_are_powers_of_two_bounded_alone_and_in_sum(frequency: int, graph: CallGraph, cpus: int, kib: int) -> None:
    assert buffer_bytes(frequency=frequency, call_graph=graph, cpus=cpus) == kib << 10

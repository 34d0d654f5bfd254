"""Processes over time: who is called what, and what of a parent a child takes over."""

import pytest

from perfprofile_agent.perfdata.records import Comm, Exit, Fork, Mmap
from perfprofile_agent.replay.processes import Change, Processes


def mmap(pid: int, start: int, path: str, *, executable: bool = True, length: int = 0x1000) -> Mmap:
    return Mmap(1, pid, start, length, 0, path, (8, 1), 5, "", executable, 2)


def path_at(processes: Processes, pid: int, address: int) -> str:
    region = processes.get(pid).space.find(address)
    return region.path if region else ""


def test_a_child_has_its_parents_mappings_and_name() -> None:
    processes = Processes()
    processes.comm(Comm(1, 10, 10, "server", exec=True))
    processes.mmap(mmap(10, 0x1000, "/server"))

    assert processes.fork(Fork(2, 11, 10, 11, 10, synthesized=False)) is Change.REPLACED
    processes.mmap(mmap(11, 0x1000, "/other"))

    assert processes.get(11).comm(11) == "server"
    assert (path_at(processes, 10, 0x1000), path_at(processes, 11, 0x1000)) == ("/server", "/other")


def test_a_child_is_named_after_the_thread_that_made_it() -> None:
    processes = Processes()
    processes.comm(Comm(1, 10, 10, "server", exec=False))
    processes.comm(Comm(1, 10, 12, "spawner", exec=False))

    processes.fork(Fork(2, 20, 10, 20, 12, synthesized=False))

    assert processes.get(20).comm(20) == "spawner"


def test_an_exec_forgets_mappings_and_threads() -> None:
    processes = Processes()
    processes.mmap(mmap(10, 0x1000, "/old"))
    processes.comm(Comm(1, 10, 11, "thread", exec=False))

    assert processes.comm(Comm(2, 10, 10, "new", exec=True)) is Change.REPLACED

    assert path_at(processes, 10, 0x1000) == ""
    assert (processes.get(10).comm(10), processes.get(10).comm(11)) == ("new", "new")


def test_threads_have_names_of_their_own() -> None:
    processes = Processes()
    processes.comm(Comm(1, 10, 10, "java", exec=True))
    processes.fork(Fork(2, 10, 10, 11, 10, synthesized=False))
    processes.comm(Comm(3, 10, 12, "GC", exec=False))

    process = processes.get(10)

    assert [process.comm(tid) for tid in (10, 11, 12, 13)] == ["java", "java", "GC", "java"]
    processes.exit(Exit(4, 10, 12))
    assert process.comm(12) == "java"


def test_a_process_found_running_does_not_take_over_its_parents_mappings() -> None:
    processes = Processes()
    processes.comm(Comm(0, 1, 1, "init", exec=False))
    processes.mmap(mmap(1, 0x1000, "/init"))

    processes.fork(Fork(0, 10, 1, 10, 1, synthesized=True))

    assert path_at(processes, 10, 0x1000) == ""
    assert processes.get(10).comm(10) == "init"


def test_data_over_code_ends_the_code() -> None:
    processes = Processes()

    assert processes.mmap(mmap(10, 0x1000, "/lib")) is Change.ADDED
    assert processes.mmap(mmap(10, 0x9000, "/data", executable=False)) is Change.NOTHING
    assert processes.mmap(mmap(10, 0x1000, "/data", executable=False)) is Change.REPLACED
    assert path_at(processes, 10, 0x1000) == ""


@pytest.mark.parametrize("pid", [0, 2**32 - 1])
def test_pids_that_stand_for_many_processes_have_no_state(pid: int) -> None:
    """Nodes that share a kernel see each other's processes with pid 0."""
    processes = Processes()

    assert processes.comm(Comm(1, pid, pid, "secret", exec=True)) is Change.NOTHING
    assert processes.mmap(mmap(pid, 0x1000, "/secret")) is Change.NOTHING
    assert processes.fork(Fork(1, pid, 10, pid, 10, synthesized=False)) is Change.NOTHING

    assert processes.get(pid).comm(pid) == ""
    assert path_at(processes, pid, 0x1000) == ""


def test_ended_processes_are_remembered_for_a_while_only() -> None:
    processes = Processes()
    forgotten: list[int] = []
    for pid in range(100, 1300):
        processes.fork(Fork(1, pid, 1, pid, 1, synthesized=False))
        processes.comm(Comm(1, pid, pid, f"job{pid}", exec=False))
        forgotten += processes.exit(Exit(2, pid, pid))

    assert forgotten == list(range(100, 276))
    assert processes.get(1299).comm(1299) == "job1299"
    assert processes.get(100).comm(100) == ""


def test_a_pid_used_again_is_not_forgotten_with_its_dead_predecessor() -> None:
    processes = Processes()
    processes.fork(Fork(1, 50, 1, 50, 1, synthesized=False))
    processes.exit(Exit(2, 50, 50))
    processes.fork(Fork(3, 50, 1, 50, 1, synthesized=False))
    processes.comm(Comm(3, 50, 50, "second", exec=False))

    for pid in range(100, 1300):
        processes.fork(Fork(4, pid, 1, pid, 1, synthesized=False))
        processes.exit(Exit(5, pid, pid))

    assert processes.get(50).comm(50) == "second"


def test_a_mapping_past_the_end_of_memory_ends_there() -> None:
    processes = Processes()

    processes.mmap(mmap(10, 2**64 - 4096, "/odd", length=2**64 - 1))

    assert path_at(processes, 10, 2**64 - 2) == "/odd"

"""The cluster's processes are ended by what was recorded of them, and by nothing else."""

import json
import os
from pathlib import Path

import pytest

from cluster import processes
from cluster.steps import until


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    for name in ("STATE", "LOGS", "RECORDS"):
        monkeypatch.setattr(processes, name, tmp_path)
    yield
    for name in processes.names():
        processes.stop(name, patience=0)
    while processes._started:
        processes._started.pop().wait()


def test_a_started_process_is_found_and_started_no_second_time():
    first = processes.start("sleeper", "sleep", "60")

    assert processes.find("sleeper") == first
    assert processes.start("sleeper", "sleep", "60") == first


def test_a_stopped_process_is_gone():
    process = processes.start("sleeper", "sleep", "60")

    processes.stop("sleeper")

    assert processes.find("sleeper") is None
    assert not is_sleeping(process.pid)


def test_of_a_wrapper_its_only_child_is_recorded():
    process = processes.start("wrapped", "sleep", "60", wrapper=("sh", "-c", '"$@" & wait', "sh"))

    assert is_sleeping(process.pid)
    # Recorded as soon as it is there, which may be before it has become the program.
    until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n", what="the child is the program", within=10)


def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(tmp_path):
    """The record names this very process, but another start time."""
    (tmp_path / "stranger.json").write_text(json.dumps({"pid": os.getpid(), "started": 1}))

    processes.stop("stranger")

    assert processes.names() == []


def test_an_ended_process_is_named_with_its_log():
    processes.start("short", "true")

    until(lambda: processes.find("short") is None, what="it ends", within=10)

    with pytest.raises(processes.EndedError, match=r"short has ended; see .*short\.log"):
        processes.all_run("short")


def is_sleeping(pid: int) -> bool:
    """Whether it is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

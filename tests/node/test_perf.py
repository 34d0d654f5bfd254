"""Running the real perf."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perfprofile_agent.api.conditions import Reason
from perfprofile_agent.node.command import RecordOptions
from perfprofile_agent.node.errors import NodeError
from perfprofile_agent.node.perf import PerfProgram, Recording, find_perf

needs_perf = pytest.mark.skipif(not shutil.which("perf"), reason="needs perf: apt-get install linux-perf")
PIPE_MAGIC = b"PERFILE2\x10\0\0\0\0\0\0\0"
CLOCK = RecordOptions(events=("cpu-clock",))


def run(options: RecordOptions, home: Path, *, seconds: float = 1.0, program: PerfProgram | None = None) -> bytes:
    """Record for ``seconds`` from the first sample on and give all output."""
    output, ends = b"", float("inf")
    with Recording(program or find_perf(), options, home=home) as recording:
        while (chunk := recording.read(0.25)) is not None:
            output += chunk
            if recording.started_at and ends == float("inf"):
                ends = recording.started_at + seconds
            if time.monotonic() >= ends:
                recording.stop()
        recording.finish()
    return output


def script(path: Path, text: str) -> PerfProgram:
    """Give a program that stands for perf and behaves as no real one can be made to."""
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return PerfProgram(str(path), (4, 19), "4.19")


@needs_perf
def test_perf_tells_its_version() -> None:
    program = find_perf()

    assert program.version >= (3, 0)
    assert program.text.startswith(f"{program.version[0]}.{program.version[1]}")


def test_a_missing_perf_is_told_with_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NodeError) as error:
        find_perf()

    assert error.value.reason is Reason.PERF_MISSING
    assert "linux-perf" in error.value.message


def test_a_wrapper_without_a_perf_for_this_kernel_counts_as_missing(tmp_path: Path) -> None:
    wrapper = script(tmp_path / "perf", "import sys; sys.exit('WARNING: perf not found for kernel 6.8')")

    with pytest.raises(NodeError) as error:
        find_perf(wrapper.path)

    assert error.value.reason is Reason.PERF_MISSING
    assert "perf not found for kernel 6.8" in error.value.message


@pytest.mark.root
def test_output_comes_while_perf_runs(tmp_path: Path) -> None:
    """At 99 Hz perf's buffers would not be half full for minutes; the pings make it hand over what it has."""
    arrivals: list[float] = []
    with Recording(find_perf(), CLOCK, home=tmp_path) as recording:
        while (chunk := recording.read(0.25)) is not None:
            if chunk and recording.started_at:
                arrivals.append(time.monotonic() - recording.started_at)
            if recording.started_at and time.monotonic() > recording.started_at + 1.5:
                recording.stop()
        recording.finish()

    assert sum(arrival < 1.4 for arrival in arrivals) >= 3


def seconds_to_stop(home: Path) -> float:
    with Recording(find_perf(), CLOCK, home=home) as recording:
        output = b""
        while recording.started_at is None:
            output += recording.read(0.25) or b""
        asked = time.monotonic()
        recording.stop()
        while (chunk := recording.read(0.25)) is not None:
            output += chunk
        recording.finish()
    assert output.startswith(PIPE_MAGIC)
    return time.monotonic() - asked


@pytest.mark.root
def test_our_interrupt_ends_it_well_and_fast(tmp_path: Path) -> None:
    """Perf's side-band thread, which we leave out, would take half a second on average; the best of five is not the machine's load."""
    assert min(seconds_to_stop(tmp_path) for _ in range(5)) < 0.2


@pytest.mark.root
def test_an_unknown_event_is_not_supported(tmp_path: Path) -> None:
    with pytest.raises(NodeError) as error:
        run(RecordOptions(events=("nosuch",)), tmp_path)

    assert error.value.reason is Reason.EVENT_NOT_SUPPORTED
    assert "nosuch" in error.value.message
    assert "events: [auto]" in error.value.message


@pytest.mark.root
def test_a_killed_perf_is_a_failure(tmp_path: Path) -> None:
    with Recording(find_perf(), CLOCK, home=tmp_path) as recording:
        while recording.started_at is None:
            recording.read(0.25)
        os.kill(recording.pid, signal.SIGKILL)
        while recording.read(0.25) is not None:
            pass
        with pytest.raises(NodeError) as error:
            recording.finish()

    assert error.value.reason is Reason.PERF_FAILED
    assert "SIGKILL" in error.value.message


@pytest.mark.root
def test_a_vanished_cgroup_is_a_gone_target(tmp_path: Path) -> None:
    with pytest.raises(NodeError) as error:
        run(RecordOptions(events=("cpu-clock",), cgroups=("/no/such",)), tmp_path)

    assert error.value.reason is Reason.TARGET_GONE


@pytest.mark.root
def test_a_target_that_ends_ends_the_recording(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "0.6"]) as target:
        began = time.monotonic()
        output = run(RecordOptions(events=("cpu-clock",), pids=(target.pid,)), tmp_path, seconds=20)

    assert output.startswith(PIPE_MAGIC)
    assert time.monotonic() - began < 10


@pytest.mark.root
def test_a_plain_user_is_told_what_stands_in_the_way(tmp_path: Path) -> None:
    program = (
        "import os; from pathlib import Path; from perfprofile_agent.node.perf import *; from perfprofile_agent.node.command import RecordOptions\n"
        "os.setgroups([]); os.setresuid(65534, 65534, 65534)\n"
        "with Recording(find_perf(), RecordOptions(events=('cpu-clock',)), home=Path('/')) as recording:\n"
        "    while recording.read(0.25) is not None: pass\n"
        "    try: recording.finish()\n"
        "    except Exception as error: print(error.reason, error.message)\n"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert said.startswith("PerfNotPermitted")
    assert "kernel.perf_event_paranoid is" in said


@pytest.mark.root
def test_perf_dies_with_the_agent() -> None:
    program = (
        "import os; from pathlib import Path; from perfprofile_agent.node.perf import *; from perfprofile_agent.node.command import RecordOptions\n"
        "recording = Recording(find_perf(), RecordOptions(events=('cpu-clock',)), home=Path('/'))\n"
        "print(recording.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )

    pid = int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stdout)

    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]:
            return
        time.sleep(0.05)
    pytest.fail("perf outlived the agent")


@needs_perf
def test_perf_gets_no_settings_from_the_agents_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUGINFOD_URLS", "https://example.invalid")
    monkeypatch.setenv("SECRET", "token")
    fake = script(tmp_path / "perf", "import os, sys; sys.stdout.write(repr(sorted(os.environ)))")

    said = run(CLOCK, tmp_path, program=fake)

    assert b"DEBUGINFOD" not in said
    assert b"SECRET" not in said
    assert b"PERF_CONFIG" in said


def test_a_perf_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfprofile_agent.node.perf.GRACE_SECONDS", 0.3)
    stubborn = script(
        tmp_path / "perf",
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('PERFILE2', flush=True)\nwhile True: time.sleep(1)",
    )

    with pytest.raises(NodeError) as error:
        run(CLOCK, tmp_path, program=stubborn, seconds=0.1)

    assert error.value.reason is Reason.PERF_FAILED
    assert "was killed" in error.value.message


def test_what_perf_says_is_read_to_its_end_but_kept_bounded(tmp_path: Path) -> None:
    chatty = script(tmp_path / "perf", "import sys; sys.stderr.write('noise\\n' * 500_000 + 'The end is not supported.'); sys.exit(255)")

    with pytest.raises(NodeError) as error:
        run(CLOCK, tmp_path, program=chatty)

    assert error.value.reason is Reason.EVENT_NOT_SUPPORTED


def test_leaving_the_block_kills_perf(tmp_path: Path) -> None:
    sleeper = script(tmp_path / "perf", "import time; time.sleep(60)")

    with Recording(sleeper, CLOCK, home=tmp_path) as recording:
        pid = recording.pid

    assert not Path(f"/proc/{pid}").exists()

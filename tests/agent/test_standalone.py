"""``record`` and ``convert`` as people run them, with the real perf."""

import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perfprofile_agent.agent.cli import main
from perfprofile_agent.pprof import wire
from perfprofile_agent.pprof.model import Profile
from support.recordings import require_perf
from support.workload import burner, burning

COMMAND = [sys.executable, "-m", "perfprofile_agent.agent.cli"]


@pytest.fixture(scope="module")
def hot() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:  # where other users may enter, other than pytest's own directories
        Path(name).chmod(0o755)
        yield burner(Path(name), "find_the_answer")


@pytest.fixture
def pid(hot: Path) -> Iterator[int]:
    require_perf()
    with burning(hot) as found:
        yield found


def run(*arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=60, **options)


def read(path: Path) -> Profile:
    return wire.decode(path.read_bytes())


def hottest(profile: Profile) -> str:
    """Give the function with the most samples as a leaf."""
    counts: dict[str, int] = {}
    for sample in profile.samples:
        lines = profile.locations[sample.locations[0]].lines
        name = profile.functions[lines[0].function].name if lines else ""
        counts[name] = counts.get(name, 0) + sample.values[0]
    return max(counts, key=counts.__getitem__)


@pytest.mark.root
def test_recording_a_process_shows_its_hot_function_by_name(pid: int, tmp_path: Path) -> None:
    done = run("record", "--duration", "2s", "-p", str(pid), "-o", str(tmp_path / "cpu.pb.gz"), "--labels", "team=shop", "--pid-labels")

    assert done.returncode == 0, done.stderr
    profile = read(tmp_path / "cpu.pb.gz")
    assert hottest(profile) == "find_the_answer"
    assert "find_the_answer" in done.stdout
    assert f"in {tmp_path / 'cpu.pb.gz'}" in done.stdout
    labels = {(label.key, label.text or label.number) for sample in profile.samples for label in sample.labels}
    assert {("team", "shop"), ("pid", pid), ("comm", "find_the_answer")} <= labels
    assert profile.duration_nanos == pytest.approx(2e9, rel=0.2)
    assert abs(profile.time_nanos / 1e9 + 2 - time.time()) < 10
    assert done.stderr == "", "there is no terminal, so no progress"


@pytest.mark.root
def test_recording_the_machine_shows_the_callers_too(pid: int, tmp_path: Path) -> None:
    done = run("record", "-d", "2s", "-F", "199", "-o", str(tmp_path / "cpu.pb.gz"))

    assert done.returncode == 0, done.stderr
    names = {function.name for function in read(tmp_path / "cpu.pb.gz").functions}
    assert {"find_the_answer", "find_the_answer_caller", "main"} <= names
    assert pid


@pytest.mark.root
def test_standard_output_takes_the_profile_and_nothing_else(pid: int) -> None:
    done = subprocess.run([*COMMAND, "record", "-d", "1s", "-p", str(pid), "-o", "-"], capture_output=True, check=False, timeout=60)

    assert done.returncode == 0
    assert hottest(wire.decode(done.stdout)) == "find_the_answer"
    assert b"find_the_answer" in done.stderr


@contextmanager
def recording(pid: int, path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``record`` for a minute on a terminal; the block is entered when it says that it records."""
    master, slave = pty.openpty()
    command = [*COMMAND, "record", "-d", "60s", "-p", str(pid), "-o", str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave) as process:
        try:
            os.close(slave)
            said = b""
            while b"recording: 1s of 1m" not in said:
                said += os.read(master, 4096)
            yield process
        finally:
            process.kill()
            os.close(master)


@pytest.mark.root
def test_ctrl_c_ends_the_recording_early_and_writes_the_profile(pid: int, tmp_path: Path) -> None:
    with recording(pid, tmp_path / "cpu.pb.gz") as process:
        process.send_signal(signal.SIGINT)
        status = process.wait(30)

    assert status == 0
    assert hottest(read(tmp_path / "cpu.pb.gz")) == "find_the_answer"
    assert read(tmp_path / "cpu.pb.gz").duration_nanos < 30e9


@pytest.mark.root
def test_a_process_that_ends_ends_the_recording(pid: int, tmp_path: Path) -> None:
    with recording(pid, tmp_path / "cpu.pb.gz") as process:
        os.kill(pid, signal.SIGKILL)
        status = process.wait(30)

    assert status == 0
    assert read(tmp_path / "cpu.pb.gz").duration_nanos < 30e9


@pytest.mark.root
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("-e", "nosuch"), 4, "event syntax error: 'nosuch'"),
        (("-p", "4194304"), 1, "There is no process 4194304"),
        (("-o", "/no/such/cpu.pb.gz"), 1, "Choose another place with -o"),
    ],
)
def test_what_fails_is_told_with_a_status_of_its_own(pid: int, tmp_path: Path, arguments: tuple[str, ...], status: int, words: str) -> None:
    done = run("record", "-d", "1s", *arguments, cwd=tmp_path)

    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert pid


@pytest.mark.root
def test_a_process_that_sleeps_gives_no_samples(tmp_path: Path) -> None:
    require_perf()
    with subprocess.Popen(["sleep", "30"]) as sleeper:
        done = run("record", "-d", "1s", "-p", str(sleeper.pid), "-o", str(tmp_path / "cpu.pb.gz"))
        sleeper.kill()

    assert done.returncode == 5
    assert "recorded no sample" in done.stderr
    assert not (tmp_path / "cpu.pb.gz").exists()


AS_NOBODY = """
import os, sys
from perfprofile_agent.agent import cli, standalone
import encodings.idna, tempfile
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
sys.exit(cli.main(sys.argv[1:]))
"""


def as_nobody(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", AS_NOBODY, *arguments], capture_output=True, text=True, check=False, timeout=60, cwd="/")


@pytest.mark.root
def test_a_plain_user_is_told_what_keeps_him_from_recording_the_machine() -> None:
    require_perf()
    if int(Path("/proc/sys/kernel/perf_event_paranoid").read_text()) <= 0:
        pytest.skip("needs kernel.perf_event_paranoid above 0: sysctl kernel.perf_event_paranoid=2")

    done = as_nobody("record", "-d", "1s", "-o", "-")

    assert done.returncode == 3
    assert "kernel.perf_event_paranoid is" in done.stderr
    assert "-p PID" in done.stderr


@pytest.mark.root
def test_a_plain_user_may_record_his_own_processes(hot: Path) -> None:
    require_perf()
    if int(Path("/proc/sys/kernel/perf_event_paranoid").read_text()) > 2:
        pytest.skip("needs kernel.perf_event_paranoid of 2 or less: sysctl kernel.perf_event_paranoid=2")
    with burning(hot, uid=65534) as pid:
        done = as_nobody("record", "-d", "1s", "-p", str(pid), "-o", "/dev/null")

    assert done.returncode == 0, done.stderr
    assert "samples of cpu-clock" in done.stdout or "samples of cycles" in done.stdout


@pytest.mark.root
def test_a_perf_data_file_is_converted(pid: int, tmp_path: Path) -> None:
    data = tmp_path / "perf.data"
    subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-g", "-o", str(data), "-p", str(pid), "--", "sleep", "1"], check=True)

    done = run("convert", "-i", str(data), "-o", str(tmp_path / "cpu.pb.gz"))

    assert done.returncode == 0, done.stderr
    assert hottest(read(tmp_path / "cpu.pb.gz")) == "find_the_answer"


@pytest.mark.root
def test_a_pipe_from_perf_is_converted(pid: int, tmp_path: Path) -> None:
    perf = ["perf", "record", "-q", "-e", "cpu-clock", "-g", "-o", "-", "-p", str(pid), "--", "sleep", "1"]
    with subprocess.Popen(perf, stdout=subprocess.PIPE) as recording:
        done = run("convert", "-i", "-", "-o", str(tmp_path / "cpu.pb.gz"), stdin=recording.stdout)

    assert done.returncode == 0, done.stderr
    assert hottest(read(tmp_path / "cpu.pb.gz")) == "find_the_answer"


def test_what_is_no_perf_data_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "perf.data").write_bytes(b"root:x:0:0:root:/root:/bin/bash\n")

    assert main(["convert", "-i", str(tmp_path / "perf.data"), "-o", str(tmp_path / "out")]) == 1
    assert "perf.data" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_input_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "-i", str(tmp_path / "absent"), "-o", str(tmp_path / "out")]) == 1
    assert "No such file or directory" in capsys.readouterr().err

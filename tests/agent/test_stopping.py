"""Being told to stop."""

import signal
import subprocess
import sys
import threading
import time

from perfprofile_agent.agent.stopping import StopSignal

PROGRAM = """
import time
from perfprofile_agent.agent.stopping import StopSignal
stop = StopSignal.install()
print("ready", flush=True)
stop.sleep(60)
print(stop.requested, flush=True)
{afterwards}
"""


def test_a_sleeper_wakes_when_the_request_comes() -> None:
    stop = StopSignal()
    threading.Timer(0.05, stop.request).start()

    began = time.monotonic()
    stop.sleep(60)

    assert time.monotonic() - began < 10
    assert stop.requested


def test_a_request_that_came_before_the_sleep_ends_it_too() -> None:
    """It may come between the look whether one has come and the sleep."""
    stop = StopSignal()
    stop.request()

    began = time.monotonic()
    stop.sleep(60)

    assert time.monotonic() - began < 10


def test_each_request_ends_one_sleep_so_that_retries_do_not_spin() -> None:
    stop = StopSignal()
    stop.request()
    stop.sleep(60)

    began = time.monotonic()
    stop.sleep(0.1)

    assert time.monotonic() - began >= 0.1


def test_the_first_request_counts() -> None:
    now = [5.0]
    stop = StopSignal(lambda: now[0])
    stop.request()
    now[0] = 9.0
    stop.request()

    assert stop.at == 5.0


def run_and_send(number: signal.Signals, *, afterwards: str = "", again: bool = False) -> tuple[int, str]:
    with subprocess.Popen([sys.executable, "-c", PROGRAM.format(afterwards=afterwards)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        said = process.stdout.readline()
        if again:
            process.send_signal(number)
        return process.wait(20), said


def test_sigterm_and_sigint_are_requests() -> None:
    assert run_and_send(signal.SIGTERM) == (0, "True\n")
    assert run_and_send(signal.SIGINT) == (0, "True\n")


def test_a_second_ctrl_c_ends_the_program_at_once() -> None:
    status, _ = run_and_send(signal.SIGINT, afterwards="time.sleep(60)", again=True)

    assert status == -signal.SIGINT

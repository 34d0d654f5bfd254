"""Reports while perf records."""

import threading
import time

from perfprofile_agent.agent.heartbeat import Heartbeat
from perfprofile_agent.sinks.errors import RunOver, SinkError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def until(condition) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never came to be")


def test_it_reports_at_once_and_again() -> None:
    sent = threading.Semaphore(0)

    with Heartbeat(sent.release, interval=0.01, unreachable_limit=60) as heartbeat:
        heartbeat.start()

        assert all(sent.acquire(timeout=5) for _ in range(3))


def test_nothing_is_sent_before_the_start_nor_after_the_end() -> None:
    sent: list[float] = []
    with Heartbeat(lambda: sent.append(time.monotonic()), interval=0.01, unreachable_limit=60):
        pass
    assert sent == []

    with Heartbeat(lambda: sent.append(time.monotonic()), interval=0.001, unreachable_limit=60) as heartbeat:
        heartbeat.start()
        until(lambda: sent)
    count = len(sent)
    time.sleep(0.05)
    assert len(sent) == count


def test_a_run_that_is_over_is_noticed_and_ends_it() -> None:
    calls: list[int] = []

    def send() -> None:
        calls.append(1)
        raise RunOver("410")

    with Heartbeat(send, interval=0.001, unreachable_limit=60) as heartbeat:
        heartbeat.start()
        until(lambda: heartbeat.over)

    assert len(calls) == 1


def test_a_gateway_that_stays_silent_beyond_the_limit_is_unreachable() -> None:
    clock = Clock()

    def send() -> None:
        raise SinkError("connection refused", retryable=True, unreachable=True)

    with Heartbeat(send, interval=0.001, unreachable_limit=60, clock=clock) as heartbeat:
        heartbeat.start()
        clock.now = 59
        assert not heartbeat.unreachable
        clock.now = 61
        assert heartbeat.unreachable


def test_a_gateway_that_answers_with_errors_is_reachable() -> None:
    clock = Clock()
    calls: list[int] = []

    def send() -> None:
        calls.append(1)
        raise SinkError("503", retryable=True)

    with Heartbeat(send, interval=0.001, unreachable_limit=60, clock=clock) as heartbeat:
        heartbeat.start()
        clock.now = 61
        count = len(calls)
        until(lambda: len(calls) > count + 1)

        assert not heartbeat.unreachable

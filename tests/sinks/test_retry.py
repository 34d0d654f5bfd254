"""Trying again, with a clock of its own."""

import pytest

from perfprofile_agent.sinks.errors import SinkError
from perfprofile_agent.sinks.retry import Backoff, keep_trying


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def failing(times: int, *, retryable: bool = True, retry_after: float | None = None):
    left = [times]

    def operation() -> str:
        if left[0]:
            left[0] -= 1
            raise SinkError("no", retryable=retryable, retry_after=retry_after)
        return "done"

    return operation


def trying(time: Time, operation, until: float = 1000.0, luck: float = 1.0) -> str:
    backoff = Backoff(first=1, longest=8, random=lambda: luck)
    return keep_trying(operation, until=lambda: until, backoff=backoff, clock=time.clock, sleep=time.sleep)


def test_waits_double_up_to_the_longest() -> None:
    time = Time()

    assert trying(time, failing(6)) == "done"
    assert time.slept == [1, 2, 4, 8, 8, 8]


def test_full_jitter_may_wait_not_at_all() -> None:
    time = Time()

    trying(time, failing(3), luck=0.0)

    assert time.slept == [0, 0, 0]


def test_retry_after_wins_and_is_spread() -> None:
    time = Time()

    trying(time, failing(2, retry_after=30), luck=0.5)

    assert time.slept == [31.5, 31.5]


def test_an_absurd_retry_after_is_cut() -> None:
    assert Backoff(random=lambda: 0.0).delay(1, 1e9) == 120


def test_what_cannot_succeed_is_not_tried_again() -> None:
    time = Time()

    with pytest.raises(SinkError):
        trying(time, failing(1, retryable=False))

    assert time.slept == []


def test_it_gives_up_when_the_next_try_would_come_too_late() -> None:
    time = Time()

    with pytest.raises(SinkError):
        trying(time, failing(100), until=10)

    assert time.now <= 10


def test_endless_failure_overflows_nothing() -> None:
    assert Backoff(first=1, longest=8, random=lambda: 1.0).delay(10_000) == 8

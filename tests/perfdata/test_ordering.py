"""Rounds: what the end of a round makes final, and what bounds the memory without any."""

from hypothesis import given
from hypothesis import strategies as st

from perfprofile_agent.perfdata.ordering import Rounds
from perfprofile_agent.perfdata.records import Record, Throttle
from support.steady import steady


def times(records: list[Record]) -> list[int]:
    return [record[0] for record in records]


def test_a_round_makes_final_what_the_round_before_had_seen() -> None:
    """The picture in the module's docstring."""
    rounds = Rounds()
    out = []
    for in_round in ([10, 20, 15, 25], [40, 50, 35, 55], [70, 80, 60, 90]):
        rounds.pending += [Throttle(time) for time in in_round]
        out.append(times(rounds.finished_round()))

    assert out == [[], [10, 15, 20, 25], [35, 40, 50, 55]]
    assert times(rounds.flush()) == [60, 70, 80, 90]


def test_equal_times_keep_the_order_of_the_file() -> None:
    rounds = Rounds()
    records = [Throttle(5), Throttle(5), Throttle(4)]
    rounds.pending += records

    out = rounds.flush()

    assert [id(record) for record in out] == [id(records[2]), id(records[0]), id(records[1])]


def test_past_the_limit_the_older_half_goes() -> None:
    rounds = Rounds(limit=4)
    rounds.pending += [Throttle(time) for time in (5, 4, 3, 2, 1, 0)]

    assert times(rounds.relieve()) == [0, 1, 2]
    assert rounds.forced == 1
    assert times(rounds.relieve()) == []
    assert times(rounds.flush()) == [3, 4, 5]


@steady
@given(st.lists(st.lists(st.lists(st.integers(0, 30), max_size=5), min_size=2, max_size=3), max_size=6))
def test_streams_with_honest_rounds_come_out_sorted(offsets: list[list[list[int]]]) -> None:
    """Round n of each CPU delivers times after those of its round n - 1: within [100 n, 100 n + 100 + what the CPU was read later)."""
    rounds = Rounds()
    out: list[Record] = []
    for number, cpus in enumerate(offsets):
        for cpu, delays in enumerate(cpus):
            rounds.pending += [Throttle(100 * number + 50 * cpu + delay) for delay in sorted(delays)]
        out += rounds.finished_round()
    out += rounds.flush()

    assert times(out) == sorted(times(out))
    assert len(out) == sum(len(delays) for cpus in offsets for delays in cpus)

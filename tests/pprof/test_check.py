"""What makes a profile invalid, one rule at a time; texts and tables of valid ones."""

import pytest

from perfprofile_agent.pprof.check import check
from perfprofile_agent.pprof.errors import ProfileError
from perfprofile_agent.pprof.model import Function, Label, Line, Location, Mapping, Profile, Sample, ValueType
from perfprofile_agent.pprof.text import text
from perfprofile_agent.pprof.top import amount, table, top

COUNT = ValueType("samples", "count")
CPU = ValueType("cpu", "nanoseconds")
GOOD = Profile(
    sample_types=(COUNT, CPU),
    samples=(
        Sample((0, 1, 2), (3, 3_000_000), (Label("pod", "web"),)),
        Sample((1, 2, 1), (1, 1_000_000), (Label("pid", number=7, unit="id"),)),
        Sample((3,), (2, 2_000_000)),
        Sample((), (1, 0)),
    ),
    mappings=(Mapping(0x1000, 0x2000, 0, "/app", "aa", has_functions=True, has_filenames=True, has_line_numbers=True),),
    locations=(
        Location(0, 0x1010, (Line(0, 5), Line(1, 9))),
        Location(0, 0x1020, (Line(1),)),
        Location(0, 0x1030, (Line(2),)),
        Location(-1, 0),
    ),
    functions=(Function("inlined"), Function("work"), Function("main")),
    default_sample_type="cpu",
    time_nanos=5,
    duration_nanos=6,
    period_type=CPU,
    period=7,
    comments=("a remark",),
)


def test_a_good_profile_is_good() -> None:
    check(GOOD)
    check(Profile(()))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sample_types": ()}, "no sample types"),
        ({"sample_types": (CPU, CPU)}, "one name"),
        ({"default_sample_type": "wall"}, "none of"),
        ({"samples": (Sample((0,), (1,)),)}, "1 values for 2"),
        ({"samples": (Sample((4,), (1, 1)),)}, "there are 4"),
        ({"samples": (Sample((-1,), (1, 1)),)}, "there are 4"),
        ({"mappings": ()}, "mapping 0"),
        ({"functions": ()}, "function 0"),
        ({"locations": (Location(-2, 1),) * 4}, "mapping -2"),
        ({"locations": (Location(0, 1, (Line(-1),)),) * 4}, "function -1"),
    ],
)
def test_each_rule_has_its_message(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ProfileError, match=problem):
        check(GOOD._replace(**changes))


def test_the_hottest_functions_come_first_and_recursion_counts_once() -> None:
    found = top(GOOD)

    assert found.total == 6_000_000
    assert [tuple(row) for row in found.rows] == [
        ("inlined", 3_000_000, 3_000_000),
        ("[unknown]", 2_000_000, 2_000_000),
        ("work", 1_000_000, 4_000_000),
        ("main", 0, 4_000_000),
    ]


def test_other_numbers_are_asked_for_by_name() -> None:
    assert [row.flat for row in top(GOOD, sample_type="samples", limit=2).rows] == [3, 2]
    with pytest.raises(ProfileError, match="wall"):
        top(GOOD, sample_type="wall")
    assert top(GOOD._replace(default_sample_type="")).sample_type == CPU


def test_the_table_tells_shares() -> None:
    assert table(top(GOOD, limit=1)) == (
        "Type: cpu (nanoseconds)\n"
        "Showing 1 functions with 3.00ms, 50.00% of 6.00ms\n"
        "        flat   flat%          cum    cum%  function\n"
        "      3.00ms  50.00%       3.00ms  50.00%  inlined\n"
    )
    assert "0.00%" in table(top(GOOD._replace(samples=())))


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (5, "count", "5"),
        (0, "nanoseconds", "0ns"),
        (999, "nanoseconds", "999ns"),
        (1_500, "nanoseconds", "1.50us"),
        (90 * 10**9, "nanoseconds", "1.50min"),
    ],
)
def test_amounts_are_for_people(value: int, unit: str, expected: str) -> None:
    assert expected == amount(value, unit)


def test_the_text_says_everything_once() -> None:
    assert text(GOOD) == (
        "Comment: a remark\n"
        "Period: 7 cpu/nanoseconds\n"
        "Time: 5\n"
        "Duration: 6\n"
        "Types: samples/count cpu/nanoseconds[dflt]\n"
        "Samples:\n"
        "1 0: \n"
        "1 1000000: work (/app@0x1020); main (/app@0x1030); work (/app@0x1020) {pid=7id}\n"
        "2 2000000: ? (@0x0)\n"
        "3 3000000: inlined:5<work:9 (/app@0x1010); work (/app@0x1020); main (/app@0x1030) {pod=web}\n"
        "Mappings:\n"
        "0x1000/0x2000/0x0 /app aa [FN][FL][LN]\n"
    )

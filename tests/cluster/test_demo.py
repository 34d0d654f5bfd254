"""What the demo prints."""

import subprocess
import sys
from pathlib import Path

from cluster import demo

TABLE = """Type: cpu (nanoseconds)
Showing 12 functions
        flat   flat%          cum    cum%  function
""" + "\n".join([*(f"  {9 - n}ms  9%  9ms  9%  interpreter_{n}" for n in range(9)), "  0ns  0%  9ms  99%  py::price_basket:checkout"])


def test_the_table_keeps_the_hottest_functions_and_the_programs_own():
    heading, *rows = demo.hottest(TABLE, own="py::")

    assert heading.split() == ["flat", "flat%", "cum", "cum%", "function"]
    assert [row.split()[-1] for row in rows] == [*(f"interpreter_{n}" for n in range(8)), "…", "py::price_basket:checkout"]


def test_a_table_whose_hottest_functions_are_the_programs_own_is_not_continued():
    assert demo.hottest(TABLE, own="nothing")[-1].split()[-1] == "interpreter_7"


def test_progress_tells_phase_nodes_and_samples():
    run = {"status": {"phase": "Collecting", "nodes": {"desired": 3, "recording": 1, "succeeded": 2}, "samples": {"shown": 117}}}

    assert demo.progress(run) == "Collecting; of 3 nodes: 1 recording, 2 succeeded; 117 samples"
    assert demo.progress({}) == "not seen by the operator yet; of 0 nodes: none reported"


def test_without_root_it_says_so_at_once_and_shows_what_can_be_had():
    """In a process of its own, which calls itself an ordinary user."""
    program = (
        "import os; os.geteuid = lambda: 1000; from cluster.__main__ import main; import sys; sys.argv[1:] = ['demo']; sys.exit(main())"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[1], env={"PATH": ""}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "sudo make demo" in done.stderr
    assert "perfprofile-agent record" in done.stderr

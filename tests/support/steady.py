"""How Hypothesis runs here: without a deadline, because the machine may be busy, and short enough for every run of the tests."""

from hypothesis import settings

steady = settings(deadline=None, max_examples=60)

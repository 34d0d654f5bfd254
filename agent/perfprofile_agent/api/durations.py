"""Durations as Kubernetes writes them: ``30s``, ``2m``, ``1h30m``, ``500ms`` (a subset of Go's time.ParseDuration)."""

import re
from typing import Final

PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
"""What the CRD schemas accept; the same grammar as :func:`parse_duration`."""

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_WHOLE = re.compile(PATTERN)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Give the seconds that ``text`` stands for.

    Raises:
        ValueError: ``text`` is not a duration; the message says what one looks like.
    """
    if not _WHOLE.match(text):
        raise ValueError(f"{text!r} is not a duration: write a number and a unit (ms, s, m, h), for example 30s or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def format_duration(seconds: float) -> str:
    """Give the shortest whole-unit form of ``seconds``: 90 -> ``1m30s``, 0.5 -> ``500ms``."""
    milliseconds = round(seconds * 1000)
    if milliseconds % 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{value}{unit}" for value, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if value]
    return "".join(parts) or "0s"

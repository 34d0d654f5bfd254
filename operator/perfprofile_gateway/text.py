"""Text from agents and containers, made fit to be shown: in a terminal, a status, a log."""

import re
from typing import Final

_UNSHOWABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline (terminals obey them), and marks that turn the direction of text (they disguise it)."""


def showable(text: str) -> str:
    """Replace what a terminal would obey rather than show."""
    return _UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str, limit: int) -> str:
    """Give at most ``limit`` characters of a text, on one line."""
    flat = " ".join(showable(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"

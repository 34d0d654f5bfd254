"""What workers make of stored profiles: merged profiles, pages, tables. Each job reads files and writes one, whole or not at all."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfprofile_agent.pprof import wire
from perfprofile_agent.pprof.merge import merge
from perfprofile_agent.pprof.model import Profile
from perfprofile_agent.pprof.top import table, top
from perfprofile_gateway import flamegraph
from perfprofile_gateway.flamegraph import Facts
from perfprofile_gateway.text import showable

_BATCH: Final = 16
"""Profiles in memory at a time, beside the sum so far: a run may have thousands."""


def merge_profiles(sources: Sequence[str], *, max_bytes: int, destination: str) -> None:
    """Write the sum of the profiles of these files."""
    total: list[Profile] = []
    for start in range(0, len(sources), _BATCH):
        parts = [wire.decode(Path(source).read_bytes(), max_bytes=max_bytes) for source in sources[start : start + _BATCH]]
        total = [merge([*total, *parts])]
    _write(destination, wire.encode(total[0]))


def render_flamegraph(source: str, facts: Facts, *, max_bytes: int, destination: str) -> None:
    """Write the page of a profile."""
    _write(destination, flamegraph.page(_read(source, max_bytes), facts).encode())


def render_top(source: str, count: int, *, max_bytes: int, destination: str) -> None:
    """Write the table of a profile's hottest functions."""
    _write(destination, showable(table(top(_read(source, max_bytes), limit=count))).encode())


def _read(source: str, max_bytes: int) -> Profile:
    # A merged profile holds many nodes' symbols; each of them has passed the bound, the worker's memory is the bound of their sum.
    return wire.decode(Path(source).read_bytes(), max_bytes=max_bytes * _BATCH)


def _write(destination: str, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=Path(destination).parent, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(destination)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

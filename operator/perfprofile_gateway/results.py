"""A run's results: its nodes' profiles merged, as pprof, page or table; made once for each set of profiles, kept as files.

The name of a derived file is a digest of everything it was made from, so it never goes stale: a new node's profile makes a new name. The
files may be deleted at any time; the oldest are, when there are many.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from perfprofile_agent.pprof.errors import ProfileError
from perfprofile_gateway.errors import Refusal
from perfprofile_gateway.flamegraph import Facts
from perfprofile_gateway.rendering import merge_profiles, render_flamegraph, render_top
from perfprofile_gateway.store.files import ProfileFiles
from perfprofile_gateway.store.rows import HeldProfile
from perfprofile_gateway.workers import Workers

_GENERATION: Final = "1"
"""Goes into every name: raise it when merging or rendering changes, so that files of an older version aren't served."""
_MAX_FILES: Final = 300


class Results:
    """Makes and keeps derived files."""

    def __init__(self, files: ProfileFiles, workers: Workers, *, max_bytes: int) -> None:
        self._files, self._workers, self._max_bytes = files, workers, max_bytes
        self._making: dict[str, asyncio.Task[Path]] = {}

    async def profile(self, held: Sequence[HeldProfile]) -> Path:
        """Give the file of a run's merged profile (gzipped pprof); ``held`` has at least one.

        Raises:
            Refusal: 429 or 503, the workers can't.
        """
        if len(held) == 1:
            return self._files.absolute(held[0].path)
        sources = [str(self._files.absolute(one.path)) for one in held]
        return await self._derived(_digest(*_hashes(held)), ".pb.gz", merge_profiles, sources)

    async def flamegraph(self, held: Sequence[HeldProfile], facts: Facts) -> Path:
        """Give the file of a run's page.

        Raises:
            Refusal: 429 or 503, the workers can't.
        """
        profile = await self.profile(held)
        return await self._derived(_digest(*_hashes(held), repr(facts)), ".html", render_flamegraph, str(profile), facts)

    async def top(self, held: Sequence[HeldProfile], count: int) -> Path:
        """Give the file of a run's table of hottest functions.

        Raises:
            Refusal: 429 or 503, the workers can't.
        """
        profile = await self.profile(held)
        return await self._derived(_digest(*_hashes(held), str(count)), ".txt", render_top, str(profile), count)

    async def _derived(self, digest: str, suffix: str, job: Callable[..., None], *arguments: Any) -> Path:
        path = self._files.derived / f"{digest}{suffix}"
        if await asyncio.to_thread(_touch, path):
            return path
        task = self._making.get(path.name)
        if task is None:
            task = self._making[path.name] = asyncio.create_task(self._make(path, job, *arguments))
            task.add_done_callback(lambda _: self._making.pop(path.name, None))
        return await asyncio.shield(task)

    async def _make(self, path: Path, job: Callable[..., None], *arguments: Any) -> Path:
        try:
            await self._workers.run(job, *arguments, max_bytes=self._max_bytes, destination=str(path))
        except ProfileError as error:
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, f"The nodes' profiles can't be put together: {error}.") from error
        await asyncio.to_thread(_evict, path.parent)
        return path


def _hashes(held: Sequence[HeldProfile]) -> list[str]:
    return sorted(one.sha256 for one in held)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join((_GENERATION, *parts)).encode()).hexdigest()


def _touch(path: Path) -> bool:
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _evict(directory: Path) -> None:
    files = sorted(directory.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[_MAX_FILES:]:
        file.unlink(missing_ok=True)

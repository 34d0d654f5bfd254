"""Finished profiles on the local disk until they are delivered, so that a restart of the agent loses nothing.

Bounded: when it is full, the oldest entries give way, and are counted. Each entry is a file, written whole or not at all.
"""

import re
from pathlib import Path

from perfprofile_agent.sinks.errors import SpoolError
from perfprofile_agent.sinks.file import write_whole

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
_MODE = 0o600


class Spool:
    """A directory of entries, oldest first."""

    def __init__(self, directory: Path, *, max_bytes: int) -> None:
        """Use ``directory``, which must exist, for entries of ``max_bytes`` in sum."""
        self._directory = directory
        self._max_bytes = max_bytes
        self.dropped = 0
        """How many entries gave way to newer ones since the start."""

    def put(self, name: str, data: bytes) -> None:
        """Keep ``data`` under ``name``, in place of what was kept there; older entries give way if needed.

        Raises:
            SpoolError: it is larger than the whole spool, or the disk is full or broken.
        """
        path = self._path(name)
        if len(data) > self._max_bytes:
            raise SpoolError(f"{name} has {len(data)} bytes, the spool takes {self._max_bytes}. Give the agents a larger spool.")
        try:
            self._make_room(len(data), besides=path)
            write_whole(path, data, mode=_MODE)
        except OSError as error:
            raise SpoolError(f"Could not write to the spool {self._directory}: {error}. Check its volume and size limit.") from error

    def get(self, name: str) -> bytes | None:
        """Give what is kept under ``name``; None if nothing is, or if it can't be read."""
        try:
            return self._path(name).read_bytes()
        except OSError:
            return None

    def remove(self, name: str) -> None:
        """Forget ``name``; it needn't be there.

        Raises:
            SpoolError: the disk is broken.
        """
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise SpoolError(f"Could not remove {name} from the spool: {error}. Check its volume.") from error

    def names(self) -> list[str]:
        """Give the names of all entries, oldest first."""
        return [path.name for path in self._entries()]

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise SpoolError(f"{name!r} is not a name for a spool entry. Report this.")
        return self._directory / name

    def _entries(self) -> list[Path]:
        found = [path for path in self._directory.iterdir() if _NAME.fullmatch(path.name) and path.is_file()]
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def _make_room(self, wanted: int, *, besides: Path) -> None:
        others = [path for path in self._entries() if path != besides]
        used = sum(path.stat().st_size for path in others)
        for path in others:
            if used + wanted <= self._max_bytes:
                return
            used -= path.stat().st_size
            path.unlink(missing_ok=True)
            self.dropped += 1

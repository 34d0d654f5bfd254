"""Profile files: written beside their final place, synced, then renamed into it.

Layout below the data directory::

    incoming/   uploads that are being received or checked; emptied at start
    profiles/   <run uid>/<digest of the node>-<window>-<sha256>.pb.gz
    derived/    merged profiles and pages, by content; may be deleted at any time
"""

import hashlib
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from perfprofile_gateway.errors import StoreError
from perfprofile_gateway.store.rows import WindowKey

_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


class ProfileFiles:
    """The files of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir
        self._incoming = data_dir / "incoming"
        self._profiles = data_dir / "profiles"
        self.derived = data_dir / "derived"
        # A sweep must not take a file that a retried upload has just put in the place of an old orphan.
        self._moving = threading.Lock()

    def prepare(self) -> None:
        """Make the directories, and drop what an earlier process was still receiving; only for the one who holds the lock.

        Raises:
            StoreError: the directory can't be written.
        """
        try:
            shutil.rmtree(self._incoming, ignore_errors=True)
            for directory in (self._incoming, self._profiles, self.derived):
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"Could not prepare {self._root}: {error}. Check the volume and its owner.") from error

    def open_incoming(self) -> tuple[Path, BinaryIO]:
        """Open a new temporary file; the caller closes it, and adopts or discards it."""
        descriptor, name = tempfile.mkstemp(dir=self._incoming, suffix=".part")
        return Path(name), os.fdopen(descriptor, "wb")

    @staticmethod
    def discard(incoming: Path) -> None:
        """Remove a temporary file, if it is still there."""
        incoming.unlink(missing_ok=True)

    def place(self, key: WindowKey, sha256: str) -> str:
        """Give the path, relative to the profiles' directory, at which a profile with this content belongs.

        Raises:
            StoreError: the run's uid can't be part of a path.
        """
        if not _UID.fullmatch(key.run_uid):
            raise StoreError(f"The run's uid {key.run_uid!r} is not one that Kubernetes makes.")
        node = hashlib.sha256(key.node.encode()).hexdigest()[:16]
        return f"{key.run_uid}/{node}-{key.window}-{sha256}.pb.gz"

    def adopt(self, incoming: Path, path: str) -> None:
        """Move a received file, synced, to its final place; the same content may be there already."""
        final = self._profiles / path
        with incoming.open("rb") as file:
            os.fsync(file.fileno())
        if not final.parent.is_dir():
            final.parent.mkdir(exist_ok=True)
            _sync_directory(self._profiles)
        with self._moving:
            incoming.replace(final)
        _sync_directory(final.parent)

    def absolute(self, path: str) -> Path:
        """Give where the file of a row is."""
        return self._profiles / path

    def remove_run(self, run_uid: str) -> None:
        """Remove all files of a run whose rows are gone."""
        if _UID.fullmatch(run_uid):
            shutil.rmtree(self._profiles / run_uid, ignore_errors=True)

    def sweep(self, wanted: Iterable[str], *, older_than: float) -> int:
        """Remove files that no row names and that are older than so many seconds (younger ones may get their row yet); give how many."""
        keep, removed, limit = set(wanted), 0, time.time() - older_than
        for file in self._profiles.glob("*/*"):
            if str(file.relative_to(self._profiles)) in keep:
                continue
            with self._moving:
                if file.stat().st_mtime < limit:
                    file.unlink(missing_ok=True)
                    removed += 1
        return removed

    def used_ratio(self) -> float:
        """Give how full the disk is, from 0 to 1, as an unprivileged writer sees it."""
        disk = os.statvfs(self._profiles)
        return 1 - disk.f_bavail / disk.f_blocks if disk.f_blocks else 0.0


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

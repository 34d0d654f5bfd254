"""The store as the rest of the gateway uses it: awaitable reads and writes, and the files."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine

from perfprofile_gateway.store import rows
from perfprofile_gateway.store.database import lock, open_engine
from perfprofile_gateway.store.files import ProfileFiles
from perfprofile_gateway.store.rows import HeldProfile, Kept, RunKey, WindowKey
from perfprofile_gateway.store.writer import Writer

T = TypeVar("T")

_ORPHAN_AGE_SECONDS = 600.0
"""A file without a row is rubbish after this long; the row follows its file within a second."""


class Store:
    """One data directory, open."""

    def __init__(self, engine: Engine, files: ProfileFiles, locked: int) -> None:
        self.files = files
        self._engine = engine
        self._writer = Writer(engine)
        self._locked = locked

    @classmethod
    def open(cls, data_dir: Path) -> "Store | None":
        """Open a data directory; None where another gateway has it open.

        Raises:
            StoreError: it can't be used.
        """
        locked = lock(data_dir)
        if locked is None:
            return None
        files = ProfileFiles(data_dir)
        files.prepare()
        return cls(open_engine(data_dir), files, locked)

    def close(self) -> None:
        """Commit what waits and let go of the directory."""
        self._writer.close()
        self._engine.dispose()
        os.close(self._locked)

    async def write(self, apply: Callable[[Connection], T]) -> T:
        """Run a write; when this returns, it is on disk."""
        return await asyncio.wrap_future(self._writer.submit(apply))

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a read in a thread, on a connection of its own."""
        return await asyncio.to_thread(self.read_now, query)

    def read_now(self, query: Callable[[Connection], T]) -> T:
        """Run a read in this thread."""
        with self._engine.begin() as connection:
            return query(connection)

    async def keep_profile(self, run: RunKey, key: WindowKey, incoming: Path, *, sha256: str, size: int) -> Kept:
        """Keep a received and checked file as the profile of a window: first the file, then its row.

        Raises:
            StoreError: the key can't name a file.
        """
        path = self.files.place(key, sha256)
        await asyncio.to_thread(self.files.adopt, incoming, path)
        held = HeldProfile(key.node, key.window, sha256, size, path)
        return await self.write(lambda connection: rows.keep_profile(connection, run, key, held, now=time.time()))

    async def forget(self, run_uid: str) -> None:
        """Delete a run: first its rows, then its files, which without rows are rubbish anyway."""
        await self.write(lambda connection: rows.forget(connection, run_uid))
        await asyncio.to_thread(self.files.remove_run, run_uid)

    async def sweep(self) -> int:
        """Remove files that no row names; give how many."""
        return await asyncio.to_thread(lambda: self.files.sweep(self.read_now(rows.paths), older_than=_ORPHAN_AGE_SECONDS))

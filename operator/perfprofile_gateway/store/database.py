"""Opening the database: SQLite with a write-ahead log, durable at every commit, and locked to one gateway."""

import fcntl
import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, select
from sqlalchemy.exc import SQLAlchemyError

from perfprofile_gateway.errors import StoreError
from perfprofile_gateway.store import schema


def open_engine(data_dir: Path) -> Engine:
    """Open (and make, where absent) the database of a data directory.

    Raises:
        StoreError: it can't be opened, or a newer version wrote it.
    """
    file = data_dir / "gateway.db"
    engine = create_engine(f"sqlite:///{file}")
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            schema.metadata.create_all(connection)
            found = connection.execute(select(schema.versions.c.version)).scalar()
            if found is None:
                connection.execute(insert(schema.versions).values(version=schema.VERSION))
    except SQLAlchemyError as error:
        raise StoreError(f"Could not open {file}: {error}. Check the volume; the file may be restored from a backup.") from error
    if found is not None and found > schema.VERSION:
        raise StoreError(f"{file} has version {found}, this gateway knows {schema.VERSION}: install the newer gateway again.")
    return engine


def lock(data_dir: Path) -> int | None:
    """Take the data directory for this process until it ends; None where another gateway has it.

    Raises:
        StoreError: the directory can't be made or written.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"Could not open {data_dir}: {error}. Check the volume and its owner (fsGroup).") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _configure(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where _begin says so, not where the driver guesses
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")

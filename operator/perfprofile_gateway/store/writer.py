"""The one writer: a thread that commits waiting writes together.

SQLite has one writer at a time, and a commit costs an fsync. So all writes pass through this thread, which takes whatever waits, runs
each in its own savepoint (one that fails takes no other down), commits once, and only then tells the callers::

    write ┐
    write ┼─> queue ─> [savepoint, savepoint, …] ─> COMMIT ─> futures resolve
    write ┘
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine

from perfprofile_gateway.errors import StoreError

T = TypeVar("T")

_BATCH: Final = 256
"""Writes in one transaction, at most: bounds how long the first of them waits."""


class _Write(NamedTuple):
    apply: Callable[[Connection], Any]
    done: "Future[Any]"


class Writer:
    """Runs writes one after another, committed in groups."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: SimpleQueue[_Write | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, apply: Callable[[Connection], T]) -> "Future[T]":
        """Queue a write; the future resolves after the commit, with what ``apply`` gave or raised."""
        done: Future[T] = Future()
        if self._closed:
            done.set_exception(StoreError("The store is closed: the gateway is shutting down."))
        else:
            self._waiting.put(_Write(apply, done))
        return done

    def close(self) -> None:
        """Commit what waits, then stop."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        stop = False
        while not stop:
            batch, stop = self._next_batch()
            if batch:
                self._commit(batch)

    def _next_batch(self) -> tuple[list[_Write], bool]:
        batch: list[_Write] = []
        write = self._waiting.get()
        while write is not None:
            batch.append(write)
            if len(batch) == _BATCH:
                return batch, False
            try:
                write = self._waiting.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: list[_Write]) -> None:
        outcomes: list[tuple[_Write, Any, BaseException | None]] = []
        try:
            with self._engine.begin() as connection:
                outcomes = [(write, *_attempt(connection, write)) for write in batch]
        except Exception as error:  # noqa: BLE001 - whatever kept the transaction from being committed belongs to every caller in it
            outcomes = [(write, None, error) for write in batch]
        for write, result, failure in outcomes:
            if not write.done.set_running_or_notify_cancel():
                continue
            if failure is None:
                write.done.set_result(result)
            else:
                write.done.set_exception(failure)


def _attempt(connection: Connection, write: _Write) -> tuple[Any, BaseException | None]:
    try:
        with connection.begin_nested():
            return write.apply(connection), None
    except Exception as error:  # noqa: BLE001 - the caller gets it through its future; the other writes go on
        return None, error

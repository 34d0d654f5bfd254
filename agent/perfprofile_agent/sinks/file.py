"""Delivery into a file, or to a stream such as standard output."""

import os
import tempfile
from pathlib import Path
from typing import BinaryIO, Final

from perfprofile_agent.sinks.base import ProfileMeta, Receipt, digest
from perfprofile_agent.sinks.errors import SinkError

_MODE: Final = 0o644


class FileSink:
    """Writes a profile to ``path``, whole or not at all; what stood there before is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, profile: bytes, meta: ProfileMeta) -> Receipt:  # noqa: ARG002 - the path says it all
        """Write ``profile``.

        Raises:
            SinkError: the file can't be written.
        """
        try:
            if self._path.exists() and not self._path.is_file():  # /dev/null, a named pipe: nothing to replace
                self._path.write_bytes(profile)
            else:
                write_whole(self._path, profile, mode=_MODE)
        except OSError as error:
            raise SinkError(f"Could not write {self._path}: {error.strerror}. Choose another place with -o.", retryable=False) from error
        return Receipt(str(self._path), len(profile), digest(profile))


class StreamSink:
    """Writes a profile to an open stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def deliver(self, profile: bytes, meta: ProfileMeta) -> Receipt:  # noqa: ARG002 - a stream has no name for it
        """Write ``profile``.

        Raises:
            SinkError: the reader is gone.
        """
        try:
            self._stream.write(profile)
            self._stream.flush()
        except OSError as error:
            raise SinkError(f"Could not write the profile: {error.strerror}. Check what reads it.", retryable=False) from error
        return Receipt("-", len(profile), digest(profile))


def write_whole(path: Path, data: bytes, *, mode: int) -> None:
    """Write ``data`` to ``path`` so that a reader, or a crash, sees all of it or nothing: temporary file, fsync, rename.

    Raises:
        OSError: it can't be written; nothing is left behind.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

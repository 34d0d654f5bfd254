"""Profiles in files."""

import io
from pathlib import Path

import pytest

from perfprofile_agent.sinks.base import ProfileMeta, digest
from perfprofile_agent.sinks.errors import SinkError
from perfprofile_agent.sinks.file import FileSink, StreamSink


def test_a_profile_is_written_and_receipted(tmp_path: Path) -> None:
    path = tmp_path / "cpu.pb.gz"

    receipt = FileSink(path).deliver(b"profile", ProfileMeta())

    assert path.read_bytes() == b"profile"
    assert (receipt.where, receipt.size, receipt.sha256) == (str(path), 7, digest(b"profile"))
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_stood_there_is_replaced_and_nothing_is_left_beside(tmp_path: Path) -> None:
    path = tmp_path / "cpu.pb.gz"
    path.write_bytes(b"old")

    FileSink(path).deliver(b"new", ProfileMeta())

    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"new"


def test_a_missing_directory_is_told_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"No such file or directory. Choose another place with -o\."):
        FileSink(tmp_path / "absent/cpu.pb.gz").deliver(b"", ProfileMeta())


def test_a_device_is_written_to_not_replaced() -> None:
    FileSink(Path("/dev/null")).deliver(b"profile", ProfileMeta())

    assert Path("/dev/null").is_char_device()


def test_a_stream_takes_the_bytes() -> None:
    stream = io.BytesIO()

    StreamSink(stream).deliver(b"profile", ProfileMeta())

    assert stream.getvalue() == b"profile"

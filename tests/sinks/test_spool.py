"""The spool: bounded, whole entries, oldest first."""

import os
from pathlib import Path

import pytest

from perfprofile_agent.sinks.errors import SpoolError
from perfprofile_agent.sinks.spool import Spool


def aged(spool: Spool, directory: Path, *names: str) -> None:
    """Put entries of 10 bytes, each a second younger than the one before."""
    for age, name in enumerate(names):
        spool.put(name, b"x" * 10)
        os.utime(directory / name, (1000 + age, 1000 + age))


def test_what_was_put_is_given_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=100)

    spool.put("run-0.pb.gz", b"profile")

    assert spool.get("run-0.pb.gz") == b"profile"
    assert spool.names() == ["run-0.pb.gz"]


def test_another_spool_on_the_same_directory_finds_it(tmp_path: Path) -> None:
    Spool(tmp_path, max_bytes=100).put("run-0.pb.gz", b"profile")

    assert Spool(tmp_path, max_bytes=100).get("run-0.pb.gz") == b"profile"


def test_the_oldest_give_way_and_are_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=30)
    aged(spool, tmp_path, "b", "a", "c")

    spool.put("d", b"x" * 15)

    assert spool.names() == ["c", "d"]
    assert spool.dropped == 2


def test_replacing_an_entry_drops_no_other(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=30)
    aged(spool, tmp_path, "a", "b", "c")

    spool.put("b", b"y" * 10)

    assert sorted(spool.names()) == ["a", "b", "c"]
    assert spool.dropped == 0


def test_an_entry_larger_than_the_spool_is_refused_and_drops_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=30)
    aged(spool, tmp_path, "a")

    with pytest.raises(SpoolError, match="larger spool"):
        spool.put("b", b"x" * 31)

    assert spool.names() == ["a"]


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "A", "x" * 300])
def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpoolError, match="not a name"):
        Spool(tmp_path, max_bytes=30).put(name, b"")


def test_a_half_written_file_is_no_entry(tmp_path: Path) -> None:
    (tmp_path / ".run-0.pb.gz.abc").write_bytes(b"half")

    assert Spool(tmp_path, max_bytes=30).names() == []


def test_removing_is_idempotent(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=30)
    spool.put("a", b"x")

    spool.remove("a")
    spool.remove("a")

    assert spool.get("a") is None


def test_a_broken_disk_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="Check its volume"):
        Spool(tmp_path / "absent", max_bytes=30).put("a", b"x")

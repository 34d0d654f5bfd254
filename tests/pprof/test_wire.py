"""The wire format: nothing is lost, nothing hostile gets through, the bytes are the same for the same profile."""

import gzip
import os
import random
import shutil
import subprocess
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfprofile_agent.pprof import wire
from perfprofile_agent.pprof.errors import ProfileError
from perfprofile_agent.pprof.model import Function, Label, Line, Location, Mapping, Profile, Sample, ValueType
from perfprofile_agent.pprof.wire import decode, encode
from support.anyprofile import profiles
from support.profiles import profile as made_up
from support.steady import steady

SMALL = Profile(
    sample_types=(ValueType("samples", "count"), ValueType("cpu", "nanoseconds")),
    samples=(Sample((0, 1), (2, 300), (Label("pod", "web"), Label("pid", number=12))), Sample((), (1, -5))),
    mappings=(Mapping(0x400000, 0x500000, 0, "/app", "ab12", has_functions=True),),
    locations=(Location(0, 0x400010, (Line(0, 7), Line(1))), Location(-1, 0)),
    functions=(Function("main", "main", "main.go", 3), Function("run")),
    default_sample_type="cpu",
    time_nanos=1_700_000_000_000_000_000,
    duration_nanos=30_000_000_000,
    period_type=ValueType("cpu", "nanoseconds"),
    period=10_101_010,
    comments=("perf-version:6.1", ""),
)


@steady
@given(profiles())
def test_reading_gives_what_was_written(profile: Profile) -> None:
    assert profile == decode(encode(profile))


@steady
@given(profiles())
def test_the_same_profile_gives_the_same_bytes(profile: Profile) -> None:
    assert encode(profile) == encode(decode(encode(profile)))


def test_plain_and_gzipped_are_read_alike() -> None:
    assert decode(gzip.decompress(encode(SMALL))) == SMALL


def test_an_invalid_profile_is_not_written() -> None:
    with pytest.raises(ProfileError, match="location"):
        encode(SMALL._replace(locations=()))


def test_a_number_too_big_for_the_format_is_not_written() -> None:
    with pytest.raises(ProfileError, match="64 bits"):
        encode(SMALL._replace(period=2**64))


def test_strings_that_are_not_unicode_are_written_as_unicode() -> None:
    odd = SMALL._replace(mappings=(Mapping(1, 2, 0, b"/a\xff".decode("utf-8", "surrogateescape")),))

    assert decode(encode(odd)).mappings[0].filename == "/a\\udcff"


def test_every_prefix_raises_only_profile_error() -> None:
    plain = gzip.decompress(encode(SMALL))

    for end in range(len(plain)):
        with suppress(ProfileError):
            decode(plain[:end])


@steady
@given(st.binary(max_size=200))
def test_any_bytes_raise_only_profile_error(data: bytes) -> None:
    with suppress(ProfileError):
        decode(data)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_bytes_raise_only_profile_error(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(gzip.decompress(encode(SMALL)))
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    with suppress(ProfileError):
        decode(bytes(data))


def test_a_bomb_is_refused_before_it_is_unzipped() -> None:
    bomb = gzip.compress(bytes(50 * 2**20))

    with pytest.raises(ProfileError, match="more than 1000 bytes"):
        decode(bomb, max_bytes=1000)


def test_plain_bytes_are_bounded_too() -> None:
    with pytest.raises(ProfileError, match="at most 10"):
        decode(bytes(11), max_bytes=10)


def test_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bytes on the wire become a Python object of a hundred."""
    monkeypatch.setattr(wire, "_MAX_THINGS", 1000)

    with pytest.raises(ProfileError, match="more than 1000 entries"):
        decode(b"\x12\x00" * 1001)
    with pytest.raises(ProfileError, match="more than 1000 entries"):
        decode(b"\x6a\xd0\x0f" + bytes(2000) + b"\x32\x00")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "string table"),
        (gzip.compress(b"")[:-3], "ends too early"),
        (gzip.compress(b"\x32\x00") + b"x", "follows"),
        (b"\x1f\x8b" + bytes(20), "gzip"),
        (b"\x32\x01a", "string table"),
        (b"\x0b\x32\x00", "wire type 3"),
        (b"\x32\x00" + b"\x48" + b"\x80" * 11, "doesn't end"),
        (b"\x32\x00" + b"\x12\x04\x0a\x02\x80\x80", "doesn't end"),
        (b"\x32\x00" + b"\x12\x7f", "127 bytes where"),
        (b"\x32\x00" + b"\x70\x05", "string 5 of 1"),
        (b"\x32\x00" + b"\x22\x02\x08\x00", "location id 0"),
        (b"\x32\x00" + b"\x22\x02\x08\x01" * 2, "used twice"),
        (b"\x32\x00" + b"\x22\x04\x08\x01\x10\x09", "mapping 9"),
        (b"\x32\x00" + b"\x22\x06\x08\x01\x22\x02\x08\x09", "function"),
        (b"\x32\x00" + b"\x12\x02\x08\x09", "location 9"),
        (b"\x32\x00" + b"\x12\x02\x10\x01", "no sample types"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, problem: str) -> None:
    with pytest.raises(ProfileError, match=problem):
        decode(data)


def test_numbers_may_stand_alone_or_packed() -> None:
    """Other writers don't pack, or split a list."""
    head = b"\x32\x00\x32\x01a\x0a\x04\x08\x01\x10\x01\x22\x02\x08\x07\x22\x03\x08\xac\x02"

    packed = decode(head + b"\x12\x08\x0a\x03\x07\xac\x02\x12\x01\x05")
    single = decode(head + b"\x12\x07\x08\x07\x08\xac\x02\x10\x05")

    assert packed == single
    assert packed.samples == (Sample((0, 1), (5,)),)


def test_unknown_fields_are_passed_over() -> None:
    plain = gzip.decompress(encode(SMALL))

    assert decode(plain + b"\xf8\x07\x01" + b"\xfa\x07\x03abc" + b"\xf9\x07" + bytes(8) + b"\xfd\x07" + bytes(4)) == SMALL


def test_gzip_headers_carry_no_time() -> None:
    assert encode(SMALL)[4:8] == bytes(4)
    assert zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(encode(SMALL))


def test_pprof_reads_it(tmp_path: Path) -> None:
    pprof = os.environ.get("PERFPROFILE_PPROF") or shutil.which("pprof")
    if not pprof:
        pytest.skip("needs pprof: `go install github.com/google/pprof@latest`, then set PERFPROFILE_PPROF to it")
    path = tmp_path / "profile.pb.gz"
    path.write_bytes(encode(made_up()))

    output = subprocess.run([pprof, "-symbolize=none", "-top", "-unit=ns", str(path)], check=True, capture_output=True, text=True).stdout

    assert f"{sum(sample.values[1] for sample in made_up().samples)}ns total" in output

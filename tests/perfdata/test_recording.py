"""Recordings as wholes: both doors, chunks of any size, order, names of events, and what hostile bytes can't do."""

import random
import struct
from contextlib import suppress

import pytest

from perfprofile_agent.perfdata.errors import PerfDataError
from perfprofile_agent.perfdata.layout import AttrFlag, EventType, Feature, Kind, SampleBit
from perfprofile_agent.perfdata.recording import Recording
from perfprofile_agent.perfdata.records import (
    BuildId,
    Cgroup,
    Comm,
    Exit,
    Fork,
    Ksymbol,
    Lost,
    LostSamples,
    Mmap,
    Namespaces,
    Record,
    Throttle,
)
from perfprofile_agent.perfdata.samples import Sample
from support.perfbytes import (
    CPU_CLOCK,
    DUMMY,
    TRAILED,
    USUAL,
    attr,
    cgroup,
    comm,
    event_names,
    file,
    fork,
    mmap,
    padded,
    pipe,
    record,
    round_end,
    sample,
    string,
    trailer,
    u64,
)

RECORDS = (
    comm(0, "server"),
    mmap(0),
    cgroup(0, 7, "/kubepods/burstable/pod1"),
    record(Kind.HEADER_TRACING_DATA, struct.pack("<I", 5)) + b"trace\0\0\0",
    sample(30, 0x400010, 0x400020),
    sample(10, 0x400030),
    round_end(),
    fork(15, 101, 100),
    record(Kind.AUXTRACE, u64(16, 0, 0, 0, 0)) + b"A" * 16,
    sample(40, 0x400040, pid=101),
    round_end(),
    record(77_777, b"from the future!"),
    sample(35, 0x400050),
)


def read(data: bytes, *, chunk: int = 1 << 30) -> tuple[Recording, list[Record]]:
    recording = Recording()
    found: list[Record] = []
    for at in range(0, len(data), chunk):
        found += recording.feed(data[at : at + chunk])
    return recording, found + recording.finish()


def only(*raw: bytes) -> Record:
    """The one record that a stream of one record gives."""
    recording, records = read(pipe(*raw))
    assert not recording.malformed
    assert len(records) == 1
    return records[0]


@pytest.mark.parametrize("door", [pipe, file])
def test_records_come_in_order_of_time_and_made_up_ones_first(door: type) -> None:
    recording, records = read(door(*RECORDS))

    assert [record[0] for record in records] == [0, 0, 0, 10, 15, 30, 35, 40]
    assert [type(record).__name__ for record in records[:3]] == ["Comm", "Mmap", "Cgroup"]
    assert recording.unknown == {"type 77777": 1}
    assert not recording.malformed
    assert recording.problem == ""


@pytest.mark.parametrize("door", [pipe, file])
def test_every_split_in_two_gives_the_same_as_the_whole(door: type) -> None:
    data = door(*RECORDS)
    _, whole = read(data)

    for cut in range(len(data) + 1):
        recording = Recording()
        assert whole == recording.feed(data[:cut]) + recording.feed(data[cut:]) + recording.finish()


@pytest.mark.parametrize("door", [pipe, file])
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1000])
def test_chunks_of_any_size_give_the_same_as_the_whole(door: type, chunk: int) -> None:
    data = door(*RECORDS)

    assert read(data)[1] == read(data, chunk=chunk)[1]


@pytest.mark.parametrize("door", [pipe, file])
def test_every_prefix_is_a_part_or_an_error_with_a_name(door: type) -> None:
    data = door(*RECORDS)
    whole = read(data)[1]

    for end in range(len(data)):
        try:
            recording, records = read(data[:end])
        except PerfDataError:
            continue
        assert set(records) <= set(whole)
        if end < data.rindex(RECORDS[-1]) and door is file:
            assert "middle" in recording.problem


def test_an_unfinished_file_is_read_to_its_end() -> None:
    """A killed perf leaves the size of the data at 0."""
    data = bytearray(file(*RECORDS))
    data[48:56] = u64(0)

    recording, records = read(bytes(data))

    assert len(records) == len(read(file(*RECORDS))[1])
    assert "killed" in recording.problem


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_raise_nothing_else(seed: int) -> None:
    """Each stream has some bytes replaced; whatever comes out, it is records or PerfDataError."""
    rng = random.Random(seed)
    data = bytearray((pipe, file)[seed % 2](*RECORDS))
    for _ in range(rng.randrange(1, 12)):
        data[rng.randrange(len(data))] = rng.choice([0, 1, 0x7F, 0xFF, rng.randrange(256)])
    with suppress(PerfDataError):
        read(bytes(data), chunk=rng.randrange(1, 300))


@pytest.mark.parametrize(
    ("start", "hint"),
    [
        (b"2ELIFREP" + u64(16), "big-endian"),
        (b"PERFFILE" + u64(104), "older"),
        (b"\x7fELF" + bytes(20), "starts with"),
        (b"PERFILE2" + u64(17), "neither"),
        (b"PERF", "before its header"),
        (b"", "before its header"),
        (b"PERFILE2" + u64(16), "before any event"),
    ],
)
def test_what_is_no_recording_is_named(start: bytes, hint: str) -> None:
    with pytest.raises(PerfDataError, match=hint):
        read(start)


def test_a_directory_recording_is_refused_by_name() -> None:
    with pytest.raises(PerfDataError, match="directory"):
        read(file(features={Feature.DIR_FORMAT: u64(1)}))


def test_a_record_shorter_than_its_header_ends_the_stream() -> None:
    recording, records = read(pipe(sample(1, 0x400010), struct.pack("<IHH", 9, 0, 7), sample(2, 0x400010)))

    assert len(records) == 1
    assert "SAMPLE" in recording.problem


def test_a_record_that_contradicts_itself_is_left_out_and_the_rest_read() -> None:
    broken = bytearray(sample(5, 0x400010))
    broken[8 + 40 : 8 + 48] = u64(2**40)  # the callchain's length
    short = record(Kind.FORK, b"1234")

    recording, records = read(pipe(bytes(broken), short, sample(6, 0x400010)))

    assert [record[0] for record in records] == [6]
    assert recording.malformed == {"SAMPLE": 1, "FORK": 1}
    assert recording.first_malformed is not None
    assert recording.first_malformed.record == "SAMPLE"


def test_samples_of_no_known_event_are_counted() -> None:
    attrs = ((attr(), (1,)), (attr(config=DUMMY), (2,)))
    recording, records = read(pipe(sample(1, 1), sample(2, 1, event_id=2), sample(3, 1, event_id=3), attrs=attrs))

    assert [record[0] for record in records] == [1]
    assert recording.orphans == 2


def test_samples_find_their_event_by_id() -> None:
    attrs = ((attr(), (1, 2)), (attr(config=2), (3, 4)))
    _, records = read(pipe(*(sample(event_id, 1, event_id=event_id) for event_id in (1, 2, 3, 4)), attrs=attrs))

    assert [sample.event for sample in records if isinstance(sample, Sample)] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (comm(5, "worker", tid=101), Comm(5, 100, 101, "worker", exec=False)),
        (comm(5, "program", exec=True), Comm(5, 100, 100, "program", exec=True)),
        (fork(5, 101, 100), Fork(5, 101, 100, 101, 100, synthesized=False)),
        (record(Kind.FORK, struct.pack("<IIIIQ", 7, 1, 7, 1, 0) + trailer(0), 1 << 13), Fork(0, 7, 1, 7, 1, synthesized=True)),
        (record(Kind.EXIT, struct.pack("<IIIIQ", 7, 1, 8, 1, 0) + trailer(6)), Exit(6, 7, 8)),
        (cgroup(5, 99, "/system.slice"), Cgroup(5, 99, "/system.slice")),
        (record(Kind.LOST, u64(1, 23) + trailer(6)), Lost(6, 1, 23)),
        (record(Kind.LOST_SAMPLES, u64(4) + trailer(6)), LostSamples(6, 1, 4, refused=False)),
        (record(Kind.LOST_SAMPLES, u64(4) + trailer(6), 1 << 15), LostSamples(6, 1, 4, refused=True)),
        (record(Kind.THROTTLE, u64(6, 1, 1) + trailer(6)), Throttle(6)),
        (
            record(Kind.KSYMBOL, struct.pack("<QIHH", 2**63, 64, 1, 1) + padded("bpf_prog_1") + trailer(6)),
            Ksymbol(6, 2**63, 64, "bpf_prog_1", gone=True),
        ),
        (
            record(Kind.NAMESPACES, struct.pack("<IIQ", 7, 8, 2) + u64(4, 40, 4, 41) + trailer(6)),
            Namespaces(6, 7, 8, ((4, 40), (4, 41))),
        ),
        (
            record(Kind.HEADER_BUILD_ID, struct.pack("<i20sB3x", -1, b"\xab" * 20, 8) + padded("[kernel.kallsyms]")),
            BuildId(0, -1, "[kernel.kallsyms]", "ab" * 8),
        ),
        (
            record(Kind.MMAP, struct.pack("<iIQQQ", -1, 0, 2**63, 4096, 16) + padded("[kernel.kallsyms]_text") + trailer(0), 1),
            Mmap(0, -1, 2**63, 4096, 16, "[kernel.kallsyms]_text", (0, 0), 0, "", executable=True, cpumode=1),
        ),
        (
            mmap(5, "/lib/libc.so.6", protection=1),
            Mmap(5, 100, 0x400000, 0x10000, 0, "/lib/libc.so.6", (8, 1), 42, "", executable=False, cpumode=2),
        ),
        (
            record(
                Kind.MMAP2,
                struct.pack("<iIQQQB3x20sII", 100, 100, 4096, 4096, 0, 3, b"\x01\x02\x03\x04", 5, 0) + padded("/a") + trailer(5),
                2 | 1 << 14,
            ),
            Mmap(5, 100, 4096, 4096, 0, "/a", (0, 0), 0, "010203", executable=True, cpumode=2),
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, bytes) else None,
)
def test_each_record_says_what_it_says(raw: bytes, expected: Record) -> None:
    assert expected == only(raw)


def test_a_path_of_strange_bytes_survives() -> None:
    raw = record(Kind.CGROUP, u64(5) + b"/a\xff\xfeb\0\0\0" + trailer(1))

    found = only(raw)

    assert isinstance(found, Cgroup)
    assert found.path.encode("utf-8", "surrogateescape") == b"/a\xff\xfeb"


@pytest.mark.parametrize("bits", [USUAL, USUAL & ~SampleBit.IDENTIFIER | SampleBit.ID | SampleBit.CPU, SampleBit.IP | SampleBit.TIME])
def test_the_trailer_tells_the_time_whatever_is_in_it(bits: int) -> None:
    values = {
        SampleBit.TID: u64(1),
        SampleBit.TIME: u64(555),
        SampleBit.ID: u64(1),
        SampleBit.STREAM_ID: u64(2),
        SampleBit.CPU: u64(3),
        SampleBit.IDENTIFIER: u64(1),
    }
    raw = record(Kind.COMM, struct.pack("<II", 1, 1) + padded("x") + b"".join(part for bit, part in values.items() if bits & bit))

    _, records = read(pipe(raw, attrs=((attr(bits), (1,)),)))

    assert records == [Comm(555, 1, 1, "x", exec=False)]


def test_without_times_records_keep_the_order_of_the_file() -> None:
    bits = USUAL & ~SampleBit.TIME
    bodies = [struct.pack("<QQIIQQ", 1, ip, 5, 5, 1, 0) + u64(7) for ip in (30, 10, 20)]

    _, records = read(pipe(*(record(Kind.SAMPLE, body, 2) for body in bodies), round_end(), attrs=((attr(bits), (1,)),)))

    assert [record.ip for record in records if isinstance(record, Sample)] == [30, 10, 20]


def test_events_are_named_by_the_file() -> None:
    attrs = ((attr(), (1, 2)), (attr(config=DUMMY), (3,)), (attr(kind=EventType.RAW, config=0xC0), (4,)))
    names = event_names(("cpu-clock:ppp", (1, 2)), ("dummy:HG", (3,)), ("retired:u", (4,)))

    recording, _ = read(file(round_end(), attrs=attrs, features=names))

    assert [event.name for event in recording.table.events] == ["cpu-clock", "dummy", "retired:u"]
    assert [event.name for event in recording.table.real] == ["cpu-clock", "retired:u"]


def test_events_are_named_by_updates_in_a_pipe() -> None:
    update = record(Kind.EVENT_UPDATE, u64(2, 1) + padded("my_event"))

    recording, _ = read(pipe(update, attrs=((attr(kind=EventType.RAW), (1,)),)))

    assert [event.name for event in recording.table.events] == ["my_event"]


@pytest.mark.parametrize(
    ("kind", "config", "name"),
    [
        (EventType.SOFTWARE, CPU_CLOCK, "cpu-clock"),
        (EventType.HARDWARE, 0, "cycles"),
        (EventType.HARDWARE, 99, "event-0-0x63"),
        (EventType.TRACEPOINT, 300, "event-2-0x12c"),
    ],
)
def test_unnamed_events_are_named_after_their_numbers(kind: int, config: int, name: str) -> None:
    recording, _ = read(pipe(attrs=((attr(kind=kind, config=config), (1,)),)))

    assert recording.table.events[0].name == name


def test_attributes_of_old_perfs_are_short() -> None:
    short = bytearray(attr()[:64])
    short[4:8] = struct.pack("<I", 64)

    recording, records = read(pipe(sample(1, 5), attrs=((bytes(short), (1,)),)))

    assert len(records) == 1
    assert recording.table.events[0].attr.frequency == 99


FEATURES = {
    Feature.HOSTNAME: string("node-1"),
    Feature.OSRELEASE: string("6.1.0"),
    Feature.VERSION: string("6.1.192"),
    Feature.ARCH: string("aarch64"),
    Feature.CMDLINE: struct.pack("<I", 2) + string("perf") + string("record"),
    Feature.CLOCK_DATA: struct.pack("<II", 1, 4) + u64(1_700_000_000_000_000_000, 1_000),
    Feature.BUILD_ID: record(0, struct.pack("<i20sB3x", 5, b"\x11" * 20, 20) + padded("/app/server")),
    Feature.NRCPUS: struct.pack("<II", 2, 2),
}


def as_records() -> tuple[bytes, ...]:
    return tuple(record(Kind.HEADER_FEATURE, u64(number) + raw) for number, raw in FEATURES.items())


@pytest.mark.parametrize("data", [file(round_end(), features=FEATURES), pipe(*as_records())], ids=["file", "pipe"])
def test_features_come_through_both_doors(data: bytes) -> None:
    told = read(data)[0].features

    assert (told.hostname, told.os_release, told.version, told.arch) == ("node-1", "6.1.0", "6.1.192", "aarch64")
    assert told.command == ("perf", "record")
    assert told.clock == (1_700_000_000_000_000_000, 1_000)
    assert told.build_ids == [BuildId(0, 5, "/app/server", "11" * 20)]
    assert told.unreadable == []


@pytest.mark.parametrize("feature", [feature for feature in FEATURES if feature != Feature.NRCPUS])
def test_a_cut_feature_spoils_nothing_else(feature: Feature) -> None:
    whole = FEATURES[feature]

    for end in range(len(whole)):
        recording, records = read(file(sample(1, 5), features=FEATURES | {feature: whole[:end]}))
        assert len(records) == 1
        assert recording.features.unreadable in ([], [feature.name])


def test_compressed_records_are_counted_by_name() -> None:
    recording, _ = read(pipe(record(Kind.COMPRESSED, b"12345678"), record(Kind.COMPRESSED2, b"12345678")))

    assert recording.unknown == {"COMPRESSED": 1, "COMPRESSED2": 1}


def test_an_event_without_trailers_is_read_without_times() -> None:
    raw = record(Kind.COMM, struct.pack("<II", 1, 1) + padded("x"))

    _, records = read(pipe(raw, attrs=((attr(flags=AttrFlag.FREQ), (1,)),)))

    assert records == [Comm(0, 1, 1, "x", exec=False)]
    assert TRAILED & AttrFlag.SAMPLE_ID_ALL

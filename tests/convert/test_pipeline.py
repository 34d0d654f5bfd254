"""The conversion, on recordings made by hand: what is shown, to whom it is credited, and what is never shown."""

import struct
from collections.abc import Mapping, Sequence

import pytest

from perfprofile_agent.api.assignment import TargetContainer, TargetPod
from perfprofile_agent.convert.pipeline import Conversion, Converter, Options
from perfprofile_agent.convert.scope import Everything, Scope, TargetScope
from perfprofile_agent.perfdata.errors import PerfDataError
from perfprofile_agent.perfdata.layout import (
    CONTEXT_KERNEL,
    CONTEXT_USER,
    CPUMODE_KERNEL,
    CPUMODE_USER,
    AttrFlag,
    EventType,
    Feature,
    Kind,
    SampleBit,
)
from perfprofile_agent.pprof.check import check
from perfprofile_agent.pprof.model import Profile
from perfprofile_agent.pprof.wire import encode
from perfprofile_agent.symbols.lookup import Frame, MappedFile, Named
from support.naming import NamesByPlace, NoNames
from support.perfbytes import (
    CPU_CLOCK,
    DUMMY,
    TEXT,
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

KERNEL_TEXT = 0xFFFFFFFF81000000
SECOND = 1_000_000_000
UID = "3f0c8a5e-1d2b-4c3d-9e8f-0123456789ab"
ID = "c0ffee" + "0" * 58
SHOP = TargetPod(namespace="shop", name="web-1", uid=UID, containers=(TargetContainer(name="app", id=ID),))
IN_APP = f"/kubepods/burstable/pod{UID}/{ID}"


def convert(
    *records: bytes,
    scope: Scope | None = None,
    symbolizer: NoNames | None = None,
    options: Options | None = None,
    cgroups: Mapping[int, str] | None = None,
    data: bytes | None = None,
) -> Conversion:
    converter = Converter(
        scope=scope or Everything(), symbolizer=symbolizer or NamesByPlace(), options=options or Options(), cgroups=cgroups
    )
    converter.feed(data if data is not None else pipe(*records))
    conversion = converter.finish()
    check(conversion.profile)
    assert conversion.recorded == conversion.shown + sum(conversion.dropped.values())
    return conversion


def stacks(conversion: Conversion) -> dict[str, int]:
    """Stacks as ``leaf < caller < ...`` with their number of samples, over all labels."""
    profile = conversion.profile
    names = [profile.functions[location.lines[0].function].name for location in profile.locations]
    found: dict[str, int] = {}
    for each in profile.samples:
        stack = " < ".join(names[index] for index in each.locations)
        found[stack] = found.get(stack, 0) + each.values[0]
    return found


def labelled(profile: Profile) -> dict[tuple[tuple[str, str], ...], int]:
    """Samples by their labels."""
    found: dict[tuple[tuple[str, str], ...], int] = {}
    for each in profile.samples:
        labels = tuple((label.key, label.text or str(label.number)) for label in each.labels)
        found[labels] = found.get(labels, 0) + each.values[0]
    return found


def kernel_mmap(start: int = KERNEL_TEXT, length: int = 0x1000000, path: str = "[kernel.kallsyms]_text") -> bytes:
    body = struct.pack("<iIQQQ", -1, 0, start, length, start) + padded(path)
    return record(Kind.MMAP, body + trailer(0), CPUMODE_KERNEL)


def kernel_sample(time: int, kernel: tuple[int, ...], user: tuple[int, ...] = (), **how: int) -> bytes:
    chain = (*kernel, CONTEXT_USER, *user) if user else kernel
    return sample(time, *chain, mode=CPUMODE_KERNEL, context=CONTEXT_KERNEL, **how)


# Stacks


def test_the_leaf_is_named_where_it_is_and_callers_where_they_call() -> None:
    conversion = convert(mmap(0), sample(1, TEXT + 0x10, TEXT + 0x20, TEXT + 0x30))

    assert stacks(conversion) == {"server+0x10 < server+0x1f < server+0x2f": 1}


def test_a_first_entry_that_is_not_the_leaf_is_kept() -> None:
    conversion = convert(mmap(0), sample(1, TEXT + 0x20, ip=TEXT + 0x10))

    assert stacks(conversion) == {"server+0x10 < server+0x1f": 1}


def test_a_sample_without_a_callchain_is_its_leaf() -> None:
    conversion = convert(mmap(0), sample(1, ip=TEXT + 0x10))

    assert stacks(conversion) == {"server+0x10": 1}


def test_a_recursive_caller_at_the_leafs_address_is_kept() -> None:
    conversion = convert(mmap(0), sample(1, TEXT + 0x10, TEXT + 0x10, TEXT + 0x10))

    assert stacks(conversion) == {"server+0x10 < server+0xf < server+0xf": 1}


def test_kernel_frames_come_before_the_programs() -> None:
    conversion = convert(kernel_mmap(), mmap(0), kernel_sample(1, (KERNEL_TEXT + 0x10, KERNEL_TEXT + 0x20), (TEXT + 0x30,)))

    # NamesByPlace counts from the offset, which for the kernel is its address.
    assert [name.partition("+")[0] for name in next(iter(stacks(conversion))).split(" < ")] == [
        "[kernel.kallsyms]_text",
        "[kernel.kallsyms]_text",
        "server",
    ]


def test_frames_in_no_mapping_are_kept() -> None:
    conversion = convert(mmap(0), sample(1, TEXT + 0x10, 0x7FFF0000, TEXT + 0x30, 0x12345))

    assert stacks(conversion) == {"server+0x10 < [unknown] < server+0x2f < [unknown]": 1}
    unknown = [location for location in conversion.profile.locations if location.mapping < 0]
    assert all(location.address == 0 for location in unknown)


def test_a_page_fault_at_the_first_byte_of_a_mapping_is_in_it() -> None:
    conversion = convert(kernel_mmap(), mmap(0), kernel_sample(1, (KERNEL_TEXT,), (TEXT,)))

    assert next(iter(stacks(conversion))).endswith(" < server+0x0")


def test_a_program_cannot_have_its_guesses_at_kernel_addresses_named() -> None:
    """What stands behind the mark of the user's part is the program's own memory, marks included."""
    forged = (TEXT + 0x10, CONTEXT_KERNEL, KERNEL_TEXT + 0x10, 2**64 - 1)
    symbolizer = NamesByPlace()

    conversion = convert(
        kernel_mmap(),
        mmap(0),
        sample(1, *forged),
        kernel_sample(2, (KERNEL_TEXT + 0x90,), forged),
        symbolizer=symbolizer,
    )

    asked = {address for mapped, addresses in symbolizer.asked for address in addresses if mapped.pid == -1}
    assert asked == {KERNEL_TEXT + 0x90}
    assert "server+0x10 < [unknown] < [unknown] < [unknown]" in stacks(conversion)


@pytest.mark.parametrize(
    ("user", "expected"),
    [((TEXT + 0x30, TEXT + 0x40), "server+0x2f < server+0x3f"), ((), "[kernel]")],
    ids=["with a program", "kernel only"],
)
def test_kernel_frames_can_be_left_out(user: tuple[int, ...], expected: str) -> None:
    conversion = convert(
        kernel_mmap(), mmap(0), kernel_sample(1, (KERNEL_TEXT + 0x10, KERNEL_TEXT + 0x20), user), options=Options(kernel_frames=False)
    )

    assert stacks(conversion) == {expected: 1}
    assert conversion.shown == 1


def test_guests_and_the_hypervisor_are_told_apart() -> None:
    conversion = convert(sample(1, ip=5, mode=4), sample(2, ip=5, mode=5), sample(3, ip=5, mode=3), sample(4, ip=5, mode=0))

    assert stacks(conversion) == {"[guest]": 2, "[hypervisor]": 1, "[unknown]": 1}


# Names and places


def test_without_names_readers_see_the_file() -> None:
    conversion = convert(
        kernel_mmap(),
        mmap(0, "/usr/lib/libfoo.so.1"),
        mmap(0, "//anon", start=0x10000),
        kernel_sample(1, (KERNEL_TEXT + 1,), (TEXT + 0x10, 0x10010, 0x5)),
        symbolizer=NoNames(),
    )

    assert stacks(conversion) == {"[kernel] < [libfoo.so.1] < [anon] < [unknown]": 1}
    assert not any(mapping.has_functions for mapping in conversion.profile.mappings)


@pytest.mark.parametrize("addresses", [False, True])
def test_kernel_addresses_are_shown_only_if_asked_for(addresses: bool) -> None:
    conversion = convert(
        kernel_mmap(),
        record(Kind.KSYMBOL, struct.pack("<QIHH", KERNEL_TEXT + 0x2000000, 64, 1, 0) + padded("bpf_prog_1") + trailer(0)),
        mmap(0),
        kernel_sample(1, (KERNEL_TEXT + 0x10, KERNEL_TEXT + 0x2000010, 2**63 + 77), (TEXT + 0x10, KERNEL_TEXT + 5)),
        options=Options(kernel_addresses=addresses),
        symbolizer=NoNames(),
    )
    profile = conversion.profile
    numbers = [location.address for location in profile.locations]
    numbers += [number for mapping in profile.mappings for number in (mapping.start, mapping.limit, mapping.offset)]

    assert any(number >= 2**63 for number in numbers) is addresses
    assert stacks(conversion) == {"[kernel] < [bpf_prog_1] < [kernel] < server < [unknown]".replace("server", "[server]"): 1}


def test_one_file_in_many_processes_is_one_mapping_wherever_it_lies() -> None:
    """Position-independent programs are mapped elsewhere each time."""
    symbolizer = NamesByPlace()

    conversion = convert(
        mmap(0, pid=1, start=0x10000),
        mmap(0, pid=2, start=0x70000),
        sample(1, 0x10010, 0x10020, pid=1),
        sample(2, 0x70010, 0x70020, pid=2),
        symbolizer=symbolizer,
    )

    assert len(conversion.profile.mappings) == 1
    assert [location.address for location in conversion.profile.locations] == [0x10010, 0x1001F]
    assert stacks(conversion) == {"server+0x10 < server+0x1f": 2}
    assert [(mapped.pid, addresses) for mapped, addresses in symbolizer.asked] == [(1, (0x10010, 0x1001F))]
    assert [mapped.pid for mapped in symbolizer.held] == [1, 2]


def test_equal_paths_of_two_containers_are_two_files_until_build_ids_say_otherwise() -> None:
    records = (mmap(0, pid=1, inode=5), mmap(0, pid=2, inode=6), sample(1, TEXT + 1, pid=1), sample(2, TEXT + 1, pid=2))

    apart = convert(*records, symbolizer=NamesByPlace({1: "aa", 2: "bb"}))
    together = convert(*records, symbolizer=NamesByPlace({1: "aa", 2: "aa"}))

    assert [mapping.build_id for mapping in apart.profile.mappings] == ["aa", "bb"]
    assert [mapping.build_id for mapping in together.profile.mappings] == ["aa"]
    assert len(together.profile.locations) == 1


def test_anonymous_memory_is_named_by_its_own_process() -> None:
    """JIT compilers put other code at the same addresses."""

    class ByPid(NoNames):
        def name(self, mapped: MappedFile, addresses: Sequence[int]) -> Named:
            return Named("", {address: (Frame(f"jitted by {mapped.pid}"),) for address in addresses})

    records = [mmap(0, "//anon", pid=pid, inode=0) for pid in (1, 2)] + [sample(pid, TEXT + 1, pid=pid) for pid in (1, 2)]

    assert stacks(convert(*records, symbolizer=ByPid())) == {"jitted by 1": 1, "jitted by 2": 1}


def test_another_process_is_asked_if_the_first_ones_file_is_gone() -> None:
    class OnlySecond(NamesByPlace):
        def name(self, mapped, addresses):
            return super().name(mapped, addresses) if mapped.pid == 2 else NoNames.name(self, mapped, addresses)

    records = (mmap(0, pid=1, start=0x10000), mmap(0, pid=2), sample(1, 0x10010, pid=1), sample(2, TEXT + 0x10, pid=2))

    assert stacks(convert(*records, symbolizer=OnlySecond())) == {"server+0x10": 2}


def test_perfs_build_ids_count_only_where_a_path_is_one_file() -> None:
    entry = record(Kind.HEADER_BUILD_ID, struct.pack("<i20sB3x", -1, b"\xcc" * 20, 20) + padded("/app/server"))

    one = convert(entry, mmap(0), sample(1, TEXT + 1), symbolizer=NoNames())
    two = convert(entry, mmap(0, inode=1), mmap(0, pid=2, inode=2), sample(1, TEXT + 1), sample(1, TEXT + 1, pid=2), symbolizer=NoNames())

    assert [mapping.build_id for mapping in one.profile.mappings] == ["cc" * 20]
    assert {mapping.build_id for mapping in two.profile.mappings} == {""}


def test_the_program_comes_before_libraries_and_kernel() -> None:
    conversion = convert(
        kernel_mmap(),
        mmap(0, "/lib/libc.so.6"),
        mmap(0, "/app/server", start=0x900000),
        kernel_sample(1, (KERNEL_TEXT + 1,), (TEXT + 0x10, 0x900010)),
    )

    assert [mapping.filename for mapping in conversion.profile.mappings] == ["/app/server", "/lib/libc.so.6", "[kernel.kallsyms]"]


def test_what_the_symbolizer_notices_is_passed_on_once() -> None:
    conversion = convert(
        mmap(0), mmap(0, "/b", start=0x900000, inode=9), sample(1, TEXT + 1, 0x900001), symbolizer=NamesByPlace(notice="no symbols")
    )

    assert conversion.notices == ("no symbols",)
    assert "no symbols" in conversion.profile.comments


# Time


def test_a_sample_is_read_with_the_mappings_of_its_time() -> None:
    conversion = convert(
        mmap(10),
        sample(20, TEXT + 0x10),
        mmap(30, "/app/new", inode=43),
        sample(40, TEXT + 0x10),
        comm(50, "other", exec=True),
        sample(60, TEXT + 0x10),
        round_end(),
        round_end(),
    )

    assert stacks(conversion) == {"server+0x10": 1, "new+0x10": 1, "[unknown]": 1}


def test_a_mapping_that_comes_later_names_later_samples_only() -> None:
    conversion = convert(sample(1, TEXT + 0x10), mmap(2), sample(3, TEXT + 0x10), sample(4, TEXT + 0x10))

    assert stacks(conversion) == {"[unknown]": 1, "server+0x10": 2}


def test_order_is_that_of_time_not_of_arrival() -> None:
    conversion = convert(sample(3, TEXT + 0x10), comm(4, "after"), mmap(2), comm(1, "before"), sample(5, TEXT + 0x10))

    assert labelled(conversion.profile) == {(("comm", "before"),): 1, (("comm", "after"),): 1}
    assert stacks(conversion) == {"server+0x10": 2}


def test_a_child_is_named_and_mapped_as_its_parent_until_it_execs() -> None:
    conversion = convert(
        comm(0, "parent"),
        mmap(0),
        fork(1, 200, 100),
        sample(2, TEXT + 1, pid=200),
        comm(3, "child", pid=200, exec=True),
        sample(4, 1, pid=200),
    )

    assert labelled(conversion.profile) == {(("comm", "parent"),): 1, (("comm", "child"),): 1}
    assert stacks(conversion) == {"server+0x1": 1, "[unknown]": 1}


def test_unloaded_kernel_code_names_no_later_sample() -> None:
    def ksymbol(time: int, flags: int) -> bytes:
        return record(Kind.KSYMBOL, struct.pack("<QIHH", KERNEL_TEXT, 64, 1, flags) + padded("bpf_prog_1") + trailer(time))

    conversion = convert(
        ksymbol(1, 0), kernel_sample(2, (KERNEL_TEXT + 1,)), ksymbol(3, 1), kernel_sample(4, (KERNEL_TEXT + 1,)), symbolizer=NoNames()
    )

    assert stacks(conversion) == {"[bpf_prog_1]": 1, "[kernel]": 1}


# Scope and labels


def test_a_target_scope_shows_its_containers_and_counts_the_rest() -> None:
    conversion = convert(
        cgroup(0, 7, IN_APP),
        cgroup(0, 8, f"/kubepods/burstable/pod{UID}/{'d' * 64}"),
        cgroup(0, 9, f"/kubepods/burstable/pod{UID[:-1]}0/{ID}"),
        cgroup(0, 10, "/system.slice/sshd.service"),
        comm(0, "server"),
        *(sample(time, TEXT, cgroup=number) for time, number in enumerate((7, 7, 8, 9, 10, 11, 0), 1)),
        scope=TargetScope((SHOP,)),
        options=Options(node="n1", labels={"team": "payments"}),
    )

    assert (conversion.recorded, conversion.shown) == (7, 2)
    assert conversion.dropped == {"other-container": 1, "other-pod": 1, "no-pod": 1, "unknown-cgroup": 2}
    assert labelled(conversion.profile) == {
        (("namespace", "shop"), ("pod", "web-1"), ("container", "app"), ("node", "n1"), ("comm", "server"), ("team", "payments")): 2
    }


def test_nothing_of_what_is_dropped_is_touched() -> None:
    symbolizer = NamesByPlace()

    conversion = convert(
        mmap(0, "/secret/tenant"), comm(0, "secret"), sample(1, TEXT + 1), scope=TargetScope((SHOP,)), symbolizer=symbolizer
    )

    assert symbolizer.held == symbolizer.asked == []
    assert b"secret" not in repr(conversion).encode()


def test_pid_0_is_credited_by_its_cgroup_and_takes_no_name_from_others() -> None:
    """Nodes on one kernel see each other's processes with pid 0 and a wrong comm."""
    conversion = convert(
        cgroup(0, 7, IN_APP),
        cgroup(0, 8, "/node2/kubepods/pod1"),
        comm(0, "stranger", pid=0),
        mmap(0, "/stranger", pid=0),
        sample(1, TEXT, pid=0, cgroup=7),
        sample(2, TEXT, pid=0, cgroup=8),
        sample(3, TEXT, pid=0, cgroup=1),
        scope=TargetScope((SHOP,)),
    )

    assert (conversion.shown, conversion.recorded) == (1, 3)
    assert "stranger" not in repr(conversion)


def test_a_cgroup_learned_late_shows_only_later_samples() -> None:
    conversion = convert(sample(1, TEXT), cgroup(2, 7, IN_APP), sample(3, TEXT), scope=TargetScope((SHOP,)))

    assert (conversion.shown, conversion.dropped) == (1, {"unknown-cgroup": 1})


def test_cgroups_known_before_count_and_may_grow() -> None:
    known: dict[int, str] = {}
    converter = Converter(scope=TargetScope((SHOP,)), symbolizer=NoNames(), options=Options(), cgroups=known)

    converter.feed(pipe(sample(1, TEXT), round_end(), round_end()))
    known[7] = IN_APP
    converter.feed(sample(2, TEXT))

    assert (converter.finish().shown, known) == (1, {7: IN_APP})


def test_a_cgroup_id_used_again_changes_the_labels() -> None:
    other = f"/kubepods/pod{'0' * 32}/{ID}"
    conversion = convert(cgroup(1, 7, IN_APP), sample(2, TEXT), cgroup(3, 7, other), sample(4, TEXT))

    assert [dict(labels)["pod_uid"] for labels in labelled(conversion.profile)] == [UID, "0" * 32]


def test_added_labels_never_replace_established_ones() -> None:
    options = Options(node="n1", labels={"namespace": "bank", "comm": "bash", "zone": "a"})

    conversion = convert(cgroup(0, 7, IN_APP), comm(0, "server"), sample(1, TEXT), scope=TargetScope((SHOP,), "n1"), options=options)

    labels = dict(next(iter(labelled(conversion.profile))))
    assert (labels["namespace"], labels["comm"], labels["zone"]) == ("shop", "server", "a")


def test_pids_are_labels_on_request() -> None:
    conversion = convert(sample(1, TEXT, tid=101), sample(2, TEXT, tid=102), options=Options(pid_labels=True))

    assert labelled(conversion.profile) == {(("pid", "100"), ("tid", "101")): 1, (("pid", "100"), ("tid", "102")): 1}


def test_threads_of_one_name_are_one_sample_without_it() -> None:
    conversion = convert(comm(0, "server"), sample(1, TEXT, tid=101), sample(2, TEXT, tid=102))

    assert labelled(conversion.profile) == {(("comm", "server"),): 2}


# Events


def types_of(profile: Profile) -> list[str]:
    return [f"{kind.type}/{kind.unit}" for kind in profile.sample_types]


def test_a_clock_event_counts_cpu_time() -> None:
    conversion = convert(sample(1 * SECOND, TEXT), sample(3 * SECOND, TEXT, period=5))
    profile = conversion.profile

    assert types_of(profile) == ["samples/count", "cpu/nanoseconds"]
    assert [each.values for each in profile.samples] == [(2, 10_101_015)]
    assert (profile.default_sample_type, profile.period, profile.duration_nanos) == ("cpu", SECOND // 99, 2 * SECOND)
    assert conversion.events == ("cpu-clock",)


def test_a_dummy_event_is_no_column_and_never_the_default() -> None:
    attrs = ((attr(config=DUMMY), (2,)), (attr(), (1,)), (attr(config=DUMMY), (3,)))

    profile = convert(data=pipe(sample(1, TEXT), attrs=attrs)).profile

    assert types_of(profile) == ["samples/count", "cpu/nanoseconds"]


def test_attributes_of_one_name_are_one_event() -> None:
    """Perf -a -G makes one attribute per cgroup."""
    attrs = tuple((attr(), (number,)) for number in (1, 2, 3))
    names = event_names(*(("cpu-clock:ppp", (number,)) for number in (1, 2, 3)))

    conversion = convert(data=file(*(sample(number, TEXT, event_id=number) for number in (1, 2, 3, 3)), attrs=attrs, features=names))

    assert types_of(conversion.profile) == ["samples/count", "cpu/nanoseconds"]
    assert [each.values[0] for each in conversion.profile.samples] == [4]


def test_several_events_are_columns_in_their_order() -> None:
    attrs = (
        (attr(kind=EventType.HARDWARE), (1,)),
        (attr(config=CPU_CLOCK), (2,)),
        (attr(config=2, rate=100, flags=AttrFlag.SAMPLE_ID_ALL), (3,)),
    )

    profile = convert(
        data=pipe(sample(1, TEXT, period=700), sample(2, TEXT, event_id=2, period=9), sample(3, TEXT, event_id=3, period=0), attrs=attrs)
    ).profile

    assert types_of(profile) == [
        "cycles_samples/count", "cycles/count", "cpu-clock_samples/count", "cpu-clock/nanoseconds", "page-faults_samples/count", "page-faults/count",
    ]  # fmt: skip
    assert [each.values for each in profile.samples] == [(1, 700, 1, 9, 1, 100)]
    assert profile.default_sample_type == "cycles"


def test_without_periods_in_samples_the_attributes_count() -> None:
    bits = USUAL & ~SampleBit.PERIOD
    body = struct.pack("<QQIIQQ", 1, TEXT, 5, 5, 1, 0) + u64(7)
    event = attr(bits, rate=1000, flags=AttrFlag.SAMPLE_ID_ALL)

    profile = convert(data=pipe(*[record(Kind.SAMPLE, body, CPUMODE_USER)] * 3, attrs=((event, (1,)),))).profile

    assert [each.values for each in profile.samples] == [(3, 3000)]


def test_what_was_asked_for_and_not_recorded_is_said() -> None:
    assert convert(sample(1, TEXT), options=Options(requested_events=("cpu-clock:u",))).notices != ()
    assert convert(sample(1, TEXT), options=Options(requested_events=("cpu-clock:pp",))).notices == ()
    told = convert(sample(1, TEXT), options=Options(requested_events=("cycles",))).notices
    assert told == ("cycles could not be recorded; perf recorded cpu-clock.",)


# Accounts


def lost(kind: int, *numbers: int, event_id: int = 1, misc: int = 0) -> bytes:
    return record(kind, u64(*numbers) + trailer(5, event_id), misc)


def test_exact_losses_count_once_and_not_those_of_dummies() -> None:
    attrs = ((attr(), (1,)), (attr(config=DUMMY), (2,)))
    records = (
        sample(1, TEXT),
        lost(Kind.LOST, 1, 500),
        lost(Kind.LOST_SAMPLES, 30),
        lost(Kind.LOST_SAMPLES, 10),
        lost(Kind.LOST_SAMPLES, 7, event_id=2),
        lost(Kind.LOST_SAMPLES, 9, misc=1 << 15),
    )

    conversion = convert(data=pipe(*records, attrs=attrs))

    assert conversion.lost == 40
    assert "lost-samples:40" in conversion.profile.comments
    assert any("40 samples (97.6 %) were lost" in notice for notice in conversion.notices)


def test_older_perfs_tell_losses_of_any_kind() -> None:
    assert convert(sample(1, TEXT), lost(Kind.LOST, 1, 500), lost(Kind.LOST, 1, 1)).lost == 501


def test_throttling_is_told() -> None:
    conversion = convert(record(Kind.THROTTLE, u64(1, 1, 1) + trailer(1)), sample(2, TEXT))

    assert conversion.throttled == 1
    assert "paused sampling 1 times" in conversion.notices[0]


def test_samples_that_cannot_be_read_are_counted() -> None:
    broken = record(Kind.SAMPLE, u64(1, 2), CPUMODE_USER)
    attrs = ((attr(), (1,)), (attr(config=2), (2,)))

    conversion = convert(data=pipe(sample(1, TEXT), broken, sample(2, TEXT, event_id=99), attrs=attrs))

    assert (conversion.recorded, conversion.shown) == (3, 1)
    assert conversion.dropped == {"malformed": 1, "unknown-event": 1}
    assert "1 SAMPLE" in conversion.notices[0]


def test_a_recording_that_breaks_off_gives_its_part() -> None:
    whole = pipe(sample(1, TEXT), sample(2, TEXT))

    conversion = convert(data=whole[:-5])

    assert conversion.shown == 1
    assert "incomplete" in conversion.notices[0]


@pytest.mark.parametrize("data", [b"", b"PERFILE2", b"not perf data at all", pipe(attrs=())])
def test_what_has_no_events_is_an_error(data: bytes) -> None:
    with pytest.raises(PerfDataError):
        convert(data=data)


def test_every_prefix_keeps_the_account() -> None:
    data = file(comm(0, "server"), mmap(0), sample(1, TEXT + 1), kernel_mmap(), fork(2, 101, 100), sample(3, TEXT + 2), round_end())

    for end in range(len(data)):
        try:
            convert(data=data[:end])  # checks the profile and the sum
        except PerfDataError:
            assert end < data.index(comm(0, "server"))


def test_the_machine_and_perf_are_told() -> None:
    features = {
        Feature.HOSTNAME: string("host-1"),
        Feature.OSRELEASE: string("6.18.0"),
        Feature.VERSION: string("6.1.1"),
        Feature.CMDLINE: struct.pack("<I", 3) + string("perf") + string("record") + string("-a"),
        Feature.CLOCK_DATA: struct.pack("<II", 1, 1) + u64(1_700_000_000 * SECOND, 50 * SECOND),
    }

    conversion = convert(data=file(sample(51 * SECOND, TEXT), features=features))

    assert (conversion.hostname, conversion.kernel, conversion.perf_version) == ("host-1", "6.18.0", "6.1.1")
    assert conversion.profile.comments == ("perf-version:6.1.1", "perf-command:perf record -a", "kernel:6.18.0", "lost-samples:0")
    assert conversion.profile.time_nanos == 1_700_000_001 * SECOND


def test_the_agents_own_times_win() -> None:
    options = Options(start_time_nanos=5 * SECOND, duration_nanos=30 * SECOND)

    profile = convert(sample(1, TEXT), sample(9, TEXT), options=options).profile

    assert (profile.time_nanos, profile.duration_nanos) == (5 * SECOND, 30 * SECOND)


@pytest.mark.parametrize(
    ("event", "word"),
    [
        (attr(USUAL | SampleBit.STACK_USER), "DWARF"),
        (attr(USUAL | SampleBit.READ, read_format=8), "group"),
        (attr(flags=AttrFlag.FREQ), "no times"),
    ],
)
def test_what_is_not_done_yet_is_said(event: bytes, word: str) -> None:
    assert word in convert(data=pipe(attrs=((event, (1,)),))).notices[0]


def test_the_same_recording_gives_the_same_bytes() -> None:
    records = (mmap(0), *(sample(time, TEXT + time, TEXT + 7 * time, pid=time % 5) for time in range(1, 50)))

    assert encode(convert(*records).profile) == encode(convert(*records).profile)


def test_forgetting_chains_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [part for time in range(1, 200) for part in (sample(time, TEXT + time % 9, TEXT + 50), *([round_end()] * (time % 5 == 0)))]
    whole = convert(mmap(0), *records)

    monkeypatch.setattr("perfprofile_agent.convert.pipeline._MAX_REMEMBERED", 3)
    converter = Converter(scope=Everything(), symbolizer=NamesByPlace(), options=Options())
    data = pipe(mmap(0), *records)
    for at in range(0, len(data), 500):
        converter.feed(data[at : at + 500])

    assert whole == converter.finish()

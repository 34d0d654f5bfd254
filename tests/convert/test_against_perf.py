"""Real recordings: what the conversion shows is what ``perf script`` shows, sample by sample and frame by frame."""

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from perfprofile_agent.convert.pipeline import Conversion, Converter, Options
from perfprofile_agent.convert.scope import Everything
from perfprofile_agent.pprof.model import Profile
from perfprofile_agent.pprof.wire import decode, encode
from support.naming import NamesByPlace, NoNames
from support.recordings import Frame, record, script

pytestmark = pytest.mark.root

KINDS = {
    "one process": ("-F", "999", "-g"),
    "system-wide with cgroups": ("-F", "499", "-a", "-g", "--all-cgroups"),
    "pipe": ("-F", "999", "-g", "-o", "-"),
    "system-wide pipe": ("-F", "499", "-a", "-g", "--all-cgroups", "-o", "-"),
    "fixed period": ("-e", "cpu-clock", "-c", "2000000", "-g"),
    "no callchains": ("-F", "499", "-a"),
    "build ids in mappings": ("-F", "999", "-g", "--buildid-mmap"),
    "cpu and physical addresses": ("-F", "999", "-g", "--sample-cpu", "--phys-data"),
    "namespaces and switches": ("-F", "499", "-a", "-g", "--namespaces", "--switch-events"),
    "interrupt registers": ("-F", "499", "-g", "--intr-regs=ip,sp"),
}
KERNEL = "[kernel.kallsyms]"


@pytest.fixture(scope="module", params=KINDS, ids=str)
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind: str = request.param
    return record(tmp_path_factory.mktemp(kind.replace(" ", "-")) / "perf.data", *KINDS[kind])


def convert(path: Path, symbolizer: NoNames | None = None, chunk: int = 65_536) -> Conversion:
    converter = Converter(scope=Everything(), symbolizer=symbolizer or NoNames(), options=Options(kernel_addresses=True))
    with path.open("rb") as file:
        while piece := file.read(chunk):
            converter.feed(piece)
    return converter.finish()


def shown_as(dso: str) -> str:
    """Perf names JIT memory after the map file it looks for."""
    return "//anon" if dso.startswith("/tmp/perf-") or dso == "[anon]" else dso


def stacks(profile: Profile) -> Counter[tuple[str, tuple[str, ...]]]:
    """Number of samples by comm and the files of the frames, leaf first."""
    names = []
    for location in profile.locations:
        name = profile.mappings[location.mapping].filename if location.mapping >= 0 else "[unknown]"
        names.append(KERNEL if name.startswith(KERNEL) else shown_as(name))
    found: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for sample in profile.samples:
        comm = next((label.text for label in sample.labels if label.key == "comm"), "")
        found[comm, tuple(names[index] for index in sample.locations)] += sample.values[0]
    return found


def leaves(profile: Profile) -> Counter[Frame]:
    """Samples by file and offset of the leaf, for leaves in files."""
    found: Counter[Frame] = Counter()
    for sample in profile.samples:
        location = profile.locations[sample.locations[0]]
        if location.mapping >= 0:
            mapping = profile.mappings[location.mapping]
            if mapping.filename.startswith("/") and not mapping.filename.startswith("//"):
                found[Frame(mapping.filename, location.address - mapping.start + mapping.offset)] += sample.values[0]
    return found


def differ_only_in_unknown(expected: tuple[str, tuple[str, ...]], found: tuple[str, tuple[str, ...]]) -> bool:
    """Whether we give fewer frames a file than perf does, and else say the same. Stacks with odd numbers in them perf leaves out whole."""
    if not expected[1]:
        return expected[0] == found[0]
    same_shape = expected[0] == found[0] and len(expected[1]) == len(found[1])
    return same_shape and all(ours in (perfs, "[unknown]") for perfs, ours in zip(expected[1], found[1], strict=True))


def test_stacks_are_those_of_perf_script(recording: Path) -> None:
    """Except in the midst of an exec: perf keeps the mappings of the program before, we don't, for they are gone."""
    expected: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for (comm, frames), count in script(recording).stacks.items():
        # perf calls the idle task swapper; we give pid 0 no name, because processes of other PID namespaces have it too.
        expected["" if comm == "swapper" else comm, tuple(shown_as(frame.dso) for frame in frames)] += count

    found = stacks(convert(recording).profile)

    missing, other = expected - found, found - expected
    assert expected.total() == found.total()
    assert other.total() <= 0.02 * expected.total()
    assert all(any(differ_only_in_unknown(stack, ours) for stack in missing) for ours in other)


@pytest.mark.parametrize("recording", [kind for kind in KINDS if "pipe" not in kind and kind != "no callchains"], indirect=True)
def test_leaves_are_those_of_perf_script(recording: Path) -> None:
    """Of `perf record -g -o FILE`: of others, perf script doesn't tell addresses relative to files."""
    expected: Counter[Frame] = Counter()
    for (_, frames), count in script(recording).stacks.items():
        if frames[0].dso.startswith("/") and shown_as(frames[0].dso) != "//anon":
            expected[frames[0]] += count

    assert expected == leaves(convert(recording).profile)


def test_every_sample_and_all_time_is_there(recording: Path) -> None:
    said = script(recording)

    conversion = convert(recording)

    assert said.stacks.total() == conversion.recorded == conversion.shown
    assert said.stacks.total() == sum(sample.values[0] for sample in conversion.profile.samples)
    assert said.periods == sum(sample.values[1] for sample in conversion.profile.samples)


def test_the_profile_says_what_it_is(recording: Path) -> None:
    conversion = convert(recording)
    profile = conversion.profile

    assert conversion.events == ("cpu-clock",)
    assert [tuple(kind) for kind in profile.sample_types] == [("samples", "count"), ("cpu", "nanoseconds")]
    assert profile.default_sample_type == "cpu"
    assert profile.duration_nanos > 0
    assert profile.period > 0
    assert conversion.notices == ()
    assert conversion.kernel == os.uname().release
    assert conversion.perf_version in subprocess.run(["perf", "--version"], check=True, capture_output=True, text=True).stdout


def test_chunks_of_any_size_give_the_same(recording: Path) -> None:
    assert encode(convert(recording).profile) == encode(convert(recording, chunk=4093).profile)


def test_names_are_asked_once_for_each_address(recording: Path) -> None:
    symbolizer = NamesByPlace()

    profile = convert(recording, symbolizer).profile

    asked = Counter((mapped, address) for mapped, addresses in symbolizer.asked for address in addresses)
    assert set(asked.values()) == {1}
    assert {mapped for mapped, _ in symbolizer.asked} <= set(symbolizer.held)
    assert all(mapping.has_functions for mapping in profile.mappings)


def test_pprof_reads_it(recording: Path, tmp_path: Path) -> None:
    pprof = os.environ.get("PERFPROFILE_PPROF") or shutil.which("pprof")
    if not pprof:
        pytest.skip("needs pprof: `go install github.com/google/pprof@latest`, then set PERFPROFILE_PPROF to it")
    conversion = convert(recording)
    path = tmp_path / "profile.pb.gz"
    path.write_bytes(encode(conversion.profile))

    raw = subprocess.run([pprof, "-symbolize=none", "-raw", str(path)], check=True, capture_output=True, text=True)
    top = subprocess.run([pprof, "-symbolize=none", "-top", "-unit=ns", str(path)], check=True, capture_output=True, text=True)

    assert "samples/count cpu/nanoseconds[dflt]" in raw.stdout
    total = sum(sample.values[1] for sample in conversion.profile.samples)
    assert f"{total}ns total" in top.stdout


def test_encoding_loses_nothing(recording: Path) -> None:
    profile = convert(recording).profile

    assert profile == decode(encode(profile))


def test_several_events_are_columns_of_their_own(tmp_path: Path) -> None:
    path = record(tmp_path / "perf.data", "-F", "499", "-e", "task-clock,page-faults,context-switches", "-g")

    profile = convert(path).profile

    assert [tuple(kind) for kind in profile.sample_types] == [
        ("task-clock_samples", "count"),
        ("task-clock", "nanoseconds"),
        ("page-faults_samples", "count"),
        ("page-faults", "count"),
        ("context-switches_samples", "count"),
        ("context-switches", "count"),
    ]
    assert profile.default_sample_type == "task-clock"
    assert script(path).stacks.total() == sum(sum(sample.values[::2]) for sample in profile.samples)


def test_dwarf_recordings_keep_leaf_and_kernel_frames(tmp_path: Path) -> None:
    path = record(tmp_path / "perf.data", "-F", "499", "--call-graph", "dwarf,1024")

    conversion = convert(path)

    assert conversion.shown > 0
    assert script(path).stacks.total() == conversion.recorded
    assert any("DWARF" in notice for notice in conversion.notices)


def test_lost_samples_are_told(tmp_path: Path) -> None:
    path = record(tmp_path / "perf.data", "-F", "20000", "-g", "-m", "1", "-a")

    conversion = convert(path)

    assert conversion.lost > 0
    assert script(path).stacks.total() == conversion.recorded
    assert any("lost" in notice for notice in conversion.notices) == (conversion.lost > 0.05 * (conversion.recorded + conversion.lost))


def test_compressed_data_is_told(tmp_path: Path) -> None:
    path = record(tmp_path / "perf.data", "-F", "999", "-g", "-z")

    conversion = convert(path)

    assert any("COMPRESSED" in notice and "-z" in notice for notice in conversion.notices)

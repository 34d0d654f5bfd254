"""Naming functions of real processes, also when they end, change or cheat."""

import os
import shutil
import struct
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from perfprofile_agent.node import file_naming, files, holding
from perfprofile_agent.node.beneath import FileRefusedError
from perfprofile_agent.node.confinement import Limits
from perfprofile_agent.node.sandbox import Sandbox
from perfprofile_agent.node.symbolizer import NodeSymbolizer
from perfprofile_agent.symbols.elf import parse_elf
from perfprofile_agent.symbols.lookup import MappedFile
from perfprofile_agent.symbols.source import Blob
from support.mappings import executable_mappings, mapping_of
from support.programs import SPIN_C, compile_c, functions, run, tool


@pytest.fixture
def symbolizer():
    with NodeSymbolizer() as symbolizer:
        yield symbolizer


@pytest.fixture
def program(tmp_path):
    return compile_c(tmp_path, SPIN_C, "-O1", "-Wl,--build-id=sha1", name="spinning")


@pytest.fixture
def without_map_files(monkeypatch):
    """As for an agent without CAP_CHECKPOINT_RESTORE."""

    def refuse(link, path):
        raise FileRefusedError(f"{path} could not be opened: Operation not permitted; give the agent CAP_CHECKPOINT_RESTORE")

    monkeypatch.setattr(files, "open_regular_link", refuse)


def ensure_root():
    if os.geteuid() != 0:
        pytest.skip("needs root: make test as root")


@contextmanager
def running(*command, **options):
    """A process that runs until the block ends."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def spinning(program, **options):
    """The test program, spinning, with its mapping."""
    with running(program, "forever", **options) as process:
        yield process, mapping_of(process.pid, str(program))


def stop(process):
    process.kill()
    process.wait()


def address_of(mapped, program, name):
    """The runtime address of the middle of a function; gcc's programs have text at the same address as offset, or at a fixed address."""
    function = next(function for function in functions(program) if function.name == name)
    fixed = function.address >= 0x400000
    return (0 if fixed else mapped.start - mapped.offset) + function.address + function.size // 2


def shown(named):
    return {frame.name for frames in named.frames.values() for frame in frames}


def test_functions_of_a_running_program_are_named_with_its_build_id(symbolizer, program):
    with spinning(program) as (_, mapped):
        symbolizer.hold(mapped)
        addresses = [address_of(mapped, program, name) for name in ("inner", "outer", "main")]
        named = symbolizer.name(mapped, [*addresses, mapped.end - 1])

    assert [named.frames[address][0].name for address in addresses] == ["inner", "outer", "main"]
    assert mapped.end - 1 not in named.frames
    assert len(named.build_id) == 40
    assert named.notice == ""


def test_a_process_that_ended_after_it_was_seen_is_still_named(symbolizer, program):
    with spinning(program) as (process, mapped):
        symbolizer.hold(mapped)
        stop(process)
        program.unlink()
        named = symbolizer.name(mapped, [address_of(mapped, program, "inner")] if program.exists() else [mapped.start + 0x139])

    assert shown(named)


def test_a_process_that_ended_unseen_is_named_if_another_one_had_the_same_file(symbolizer, program):
    with spinning(program) as (_, mapped):
        gone = mapped._replace(pid=2**22 - 7)
        symbolizer.hold(mapped)
        named = symbolizer.name(gone, [address_of(gone, program, "outer")])

    assert shown(named) == {"outer"}


def test_a_process_that_ended_unseen_is_explained(symbolizer):
    named = symbolizer.name(MappedFile(2**22 - 7, 0x400000, 0x401000, 0, "/usr/bin/gone", (8, 1), 4711), [0x400100])

    assert named.frames == {}
    assert "ended before" in named.notice


def test_without_map_files_the_path_is_opened_in_the_process_s_own_root(symbolizer, program, without_map_files):
    with spinning(program) as (_, mapped):
        named = symbolizer.name(mapped, [address_of(mapped, program, "inner")])

    assert shown(named) == {"inner"}


def test_a_replaced_file_gives_no_wrong_names(symbolizer, program, tmp_path, without_map_files):
    """As a package upgrade does it: another file under the same path."""
    (tmp_path / "new").mkdir()
    new = compile_c(tmp_path / "new", SPIN_C.replace("inner", "decoy"), "-O1")
    with spinning(program) as (_, mapped):
        address = address_of(mapped, program, "inner")
        new.rename(program)
        named = symbolizer.name(mapped._replace(path=str(program)), [address])

    assert named.frames == {}
    assert "replaced after it was mapped" in named.notice


@pytest.mark.root
def test_with_map_files_a_replaced_or_deleted_file_is_named_rightly(symbolizer, program, tmp_path):
    ensure_root()
    (tmp_path / "new").mkdir()
    new = compile_c(tmp_path / "new", SPIN_C.replace("inner", "decoy"), "-O1")
    with spinning(program) as (process, mapped):
        address = address_of(mapped, program, "inner")
        new.rename(program)
        deleted = mapping_of(process.pid, str(program))
        named = symbolizer.name(deleted, [address])

    assert deleted.path.endswith(" (deleted)")
    assert shown(named) == {"inner"}


def test_a_deleted_program_of_one_s_own_is_named_through_its_exe_link(symbolizer, program, monkeypatch):
    real = files.open_regular_link

    def only_exe(link, path):
        if "map_files" in link:
            raise FileRefusedError("not permitted")
        return real(link, path)

    monkeypatch.setattr(files, "open_regular_link", only_exe)
    with spinning(program) as (process, mapped):
        address = address_of(mapped, program, "inner")
        program.unlink()
        named = symbolizer.name(mapping_of(process.pid, str(program)), [address])

    assert shown(named) == {"inner"}


def test_a_file_that_is_written_to_after_it_was_seen_gives_no_names(symbolizer, program):
    with spinning(program) as (_, mapped):
        symbolizer.hold(mapped)
        os.utime(program, ns=(1, 1))
        named = symbolizer.name(mapped, [address_of(mapped, program, "inner")])

    assert named.frames == {}
    assert "written to" in named.notice


def test_a_file_of_another_build_than_the_record_tells_gives_no_names(symbolizer, program):
    with spinning(program) as (_, mapped):
        other = mapped._replace(build_id="ab" * 20, inode=0, device=(0, 0))
        named = symbolizer.name(other, [address_of(mapped, program, "inner")])

    assert named.frames == {}
    assert "another build" in named.notice


def test_a_record_with_the_right_build_id_and_no_inode_is_named(symbolizer, program):
    with spinning(program) as (_, mapped):
        build_id = symbolizer.name(mapped, [mapped.start]).build_id
        named = symbolizer.name(mapped._replace(build_id=build_id, inode=0, device=(0, 0)), [address_of(mapped, program, "inner")])

    assert shown(named) == {"inner"}


def test_a_stripped_program_is_named_by_the_debug_file_beside_it(symbolizer, program, tmp_path):
    debug = tmp_path / "spinning.debug"
    run([tool("objcopy", "binutils"), "--only-keep-debug", str(program), str(debug)])
    with_names = tmp_path / "with_names"
    shutil.copy(program, with_names)
    run([tool("strip", "binutils"), str(program)])
    run([tool("objcopy", "binutils"), f"--add-gnu-debuglink={debug}", str(program)])

    with spinning(program) as (_, mapped):
        named = symbolizer.name(mapped, [address_of(mapped, with_names, "inner")])

    assert shown(named) == {"inner"}


def test_a_stripped_program_without_a_debug_file_is_explained(symbolizer, program):
    run([tool("strip", "binutils"), str(program)])
    with spinning(program) as (_, mapped):
        named = symbolizer.name(mapped, [mapped.start + 0x139])

    assert named.frames == {}
    assert "stripped" in named.notice
    assert len(named.build_id) == 40


GENERATES = textwrap.dedent("""
    import mmap, sys, ctypes, os, time
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    if len(sys.argv) > 1:
        with open(sys.argv[1].format(os.getpid()), "w") as perf_map:
            perf_map.write(f"{address:x} 40 py::handle:/app/main.py\\n")
    print(f"{address:x}", flush=True)
    time.sleep(600)
""")
MAP = "/tmp/perf-{}.map"


@contextmanager
def generating(*arguments, **options):
    """A process with generated code; gives it, its mapping and the code's address."""
    with running(sys.executable, "-c", GENERATES, *arguments, **options) as process:
        address = int(process.stdout.readline(), 16)
        yield process, MappedFile(process.pid, address, address + 4096, 0, "//anon"), address
    Path(MAP.format(process.pid)).unlink(missing_ok=True)


def test_generated_code_is_named_by_the_map_its_process_wrote(symbolizer):
    with generating(MAP) as (_, mapped, address):
        symbolizer.hold(mapped)
        named = symbolizer.name(mapped, [address + 8, address + 0x48])

    assert {at - address: frames[0].name for at, frames in named.frames.items()} == {8: "py::handle:/app/main.py"}


def test_generated_code_is_named_after_its_process_ended(symbolizer):
    with generating(MAP) as (process, mapped, address):
        symbolizer.hold(mapped)
        stop(process)
        Path(MAP.format(process.pid)).unlink()
        named = symbolizer.name(mapped, [address + 8])

    assert shown(named) == {"py::handle:/app/main.py"}


def test_a_map_that_is_written_after_the_code_was_seen_is_found(symbolizer):
    with generating() as (process, mapped, address):
        symbolizer.hold(mapped)
        path = Path(MAP.format(process.pid))
        path.write_text(f"{address:x} 40 late\n")
        named = symbolizer.name(mapped, [address + 8])

    assert shown(named) == {"late"}


def test_generated_code_without_a_map_is_explained_with_the_next_step(symbolizer):
    with generating() as (_, mapped, address):
        named = symbolizer.name(mapped, [address])

    assert named.frames == {}
    assert "python -X perf" in named.notice


def test_a_map_that_is_a_fifo_or_leads_elsewhere_is_refused(symbolizer, tmp_path):
    with generating() as (process, mapped, address):
        path = Path(MAP.format(process.pid))
        os.mkfifo(path)
        named = symbolizer.name(mapped, [address])

    assert named.frames == {}
    assert "not a regular file" in named.notice


@pytest.mark.root
def test_a_map_of_another_owner_than_the_process_is_refused(symbolizer):
    ensure_root()
    with generating(MAP) as (process, mapped, address):
        os.chown(MAP.format(process.pid), 12345, 12345)
        named = symbolizer.name(mapped, [address])

    assert named.frames == {}
    assert "belongs to uid 12345" in named.notice


@pytest.mark.root
def test_a_map_is_sought_in_the_process_s_own_mounts_under_its_own_pid(symbolizer):
    """As in a container: the process is number 1 to itself, and its /tmp is its own."""
    ensure_root()
    python = Path(sys.executable).resolve()  # not the virtual environment's, which the mount may hide
    command = f"mount -t tmpfs none /tmp && exec {python} -c '{GENERATES}' {MAP}"
    with running("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", command) as outer:
        address = int(outer.stdout.readline(), 16)
        (pid,) = map(int, Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split())
        named = symbolizer.name(MappedFile(pid, address, address + 4096, 0, "//anon"), [address])
        assert not Path("/tmp/perf-1.map").exists()

    assert shown(named) == {"py::handle:/app/main.py"}


@pytest.mark.root
def test_a_program_that_runs_from_memory_only_is_named(symbolizer, program):
    ensure_root()
    launch = textwrap.dedent("""
        import os, sys
        fd = os.memfd_create("made")
        os.write(fd, open(sys.argv[1], "rb").read())
        readable = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
        os.close(fd)
        os.execve(readable, ["made", "forever"], {})
    """)
    with running(sys.executable, "-c", launch, program) as process:
        mapped = mapping_of(process.pid, "/memfd:made")
        named = symbolizer.name(mapped, [address_of(mapped, program, "inner")])

    assert shown(named) == {"inner"}


def sparse(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.ftruncate(fd, 1 << 40)
    return fd


@pytest.mark.root
@pytest.mark.parametrize("kind", ["link out", "magic link", "fifo", "device", "loop", "huge"])
def test_a_container_that_puts_something_in_place_of_its_program_gets_no_names(symbolizer, tmp_path, without_map_files, kind):
    ensure_root()
    root = tmp_path / "container"
    root.mkdir()
    (tmp_path / "decoy").mkdir()
    decoy = compile_c(tmp_path / "decoy", SPIN_C.replace("inner", "decoy"), "-O1", "-static", name="decoy")
    program = compile_c(tmp_path, SPIN_C, "-O1", "-static")
    shutil.copy(program, root / "program")
    with running("chroot", root, "/program", "forever") as process:
        # From outside, /proc/PID/maps shows the path in the test's root; perf's records show it in the process's own.
        mapped = mapping_of(process.pid, str(root / "program"))._replace(path="/program")
        address = address_of(mapped, program, "inner")
        before = symbolizer.name(mapped, [address])
        (root / "program").rename(root / "moved")
        {
            "link out": lambda: (root / "program").symlink_to(decoy),
            "magic link": lambda: (root / "program").symlink_to("/proc/1/root" + str(decoy)),
            "fifo": lambda: os.mkfifo(root / "program"),
            "device": lambda: os.mknod(root / "program", 0o600 | 0o020000, os.makedev(1, 5)),
            "loop": lambda: (root / "program").symlink_to("program"),
            "huge": lambda: os.close(sparse(root / "program")),
        }[kind]()
        with NodeSymbolizer() as late:
            after = late.name(mapped, [address])

    assert shown(before) == {"inner"}
    assert after.frames == {}
    assert after.notice


def test_the_vdso_is_named(symbolizer):
    mapped = next(mapped for mapped in executable_mappings(os.getpid()) if mapped.path == "[vdso]")

    named = symbolizer.name(mapped, range(mapped.start, mapped.end, 16))

    assert any("gettime" in name for name in shown(named))


def test_the_vdso_of_a_program_of_another_kind_is_left_unnamed(symbolizer):
    named = symbolizer.name(MappedFile(5, 0x1000, 0x2000, 0, "[vdso]", (0, 0), 0, "ab" * 20), [0x1000])

    assert named.frames == {}
    assert "another one" in named.notice


def test_kernel_functions_are_named(tmp_path):
    (tmp_path / "kallsyms").write_text("ffffffff81000000 T start_kernel\nffffffffc0201000 t nf_hook\t[nf_tables]\n")
    with NodeSymbolizer(kallsyms=tmp_path / "kallsyms") as symbolizer:
        named = symbolizer.name(MappedFile(-1, 0xFFFFFFFF81000000, 1 << 64, 0, "[kernel.kallsyms]_text"), [0xFFFFFFFF81000010])
        module = symbolizer.name(MappedFile(-1, 0xFFFFFFFFC0201000, 0xFFFFFFFFC0202000, 0, "[nf_tables]"), [0xFFFFFFFFC0201004])

    assert shown(named) == {"start_kernel"}
    assert shown(module) == {"nf_hook"}


def test_hidden_kernel_symbols_are_explained_with_the_next_step(tmp_path):
    (tmp_path / "kallsyms").write_text("0000000000000000 T start_kernel\n")
    with NodeSymbolizer(kallsyms=tmp_path / "kallsyms") as symbolizer:
        named = symbolizer.name(MappedFile(-1, 0, 1 << 64, 0, "[kernel.kallsyms]_text"), [0xFFFFFFFF81000010])

    assert named.frames == {}
    assert "CAP_SYSLOG" in named.notice
    assert "kptr_restrict" in named.notice


def test_a_recording_of_another_kernel_or_boot_gets_no_kernel_names(tmp_path):
    (tmp_path / "kallsyms").write_text("ffffffff81000000 T _text\nffffffff81000100 T start_kernel\n")
    ours = MappedFile(-1, 0xFFFFFFFF81000000, 1 << 64, 0xFFFFFFFF81000000, "[kernel.kallsyms]_text")
    moved = ours._replace(offset=0xFFFFFFFF92000000)
    found = []
    for mapped in (ours, moved):
        with NodeSymbolizer(kallsyms=tmp_path / "kallsyms") as symbolizer:
            symbolizer.hold(mapped)
            found.append(symbolizer.name(mapped, [0xFFFFFFFF81000104]))

    assert shown(found[0]) == {"start_kernel"}
    assert found[1].frames == {}
    assert "another kernel" in found[1].notice


@pytest.mark.parametrize(
    "mapped",
    [
        MappedFile(0, 0, 0, 0, ""),
        MappedFile(-1, 0, 0, 0, ""),
        MappedFile(0, 0x1000, 0x2000, 0, "/usr/bin/python3", (8, 1), 5),
        MappedFile(1 << 40, 0x1000, 0x2000, 0, "//anon"),
        MappedFile(1, 0x2000, 0x1000, -5, "/nul\0path", (8, 1), 5),
        MappedFile(os.getpid(), 0x1000, 0x2000, 0, "/" + "x" * 10_000, (8, 1), 5),
        MappedFile(os.getpid(), 0x1000, 0x2000, 0, "/\udcff\ud800", (8, 1), 5),
        MappedFile(os.getpid(), 0x1000, 0x2000, 1 << 64, sys.executable),
        MappedFile(os.getpid(), 0x1000, 0x2000, 0, "/memfd:gone (deleted)", (0, 1), 99),
        MappedFile(os.getpid(), 0x1000, 0x2000, 0, "/dev/null", (0, 5), 99),
        MappedFile(os.getpid(), 0x1000, 0x2000, 0, "/proc/kallsyms", (0, 5), 0),
        MappedFile(os.getpid(), 0x1000, 0x2000, 0, "[odd"),
    ],
)
def test_whatever_a_record_says_nothing_is_raised(symbolizer, mapped):
    symbolizer.hold(mapped)

    assert symbolizer.name(mapped, [0, 0x1800, (1 << 64) - 1, 1 << 70, -1]).frames == {}
    assert symbolizer.name(mapped, []).frames == {}


def with_symbols(program, count):
    """Give ``program`` another symbol table behind its end, of ``count`` functions at all places."""
    data = bytearray(program.read_bytes())
    index = [section.name for section in parse_elf(Blob(bytes(data))).sections].index(".symtab")
    place = struct.unpack_from("<Q", data, 40)[0] + 64 * index
    struct.pack_into("<QQ", data, place + 24, len(data), 24 * count)
    text = next(number for number, section in enumerate(parse_elf(Blob(bytes(data))).sections) if section.name == ".text")
    program.write_bytes(
        data + b"".join(struct.pack("<IBBHQQ", 1, 2, 0, text, 0x1000 + number * 7919 % 65536, 4) for number in range(count))
    )


def test_a_file_that_is_too_much_for_its_parser_is_explained_and_the_next_one_is_named(program):
    with_symbols(program, 400_000)
    with NodeSymbolizer(sandbox=Sandbox(Limits(memory=40 << 20))) as symbolizer, spinning(program) as (process, mapped):
        named = symbolizer.name(mapped, [mapped.start + 0x139])
        again = symbolizer.name(mapped, [mapped.start + 0x139])
        libc = next(each for each in executable_mappings(process.pid) if "libc" in each.path)
        other = symbolizer.name(libc, range(libc.start, libc.end, 4096))

    assert named.frames == {}
    assert "memory" in named.notice
    assert again.frames == {}
    assert other.frames


def test_the_time_for_one_container_is_limited(program, monkeypatch):
    with NodeSymbolizer() as symbolizer, spinning(program) as (_, mapped):
        monkeypatch.setattr(symbolizer._files, "_seconds_per_root", 0.0)
        first = symbolizer.name(mapped, [address_of(mapped, program, "inner")])
        second = symbolizer.name(mapped, [address_of(mapped, program, "outer")])

    assert shown(first) == {"inner"}
    assert second.frames == {}
    assert "took over" in second.notice


def test_open_files_are_bounded(monkeypatch, tmp_path):
    monkeypatch.setattr(holding, "MAX_FILES", 3)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with NodeSymbolizer() as symbolizer:
        for mapped in executable_mappings(os.getpid()):
            symbolizer.hold(mapped)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 3 + 2

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_remembered_names_are_bounded(monkeypatch, symbolizer):
    monkeypatch.setattr(file_naming, "MAX_ADDRESSES", 50)
    for mapped in executable_mappings(os.getpid()):
        if mapped.path.startswith("/"):
            symbolizer.name(mapped, range(mapped.start, mapped.start + 40 * 16, 16))

    assert sum(len(known.frames) for known in symbolizer._files._known.values()) <= 50


def test_a_known_address_is_named_without_asking_again(symbolizer, program):
    with spinning(program) as (_, mapped):
        address = address_of(mapped, program, "inner")
        first = symbolizer.name(mapped, [address])
        symbolizer._sandbox.close()
        again = symbolizer.name(mapped, [address])
        started = symbolizer._sandbox._server

    assert again == first
    assert started is None


PRIVILEGES = """
import os, sys
sys.path[:0] = sys.argv[2].split(":")
from support.mappings import executable_mappings
from perfprofile_agent.node.symbolizer import NodeSymbolizer
from perfprofile_agent.symbols.lookup import MappedFile
with NodeSymbolizer() as symbolizer:
    for pid in (int(sys.argv[1]), os.getpid()):
        mapped = next(m for m in executable_mappings(pid) if "libc.so" in m.path) if pid == os.getpid() else None
        if mapped is None:
            mapped = MappedFile(pid, 0x400000, 0x500000, 0, "/usr/bin/sleep", (8, 1), 5)
        symbolizer.hold(mapped)
        named = symbolizer.name(mapped, range(mapped.start, mapped.end, 512))
        print(len(named.frames) > 5, named.notice)
"""


@pytest.mark.root
def test_an_agent_with_few_capabilities_names_its_own_processes_and_says_what_it_lacks_for_others():
    ensure_root()
    setpriv = tool("setpriv", "util-linux")
    few = ["--reuid=65532", "--regid=65532", "--clear-groups", "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    with running("sleep", "600") as process:
        path = str(Path(__file__).parents[1])
        said = run([setpriv, *few, "--no-new-privs", sys.executable, "-c", PRIVILEGES, str(process.pid), path]).splitlines()

    assert said[0].startswith("False")
    assert "CAP_SYS_PTRACE" in said[0]
    assert said[1] == "True "


def test_naming_while_a_process_starts_and_ends_never_raises(symbolizer):
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        with running("true") as process:
            for mapped in executable_mappings_or_none(process.pid):
                symbolizer.hold(mapped)
                symbolizer.name(mapped, [mapped.start + 64])


def executable_mappings_or_none(pid):
    try:
        return executable_mappings(pid)
    except OSError:
        return []

"""The sandboxed parser: what it may do, and what becomes of the agent when it dies, hangs or lies."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from perfprofile_agent.node import sandbox as sandbox_module
from perfprofile_agent.node.confinement import Limits
from perfprofile_agent.node.naming_messages import Answer, ChannelError, receive, send
from perfprofile_agent.node.sandbox import Patience, Sandbox, SandboxError, SandboxUnavailableError
from support.programs import SPIN_C, compile_c


@pytest.fixture
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


def status_of(pid):
    """The fields of /proc/PID/status."""
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())


def children_of(sandbox):
    """Process ids of the server's children."""
    server = sandbox._server.pid
    return [int(pid) for pid in Path(f"/proc/{server}/task/{server}/children").read_text().split()]


def open_and_name(sandbox, key, kind, fd, addresses):
    sandbox.open(key, kind, [fd])
    return sandbox.name(key, addresses)


@pytest.fixture
def program(tmp_path):
    path = compile_c(tmp_path, SPIN_C)
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


def offsets(fd):
    return list(range(0x1000, 0x1400, 4))


def test_names_come_back_in_the_order_of_the_questions(sandbox, program):
    opened = sandbox.open("program", "elf", [program])
    names, problem = sandbox.name("program", offsets(program))

    found = {name.name for name in names if name is not None}

    assert {"inner", "outer", "main"} <= found
    assert len(names) == len(offsets(program))
    assert problem == ""
    assert len(opened.build_id) == 40


def test_more_questions_than_one_message_holds_are_asked_in_several(sandbox, program):
    sandbox.open("program", "elf", [program])
    many = [0x1139 + (number & 3) for number in range(10_000)]

    names, _ = sandbox.name("program", many)

    assert len(names) == 10_000


def test_the_parser_has_no_privileges_no_files_and_no_way_out(sandbox, program):
    sandbox.open("program", "elf", [program])
    (child,) = children_of(sandbox)
    server, status = status_of(sandbox._server.pid), status_of(child)

    for fields in (server, status):
        assert [int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0, 0, 0, 0]
        assert fields["NoNewPrivs"] == "1"
        assert "0" not in fields["Uid"].split()
    assert status["Seccomp"] == "2"
    limits = [line.split() for line in Path(f"/proc/{child}/limits").read_text().splitlines()]
    assert ["Max", "address", "space", str(Limits().memory), str(Limits().memory), "bytes"] in limits
    assert ["Max", "cpu", "time", str(Limits().cpu_seconds), str(Limits().cpu_seconds), "seconds"] in limits
    assert ["Max", "file", "size", "0", "0", "bytes"] in limits
    assert ["Max", "processes", "0", "0", "processes"] in limits


@pytest.mark.root
def test_the_parser_holds_its_file_and_its_socket_only(sandbox, program):
    if os.geteuid() != 0:
        pytest.skip("needs root to look at the parser's descriptors: make test as root")
    sandbox.open("program", "elf", [program])
    (child,) = children_of(sandbox)

    held = sorted(str(link.readlink()).partition(":")[0] for link in Path(f"/proc/{child}/fd").iterdir())

    assert held == ["/dev/null", "/dev/null", "/dev/null", str(Path(f"/proc/self/fd/{program}").readlink()), "socket"]


def test_the_environment_of_the_agent_does_not_reach_the_parser(monkeypatch, program):
    monkeypatch.setenv("PERFPROFILE_SECRET", "hunter2")
    with Sandbox() as sandbox:
        sandbox.open("program", "elf", [program])
        environment = subprocess.run(["cat", f"/proc/{sandbox._server.pid}/environ"], capture_output=True, check=False).stdout

    assert b"hunter2" not in environment


ATTEMPTS = {
    "open a file": "open('/etc/passwd')",
    "list a folder": "os.listdir('/')",
    "make a socket": "socket.socket()",
    "start a process": "os.fork()",
    "run a program": "os.execv('/bin/true', ['true'])",
    "signal the agent": "os.kill(os.getppid(), 0)",
    "signal itself's group": "os.killpg(0, 0)",
    "look at the agent": "os.stat('/proc/%d/environ' % os.getppid())",
    "trace the agent": "trace()",
    "write a file": "os.open('/tmp/x', os.O_CREAT | os.O_WRONLY)",
    "leave the session": "os.setsid()",
    "raise a limit": "resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))",
    "pass descriptors": "os.dup(0)",
    "change the uid": "os.setuid(0)",
    "make a pipe": "os.pipe()",
    "unshare": "unshare()",
    "become dumpable": "dumpable()",
}
ESCAPE = """
import ctypes, os, resource, socket, sys
from perfprofile_agent.node.confinement import Limits, confine_for_parsing, give_up_privileges
from perfprofile_agent.node import libc
raw = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
def trace(): check(raw.ptrace(16, os.getppid(), 0, 0))
def unshare(): check(raw.unshare(0x10000000))
def dumpable(): libc.prctl(libc.PR_SET_DUMPABLE, 1)
give_up_privileges()
confine_for_parsing(Limits())
for attempt in sys.argv[1:]:
    try:
        eval(attempt)
    except OSError as error:
        os.write(1, b"refused %d\\n" % error.errno)
    except ValueError:  # Python's word for a limit that may not be raised
        os.write(1, b"refused 1\\n")
    else:
        os.write(1, b"ALLOWED " + attempt.encode() + b"\\n")
os._exit(0)
"""


def test_no_attempt_to_escape_succeeds():
    done = subprocess.run([sys.executable, "-c", ESCAPE, *ATTEMPTS.values()], capture_output=True, text=True, timeout=60, check=False)

    answers = dict(zip(ATTEMPTS, done.stdout.splitlines(), strict=False))

    assert done.returncode == 0, done.stderr
    assert answers == dict.fromkeys(ATTEMPTS, "refused 1"), done.stderr


def test_a_file_that_takes_too_much_memory_costs_only_its_own_names(tmp_path, program):
    hostile = tmp_path / "map"
    hostile.write_bytes(b"".join(b"%x 10 f\n" % (number * 16) for number in range(400_000)))
    with Sandbox(Limits(memory=32 << 20)) as sandbox, hostile.open("rb") as file:
        opened = sandbox.open("map", "perf map", [file.fileno()])
        sandbox.open("program", "elf", [program])
        names, _ = sandbox.name("program", offsets(program))

    assert "memory" in opened.problem
    assert any(names)


def test_a_file_that_takes_too_much_cpu_time_is_stopped_by_the_kernel(tmp_path, program):
    hostile = tmp_path / "map"
    hostile.write_bytes(b"1000 ffffffff f\n" * 900_000)
    with Sandbox(Limits(cpu_seconds=1)) as sandbox, hostile.open("rb") as file:
        with pytest.raises(SandboxError, match="CPU time"):
            open_and_name(sandbox, "map", "perf map", file.fileno(), list(range(0x1000, 0x1000 + 500_000)))
        server = sandbox._server.pid
        sandbox.open("program", "elf", [program])
        names, _ = sandbox.name("program", offsets(program))
        assert sandbox._server.pid == server

    assert any(names)


def test_a_parser_that_hangs_is_killed_and_the_next_file_is_named(program):
    with Sandbox(patience=Patience(answer=0.3)) as sandbox:
        sandbox.open("first", "elf", [program])
        (child,) = children_of(sandbox)
        os.kill(child, signal.SIGSTOP)
        with pytest.raises(SandboxError, match="no answer in time"):
            sandbox.name("first", offsets(program))
        sandbox._patience = Patience()
        sandbox.open("second", "elf", [program])
        names, _ = sandbox.name("second", offsets(program))

        assert any(names)
        assert not Path(f"/proc/{child}").exists() or status_of(child)["State"].startswith("Z")


def test_a_parser_that_is_killed_costs_its_file_and_leaves_the_others_alone(program):
    with Sandbox() as sandbox:
        sandbox.open("first", "elf", [program])
        (child,) = children_of(sandbox)
        sandbox.open("second", "elf", [program])
        os.kill(child, signal.SIGKILL)

        with pytest.raises(SandboxError):
            sandbox.name("first", offsets(program))
        names, _ = sandbox.name("second", offsets(program))

    assert any(names)


def test_a_server_that_is_killed_is_started_again(program):
    with Sandbox() as sandbox:
        sandbox.open("first", "elf", [program])
        os.kill(sandbox._server.pid, signal.SIGKILL)
        sandbox._server.wait()
        sandbox.forget("first")
        sandbox.open("again", "elf", [program])
        names, _ = sandbox.name("again", offsets(program))

    assert any(names)


def test_only_a_few_parsers_stay_alive(sandbox, program):
    for number in range(10):
        sandbox.open(number, "elf", [program])

    deadline = time.monotonic() + 10
    while len(children_of(sandbox)) > 3 and time.monotonic() < deadline:
        os.sched_yield()
    assert len(children_of(sandbox)) <= 3


def test_closing_leaves_no_process(program):
    sandbox = Sandbox()
    sandbox.open("program", "elf", [program])
    pids = [sandbox._server.pid, *children_of(sandbox)]

    sandbox.close()

    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        os.sched_yield()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def test_a_parser_that_cannot_be_started_is_told(monkeypatch, program):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with Sandbox() as sandbox, pytest.raises(SandboxUnavailableError):
        sandbox.open("program", "elf", [program])

    monkeypatch.setattr(sys, "executable", "/bin/false")
    with Sandbox() as sandbox, pytest.raises(SandboxUnavailableError, match="could not be started"):
        sandbox.open("program", "elf", [program])


@pytest.mark.parametrize(
    "answer",
    [
        Answer([], []),
        Answer([("a", "a")], [5]),
        Answer([("\x1b[31m", "a")], [0]),
        Answer([("a", "line\nbreak")], [0]),
    ],
    ids=["too few", "a place that isn't there", "an escape sequence", "a line break"],
)
def test_an_answer_that_does_not_fit_the_question_is_refused(answer):
    with pytest.raises(ChannelError):
        sandbox_module._checked(answer, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x93\x90\x91\xff",
        b"\x91\x90",
        msgspec.msgpack.encode([[["x" * 2000, "y"]], [0]]),
        msgspec.msgpack.encode([[], [-2]]),
    ],
)
def test_an_answer_of_another_shape_is_refused(body):
    with pytest.raises(msgspec.MsgspecError):
        sandbox_module._ANSWER.decode(body)


def test_a_message_that_claims_to_be_huge_is_not_read():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(ChannelError, match="at most"):
            receive(ours, 1)


def test_a_message_that_ends_early_or_never_comes_is_told():
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            with pytest.raises(ChannelError, match="in time"):
                receive(ours, 0.01)
            theirs.sendall(b"\x05\0\0\0abc")
        with pytest.raises(ChannelError, match="within a message"):
            receive(ours, 1)


def test_a_channel_that_is_closed_between_messages_is_no_error():
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            send(theirs, Answer([], []))
        assert receive(ours, 1) is not None
        assert receive(ours, 1) is None

"""The store: idempotent, and right again after a crash at any point."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from perfprofile_agent.api.report import NodeReport, NodeState
from perfprofile_gateway.errors import StoreError
from perfprofile_gateway.store import rows
from perfprofile_gateway.store.rows import HeldProfile, Kept, Recorded, RunKey, Slot, WindowKey
from perfprofile_gateway.store.store import Store

RUN = RunKey("uid-1", "shop", "run-1")
KEY = WindowKey("uid-1", "node-1", 0)
CONTENT = b"a profile"
SHA = hashlib.sha256(CONTENT).hexdigest()


def opened(directory: Path) -> Store:
    store = Store.open(directory)
    assert store is not None
    return store


def incoming(store: Store, content: bytes = CONTENT) -> Path:
    path, file = store.files.open_incoming()
    with file:
        file.write(content)
    return path


def keep(store: Store, key: WindowKey = KEY, content: bytes = CONTENT) -> Kept:
    digest = hashlib.sha256(content).hexdigest()
    return asyncio.run(store.keep_profile(RUN, key, incoming(store, content), sha256=digest, size=len(content)))


def report(store: Store, state: NodeState, key: WindowKey = KEY, **fields: object) -> Recorded:
    made = NodeReport(window=key.window, state=state, **fields)
    return asyncio.run(store.write(lambda c: rows.record_report(c, RUN, key, made, now=time.time(), lease_until=time.time() + 60)))


def take(store: Store, key: WindowKey, *, slots: int = 1, now: float = 1000.0, lease: float = 60.0) -> Slot:
    run = RUN._replace(uid=key.run_uid)
    return asyncio.run(store.write(lambda c: rows.take_slot(c, run, key, slots=slots, now=now, lease_until=now + lease)))


def every_row_has_its_file(store: Store) -> int:
    """Give how many profiles are held, after checking each."""
    with store._engine.connect() as connection:
        held = connection.execute(text("select path, sha256, size from profiles")).all()
    for path, sha256, size in held:
        content = store.files.absolute(path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)
    return len(held)


@pytest.fixture
def store(tmp_path: Path):
    store = opened(tmp_path)
    yield store
    store.close()


def test_what_was_kept_is_there_after_a_restart(tmp_path):
    first = opened(tmp_path)
    assert keep(first) is Kept.STORED
    assert report(first, NodeState.SUCCEEDED, profile_sha256=SHA) is Recorded.STORED
    first.close()

    second = opened(tmp_path)
    assert second.read_now(lambda c: rows.profiles_of(c, "uid-1")) == [
        HeldProfile("node-1", 0, SHA, len(CONTENT), second.files.place(KEY, SHA))
    ]
    assert second.read_now(lambda c: rows.reports_of(c, "uid-1"))[0].report.state is NodeState.SUCCEEDED
    second.close()


def test_keeping_the_same_twice_is_keeping_it_once(store):
    assert (keep(store), keep(store)) == (Kept.STORED, Kept.SAME)
    assert every_row_has_its_file(store) == 1


def test_a_window_that_is_over_takes_no_other_profile(store):
    keep(store)
    report(store, NodeState.SUCCEEDED, profile_sha256=SHA)
    assert keep(store, content=b"another") is Kept.OVER
    assert every_row_has_its_file(store) == 1


def test_the_first_terminal_record_stands(store):
    assert report(store, NodeState.FAILED, reason="NoSamples") is Recorded.STORED
    keep(store)
    assert report(store, NodeState.SUCCEEDED, profile_sha256=SHA) is Recorded.IGNORED
    assert store.read_now(lambda c: rows.state_of(c, KEY)) == "Failed"


def test_one_write_that_fails_takes_no_other_down(store):
    """They share a transaction."""

    def bad(connection):
        connection.execute(text("insert into nowhere values (1)"))

    async def together():
        good = [
            store.write(lambda c, index=index: rows.ensure_run(c, RunKey(f"uid-{index}", "shop", "run"), now=0.0)) for index in range(20)
        ]
        return await asyncio.gather(*good[:10], store.write(bad), *good[10:], return_exceptions=True)

    outcomes = asyncio.run(together())
    assert sum(isinstance(outcome, Exception) for outcome in outcomes) == 1
    assert len(store.read_now(rows.known_runs)) == 20


def test_a_slot_is_free_again_when_its_lease_is_over(store):
    other = KEY._replace(run_uid="uid-2")
    assert take(store, KEY) is Slot.GRANTED
    assert take(store, other) is Slot.BUSY
    assert take(store, other, now=1061.0) is Slot.GRANTED


def test_slots_are_counted_for_each_node_apart(store):
    assert take(store, KEY) is Slot.GRANTED
    assert take(store, KEY._replace(run_uid="uid-2", node="node-2")) is Slot.GRANTED


def test_a_window_that_is_over_gets_no_slot(store):
    report(store, NodeState.FAILED, reason="NoSamples")
    assert take(store, KEY) is Slot.OVER


def test_a_second_gateway_does_not_get_the_directory(tmp_path, store):
    assert Store.open(tmp_path) is None


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    store = opened(tmp_path)
    asyncio.run(store.write(lambda c: c.execute(text("update versions set version = 99"))))
    store.close()
    with pytest.raises(StoreError, match="newer gateway"):
        Store.open(tmp_path)


def test_a_directory_that_can_not_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="owner"):
        Store.open(tmp_path / "file")


def test_a_runs_uid_that_is_a_path_names_no_file(store):
    with pytest.raises(StoreError):
        store.files.place(KEY._replace(run_uid="../../etc"), SHA)


def test_files_without_a_row_are_swept_once_they_are_old(store, tmp_path):
    keep(store)
    orphan = tmp_path / "profiles" / "uid-1" / "orphan.pb.gz"
    young = tmp_path / "profiles" / "uid-1" / "young.pb.gz"
    for file in (orphan, young):
        file.write_bytes(b"x")
    for file in (orphan, store.files.absolute(store.files.place(KEY, SHA))):
        os.utime(file, (0, 0))

    assert asyncio.run(store.sweep()) == 1

    assert not orphan.exists()
    assert young.exists()
    assert every_row_has_its_file(store) == 1


# ---- Crashes

STEPS = """
import asyncio, os, sys, time
from pathlib import Path
from perfprofile_gateway.store import rows
from perfprofile_gateway.store.rows import HeldProfile, RunKey, WindowKey
from perfprofile_gateway.store.store import Store

directory, steps, sha = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
run, key = RunKey("uid-1", "shop", "run-1"), WindowKey("uid-1", "node-1", 0)
store = Store.open(directory)
path, file = store.files.open_incoming()

def die_after(step):
    if step == steps:
        os._exit(9)

file.write(b"a pro")
file.flush()
die_after(1)
file.write(b"file")
file.close()
die_after(2)
final = store.files.place(key, sha)
store.files.adopt(path, final)
die_after(3)
held = HeldProfile("node-1", 0, sha, 9, final)

def unfinished(connection):
    rows.keep_profile(connection, run, key, held, now=time.time())
    die_after(4)

asyncio.run(store.write(unfinished))
die_after(5)
"""


@pytest.mark.parametrize(("step", "held"), [(1, 0), (2, 0), (3, 0), (4, 0), (5, 1)])
def test_a_crash_between_any_two_steps_leaves_nothing_wrong(tmp_path, step, held):
    """1 half written, 2 written, 3 in its place, 4 row not committed, 5 committed; then the agent sends again."""
    died = subprocess.run([sys.executable, "-c", STEPS, tmp_path, str(step), SHA], check=False, timeout=60)
    assert died.returncode == 9

    store = opened(tmp_path)
    assert every_row_has_its_file(store) == held
    assert not list((tmp_path / "incoming").iterdir())
    assert keep(store) is (Kept.SAME if held else Kept.STORED)
    assert every_row_has_its_file(store) == 1
    store.close()


LOAD = """
import asyncio, hashlib, sys
from pathlib import Path
from perfprofile_gateway.store.rows import RunKey, WindowKey
from perfprofile_gateway.store.store import Store

store = Store.open(Path(sys.argv[1]))

async def one(index):
    content = f"profile {index}".encode()
    path, file = store.files.open_incoming()
    with file:
        file.write(content)
    key = WindowKey("uid-1", f"node-{index}", 0)
    await store.keep_profile(RunKey("uid-1", "shop", "run-1"), key, path, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    print(key.node, flush=True)

async def all():
    for start in range(0, 100_000, 8):
        await asyncio.gather(*(one(index) for index in range(start, start + 8)))

asyncio.run(all())
"""


def test_what_was_acknowledged_before_a_kill_is_there_afterwards(tmp_path):
    """Kill -9 under load, several times; every acknowledged profile is whole."""
    for acknowledge in (5, 40, 100):
        process = subprocess.Popen([sys.executable, "-c", LOAD, tmp_path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        acknowledged = {process.stdout.readline().strip() for _ in range(acknowledge)}
        process.send_signal(signal.SIGKILL)
        acknowledged |= {line.strip() for line in process.stdout if line.endswith("\n")}
        process.wait()
        process.stdout.close()

        store = opened(tmp_path)
        assert every_row_has_its_file(store) >= len(acknowledged)
        with store._engine.connect() as connection:
            nodes = set(connection.execute(text("select node from profiles")).scalars())
        assert acknowledged <= nodes
        store.close()

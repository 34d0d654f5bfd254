"""Giving up root, in processes of their own."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from perfprofile_agent.node.capabilities import KEPT, NUMBERS

AFTERWARDS = """
import json, os, subprocess, sys
from perfprofile_agent.node import capabilities
{before}
switch = capabilities.give_up_root()
fields = lambda text: dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
status = fields(open("/proc/self/status").read())
child = fields(subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout)
try:
    os.setuid(0)
    back = True
except PermissionError:
    back = False
try:
    shadow = bool(open("/etc/shadow").read())
except PermissionError:
    shadow = False
print(json.dumps({{
    "uid": status["Uid"].split(), "gid": status["Gid"].split(), "groups": status["Groups"].split(),
    "sets": {{name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}},
    "child": int(child["CapEff"], 16), "no_new_privs": status["NoNewPrivs"].strip(), "back": back,
    "own_files": os.stat("/proc/self/fd").st_uid, "reads_shadow": shadow,
    "switched": switch.switched, "kept": switch.kept, "missing": switch.missing,
}}))
"""


def after_switch(before: str = "", *, wrapper: tuple[str, ...] = ()) -> dict[str, Any]:
    program = AFTERWARDS.format(before=before)
    done = subprocess.run([*wrapper, sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def mask() -> int:
    return sum(1 << NUMBERS[name] for name in KEPT)


@pytest.mark.root
def test_root_becomes_an_unprivileged_uid_with_exactly_the_kept_capabilities(mask: int) -> None:
    after = after_switch()

    assert after["uid"] == after["gid"] == ["65532"] * 4
    assert after["groups"] == []
    assert set(after["sets"].values()) == {mask}
    assert after["no_new_privs"] == "1"
    assert after["missing"] == []


@pytest.mark.root
def test_children_inherit_the_capabilities(mask: int) -> None:
    assert after_switch()["child"] == mask


@pytest.mark.root
def test_there_is_no_way_back() -> None:
    assert not after_switch()["back"]


@pytest.mark.root
def test_its_own_proc_files_and_files_of_root_stay_readable() -> None:
    after = after_switch()

    assert after["own_files"] == 65532
    assert after["reads_shadow"]


@pytest.mark.root
def test_what_the_container_lacks_is_told_and_not_kept(mask: int) -> None:
    after = after_switch(wrapper=("setpriv", "--bounding-set=-syslog"))

    assert after["missing"] == ["SYSLOG"]
    assert after["sets"]["CapEff"] == mask & ~(1 << NUMBERS["SYSLOG"])


@pytest.mark.root
def test_root_without_the_means_to_switch_is_refused() -> None:
    program = AFTERWARDS.format(before="")
    done = subprocess.run(["setpriv", "--bounding-set=-setuid", sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "lacks SETUID" in done.stderr


def test_a_process_that_is_not_root_is_left_as_it_is() -> None:
    before = f"os.setresuid({os.getuid() or 65534}, {os.getuid() or 65534}, {os.getuid() or 65534})"

    after = after_switch(before)

    assert not after["switched"]
    assert after["sets"]["CapEff"] == 0

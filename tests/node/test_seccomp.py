"""The numbers in the system call filter, beside those of the kernel's own headers."""

import re
from pathlib import Path

import pytest

from perfprofile_agent.node import seccomp

HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h", "/usr/include/asm/unistd_64.h"),
}


@pytest.mark.parametrize(("column", "machine"), list(enumerate(HEADERS)), ids=list(HEADERS))
def test_the_numbers_are_those_of_the_kernel_s_headers(column, machine):
    header = next((path for path in map(Path, HEADERS[machine]) if path.exists()), None)
    if header is None:
        pytest.skip("the kernel's headers are not installed: apt-get install linux-libc-dev")
    told = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())}

    ours = {name: numbers[column] for name, numbers in seccomp._ALLOWED.items()}

    assert ours == {name: told[name] for name in ours}


@pytest.mark.parametrize("machine", list(HEADERS))
def test_every_jump_of_the_filter_leads_to_its_last_instruction(machine):
    program = seccomp._filter(machine)
    comparisons = range(4, len(program) - 2)

    assert {index + 1 + program[index].if_true for index in comparisons} == {len(program) - 1}
    assert program[len(program) - 1].operand == seccomp._ALLOW
    assert program[len(program) - 2].operand == seccomp._ERROR_EPERM

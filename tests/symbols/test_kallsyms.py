"""The kernel's symbols."""

from pathlib import Path

import pytest

from perfprofile_agent.symbols.kallsyms import KernelSymbols

TEXT = b"""ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000100 t secondary
ffffffff81000200 D some_data
ffffffff81000300 W weak_function
ffffffffc0201000 t nf_hook\t[nf_tables]
ffffffffc0301000 t bpf_prog_6deef7357e7b4530_sd_devices\t[bpf]
"""


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (0xFFFFFFFF80FFFFFF, ""),
        (0xFFFFFFFF81000000, "_text"),
        (0xFFFFFFFF81000150, "secondary"),
        (0xFFFFFFFF81000210, "secondary"),
        (0xFFFFFFFF81000310, "weak_function"),
        (0xFFFFFFFFC0201010, "nf_hook"),
        (0xFFFFFFFFC0301010, "bpf_prog_6deef7357e7b4530_sd_devices"),
        (0xFFFFFFFFC0401010, ""),
    ],
)
def test_functions_of_kernel_modules_and_bpf_are_named(address, expected):
    assert KernelSymbols(TEXT).find(address) == expected


def test_addresses_hidden_by_the_kernel_are_told_apart_from_no_symbols():
    hidden = KernelSymbols(b"0000000000000000 T _text\n0000000000000000 t secondary\n")

    assert hidden.hidden
    assert hidden.find(0) == ""
    assert not KernelSymbols(b"").hidden
    assert not KernelSymbols(TEXT).hidden


def test_lines_that_are_no_symbols_are_skipped():
    symbols = KernelSymbols(b"nonsense\n\xff\xfe\nffffffff81000000 T ok\nzz T bad\nffffffff81000100 T\n")

    assert len(symbols) == 1
    assert symbols.find(0xFFFFFFFF81000000) == "ok"


def test_the_running_kernel_s_functions_are_named():
    text = Path("/proc/kallsyms").read_bytes()
    symbols = KernelSymbols(text)
    if symbols.hidden or not len(symbols):
        pytest.skip("kernel addresses are hidden here: run as root with sysctl kernel.kptr_restrict=1")
    lines = [line.split() for line in text.decode().splitlines()]
    functions = {int(address, 16): name for address, kind, name, *_ in reversed(lines) if kind in "tT"}

    chosen = list(functions)[:: len(functions) // 500]

    assert {address: symbols.find(address) for address in chosen} == {address: functions[address] for address in chosen}

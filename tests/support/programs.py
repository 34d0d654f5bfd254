"""Real programs for tests of naming, compiled when a test needs one; without the compiler the test is skipped with how to get it."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

SPIN_C = """
static int counter;
__attribute__((noinline)) static int inner(int n) { for (int i = 0; i < n; i++) counter += i; return counter; }
__attribute__((noinline)) int outer(int n) { return inner(n) + inner(n / 2); }
int main(int argc, char **argv) { (void)argv; do outer(1000); while (argc > 1); return 0; }
"""


class Function(NamedTuple):
    """A function as ``readelf`` lists it."""

    name: str
    address: int
    size: int


def tool(name: str, package: str) -> str:
    """The path of a program; skips the test if it isn't installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return found


def compile_c(folder: Path, source: str = SPIN_C, *flags: str, name: str = "program") -> Path:
    """Compile C source."""
    return _compile("gcc", folder / f"{name}.c", source, flags, folder / name)


def compile_cpp(folder: Path, source: str, *flags: str, name: str = "program") -> Path:
    """Compile C++ source."""
    return _compile("g++", folder / f"{name}.cpp", source, flags, folder / name)


def compile_go(folder: Path, source: str, *flags: str, name: str = "program") -> Path:
    """Build a Go program of one file, offline; about a second with a warm build cache."""
    go = tool("go", "golang")
    (folder / "main.go").write_text(source)
    (folder / "go.mod").write_text("module example.test/program\n\ngo 1.21\n")
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    run([go, "build", *flags, "-o", name, "."], cwd=folder, env=environment)
    return folder / name


def compile_rust(folder: Path, source: str, *flags: str, name: str = "program") -> Path:
    """Compile a Rust program of one file."""
    return _compile("rustc", folder / f"{name}.rs", source, flags, folder / name)


def run(command: list[str], **options: object) -> str:
    """Run a tool; its output stands in the failure."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def functions(program: Path) -> list[Function]:
    """The defined functions in a program's full symbol table, as readelf tells them."""
    text = run([tool("readelf", "binutils"), "--syms", "--wide", str(program)])
    line = re.compile(r"^ *\d+: ([0-9a-f]+) +(\w+) I?FUNC +\w+ +\w+ +\d+ (\S+)", re.MULTILINE)
    table = text.partition("'.symtab'")[2]
    return [Function(name, int(address, 16), int(size, 0)) for address, size, name in line.findall(table)]


def _compile(compiler: str, source: Path, text: str, flags: tuple[str, ...], program: Path) -> Path:
    source.write_text(text)
    run([tool(compiler, compiler), *flags, str(source), "-o", str(program)])
    return program

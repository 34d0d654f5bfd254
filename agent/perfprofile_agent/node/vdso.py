"""The vDSO, which no file holds: the kernel maps the same one into every 64-bit process, so the agent reads its own.

It is the kernel's, not a container's, so it is parsed in the agent itself.
"""

from pathlib import Path
from typing import NamedTuple

from perfprofile_agent.symbols.errors import SymbolError
from perfprofile_agent.symbols.naming import FileNames
from perfprofile_agent.symbols.source import Blob


class Vdso(NamedTuple):
    """This process's vDSO."""

    names: FileNames
    size: int
    """Bytes that are mapped."""


def own_vdso(proc_self: Path = Path("/proc/self")) -> Vdso:
    """Read this process's vDSO out of its memory.

    Raises:
        SymbolError: There is none, or it isn't sound.
    """
    try:
        lines = (proc_self / "maps").read_text().splitlines()
        start, end = next(tuple(int(bound, 16) for bound in line.split()[0].split("-")) for line in lines if line.endswith("[vdso]"))
        with (proc_self / "mem").open("rb", buffering=0) as memory:
            memory.seek(start)
            return Vdso(FileNames(Blob(memory.read(end - start))), end - start)
    except (OSError, StopIteration, ValueError) as error:
        raise SymbolError("vDSO", f"this process's own can't be read: {error}") from error

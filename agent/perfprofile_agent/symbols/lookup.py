"""How names are asked for: the values that cross between conversion, which has addresses, and whoever can open the files.

Conversion is pure, so it never opens a file. It says early which mappings it has seen (``hold``: the process may be gone a
second later) and asks for all names of a mapping at once when the window is over (``name``).
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class MappedFile(NamedTuple):
    """A file-backed, anonymous or special executable mapping of one process, as PERF_RECORD_MMAP2 tells it."""

    pid: int
    """Process id in the PID namespace that perf ran in; -1 for the kernel."""
    start: int
    end: int
    offset: int
    """Byte of the file that ``start`` shows."""
    path: str
    """As in /proc/PID/maps: a path in the process's own root, or ``[vdso]``, ``//anon``, ``[kernel.kallsyms]_text``, a module ``[name]``."""
    device: tuple[int, int] = (0, 0)
    """Major and minor; zeros where the record doesn't tell."""
    inode: int = 0
    """Zero where the record doesn't tell."""
    build_id: str = ""
    """Hex; empty where the record doesn't tell."""


class Frame(NamedTuple):
    """One function at an address."""

    name: str
    """For people: demangled."""
    system_name: str = ""
    """As the linker or the JIT knows it."""
    filename: str = ""
    line: int = 0


class Named(NamedTuple):
    """What is known of a mapping and of the addresses in it."""

    build_id: str
    """Hex, from the opened file; empty if unknown."""
    frames: dict[int, tuple[Frame, ...]]
    """By address as asked for; innermost first; addresses without a name are absent."""
    notice: str = ""
    """Why names are missing, for example "symbols hidden by kernel.kptr_restrict"; empty if nothing is to be said."""


class Symbolizer(Protocol):
    """Gives names to addresses. Implemented by ``perfprofile_agent.node.symbolizer`` on a real machine and by fakes in tests."""

    def hold(self, mapped: MappedFile) -> None:
        """Note that a sample to be shown lies in ``mapped``, and keep what is needed to name it when the process is gone. Never raises."""

    def name(self, mapped: MappedFile, addresses: Sequence[int]) -> Named:
        """Name ``addresses`` (runtime addresses within ``mapped``). Never raises: what can't be named is absent."""

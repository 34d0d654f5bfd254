"""Names addresses on a real machine: implements :class:`perfprofile_agent.symbols.lookup.Symbolizer`.

Files are opened while their processes live (``holding``) and parsed in a sandbox (``sandbox``, ``file_naming``). The kernel's own
symbols and the vDSO come from the kernel, not from containers, so they are parsed right here.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from perfprofile_agent.errors import PerfProfileError
from perfprofile_agent.node.file_naming import FileNaming, NotElfError
from perfprofile_agent.node.holding import Holder
from perfprofile_agent.node.sandbox import Sandbox
from perfprofile_agent.node.vdso import Vdso, own_vdso
from perfprofile_agent.symbols.errors import SymbolError
from perfprofile_agent.symbols.kallsyms import KernelSymbols
from perfprofile_agent.symbols.kinds import Kind, kind_of, same_build
from perfprofile_agent.symbols.lookup import Frame, MappedFile, Named

_KALLSYMS: Final = Path("/proc/kallsyms")
_HIDDEN: Final = (
    "kernel functions have no names: their addresses are hidden from the agent; "
    "give it CAP_SYSLOG, and set sysctl kernel.kptr_restrict to 0 or 1 on the node if it is 2"
)
_KERNEL: Final = "[kernel.kallsyms]"
_ANOTHER_KERNEL: Final = (
    "kernel functions have no names: the recording is of another kernel than the one that runs here, or from before its last start; "
    "convert it on the machine that made it"
)


class NodeSymbolizer:
    """Names addresses of processes of this machine. Use it from one thread, and close it: it holds files and a child process."""

    def __init__(self, *, sandbox: Sandbox | None = None, kallsyms: Path = _KALLSYMS) -> None:
        self._sandbox = sandbox or Sandbox()
        self._holder = Holder()
        self._files = FileNaming(self._holder, self._sandbox)
        self._kallsyms = kallsyms
        self._kernel: KernelSymbols | None = None
        self._kernel_mapping: MappedFile | None = None
        self._vdso: Vdso | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all files and end the sandbox."""
        self._holder.close()
        self._sandbox.close()

    def hold(self, mapped: MappedFile) -> None:
        """As :meth:`Symbolizer.hold`: open the mapping's file now, because its process may end at any moment."""
        kind = kind_of(mapped)
        if kind is Kind.KERNEL and mapped.path.startswith(_KERNEL):
            self._kernel_mapping = mapped
        # What can't be opened now is tried again when names are asked for, and explained then.
        if kind in {Kind.FILE, Kind.MEMORY_FILE}:
            with suppress(PerfProfileError, OSError):
                self._holder.file(mapped)
                self._sandbox.start()
        if kind in {Kind.GENERATED, Kind.MEMORY_FILE}:
            with suppress(PerfProfileError, OSError):
                self._holder.perf_map(mapped.pid)

    def name(self, mapped: MappedFile, addresses: Sequence[int]) -> Named:
        """As :meth:`Symbolizer.name`."""
        if not addresses:
            return Named("", {})
        try:
            return self._name(mapped, addresses)
        except (PerfProfileError, OSError) as error:
            return Named("", {}, str(error))

    def _name(self, mapped: MappedFile, addresses: Sequence[int]) -> Named:
        match kind_of(mapped):
            case Kind.KERNEL:
                return self._name_kernel(addresses)
            case Kind.VDSO:
                return self._name_vdso(mapped, addresses)
            case Kind.GENERATED:
                return self._files.name_generated(mapped, addresses)
            case Kind.MEMORY_FILE | Kind.FILE:
                return self._name_file(mapped, addresses)
            case Kind.OTHER:
                return Named("", {})

    def _name_file(self, mapped: MappedFile, addresses: Sequence[int]) -> Named:
        """A mapped file that is no ELF file may hold generated code, too: .NET and some JIT compilers map theirs from a file."""
        try:
            return self._files.name_file(mapped, addresses)
        except NotElfError:
            return self._files.name_generated(mapped, addresses)
        except PerfProfileError as error:
            if kind_of(mapped) is not Kind.MEMORY_FILE:
                raise
            try:
                return self._files.name_generated(mapped, addresses)
            except PerfProfileError:
                raise error from None

    def _name_kernel(self, addresses: Sequence[int]) -> Named:
        if self._kernel is None:
            self._kernel = KernelSymbols(self._kallsyms.read_bytes())
        if self._kernel.hidden:
            return Named("", {}, _HIDDEN)
        if not self._is_running(self._kernel):
            return Named("", {}, _ANOTHER_KERNEL)
        found = ((address, self._kernel.find(address)) for address in addresses)
        return Named("", {address: (Frame(name, name),) for address, name in found if name})

    def _is_running(self, kernel: KernelSymbols) -> bool:
        """Whether the recording is of the kernel that runs now: perf tells where the symbol lay that the mapping's path ends with.

        A file may come from another machine, or from before a restart, which moves the kernel (KASLR); then all names would be wrong.
        """
        mapped = self._kernel_mapping
        if mapped is None or not mapped.offset:
            return True
        here = kernel.address_of(mapped.path.removeprefix(_KERNEL))
        return not here or here == mapped.offset

    def _name_vdso(self, mapped: MappedFile, addresses: Sequence[int]) -> Named:
        if self._vdso is None:
            self._vdso = own_vdso()
        names, size = self._vdso
        other = mapped.build_id and not same_build(mapped.build_id, names.build_id)
        if other or mapped.end - mapped.start != size:
            raise SymbolError("vDSO", "that of the process is another one than the agent's own, as 32-bit programs have it")
        found = names.name([address - mapped.start + mapped.offset for address in addresses])
        frames: dict[int, tuple[Frame, ...]] = {
            address: (Frame(*name),) for address, name in zip(addresses, found, strict=True) if name is not None
        }
        return Named(names.build_id, frames)

"""Stacks: from a callchain as recorded to locations, leaf first.

A chain is addresses with marks between them that say whose addresses follow. The sample's own address is the leaf and usually comes
again as the chain's first entry; all other entries are return addresses.

Frames in no mapping are kept as ``[unknown]``: a stack that silently lacks a frame tells a lie. They share one location, because the
number is worthless without a mapping and may be any data that a program without frame pointers left on its stack.
"""

import struct
from typing import Final, TypeAlias

from perfprofile_agent.convert.addresses import Addresses, Elsewhere, Lookup
from perfprofile_agent.convert.places import KERNEL_PID, LocationId, Places
from perfprofile_agent.convert.scope import Decision
from perfprofile_agent.perfdata.layout import (
    CONTEXT_HYPERVISOR,
    CONTEXT_KERNEL,
    CONTEXT_MAX,
    CONTEXT_USER,
    CONTEXT_USER_DEFERRED,
    CPUMODE_GUEST_KERNEL,
    CPUMODE_GUEST_USER,
    CPUMODE_HYPERVISOR,
    CPUMODE_KERNEL,
    CPUMODE_USER,
)
from perfprofile_agent.replay.mappings import AddressSpace, Region
from perfprofile_agent.replay.processes import Process

UNKNOWN: Final = "[unknown]"
KERNEL: Final = "[kernel]"
GUEST: Final = "[guest]"
HYPERVISOR: Final = "[hypervisor]"

_KERNEL_HALF: Final = Region(2**63, 2**64 - 1, 0, "[kernel.kallsyms]")
"""What kernel addresses lie in that no record tells of: kallsyms may know them all the same."""
Tally: TypeAlias = list[int]
"""Number of samples, and how many events they stand for."""
StackKey: TypeAlias = tuple[bytes, int, int, str, int, int, int]
"""What makes two samples of a process the same: chain, ip, cgroup, comm, event, cpumode, and tid if that is asked for."""


class View:
    """What is remembered of one process to turn its samples into counts quickly; thrown away when its mappings change."""

    __slots__ = ("addresses", "comms", "tallies", "verdicts")

    def __init__(self, process: Process, addresses: Addresses) -> None:
        self.comms = process.comms
        self.addresses = addresses
        self.verdicts: dict[int, Decision] = {}
        """By cgroup id."""
        self.tallies: dict[StackKey, Tally] = {}


class Stacks:
    """Resolves callchains; knows the kernel's mappings, which all processes share."""

    def __init__(self, places: Places, *, kernel_frames: bool) -> None:
        self._places = places
        self._unknown = places.fix(UNKNOWN)
        self._kernel_only = places.fix(KERNEL)
        self._kernel_space = AddressSpace([_KERNEL_HALF])
        self._kernel = Addresses(self._kernel_space, KERNEL_PID, places, self._kernel_only)
        self._kernel_lookup: Lookup | None = self._kernel if kernel_frames else None

    def view(self, process: Process) -> View:
        """A fresh view of a process."""
        return View(process, Addresses(process.space, process.pid, self._places, self._unknown))

    def resolve(self, view: View, cpumode: int, ip: int, chain: bytes) -> tuple[LocationId, ...]:
        """Locations of a sample, leaf first; never empty."""
        entries = struct.unpack_from(f"<{len(chain) // 8}Q", chain)
        lookup = self._lookup(view, cpumode)
        stack = [lookup.leaf(ip)] if lookup is not None else []
        caller = lookup.caller if lookup is not None else None
        leaf_again = True
        for address in entries:
            if address >= CONTEXT_MAX:
                lookup = self._lookup(view, _CONTEXTS.get(address, CPUMODE_GUEST_USER))
                caller = lookup.caller if lookup is not None else None
                continue
            if caller is not None and not (leaf_again and address == ip):
                stack.append(caller(address))
            leaf_again = False
        return tuple(stack) or (self._kernel_only,)

    def kernel_appears(self, region: Region) -> bool:
        """Kernel code is mapped. Returns whether that changes the meaning of stacks that were resolved before."""
        self._kernel_space.insert(region)
        return self._forget_kernel(region.start, region.end)

    def kernel_vanishes(self, start: int, end: int) -> bool:
        """Kernel code is gone. Returns whether that changes the meaning of stacks that were resolved before."""
        self._kernel_space.insert(_KERNEL_HALF._replace(start=start, end=end))
        return self._forget_kernel(start, end)

    def _forget_kernel(self, start: int, end: int) -> bool:
        known = self._kernel.knows(start, end)
        if known:
            self._kernel.forget()
        return known

    def _lookup(self, view: View, cpumode: int) -> Lookup | None:
        """Whose addresses these are; None: frames of this kind are left out."""
        if cpumode == CPUMODE_USER:
            return view.addresses
        if cpumode == CPUMODE_KERNEL:
            return self._kernel_lookup
        return Elsewhere(self._places.fix(_OTHER_WORLDS.get(cpumode, UNKNOWN)))


_CONTEXTS: Final = {
    CONTEXT_KERNEL: CPUMODE_KERNEL,
    CONTEXT_USER: CPUMODE_USER,
    CONTEXT_USER_DEFERRED: CPUMODE_USER,
    CONTEXT_HYPERVISOR: CPUMODE_HYPERVISOR,
}
"""Marks of guests, and marks from the future, are all of another world."""
_OTHER_WORLDS: Final = {CPUMODE_HYPERVISOR: HYPERVISOR, CPUMODE_GUEST_KERNEL: GUEST, CPUMODE_GUEST_USER: GUEST}

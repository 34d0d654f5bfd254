"""Stacks: from a callchain as recorded to locations, leaf first.

A chain is addresses with marks between them that say whose addresses follow: the kernel's first, the program's last. The sample's own
address is the leaf and usually comes again as the chain's first entry; all other entries are return addresses.

What follows the mark of the program was read from the program's own memory, which may hold anything, also numbers that look like marks
and guesses at kernel addresses. So no mark counts there: or a program could have its guesses named, and learn where the kernel lies.

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
        self._kernel_space = AddressSpace([_KERNEL_HALF])
        self._kernel = Addresses(self._kernel_space, KERNEL_PID, places, KERNEL)
        self._kernel_lookup: Lookup | None = self._kernel if kernel_frames else None

    def view(self, process: Process) -> View:
        """A fresh view of a process."""
        return View(process, Addresses(process.space, process.pid, self._places, UNKNOWN))

    def resolve(self, view: View, cpumode: int, ip: int, chain: bytes) -> tuple[LocationId, ...]:
        """Locations of a sample, leaf first; never empty."""
        entries = struct.unpack_from(f"<{len(chain) // 8}Q", chain)
        if cpumode == CPUMODE_USER:
            user = entries[1:] if entries and entries[0] >= CONTEXT_MAX else entries
            if user and user[0] == ip:
                user = user[1:]
            return (view.addresses.leaf(ip), *view.addresses.callers(user))
        cut = entries.index(CONTEXT_USER) if CONTEXT_USER in entries else len(entries)
        stack = self._system_frames(cpumode, ip, entries[:cut])
        stack += view.addresses.callers(entries[cut + 1 :])
        return tuple(stack) or (self._places.fix(KERNEL),)

    def _system_frames(self, cpumode: int, ip: int, entries: tuple[int, ...]) -> list[LocationId]:
        """The leaf and all frames before the program's: the kernel's, seldom a guest's or the hypervisor's."""
        lookup = self._lookup(cpumode)
        stack = [lookup.leaf(ip)] if lookup is not None else []
        leaf_again = True
        for address in entries:
            if address >= CONTEXT_MAX:
                lookup = self._lookup(_CONTEXTS.get(address, CPUMODE_GUEST_USER))
                continue
            if lookup is not None and not (leaf_again and address == ip):
                stack.append(lookup.caller(address))
            leaf_again = False
        return stack

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

    def _lookup(self, cpumode: int) -> Lookup | None:
        """Whose addresses these are; None: frames of this kind are left out."""
        if cpumode == CPUMODE_KERNEL:
            return self._kernel_lookup
        return Elsewhere(self._places.fix(_OTHER_WORLDS.get(cpumode, UNKNOWN)))


_CONTEXTS: Final = {
    CONTEXT_KERNEL: CPUMODE_KERNEL,
    CONTEXT_HYPERVISOR: CPUMODE_HYPERVISOR,
}
"""Marks of guests, and marks from the future, are all of another world."""
_OTHER_WORLDS: Final = {CPUMODE_HYPERVISOR: HYPERVISOR, CPUMODE_GUEST_KERNEL: GUEST, CPUMODE_GUEST_USER: GUEST}

"""Stacks: from a callchain as recorded to locations, leaf first.

A chain is addresses with marks between them that say whose addresses follow. The sample's own address is the leaf and usually comes
again as the chain's first entry. All other entries are return addresses: the call is the instruction before, so they are looked up
one byte lower, or a call at a function's end would be named after the next function.

Frames in no mapping are kept as ``[unknown]``: a stack that silently lacks a frame tells a lie. They share one location, because the
number is worthless without a mapping and may be any data that a program without frame pointers left on its stack.
"""

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from perfprofile_agent.convert.places import KERNEL_PID, LocationId, Place, Places
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

_KERNEL_HALF: Final = Region(2**63, 2**64, 0, "[kernel.kallsyms]")
"""What kernel addresses lie in that no record tells of: kallsyms may know them all the same."""
_MAX_UNMAPPED: Final = 4096
"""From so many on, a new mapping is not compared with each, but makes the process forget what it knows."""

Lookup: TypeAlias = Callable[[int], LocationId] | None
"""Address to location; None: frames of this kind are left out."""
Tally: TypeAlias = list[int]
"""Number of samples, and how many events they stand for."""
StackKey: TypeAlias = tuple[bytes, int, int, str, int, int, int]
"""What makes two samples of a process the same: chain, ip, cgroup, comm, event, cpumode, and tid if that is asked for."""


class View:
    """What is remembered of one process to turn its samples into counts quickly; thrown away when its mappings change."""

    __slots__ = ("comms", "known", "lookup", "places", "process", "tallies", "unmapped", "verdicts")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.comms = process.comms
        self.verdicts: dict[int, Decision] = {}
        """By cgroup id."""
        self.tallies: dict[StackKey, Tally] = {}
        self.known: dict[int, LocationId] = {}
        """By address looked up."""
        self.unmapped: set[int] = set()
        """Addresses looked up that lay in no mapping."""
        self.places: dict[int, Place] = {}
        """By start of the region that shows them."""
        self.lookup: Lookup = None
        """How user addresses become locations."""

    def outdated_by(self, start: int, end: int) -> bool:
        """Whether a mapping of [start, end), where nothing was before, changes anything that is remembered."""
        if len(self.unmapped) > _MAX_UNMAPPED:
            return True
        return any(start <= address < end for address in self.unmapped)


class Stacks:
    """Resolves callchains; knows the kernel's mappings, which all processes share."""

    def __init__(self, places: Places, *, kernel_frames: bool) -> None:
        self._places = places
        self._kernel = AddressSpace([_KERNEL_HALF])
        self._kernel_known: dict[int, LocationId] = {}
        self._kernel_places: dict[int, Place] = {}
        self._kernel_lookup = _remembering(self._kernel_known, self._kernel_location) if kernel_frames else None
        self._unknown = places.fix(UNKNOWN)
        self._kernel_only = places.fix(KERNEL)

    def resolve(self, view: View, cpumode: int, ip: int, chain: bytes) -> tuple[LocationId, ...]:
        """Locations of a sample, leaf first; never empty."""
        entries = struct.unpack_from(f"<{len(chain) // 8}Q", chain)
        lookup = self._lookup(view, cpumode)
        stack = [lookup(ip)] if lookup is not None else []
        append = stack.append
        leaf_again = True
        for address in entries:
            if address >= CONTEXT_MAX:
                lookup = self._lookup(view, _CONTEXTS.get(address, CPUMODE_GUEST_USER))
            elif leaf_again and address == ip:
                leaf_again = False
            else:
                leaf_again = False
                if lookup is not None:
                    append(lookup(address - 1))
        return tuple(stack) or (self._kernel_only,)

    def kernel_appears(self, region: Region) -> bool:
        """Kernel code is mapped. Returns whether that changes the meaning of stacks that were resolved before."""
        self._kernel.insert(region)
        return self._forget_kernel(region.start, region.end)

    def kernel_vanishes(self, start: int, end: int) -> bool:
        """Kernel code is gone. Returns whether that changes the meaning of stacks that were resolved before."""
        self._kernel.insert(_KERNEL_HALF._replace(start=start, end=end))
        return self._forget_kernel(start, end)

    def _forget_kernel(self, start: int, end: int) -> bool:
        if not any(start <= address < end for address in self._kernel_known):
            return False
        self._kernel_known.clear()
        self._kernel_places.clear()
        return True

    def view(self, process: Process) -> View:
        """A fresh view of a process."""
        view = View(process)
        view.lookup = _remembering(view.known, lambda address: self._user(view, address))
        return view

    def _lookup(self, view: View, cpumode: int) -> Lookup:
        """How addresses of this mode become locations."""
        if cpumode == CPUMODE_USER:
            return view.lookup
        if cpumode == CPUMODE_KERNEL:
            return self._kernel_lookup
        name = _OTHER_WORLDS.get(cpumode, UNKNOWN)
        location = self._places.fix(name)
        return lambda _: location

    def _user(self, view: View, address: int) -> LocationId:
        region = view.process.space.find(address)
        if region is None:
            view.unmapped.add(address)
            return self._unknown
        place = view.places.get(region.start)
        if place is None:
            place = view.places[region.start] = self._places.touch(region, view.process.pid)
        return self._places.locate(place, address - region.start)

    def _kernel_location(self, address: int) -> LocationId:
        region = self._kernel.find(address)
        if region is None:
            return self._kernel_only
        place = self._kernel_places.get(region.start)
        if place is None:
            place = self._kernel_places[region.start] = self._places.touch(region, KERNEL_PID)
        return self._places.locate(place, address - region.start)


def _remembering(known: dict[int, LocationId], find: Callable[[int], LocationId]) -> Callable[[int], LocationId]:
    get = known.get

    def lookup(address: int) -> LocationId:
        location = get(address)
        if location is None:
            location = known[address] = find(address)
        return location

    return lookup


_CONTEXTS: Final = {
    CONTEXT_KERNEL: CPUMODE_KERNEL,
    CONTEXT_USER: CPUMODE_USER,
    CONTEXT_USER_DEFERRED: CPUMODE_USER,
    CONTEXT_HYPERVISOR: CPUMODE_HYPERVISOR,
}
"""Marks of guests, and marks from the future, are all of another world."""
_OTHER_WORLDS: Final = {CPUMODE_HYPERVISOR: HYPERVISOR, CPUMODE_GUEST_KERNEL: GUEST, CPUMODE_GUEST_USER: GUEST}

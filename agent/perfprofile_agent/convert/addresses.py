"""Addresses of one address space as locations, each looked up once.

Return addresses are told apart from leaves: a call is the instruction before the address it returns to, so a caller's location lies
one byte lower, or a call at a function's end would be named after the next function. Not so at the start of a mapping: there the
entry is where a page fault interrupted the program.
"""

from collections.abc import Callable
from typing import Final, Protocol, cast

from perfprofile_agent.convert.places import LocationId, Places
from perfprofile_agent.replay.mappings import AddressSpace

_MAX_UNMAPPED: Final = 4096
"""From so many on, a new mapping is not compared with each, but makes everything be looked up anew."""


class Lookup(Protocol):
    """Gives locations for addresses."""

    @property
    def leaf(self) -> Callable[[int], LocationId]:
        """For the address a sample was taken at."""

    @property
    def caller(self) -> Callable[[int], LocationId]:
        """For an address that a function returns to."""


class Elsewhere:
    """Code of which nothing is known but whose it is: a guest's, the hypervisor's."""

    def __init__(self, location: LocationId) -> None:
        self.leaf: Callable[[int], LocationId] = lambda _: location
        self.caller = self.leaf


class Addresses:
    """The code of one process, or of the kernel."""

    def __init__(self, space: AddressSpace, pid: int, places: Places, unmapped: str) -> None:
        """``unmapped`` is what addresses are called that lie in no mapping."""
        self._space = space
        self._pid = pid
        self._places = places
        self._unmapped = unmapped
        self.forget()

    def forget(self) -> None:
        """Look everything up anew from now on: mappings have changed."""
        self._touched: dict[int, dict[int, LocationId]] = {}
        self._lost: set[int] = set()
        self._leaves: dict[int, LocationId] = {}
        self._callers: dict[int, LocationId] = {}
        self.leaf: Callable[[int], LocationId] = self._remembering(self._leaves, 0)
        self.caller: Callable[[int], LocationId] = self._remembering(self._callers, 1)

    def callers(self, addresses: tuple[int, ...]) -> list[LocationId]:
        """Locations of a whole run of return addresses; quick if all of them are known."""
        found = list(map(self._callers.get, addresses))
        if None in found:
            return [self.caller(address) for address in addresses]
        return cast("list[LocationId]", found)

    def missed(self, start: int, end: int) -> bool:
        """Whether an address within [start, end) was found to be in no mapping."""
        return len(self._lost) > _MAX_UNMAPPED or any(start <= address < end for address in self._lost)

    def knows(self, start: int, end: int) -> bool:
        """Whether an address within [start, end) was looked up."""
        return any(start <= address < end for known in (self._leaves, self._callers) for address in known)

    def _remembering(self, known: dict[int, LocationId], back: int) -> Callable[[int], LocationId]:
        get = known.get

        def lookup(address: int) -> LocationId:
            location = get(address)
            if location is None:
                location = known[address] = self._find(address, back)
            return location

        return lookup

    def _find(self, address: int, back: int) -> LocationId:
        region = self._space.find(address)
        if region is None and back:
            # Code may end with a call that never returns, on the last byte of a mapping.
            region = self._space.find(address - back)
        if region is None:
            self._lost.add(address)
            return self._places.fix(self._unmapped)
        locations = self._touched.get(region.start)
        if locations is None:
            locations = self._touched[region.start] = self._places.touch(region, self._pid).locations
        return locations[max(address - back - region.start, 0)]

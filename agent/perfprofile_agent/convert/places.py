"""Places: files (or kernel, or anonymous memory) that code of shown samples lies in, and the locations found in them.

The same file is mapped into many processes, at other addresses each time. It is one place, and its locations are counted from the
start of the mapping, so that equal code is one location however many processes run it.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Final, NewType, TypeAlias

from perfprofile_agent.replay.mappings import Region
from perfprofile_agent.symbols.lookup import MappedFile, Symbolizer

LocationId = NewType("LocationId", int)
"""A location as long as a conversion runs; it may become another index in the profile."""

KERNEL_PID: Final = -1

_PRIVATE: Final = ("//anon", "[anon", "[heap]", "[stack", "/memfd:", "/dev/zero", "/SYSV", "anon_inode:")
"""Memory without a file: what is in it, only its own process knows (JIT code)."""
_MAX_OTHERS: Final = 3
"""How many more processes are asked for a file's names if the first one's could not be opened."""

_Key: TypeAlias = tuple[str, str | int | tuple[int, int, int], int, int]


class Place:
    """One file, or part of one, as it is mapped."""

    __slots__ = ("locations", "mapped", "others")

    def __init__(self, mapped: MappedFile, numbers: Iterator[LocationId]) -> None:
        self.mapped = mapped
        """As the first process had it mapped; addresses of the place are told relative to it."""
        self.others: list[MappedFile] = []
        """As some other processes had it."""
        self.locations: defaultdict[int, LocationId] = defaultdict(numbers.__next__)
        """By distance from the mapping's start; looking for a new one makes it."""

    @property
    def is_kernel(self) -> bool:
        """Whether this is kernel code."""
        return self.mapped.pid == KERNEL_PID


def place_key(region: Region, pid: int) -> _Key:
    """What two mappings have in common if they show the same part of the same file."""
    size = region.end - region.start
    if region.path.startswith(_PRIVATE):
        return region.path, pid, region.start, size
    if region.path.startswith("["):  # the same for all processes of one kernel: [vdso], [kernel.kallsyms], modules
        return region.path, "", region.offset, size
    identity: str | int | tuple[int, int, int] = pid
    if region.build_id:
        identity = region.build_id
    elif region.inode:
        identity = (*region.device, region.inode)
    return region.path, identity, region.offset, size


class Places:
    """All places of one conversion."""

    def __init__(self, symbolizer: Symbolizer) -> None:
        self._symbolizer = symbolizer
        self._places: dict[_Key, Place] = {}
        self._held: set[tuple[int, Region]] = set()
        self.fixed: dict[str, LocationId] = {}
        """Locations that are only a name: ``[unknown]`` and its like."""
        self._numbers: Iterator[LocationId] = map(LocationId, count())

    @property
    def all(self) -> list[Place]:
        """Every place, in the order they were touched."""
        return list(self._places.values())

    def fix(self, name: str) -> LocationId:
        """The location that is nothing but ``name``."""
        if name not in self.fixed:
            self.fixed[name] = next(self._numbers)
        return self.fixed[name]

    def touch(self, region: Region, pid: int) -> Place:
        """The place that ``region`` of process ``pid`` shows. The first time, the symbolizer is told to hold it."""
        key = place_key(region, pid)
        place = self._places.get(key)
        if (pid, region) not in self._held:
            self._held.add((pid, region))
            mapped = MappedFile(pid, *region)
            self._symbolizer.hold(mapped)
            if place is None:
                place = self._places[key] = Place(mapped, self._numbers)
            elif len(place.others) < _MAX_OTHERS:
                place.others.append(mapped)
        return place if place is not None else self._places[key]

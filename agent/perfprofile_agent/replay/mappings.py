"""Address spaces: which file an address belonged to at the time of a sample.

Replaying MMAP records is what mmap(2) does: a new region replaces whatever was in its place.
"""

from bisect import bisect_left, bisect_right
from typing import NamedTuple


class Region(NamedTuple):
    """Addresses [start, end) show ``path`` from byte ``offset`` on. The identity of the file is as far known as the record told it."""

    start: int
    end: int
    offset: int
    path: str
    device: tuple[int, int] = (0, 0)
    inode: int = 0
    build_id: str = ""


class AddressSpace:
    """Regions that don't overlap, in order of address."""

    def __init__(self, regions: list[Region] | None = None) -> None:
        self._regions = regions if regions is not None else []
        self._starts = [region.start for region in self._regions]

    def __len__(self) -> int:
        return len(self._regions)

    def copy(self) -> "AddressSpace":
        """The address space of a child right after fork."""
        return AddressSpace(list(self._regions))

    def find(self, address: int) -> Region | None:
        """The region that ``address`` lies in."""
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        region = self._regions[index]
        return region if address < region.end else None

    def insert(self, region: Region) -> bool:
        """Map a region; returns whether older ones had to make place for it, even in part."""
        replaced = self.remove(region.start, region.end)
        at = bisect_left(self._starts, region.start)
        self._regions.insert(at, region)
        self._starts.insert(at, region.start)
        return replaced

    def remove(self, start: int, end: int) -> bool:
        """Unmap [start, end); what sticks out of it on either side stays. Returns whether anything was there."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        if first < len(self._regions) and self._regions[first].end <= start:
            first += 1
        last = bisect_left(self._starts, end)
        if first >= last:
            return False
        before, after = self._regions[first], self._regions[last - 1]
        kept: list[Region] = []
        if before.start < start:
            kept.append(before._replace(end=start))
        if after.end > end:
            kept.append(after._replace(start=end, offset=after.offset + end - after.start))
        self._regions[first:last] = kept
        self._starts[first:last] = [region.start for region in kept]
        return True

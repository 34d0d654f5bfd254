"""Naming: when all samples are in, each address gets its name once, and places become the profile's mappings.

Only now build ids are known (from the files that the symbolizer opened, or from the recording's own list), so only now it shows that
the same program was mapped from two containers' file systems: such places become one mapping.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from perfprofile_agent.convert.places import LocationId, Place, Places, place_key
from perfprofile_agent.perfdata.records import BuildId
from perfprofile_agent.pprof.builder import NO_MAPPING, Builder, LocationIndex
from perfprofile_agent.pprof.model import Function, Line
from perfprofile_agent.pprof.model import Mapping as ProfileMapping
from perfprofile_agent.replay.mappings import Region
from perfprofile_agent.symbols.lookup import Frame, Named, Symbolizer

_VSYSCALL: Final = "[vsyscall]"
"""The one mapping of user space that lies in the kernel's half, at the same address on every machine."""


class NamedPlace(NamedTuple):
    """A place with what the symbolizer said of it; ``frames`` by distance from the start of the mapping."""

    place: Place
    build_id: str
    frames: dict[int, tuple[Frame, ...]]


class Naming(NamedTuple):
    """How the ids of a conversion became indices of its profile."""

    indices: dict[LocationId, LocationIndex]
    notices: tuple[str, ...]
    """What the symbolizer wants the profile's readers to know."""


def name_locations(
    places: Places, builder: Builder, symbolizer: Symbolizer, build_ids: Iterable[BuildId], *, kernel_addresses: bool
) -> Naming:
    """Name every location and put mappings, functions and locations into ``builder``."""
    indices: dict[LocationId, LocationIndex] = {}
    notices: dict[str, None] = {}
    known = _unambiguous(build_ids, places.all)
    groups: dict[object, list[NamedPlace]] = {}
    for place in sorted(places.all, key=_rank):
        named, notice = _name(place, symbolizer, known)
        if notice:
            notices[notice] = None
        groups.setdefault(_final_key(named), []).append(named)
    for group in groups.values():
        _add(builder, group, indices, hide=group[0].place.is_kernel and not kernel_addresses)
    for name, location in places.fixed.items():
        indices[location] = builder.location(NO_MAPPING, 0, (Line(builder.function(Function(name))),))
    return Naming(indices, tuple(notices))


def _rank(place: Place) -> int:
    """Programs before libraries before the rest before the kernel: viewers take the first mapping for the profile's subject."""
    path = place.mapped.path
    if place.is_kernel:
        return 3
    if path.startswith(("[", "//")):
        return 2
    return 1 if ".so" in path else 0


def _unambiguous(build_ids: Iterable[BuildId], places: Iterable[Place]) -> Mapping[str, str]:
    """Build ids by path, out of perf's list, which knows only paths.

    Two containers may have different files at one path. So a path counts only if all places with it are the same file.
    """
    files: dict[str, set[object]] = {}
    for place in places:
        files.setdefault(place.mapped.path, set()).add((place.mapped.device, place.mapped.inode))
    found = {entry.path: entry.build_id for entry in build_ids}
    kernel = found.get("[kernel.kallsyms]", "")
    unique = {path: found[path] for path, identities in files.items() if path in found and len(identities) == 1}
    return {**unique, **{path: kernel for path in files if path.startswith("[kernel.kallsyms]")}}


def _name(place: Place, symbolizer: Symbolizer, build_ids: Mapping[str, str]) -> tuple[NamedPlace, str]:
    """Ask for the names of all addresses of a place; of another process with the same file if the first gives nothing."""
    distances = sorted(place.locations)
    mapped = place.mapped
    named = Named("", {})
    for mapped in (place.mapped, *place.others):
        named = symbolizer.name(mapped, [mapped.start + distance for distance in distances])
        if named.frames or named.build_id:
            break
    build_id = named.build_id or mapped.build_id or build_ids.get(mapped.path, "")
    frames = {address - mapped.start: found for address, found in named.frames.items() if found}
    return NamedPlace(place, build_id, frames), named.notice


def _final_key(named: NamedPlace) -> object:
    """What makes places one mapping: path, build id, and the part of the file; without a build id what the records told."""
    mapped = named.place.mapped
    if not named.build_id:
        return place_key(Region(*mapped[1:]), mapped.pid)
    return mapped.path, named.build_id, mapped.offset, mapped.end - mapped.start


def _add(builder: Builder, group: list[NamedPlace], indices: dict[LocationId, LocationIndex], *, hide: bool) -> None:
    """One mapping with its locations. With ``hide`` it tells no address: kernel addresses would give the kernel's secret base away."""
    mapped, build_id = group[0].place.mapped, group[0].build_id
    frames: dict[int, tuple[Frame, ...]] = {}
    for named in reversed(group):
        frames.update(named.frames)
    mapping = builder.mapping(
        ProfileMapping(
            start=0 if hide else mapped.start,
            limit=0 if hide else mapped.end,
            offset=0 if hide else mapped.offset,
            filename=_kernel_name(mapped.path) if hide else mapped.path,
            build_id=build_id,
            has_functions=bool(frames),
            has_filenames=any(frame.filename for found in frames.values() for frame in found),
            has_line_numbers=any(frame.line for found in frames.values() for frame in found),
        )
    )
    fallback = (Frame(fallback_name(mapped.path)),)
    known: dict[tuple[Frame, ...], tuple[Line, ...]] = {}
    visible = not hide and (mapped.end < 2**63 or mapped.path == _VSYSCALL or group[0].place.is_kernel)
    for named in group:
        for distance, location in named.place.locations.items():
            found = frames.get(distance, fallback)
            lines = known.get(found)
            if lines is None:
                lines = known[found] = tuple(_line(builder, frame) for frame in found)
            indices[location] = builder.location(mapping, mapped.start + distance if visible else 0, lines)


def _line(builder: Builder, frame: Frame) -> Line:
    return Line(builder.function(Function(frame.name, frame.system_name or frame.name, frame.filename)), frame.line)


def _kernel_name(path: str) -> str:
    """``[kernel.kallsyms]_text`` names the symbol that the address is relative to; without addresses it means nothing."""
    return "[kernel.kallsyms]" if path.startswith("[kernel.kallsyms]") else path


def fallback_name(path: str) -> str:
    """What stands in place of a function whose name isn't known: ``[libc.so.6]``, ``[kernel]``, ``[vdso]``, ``[anon]``."""
    if path.startswith("[kernel"):
        return "[kernel]"
    base = path.rstrip("/").rpartition("/")[2]
    return base if base.startswith("[") else f"[{base or 'unknown'}]"

"""Features: what perf writes down about the machine, the command and the events.

In file mode they stand after the data, found by a table of sections; in pipe mode each is a record. Both bring the same bytes.
Format: tools/perf/Documentation/perf.data-file-format.txt. A broken feature is left out; it never spoils the profile.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from perfprofile_agent.perfdata.attributes import read_u64
from perfprofile_agent.perfdata.errors import PerfDataError
from perfprofile_agent.perfdata.layout import RECORD_HEADER, SECTION, U32, Feature
from perfprofile_agent.perfdata.records import BuildId, build_id, text

_MAX_STRINGS: Final = 65_536
"""No command line has more words, no recording more events; a made-up count must not make us loop."""

NAME: Final = "feature"


class ClockData(NamedTuple):
    """CLOCK_DATA: the same instant on the wall clock and on perf's clock, nanoseconds both."""

    wall: int
    perf: int


class Features:
    """What is known so far. Empty strings and None mean: not told."""

    def __init__(self) -> None:
        self.hostname = ""
        self.os_release = ""
        self.version = ""
        self.arch = ""
        self.command: tuple[str, ...] = ()
        self.descriptions: list[tuple[str, tuple[int, ...]]] = []
        """EVENT_DESC: name and ids of each event, in order."""
        self.build_ids: list[BuildId] = []
        self.clock: ClockData | None = None
        self.unreadable: list[str] = []
        """Names of features whose bytes made no sense."""

    def take(self, feature: int, raw: bytes) -> None:
        """Note one feature; unknown ones are passed over."""
        read = _READERS.get(feature)
        if read is None:
            return
        try:
            read(self, raw)
        except PerfDataError:
            self.unreadable.append(Feature(feature).name)


def sections(bits: tuple[int, ...], tail: bytes, tail_offset: int) -> Iterator[tuple[int, bytes]]:
    """Split what follows a file's data: one (feature, bytes) per bit set in the header's four 64-bit words.

    ``tail`` begins at byte ``tail_offset`` of the file with the table of sections. Sections that lie elsewhere are passed over.
    """
    present = [word * 64 + bit for word in range(4) for bit in range(64) if bits[word] >> bit & 1]
    for position, feature in enumerate(present):
        if (position + 1) * SECTION.size > len(tail):
            return
        offset, size = SECTION.unpack_from(tail, position * SECTION.size)
        start = offset - tail_offset
        if start >= 0 and start + size <= len(tail):
            yield feature, tail[start : start + size]


def _u32(raw: bytes, at: int) -> int:
    if at + 4 > len(raw):
        raise PerfDataError(at, NAME, "ends too early")
    value: int = U32.unpack_from(raw, at)[0]
    return value


def _string(raw: bytes, at: int) -> tuple[str, int]:
    """perf_header_string: length (padding included), bytes. Gives the string and where the next thing stands."""
    end = at + 4 + _u32(raw, at)
    if end > len(raw):
        raise PerfDataError(at, NAME, f"a string ends at {end} of {len(raw)}")
    return text(raw, at + 4, end), end


def _hostname(features: Features, raw: bytes) -> None:
    features.hostname = _string(raw, 0)[0]


def _os_release(features: Features, raw: bytes) -> None:
    features.os_release = _string(raw, 0)[0]


def _version(features: Features, raw: bytes) -> None:
    features.version = _string(raw, 0)[0]


def _arch(features: Features, raw: bytes) -> None:
    features.arch = _string(raw, 0)[0]


def _command(features: Features, raw: bytes) -> None:
    words: list[str] = []
    at = 4
    for _ in range(min(_u32(raw, 0), _MAX_STRINGS)):
        word, at = _string(raw, at)
        words.append(word)
    features.command = tuple(words)


def _event_descriptions(features: Features, raw: bytes) -> None:
    """u32 count, u32 size of an attribute, then for each event: attribute, u32 number of ids, name, ids."""
    found: list[tuple[str, tuple[int, ...]]] = []
    attr_size = _u32(raw, 4)
    at = 8
    for _ in range(min(_u32(raw, 0), _MAX_STRINGS)):
        count = _u32(raw, at + attr_size)
        name, at = _string(raw, at + attr_size + 4)
        if at + 8 * count > len(raw):
            raise PerfDataError(at, NAME, f"{count} ids in {len(raw) - at} bytes")
        found.append((name, struct.unpack_from(f"<{count}Q", raw, at)))
        at += 8 * count
    features.descriptions = found


def _build_ids(features: Features, raw: bytes) -> None:
    """Records of HEADER_BUILD_ID's form, one after the other."""
    at = 0
    while at + RECORD_HEADER.size <= len(raw):
        _, _, size = RECORD_HEADER.unpack_from(raw, at)
        if size < RECORD_HEADER.size or at + size > len(raw):
            raise PerfDataError(at, NAME, f"a build id of {size} bytes")
        features.build_ids.append(build_id(raw[at + RECORD_HEADER.size : at + size]))
        at += size


def _clock(features: Features, raw: bytes) -> None:
    """u32 version, u32 clock id, u64 wall clock, u64 perf's clock."""
    features.clock = ClockData(read_u64(raw, 8, NAME), read_u64(raw, 16, NAME))


_READERS: Final[dict[int, Callable[[Features, bytes], None]]] = {
    Feature.BUILD_ID: _build_ids,
    Feature.HOSTNAME: _hostname,
    Feature.OSRELEASE: _os_release,
    Feature.VERSION: _version,
    Feature.ARCH: _arch,
    Feature.CMDLINE: _command,
    Feature.EVENT_DESC: _event_descriptions,
    Feature.CLOCK_DATA: _clock,
}

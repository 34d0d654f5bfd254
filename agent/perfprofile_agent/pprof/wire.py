"""Profiles as bytes: gzipped protobuf messages of github.com/google/pprof/proto/profile.proto.

Written and read without a protobuf library, because the format is small, frozen, and read from strangers under limits of our own.
On the wire strings are indices into a string table and cross references are ids from 1; in the model they are what they mean.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias, TypeVar

from perfprofile_agent.pprof.check import check
from perfprofile_agent.pprof.errors import ProfileError
from perfprofile_agent.pprof.model import Function, Label, Line, Location, Mapping, Profile, Sample, ValueType

GZIP_LEVEL: Final = 6
DEFAULT_MAX_BYTES: Final = 256 * 2**20
"""Unzipped; a full node's profile has some MiB."""
_MAX_THINGS: Final = 20_000_000
"""Messages, strings and numbers in lists, together: each costs far more in memory than on the wire."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP: Final = 16 + zlib.MAX_WBITS
_U64: Final = 2**64
_I63: Final = 2**63

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


# Writing

_Key = TypeVar("_Key")


def encode(profile: Profile) -> bytes:
    """The profile as gzipped bytes, the same for the same profile; raises ProfileError if it is not valid."""
    check(profile)
    deflate = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    return b"".join([*(deflate.compress(part) for part in _batches(_Writer(profile).parts())), deflate.flush()])


def _batches(parts: Iterable[bytes], size: int = 4096) -> Iterator[bytes]:
    """Messages of a few bytes each, joined: deflate costs more by the call than by the byte."""
    batch: list[bytes] = []
    for part in parts:
        batch.append(part)
        if len(batch) == size:
            yield b"".join(batch)
            batch.clear()
    yield b"".join(batch)


def _varint_of(value: int) -> bytes:
    """Base-128 varint; negative numbers as two's complement of 64 bits."""
    if not -_I63 <= value < _U64:
        raise ProfileError(f"{value} does not fit into 64 bits")
    value %= _U64
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits to a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL: Final = tuple(_varint_of(value) for value in range(4096))


def _varint(value: int) -> bytes:
    return _SMALL[value] if 0 <= value < len(_SMALL) else _varint_of(value)


def _number(field: int, value: int) -> bytes:
    """A number field; zero is what an absent field means, so it is left out."""
    return _varint(field << 3) + _varint(value) if value else b""


def _sized(body: bytes) -> bytes:
    return _varint(len(body)) + body


def _message(field: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _varint(field << 3 | _BYTES) + _sized(body)


class _Once(dict[_Key, bytes]):
    """What has been made bytes once need not be made again."""

    def __init__(self, make: Callable[[_Key], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: _Key) -> bytes:
        made = self[key] = self._make(key)
        return made


class _Writer:
    """One profile on its way out; holds the string table."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._strings: dict[str, int] = {"": 0}

    def _string(self, value: str) -> int:
        return self._strings.setdefault(value, len(self._strings))

    def parts(self) -> Iterator[bytes]:
        """The message's fields; the string table comes last, when it is complete (order is free in protobuf)."""
        profile = self._profile
        for value_type in profile.sample_types:
            yield self._value_type(1, value_type)
        yield from self._samples()
        for index, mapping in enumerate(profile.mappings, 1):
            yield self._mapping(index, mapping)
        yield from self._locations()
        for index, function in enumerate(profile.functions, 1):
            yield self._function(index, function)
        yield _number(9, profile.time_nanos) + _number(10, profile.duration_nanos)
        if profile.period_type is not None:
            yield self._value_type(11, profile.period_type)
        yield _number(12, profile.period)
        for comment in profile.comments:
            yield _varint(13 << 3) + _varint(self._string(comment))
        yield _number(14, self._string(profile.default_sample_type))
        for string in self._strings:
            # A path of a container may hold bytes that are not UTF-8; readers other than Go's refuse those.
            yield _message(6, string.encode("utf-8", "backslashreplace"))

    def _samples(self) -> Iterator[bytes]:
        """Half of all bytes: each location's id is made bytes once, each set of labels once, each number once."""
        id_of = [_varint(index) for index in range(1, len(self._profile.locations) + 1)].__getitem__
        labels: _Once[tuple[Label, ...]] = _Once(lambda marks: b"".join(map(self._label, marks)))
        values: _Once[tuple[int, ...]] = _Once(lambda numbers: b"\x12" + _sized(b"".join(map(_varint, numbers))))
        for sample in self._profile.samples:
            stack = b"".join(map(id_of, sample.locations))
            yield b"\x12" + _sized(b"\x0a" + _sized(stack) + values[sample.values] + labels[sample.labels])

    def _locations(self) -> Iterator[bytes]:
        """The other half."""
        mappings = [_number(2, index) for index in range(1 + len(self._profile.mappings))]
        lines: _Once[tuple[Line, ...]] = _Once(lambda found: b"".join(map(self._line, found)))
        for index, location in enumerate(self._profile.locations, 1):
            place = mappings[location.mapping + 1] + _number(3, location.address)
            yield b"\x22" + _sized(b"\x08" + _varint(index) + place + lines[location.lines])

    def _line(self, line: Line) -> bytes:
        return _message(4, _number(1, line.function + 1), _number(2, line.line))

    def _value_type(self, field: int, value_type: ValueType) -> bytes:
        return _message(field, _number(1, self._string(value_type.type)), _number(2, self._string(value_type.unit)))

    def _label(self, label: Label) -> bytes:
        text = _number(2, self._string(label.text))
        return _message(3, _number(1, self._string(label.key)), text, _number(3, label.number), _number(4, self._string(label.unit)))

    def _mapping(self, index: int, mapping: Mapping) -> bytes:
        return _message(
            3,
            _number(1, index),
            _number(2, mapping.start),
            _number(3, mapping.limit),
            _number(4, mapping.offset),
            _number(5, self._string(mapping.filename)),
            _number(6, self._string(mapping.build_id)),
            _number(7, mapping.has_functions),
            _number(8, mapping.has_filenames),
            _number(9, mapping.has_line_numbers),
        )

    def _function(self, index: int, function: Function) -> bytes:
        return _message(
            5,
            _number(1, index),
            _number(2, self._string(function.name)),
            _number(3, self._string(function.system_name)),
            _number(4, self._string(function.filename)),
            _number(5, function.start_line),
        )


# Reading


def decode(data: bytes, max_bytes: int = DEFAULT_MAX_BYTES) -> Profile:
    """Read a profile, gzipped or plain, of at most ``max_bytes`` unzipped.

    The bytes may come from anyone: sizes, counts and references are checked, and whatever is wrong raises ProfileError.
    """
    return _Reader(_unzip(data, max_bytes)).profile()


def _unzip(data: bytes, max_bytes: int) -> bytes:
    if not data.startswith(_GZIP_MAGIC):
        if len(data) > max_bytes:
            raise ProfileError(f"{len(data)} bytes, at most {max_bytes} are taken")
        return data
    inflate = zlib.decompressobj(_GZIP)
    try:
        plain = inflate.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise ProfileError(f"broken gzip data ({error})") from error
    if len(plain) > max_bytes:
        raise ProfileError(f"more than {max_bytes} bytes when unzipped")
    if not inflate.eof or inflate.unused_data:
        raise ProfileError("the gzip data ends too early or something follows it")
    return plain


_Field: TypeAlias = tuple[int, int, int, int]
"""Field number, its value if it is a number, and where its bytes start and end (``_NO_PLACE`` for numbers)."""

_NO_PLACE: Final = -1


class _Reader:
    """One unzipped message on its way in."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._budget = _MAX_THINGS
        self._labels: dict[bytes, Label] = {}

    def profile(self) -> Profile:
        """The whole message, checked."""
        sections, numbers, comments = self._sections()
        if not sections[6] or sections[6][0][0] != sections[6][0][1]:
            raise ProfileError("the string table is missing or doesn't start with an empty string")
        strings = [self._data[start:end].decode("utf-8", "replace") for start, end in sections[6]]
        names = _Strings(strings)
        mappings, mapping_at = self._mappings(sections[3], names)
        functions, function_at = self._functions(sections[5], names)
        locations, location_at = self._locations(sections[4], mapping_at, function_at)
        profile = Profile(
            sample_types=tuple(self._value_type(place, names) for place in sections[1]),
            samples=tuple(self._sample(place, location_at, names) for place in sections[2]),
            mappings=mappings,
            locations=locations,
            functions=functions,
            default_sample_type=names[numbers[14]],
            time_nanos=_signed(numbers[9]),
            duration_nanos=_signed(numbers[10]),
            period_type=self._value_type(sections[11][-1], names) if sections[11] else None,
            period=_signed(numbers[12]),
            comments=tuple(names[comment] for comment in comments),
        )
        check(profile)
        return profile

    def _sections(self) -> tuple[list[list[tuple[int, int]]], list[int], list[int]]:
        """The outermost fields: places of messages by field number, numbers by field number, comments."""
        places: list[list[tuple[int, int]]] = [[] for _ in range(16)]
        numbers = [0] * 16
        comments: list[int] = []
        for field, number, start, end in self._fields(0, len(self._data)):
            if field >= len(places):
                continue
            if field == 13:  # noqa: PLR2004 - comment: one number each, or packed
                comments += self._list(number, start, end)
            elif start == _NO_PLACE:
                numbers[field] = number
            else:
                places[field].append((start, end))
        return places, numbers, comments

    def _fields(self, at: int, end: int) -> Iterator[_Field]:
        data = self._data
        while at < end:
            # Nearly all tags and sizes are one byte; the calls that this spares are half the time of reading a profile.
            tag = data[at]
            at += 1
            if tag >= 0x80:  # noqa: PLR2004 - more bytes of this number follow
                tag, at = self._varint(at - 1, end)
            form = tag & 7
            if form == _VARINT:
                number, at = self._varint(at, end)
                yield tag >> 3, number, _NO_PLACE, _NO_PLACE
                continue
            if form == _BYTES:
                size = data[at] if at < end else 0x80
                at += 1
                if size >= 0x80:  # noqa: PLR2004 - as above
                    size, at = self._varint(at - 1, end)
            elif form in (_FIXED64, _FIXED32):
                size = 8 if form == _FIXED64 else 4
            else:
                raise ProfileError(f"wire type {form}", at)
            if size > end - at:
                raise ProfileError(f"a field of {size} bytes where {end - at} are left", at)
            self._spend(1, at)
            yield tag >> 3, 0, at, at + size
            at += size

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        data = self._data
        while at < end and shift < 70:  # noqa: PLR2004 - ten bytes of seven bits hold 64
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the last byte has its high bit clear
                return value % _U64, at
            shift += 7
        raise ProfileError("a number that doesn't end", at)

    def _spend(self, count: int, at: int) -> None:
        self._budget -= count
        if self._budget < 0:
            raise ProfileError(f"more than {_MAX_THINGS} entries", at)

    def _list(self, number: int, start: int, end: int) -> list[int]:
        """A repeated number: one of them, or packed."""
        if start == _NO_PLACE:
            self._spend(1, 0)
            return [number]
        data = self._data[start:end]
        self._spend(len(data), start)
        if data.isascii():  # every number below 128: the bytes are the numbers
            return list(data)
        out: list[int] = []
        value = shift = 0
        for byte in data:
            if byte >= 0x80:  # noqa: PLR2004 - more of this number follows
                value |= (byte & 0x7F) << shift
                shift += 7
                if shift >= 70:  # noqa: PLR2004 - ten bytes of seven bits hold 64; a megabyte of them would be quadratic
                    raise ProfileError("a number that doesn't end", start)
                continue
            out.append((value | byte << shift) % _U64)
            value = shift = 0
        if shift:
            raise ProfileError("a list of numbers that doesn't end", end)
        return out

    def _numbers(self, place: tuple[int, int], count: int) -> list[int]:
        """Number fields 1 to ``count`` - 1 of a message; position 0 and absent ones are 0."""
        out = [0] * count
        for field, number, _, _ in self._fields(*place):
            if field < count:
                out[field] = number
        return out

    def _value_type(self, place: tuple[int, int], names: "_Strings") -> ValueType:
        _, kind, unit = self._numbers(place, 3)
        return ValueType(names[kind], names[unit])

    def _sample(self, place: tuple[int, int], location_at: dict[int, int], names: "_Strings") -> Sample:
        ids: list[int] = []
        values: list[int] = []
        labels: list[Label] = []
        for field, number, start, end in self._fields(*place):
            if field == 1:
                ids += self._list(number, start, end)
            elif field == 2:  # noqa: PLR2004 - value
                values += self._list(number, start, end)
            elif field == 3:  # noqa: PLR2004 - label
                labels.append(self._label(start, end, names))
        try:
            locations = tuple([location_at[identifier] for identifier in ids])
        except KeyError as error:
            raise ProfileError(f"a sample refers to location {error}, which isn't there", place[0]) from error
        return Sample(locations, tuple(map(_signed, values)), tuple(labels))

    def _label(self, start: int, end: int, names: "_Strings") -> Label:
        """A label; few differ in a profile of thousands, so each is read once."""
        content = self._data[start:end]
        label = self._labels.get(content)
        if label is None:
            _, key, text, count, unit = self._numbers((start, end), 5)
            label = self._labels[content] = Label(names[key], names[text], _signed(count), names[unit])
        return label

    def _mappings(self, places: list[tuple[int, int]], names: "_Strings") -> tuple[tuple[Mapping, ...], dict[int, int]]:
        found: list[Mapping] = []
        at: dict[int, int] = {}
        for place in places:
            _, identifier, start, limit, offset, filename, build_id, functions, filenames, lines = self._numbers(place, 10)
            _define(at, identifier, "mapping", place[0])
            found.append(Mapping(start, limit, offset, names[filename], names[build_id], bool(functions), bool(filenames), bool(lines)))
        return tuple(found), at

    def _functions(self, places: list[tuple[int, int]], names: "_Strings") -> tuple[tuple[Function, ...], dict[int, int]]:
        found: list[Function] = []
        at: dict[int, int] = {}
        for place in places:
            _, identifier, name, system_name, filename, line = self._numbers(place, 6)
            _define(at, identifier, "function", place[0])
            found.append(Function(names[name], names[system_name], names[filename], _signed(line)))
        return tuple(found), at

    def _locations(
        self, places: list[tuple[int, int]], mapping_at: dict[int, int], function_at: dict[int, int]
    ) -> tuple[tuple[Location, ...], dict[int, int]]:
        found: list[Location] = []
        at: dict[int, int] = {}
        for place in places:
            numbers = [0] * 4
            lines: list[Line] = []
            for field, number, start, end in self._fields(*place):
                if field == 4:  # noqa: PLR2004 - line
                    _, function, line = self._numbers((start, end), 3)
                    lines.append(Line(function_at.get(function, -1), _signed(line)))
                elif field < len(numbers):
                    numbers[field] = number
            _, identifier, mapping, address = numbers
            _define(at, identifier, "location", place[0])
            if mapping and mapping not in mapping_at:
                raise ProfileError(f"location {identifier} refers to mapping {mapping}, which isn't there", place[0])
            found.append(Location(mapping_at.get(mapping, -1), address, tuple(lines)))
        return tuple(found), at


class _Strings:
    """The string table, as it is referred to by strangers."""

    def __init__(self, strings: list[str]) -> None:
        self._strings = strings

    def __getitem__(self, index: int) -> str:
        if index >= len(self._strings):
            raise ProfileError(f"string {index} of {len(self._strings)}")
        return self._strings[index]


def _define(at: dict[int, int], identifier: int, what: str, offset: int) -> None:
    """Ids are whatever the writer likes, but not 0 and not the same twice."""
    if identifier == 0 or identifier in at:
        raise ProfileError(f"{what} id {identifier} is 0 or used twice", offset)
    at[identifier] = len(at)


def _signed(number: int) -> int:
    return number - _U64 if number >= _I63 else number

"""The profile as a value: what profile.proto (github.com/google/pprof/proto) says, without its string table and ids.

Cross references are indices into the profile's own tuples, 0-based; -1 stands for "none".
"""

from typing import NamedTuple


class ValueType(NamedTuple):
    """Name and unit of one number that every sample carries, for example ``cpu`` in ``nanoseconds``."""

    type: str
    unit: str


class Label(NamedTuple):
    """A label of a sample: a string, or a number with a unit where ``text`` is empty."""

    key: str
    text: str = ""
    number: int = 0
    unit: str = ""


class Mapping(NamedTuple):
    """A file mapped into a process: the addresses [start, limit) show the file from byte ``offset`` on."""

    start: int = 0
    limit: int = 0
    offset: int = 0
    filename: str = ""
    build_id: str = ""
    has_functions: bool = False
    has_filenames: bool = False
    has_line_numbers: bool = False


class Function(NamedTuple):
    """A function: name for people, name as the linker knows it, and where it is written."""

    name: str
    system_name: str = ""
    filename: str = ""
    start_line: int = 0


class Line(NamedTuple):
    """A position in a function; several at one location mean inlining, the innermost first."""

    function: int
    line: int = 0


class Location(NamedTuple):
    """An address of code, with the function(s) it lies in once it is named."""

    mapping: int
    address: int
    lines: tuple[Line, ...] = ()


class Sample(NamedTuple):
    """One stack, leaf first, with a value for each of the profile's sample types."""

    locations: tuple[int, ...]
    values: tuple[int, ...]
    labels: tuple[Label, ...] = ()


class Profile(NamedTuple):
    """A profile. Times are nanoseconds, ``time_nanos`` since the epoch."""

    sample_types: tuple[ValueType, ...]
    samples: tuple[Sample, ...] = ()
    mappings: tuple[Mapping, ...] = ()
    locations: tuple[Location, ...] = ()
    functions: tuple[Function, ...] = ()
    default_sample_type: str = ""
    time_nanos: int = 0
    duration_nanos: int = 0
    period_type: ValueType | None = None
    period: int = 0
    comments: tuple[str, ...] = ()

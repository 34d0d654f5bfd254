"""Recording: the whole way from chunks of perf.data to records in order of time, with everything that is known about them.

Both doors, file and pipe, lead here; who reads records need not know through which they came. A record whose body contradicts
itself is left out and counted, because framing still knows where the next one starts; only broken framing ends the stream.
"""

from collections import Counter
from typing import Final

from perfprofile_agent.perfdata import attributes, features, layout, samples
from perfprofile_agent.perfdata.attributes import EventTable
from perfprofile_agent.perfdata.errors import PerfDataError
from perfprofile_agent.perfdata.features import Features
from perfprofile_agent.perfdata.framing import PRELUDE, Framing
from perfprofile_agent.perfdata.layout import FIRST_TOOL_KIND, MEANINGLESS, U64, AttrFlag, Kind, SampleBit
from perfprofile_agent.perfdata.ordering import Rounds
from perfprofile_agent.perfdata.records import DECODERS, Record, Trailer, text
from perfprofile_agent.perfdata.samples import SampleReader

_SAMPLE: Final = int(Kind.SAMPLE)
"""A plain number: looking up an enum's member costs more than comparing, and every record is compared."""
_UPDATE_NAME: Final = 2
"""EVENT_UPDATE: type of the update that carries a name."""
_NO_TIME: Final = frozenset({0, 2**64 - 1})
"""What stands in the time of records that perf made itself (perf_event__synthesize_*)."""


class Recording:
    """Feed it chunks; it gives records. Read the attributes when you need them: names and features come last in a file."""

    def __init__(self) -> None:
        self.table = EventTable()
        self.features = Features()
        self.unknown: Counter[str] = Counter()
        """Records of types this version doesn't know or can't read, by name: skipped."""
        self.malformed: Counter[str] = Counter()
        """Records left out because their body contradicts itself, by name."""
        self.orphans = 0
        """Samples left out because no event has their id."""
        self.first_malformed: PerfDataError | None = None
        self.problem = ""
        """Why the recording is incomplete; empty if it isn't."""
        self._failure: PerfDataError | None = None
        self._framing = Framing()
        self._rounds = Rounds()
        self._readers: dict[int, SampleReader] = {}
        self._ordered = False
        self._id_position: int | None = None

    @property
    def forced(self) -> int:
        """How often records went out before their round was over, for want of memory."""
        return self._rounds.forced

    def feed(self, chunk: bytes | memoryview) -> list[Record]:
        """The records that are final with this chunk, in order of time. Never raises: where the stream can't be read on, it ends."""
        out: list[Record] = []
        if self._failure is None:
            try:
                self._take(chunk, out)
            except PerfDataError as error:
                self._failure = error
            out.extend(self._rounds.relieve())
        return out

    def finish(self) -> list[Record]:
        """The last records. Raises PerfDataError if the stream broke off before any event was described; later it gives a part."""
        if self._failure is not None and not self.table.events:
            raise self._failure
        ending = self._framing.finish()
        self.problem = str(self._failure) if self._failure is not None else ending.problem
        if self._framing.header is not None:
            for feature, raw in features.sections(self._framing.header.features, ending.tail, ending.tail_offset):
                self.features.take(feature, raw)
            self.table.describe(self.features.descriptions)
        if not self.table.events:
            raise PerfDataError(self._framing.position, "attributes", "the stream ends before any event is described")
        return self._rounds.flush()

    def _take(self, chunk: bytes | memoryview, out: list[Record]) -> None:
        pending = self._rounds.pending
        by_id = self.table.by_id
        readers = self._readers
        id_at, event = self._id_position, 0
        append = pending.append if self._ordered else out.append
        for kind, misc, buffer, start, end in self._framing.feed(chunk):
            if kind != _SAMPLE:
                self._other(kind, misc, buffer[start:end], out)
                id_at = self._id_position
                append = pending.append if self._ordered else out.append
                continue
            try:
                if id_at is not None:
                    event = by_id.get(int.from_bytes(buffer[start + id_at : start + id_at + 8], "little"), -1)
                append(readers[event](buffer, start, end, misc))
            except PerfDataError as error:
                self._leave_out("SAMPLE", error)
            except KeyError:
                self.orphans += 1

    def _leave_out(self, name: str, error: PerfDataError) -> None:
        self.malformed[name] += 1
        if self.first_malformed is None:
            self.first_malformed = error.moved(self._framing.position)

    def _other(self, kind: int, misc: int, body: bytes, out: list[Record]) -> None:
        """Everything but samples."""
        if kind == Kind.FINISHED_ROUND:
            out.extend(self._rounds.finished_round())
        elif kind in DECODERS:
            self._decode(kind, misc, body, out)
        elif kind in (PRELUDE, Kind.HEADER_ATTR):
            self._learn(kind, body)
        elif kind == Kind.EVENT_UPDATE:
            self._rename(body)
        elif kind == Kind.HEADER_FEATURE:
            self._feature(body)
        elif kind not in MEANINGLESS:
            self.unknown[Kind(kind).name if kind in Kind.__members__.values() else f"type {kind}"] += 1

    def _decode(self, kind: int, misc: int, body: bytes, out: list[Record]) -> None:
        try:
            trailer, length = (Trailer(), len(body)) if kind >= FIRST_TOOL_KIND else self._trailer(body)
            record = DECODERS[kind](body[:length], misc, trailer)
        except PerfDataError as error:
            self._leave_out(Kind(kind).name, error)
            return
        if not self._ordered or record.time in _NO_TIME:
            out.append(record)  # perf tells what was before the recording: true at once
        else:
            self._rounds.pending.append(record)

    def _trailer(self, body: bytes) -> tuple[Trailer, int]:
        """The sample_id fields at a record's end (TID TIME ID STREAM_ID CPU IDENTIFIER), and where the record proper ends.

        All events of a recording agree on the last field if they differ in others, so the first event's layout finds the id.
        """
        attr = self.table.events[0].attr if self.table.events else None
        if attr is None or not attr.flags & AttrFlag.SAMPLE_ID_ALL:
            return Trailer(), len(body)
        if attr.sample_type & SampleBit.IDENTIFIER and len(body) >= U64.size:
            identifier = U64.unpack_from(body, len(body) - 8)[0]
            attr = self.table.events[self.table.by_id.get(identifier, 0)].attr
        bits = attr.sample_type
        size = 8 * (bits & _TRAILER_BITS).bit_count()
        start = len(body) - size
        if start < 0:
            raise PerfDataError(0, "sample_id", f"{len(body)} bytes, the trailer alone has {size}")
        time_at = start + 8 * bool(bits & SampleBit.TID)
        id_at = time_at + 8 * bool(bits & SampleBit.TIME)
        if bits & SampleBit.IDENTIFIER:
            id_at = len(body) - 8
        time = U64.unpack_from(body, time_at)[0] if bits & SampleBit.TIME else 0
        has_id = bits & (SampleBit.ID | SampleBit.IDENTIFIER)
        return Trailer(time, U64.unpack_from(body, id_at)[0] if has_id else 0), start

    def _learn(self, kind: int, body: bytes) -> None:
        """New attributes: file mode brings all of them at once, pipe mode one with each record."""
        known = len(self.table.events)
        header = self._framing.header
        if kind == PRELUDE and header is not None:
            if header.features[0] >> layout.Feature.DIR_FORMAT & 1:
                raise PerfDataError(0, "file header", "a recording in directory format (perf record --threads), which is not supported")
            self.table.add(attributes.parse_file_attrs(body, header.attr_size, header.attrs))
        else:
            self.table.add([attributes.parse_attr_record(body, self._framing.position)])
        for index in range(known, len(self.table.events)):
            attr = self.table.events[index].attr
            if not attr.is_dummy:  # no reader, so that nothing can pass for a sample of an event that has none
                self._readers[index] = samples.sample_reader(index, attr)
            sorts = bool(attr.flags & AttrFlag.SAMPLE_ID_ALL and attr.sample_type & SampleBit.TIME)
            self._ordered = sorts and (self._ordered or index == 0)
        # With one event no id is needed; with several that name none, samples go to the first, as perf has it.
        self._id_position = samples.id_position(self.table.events[0].attr) if len(self.table.events) > 1 else None

    def _rename(self, body: bytes) -> None:
        """EVENT_UPDATE: u64 type, u64 id, then what is new."""
        if len(body) >= 16 and U64.unpack_from(body)[0] == _UPDATE_NAME:  # noqa: PLR2004 - the two numbers in front
            self.table.rename(U64.unpack_from(body, 8)[0], text(body, 16, len(body)))

    def _feature(self, body: bytes) -> None:
        """HEADER_FEATURE: u64 number of the feature, then its bytes."""
        if len(body) >= U64.size:
            feature = U64.unpack_from(body)[0]
            self.features.take(feature, body[8:])
            if feature == layout.Feature.EVENT_DESC:
                self.table.describe(self.features.descriptions)


_TRAILER_BITS: Final = SampleBit.TID | SampleBit.TIME | SampleBit.ID | SampleBit.STREAM_ID | SampleBit.CPU | SampleBit.IDENTIFIER

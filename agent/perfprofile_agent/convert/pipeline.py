"""The conversion: feed it what perf writes, get a profile of what may be shown, and a full account of what may not.

::

    chunk -> Recording -> records in order of time -> Processes (who is what) -> Scope (may it be shown?) -> Stacks -> tallies
    finish                                                                        tallies + names -> Profile

A sample costs a few dictionary lookups: its scope is decided once per cgroup, its stack resolved once per distinct callchain, each
address named once at the very end. ``recorded == shown + sum(dropped.values())`` holds whatever the bytes are.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from perfprofile_agent.convert.accounts import Account, comments, default_amount, lost_samples, notices, sample_types
from perfprofile_agent.convert.labels import sample_labels
from perfprofile_agent.convert.naming import name_locations
from perfprofile_agent.convert.places import KERNEL_PID, LocationId, Places
from perfprofile_agent.convert.scope import Decision, Dropped, DropReason, Scope, Shown
from perfprofile_agent.convert.stacks import Stacks, Tally, View
from perfprofile_agent.perfdata.layout import CPUMODE_GUEST_KERNEL, CPUMODE_GUEST_USER
from perfprofile_agent.perfdata.recording import Recording
from perfprofile_agent.perfdata.records import BuildId, Cgroup, Comm, Exit, Fork, Ksymbol, Lost, LostSamples, Mmap, Record, Throttle
from perfprofile_agent.perfdata.samples import Sample
from perfprofile_agent.pprof.builder import Builder
from perfprofile_agent.pprof.model import Label, Profile
from perfprofile_agent.replay.mappings import Region
from perfprofile_agent.replay.processes import Change, Processes, region_of
from perfprofile_agent.symbols.lookup import Symbolizer

_MAX_REMEMBERED: Final = 50_000
"""Distinct callchains remembered as bytes, over all processes; then they are forgotten and resolved anew. Bounds memory: some 25 MiB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a conversion is told beyond the recording itself."""

    node: str = ""
    """Name of the node, for the label ``node``."""
    labels: dict[str, str] = field(default_factory=dict)
    """Labels added to every sample; they never replace the established ones."""
    kernel_frames: bool = True
    """Whether stacks show what the kernel did. Without, a sample that has nothing else keeps one frame ``[kernel]``."""
    kernel_addresses: bool = False
    """Whether kernel locations tell their addresses. They give away where the kernel lies in memory (KASLR)."""
    pid_labels: bool = False
    """Whether samples are labelled, and kept apart, by pid and tid."""
    start_time_nanos: int | None = None
    """When recording began, since the epoch; None: as far as the recording tells."""
    duration_nanos: int | None = None
    """How long was recorded; None: from the first sample to the last."""
    requested_events: tuple[str, ...] = ()
    """Events that were asked for, to say so where perf recorded others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """The profile, and what became of every sample."""

    profile: Profile
    recorded: int
    """Samples in the recording."""
    shown: int
    """Samples in the profile."""
    dropped: dict[str, int]
    """Samples left out, by DropReason."""
    lost: int
    """Samples that the kernel had no room for; they never were in the recording."""
    throttled: int
    """How often the kernel paused an event because its interrupts cost too much."""
    events: tuple[str, ...]
    """Events that were really recorded."""
    perf_version: str
    kernel: str
    """Release of the kernel, as ``uname -r`` gives it."""
    hostname: str
    notices: tuple[str, ...]
    """What a reader of the profile should know, one sentence each."""


class Converter:
    """Converts one recording. Feed all of it, then finish."""

    def __init__(self, *, scope: Scope, symbolizer: Symbolizer, options: Options, cgroups: Mapping[int, str] | None = None) -> None:
        """``cgroups`` gives paths by cgroup id for cgroups that were there before; asked when needed, so it may grow meanwhile."""
        self._scope = scope
        self._symbolizer = symbolizer
        self._options = options
        self._known_cgroups = cgroups if cgroups is not None else {}
        self._cgroups: dict[int, str] = {}
        self._recording = Recording()
        self._processes = Processes()
        self._places = Places(symbolizer)
        self._stacks = Stacks(self._places, kernel_frames=options.kernel_frames)
        self._views: dict[int, View] = {}
        self._remembered = 0
        self._tallies: dict[tuple[tuple[LocationId, ...], tuple[Label, ...], int], Tally] = {}
        self._known_labels: dict[tuple[tuple[tuple[str, str], ...], str, tuple[int, int] | None], tuple[Label, ...]] = {}
        self._dropped: Counter[str] = Counter()
        self._samples = 0
        self._first = self._last = 0
        self._lost_records: Counter[int] = Counter()
        self._lost_samples: Counter[int] = Counter()
        self._throttled = 0
        self._build_ids: list[BuildId] = []
        # Namespaces are not here: they tell nothing that the cgroup doesn't.
        self._handlers: dict[type, Callable[[Any], None]] = {
            Mmap: self._mmap,
            Comm: self._comm,
            Fork: self._fork,
            Exit: self._exit,
            Cgroup: self._cgroup,
            Ksymbol: self._ksymbol,
            Lost: self._count_lost,
            LostSamples: self._count_lost_samples,
            Throttle: self._throttle,
            BuildId: self._build_ids.append,
        }

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the recording. Never raises: bytes that can't be read end the recording, and ``finish`` says so."""
        self._apply(self._recording.feed(chunk))

    def finish(self) -> Conversion:
        """The conversion of all that was fed: of a part, with a notice, where the recording breaks off.

        Raises PerfDataError if it broke off before it described any event.
        """
        self._apply(self._recording.finish())
        return self._conclude()

    def _apply(self, records: list[Record]) -> None:
        views = self._views
        with_task = self._options.pid_labels
        samples = 0
        for record in records:
            if type(record) is not Sample:
                self._replay(record)
                continue
            time, event, cpumode, pid, tid, ip, period, cgroup, chain = record
            view = views.get(pid)
            if view is None:
                self._first = self._first or time
                view = views[pid] = self._stacks.view(self._processes.get(pid))
            decision = view.verdicts.get(cgroup)
            if decision is None:
                decision = self._decide(view, cgroup, pid)
            samples += 1
            self._last = time
            if isinstance(decision, Dropped):
                self._dropped[decision.reason] += 1
                continue
            comms = view.comms
            comm = comms.get(tid) or comms.get(pid, "")
            key = (chain, ip, cgroup, comm, event, cpumode, tid if with_task else 0)
            tally = view.tallies.get(key)
            if tally is None:
                tally = self._meet(view, record, decision, comm)
                view.tallies[key] = tally
            tally[0] += 1
            tally[1] += period
        self._samples += samples
        if self._remembered > _MAX_REMEMBERED:
            self._forget_chains()

    def _decide(self, view: View, cgroup: int, pid: int) -> Decision:
        path = self._cgroups.get(cgroup) or self._known_cgroups.get(cgroup)
        decision = self._scope.decide(path, pid)
        if path is not None or not cgroup:  # an id that isn't known yet may be known when the next sample comes
            view.verdicts[cgroup] = decision
        return decision

    def _meet(self, view: View, sample: Sample, decision: Shown, comm: str) -> Tally:
        """A callchain that is new, or forgotten: resolve it."""
        task = (sample.pid, sample.tid) if self._options.pid_labels else None
        labels = self._labels(decision.labels, comm, task)
        stack = self._stacks.resolve(view, sample.cpumode, sample.ip, sample.chain)
        self._remembered += 1
        return self._tallies.setdefault((stack, labels, sample.event), [0, 0])

    def _labels(self, scope: tuple[tuple[str, str], ...], comm: str, task: tuple[int, int] | None) -> tuple[Label, ...]:
        key = (scope, comm, task)
        labels = self._known_labels.get(key)
        if labels is None:
            options = self._options
            labels = sample_labels(scope, node=options.node, comm=comm, extra=options.labels, task=task)
            self._known_labels[key] = labels
        return labels

    def _forget_chains(self) -> None:
        for view in self._views.values():
            view.tallies.clear()
        self._remembered = 0

    def _replay(self, record: Record) -> None:
        """Everything but samples: what is known changes."""
        handler = self._handlers.get(type(record))
        if handler is not None:
            handler(record)

    def _comm(self, record: Comm) -> None:
        self._changed(record.pid, self._processes.comm(record))

    def _fork(self, record: Fork) -> None:
        self._changed(record.pid, self._processes.fork(record))

    def _exit(self, record: Exit) -> None:
        for pid in self._processes.exit(record):
            self._views.pop(pid, None)

    def _cgroup(self, record: Cgroup) -> None:
        if (self._cgroups.get(record.id) or self._known_cgroups.get(record.id)) != record.path:
            self._cgroups[record.id] = record.path
            for view in self._views.values():
                view.verdicts.pop(record.id, None)
            self._forget_chains()  # what is remembered has the labels of the path before

    def _count_lost(self, record: Lost) -> None:
        self._lost_records[record.event_id] += record.lost

    def _count_lost_samples(self, record: LostSamples) -> None:
        if not record.refused:
            self._lost_samples[record.event_id] += record.lost

    def _throttle(self, _: Throttle) -> None:
        self._throttled += 1

    def _mmap(self, record: Mmap) -> None:
        if record.cpumode in (CPUMODE_GUEST_KERNEL, CPUMODE_GUEST_USER):
            return
        if record.pid == KERNEL_PID:
            if record.executable and record.length:
                self._kernel_changed(changed=self._stacks.kernel_appears(region_of(record)))
            return
        change = self._processes.mmap(record)
        view = self._views.get(record.pid)
        if change is Change.ADDED and view is not None and view.addresses.missed(record.start, record.start + record.length):
            change = Change.REPLACED
        self._changed(record.pid, change)

    def _ksymbol(self, record: Ksymbol) -> None:
        start, end = record.address, record.address + record.length
        if record.gone:
            self._kernel_changed(changed=self._stacks.kernel_vanishes(start, end))
        elif record.length:
            self._kernel_changed(changed=self._stacks.kernel_appears(Region(start, end, 0, f"[{record.name}]")))

    def _changed(self, pid: int, change: Change) -> None:
        """Forget what was concluded from mappings that are no more."""
        if change is Change.REPLACED:
            view = self._views.pop(pid, None)
            if view is not None:
                self._remembered -= len(view.tallies)

    def _kernel_changed(self, *, changed: bool) -> None:
        if changed:
            self._forget_chains()

    def _conclude(self) -> Conversion:
        recording, options = self._recording, self._options
        types = sample_types(recording.table)
        builder = Builder(types.types)
        build_ids = [*recording.features.build_ids, *self._build_ids]
        naming = name_locations(self._places, builder, self._symbolizer, build_ids, kernel_addresses=options.kernel_addresses)
        index_of = naming.indices.__getitem__
        for (stack, labels, event), (count, amount) in self._tallies.items():
            values = (count, amount or count * default_amount(recording.table.events[event]))
            builder.add(tuple(map(index_of, stack)), labels, types.columns[event], values)
        lost = lost_samples(recording.table, self._lost_samples, self._lost_records)
        dropped = self._dropped + Counter(
            {DropReason.MALFORMED: recording.malformed["SAMPLE"], DropReason.UNKNOWN_EVENT: recording.orphans}
        )
        shown = self._samples - self._dropped.total()
        account = Account(shown + dropped.total(), lost, self._throttled, options.requested_events)
        told = (*notices(recording, types, account), *naming.notices)
        profile = builder.build(
            default_sample_type=types.default,
            time_nanos=self._start_time(),
            duration_nanos=self._last - self._first if options.duration_nanos is None else options.duration_nanos,
            period_type=types.period_type,
            period=types.period,
            comments=(*comments(recording, account), *told),
        )
        return Conversion(
            profile=profile,
            recorded=account.recorded,
            shown=shown,
            dropped={str(reason): count for reason, count in sorted(dropped.items())},
            lost=lost,
            throttled=self._throttled,
            events=types.names,
            perf_version=recording.features.version,
            kernel=recording.features.os_release,
            hostname=recording.features.hostname,
            notices=told,
        )

    def _start_time(self) -> int:
        """Nanoseconds since the epoch; 0 where nothing tells."""
        if self._options.start_time_nanos is not None:
            return self._options.start_time_nanos
        clock = self._recording.features.clock
        return clock.wall + self._first - clock.perf if clock is not None and self._first else 0

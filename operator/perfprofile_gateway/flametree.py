"""Profile → call trees, small enough for a page. Pure.

A tree is kept as parallel lists in preorder (a node, then its children, the widest first): that is little JSON, and the page finds
everything in one pass over it. Frames below a thousandth of the whole are left out; a page can't show them, and the profile has them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from perfprofile_agent.pprof.model import Location, Profile, Sample
from perfprofile_agent.pprof.top import UNNAMED, column_of

PRUNE_BELOW: Final = 0.001
"""Share of the whole below which a frame is left out."""
MAX_DEPTH: Final = 512
"""Frames of a stack that are drawn, counted from the root; deeper is recursion that nobody reads."""

USER, KERNEL, GROUP = 0, 1, 2

_NOT_KERNEL: Final = frozenset({"[vdso]", "[vsyscall]", "[heap]", "[stack]", "[anon]", "[unknown]", "[uprobes]", "[jit]"})


class Frame(NamedTuple):
    """What a box stands for."""

    name: str
    module: str
    """Last part of the path of the file that the code is in."""
    kind: int


class _Stack(NamedTuple):
    """One sample: indices of frames, the root's side first."""

    frames: tuple[int, ...]
    weight: int
    samples: int


@dataclass(frozen=True)
class Tree:
    """A call tree in preorder, its root ("all") first at depth 0. All lists have one entry for each node."""

    frames: list[int]
    """Index into the frames."""
    depths: list[int]
    weights: list[int]
    """Of the node and all below it."""
    own: list[int]
    """Of the node alone."""
    counts: list[int]
    """Samples."""
    left_out: int
    """Nodes that were too small."""


@dataclass(frozen=True)
class Trees:
    """The same samples twice: by stack, and with pod and container above each stack."""

    type: str
    unit: str
    """Of the weights."""
    frames: list[Frame]
    plain: Tree
    grouped: Tree


def trees(profile: Profile) -> Trees:
    """Make the trees of a profile's default sample type. Frame 0 is the root."""
    column = column_of(profile) if profile.sample_types else -1
    kind, unit = profile.sample_types[column] if column >= 0 else ("samples", "count")
    counting = _count_column(profile, kind, column)
    index = {Frame("all", "", GROUP): 0}
    stacks = [_frames(profile, location, index) for location in profile.locations]
    plain, grouped = [], []
    for sample in profile.samples:
        weight = sample.values[column]
        if weight <= 0:
            continue
        stack = _Stack(
            tuple([frame for at in reversed(sample.locations) for frame in stacks[at]][:MAX_DEPTH]), weight, sample.values[counting]
        )
        plain.append(stack)
        grouped.append(stack._replace(frames=_groups(sample, index) + stack.frames))
    return Trees(kind, unit, list(index), _tree(plain), _tree(grouped))


def _count_column(profile: Profile, kind: str, column: int) -> int:
    """Find the column that counts the samples of the type: ``samples`` beside ``cpu``, ``<event>_samples`` beside ``<event>``."""
    names = [value_type.type for value_type in profile.sample_types]
    for name in (f"{kind}_samples", "samples"):
        if name in names:
            return names.index(name)
    return column


def _frames(profile: Profile, location: Location, index: dict[Frame, int]) -> list[int]:
    """Give a location's frames, the outermost first."""
    path = profile.mappings[location.mapping].filename if location.mapping >= 0 else ""
    module = path.rstrip("/").rpartition("/")[2]
    kind = KERNEL if is_kernel(path) else USER
    names = [profile.functions[line.function].name or UNNAMED for line in reversed(location.lines)]
    return [index.setdefault(Frame(name, module, kind), len(index)) for name in names or [UNNAMED]]


def is_kernel(path: str) -> bool:
    """Whether a mapping is the kernel's or one of its modules' (perf writes both in brackets; modules may have their path too)."""
    if path.startswith("["):
        return path not in _NOT_KERNEL
    return path.endswith((".ko", ".ko.gz", ".ko.xz", ".ko.zst", "/vmlinux"))


def _groups(sample: Sample, index: dict[Frame, int]) -> tuple[int, int]:
    labels = {label.key: label.text for label in sample.labels}
    pod, container = (Frame(labels.get(key) or f"no {key}", key, GROUP) for key in ("pod", "container"))
    return index.setdefault(pod, len(index)), index.setdefault(container, len(index))


def _tree(stacks: Sequence[_Stack]) -> Tree:
    """Make the tree from its root down, so that what is too small is never looked into: that bounds time and memory."""
    frames, depths, weights, own, counts, left_out = [], [], [], [], [], 0
    least = sum(stack.weight for stack in stacks) * PRUNE_BELOW
    pending = [(0, 0, stacks)]
    while pending:
        frame, depth, through = pending.pop()
        below: dict[int, list[_Stack]] = {}
        ends = 0
        for stack in through:
            if len(stack.frames) == depth:
                ends += stack.weight
            else:
                below.setdefault(stack.frames[depth], []).append(stack)
        frames.append(frame)
        depths.append(depth)
        weights.append(sum(stack.weight for stack in through))
        counts.append(sum(stack.samples for stack in through))
        own.append(ends)
        shown = [(weight, child) for child, passing in below.items() if (weight := sum(stack.weight for stack in passing)) >= least]
        left_out += len(below) - len(shown)
        # The widest goes on the pile last, so it comes out first.
        pending.extend((child, depth + 1, below[child]) for _, child in sorted(shown))
    return Tree(frames, depths, weights, own, counts, left_out)

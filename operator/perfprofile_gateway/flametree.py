"""Profile → call trees, small enough for a page. Pure.

A tree is kept as parallel lists in preorder (a node, then its children, the widest first): that is little JSON, and the page finds
everything in one pass over it. Frames below a thousandth of the whole are left out; a page can't show them, and the profile has them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class _Node:
    weight: int = 0
    own: int = 0
    count: int = 0
    children: "dict[int, _Node]" = field(default_factory=dict)


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
    plain, grouped = _Node(), _Node()
    for sample in profile.samples:
        weight = sample.values[column]
        if weight <= 0:
            continue
        stack = [frame for location in reversed(sample.locations) for frame in stacks[location]][:MAX_DEPTH]
        _add(plain, stack, weight, sample.values[counting])
        _add(grouped, [*_groups(sample, index), *stack], weight, sample.values[counting])
    return Trees(kind, unit, list(index), _flatten(plain), _flatten(grouped))


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
    return path.rpartition("/")[2].partition(".ko")[1] == ".ko" or path.endswith("/vmlinux")


def _groups(sample: Sample, index: dict[Frame, int]) -> Iterable[int]:
    labels = {label.key: label.text for label in sample.labels}
    for key in ("pod", "container"):
        yield index.setdefault(Frame(labels.get(key) or f"no {key}", key, GROUP), len(index))


def _add(root: _Node, stack: Iterable[int], weight: int, count: int) -> None:
    node = root
    node.weight += weight
    node.count += count
    for frame in stack:
        below = node.children.get(frame)
        if below is None:
            below = node.children[frame] = _Node()
        node = below
        node.weight += weight
        node.count += count
    node.own += weight


def _flatten(root: _Node) -> Tree:
    tree = Tree([], [], [], [], [], 0)
    least, left_out = root.weight * PRUNE_BELOW, 0
    pending = [(0, 0, root)]
    while pending:
        frame, depth, node = pending.pop()
        for values, value in ((tree.frames, frame), (tree.depths, depth), (tree.weights, node.weight), (tree.own, node.own)):
            values.append(value)
        tree.counts.append(node.count)
        shown = [(below, child) for below, child in node.children.items() if child.weight >= least]
        left_out += len(node.children) - len(shown)
        # The widest goes on the stack last, so it comes out first.
        pending.extend((below, depth + 1, child) for below, child in sorted(shown, key=lambda item: item[1].weight))
    return Tree(tree.frames, tree.depths, tree.weights, tree.own, tree.counts, left_out)

"""Whether to split a graph over threads, along which label and into how many parts: by an estimate of the time.

The estimate takes shipped constants, in nanoseconds, for one core of a present-day server. It is a sum over the nodes:
matrix products by FLOPs, everything else by the bytes that it moves. Without a split matrix products and long loops
run on all threads, nearly as fast as parts would, and the rest runs on one. Parts read what they do not cut in full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import NamedTuple

from einad.ir.expr import Call, Einsum, Map, Node, Structured
from einad.ir.walk import topological
from einad.ops.symmetric import GRAM, WEIGHTED_GRAM
from einad.plan.axes import Axes
from einad.plan.cost import is_view, node_flops
from einad.plan.roles import Role
from einad.plan.split import Split, split_along

PRODUCT_RATE = 480  # bytes of numbers: 60 FLOPs for float64, 120 for float32
FUNCTION_RATE = 16
BYTES_PER_NS = 16
JOINED_PER_NS = 32  # bytes of pieces that were just written
LEAST_BLAS = 2_000_000  # FLOPs of a matrix product below which BLAS uses one thread
LONG_LOOP = 1 << 19  # elements of an elementwise result above which a loop may run on several threads
BLAS_GAIN, LOOP_GAIN = 0.75, 0.5  # what each further thread adds to matrix products and to long loops
PART_GAIN = 0.85  # what each further part adds: parts share the memory's bandwidth
HAND_OFF = 50_000
LEAST_TIME = 2_000_000
LEAST_GAIN = 0.9
LEAST_NODE = 1 << 12  # multiplications
CANDIDATES = 4


class Time(NamedTuple):
    """An estimate in nanoseconds on one thread: of matrix products, of long elementwise loops, of everything else."""

    blas: float
    loops: float
    other: float

    def on(self, threads: int) -> float:
        """The time where matrix products and long loops have several threads and the rest has one."""
        more = threads - 1
        return self.blas / (1 + BLAS_GAIN * more) + self.loops / (1 + LOOP_GAIN * more) + self.other


NO_TIME = Time(0, 0, 0)


class Choice(NamedTuple):
    """A split, into how many parts, and the estimated times with and without it, in nanoseconds."""

    split: Split
    parts: int
    time: float
    whole: float


def best_split(roots: Sequence[Node], threads: int, least: float = LEAST_TIME) -> Choice | None:
    """The split that is estimated to take least time; None where none is at least a tenth faster than the whole.

    ``least`` is the time of a whole program in nanoseconds below which it is not considered.
    """
    if threads < 2:
        return None
    order = topological(roots)
    times = {node: node_time(node) for node in order}
    whole = total(times.values())
    if sum(whole) < least:
        return None
    found = [
        choice
        for split in candidates(roots, {node: sum(time) for node, time in times.items()})
        for parts in sorted({threads, threads // 2}, reverse=True)
        if 2 <= parts <= split.size
        for choice in [Choice(split, parts, split_time(split, parts, threads, times), whole.on(threads))]
    ]
    best = min(found, key=lambda choice: choice.time, default=None)
    return best if best is not None and best.time < LEAST_GAIN * best.whole else None


def candidates(roots: Sequence[Node], weights: Mapping[Node, float]) -> list[Split]:
    """Splits along the labels with most weight. ``weights`` holds all nodes of the graph, children first."""
    order = list(weights)
    axes = Axes(order)
    totals: Counter[int] = Counter()
    for node, weight in weights.items():
        for label, count in Counter(axes.labels(node)).items():
            if count == 1:
                totals[label] += int(weight)
    return [split_along(roots, order, axes, label) for label, _ in totals.most_common(CANDIDATES)]


def split_time(split: Split, parts: int, threads: int, times: Mapping[Node, Time]) -> float:
    """The estimated time of a split: before, the longest part, joining, after."""
    inside = [node for node, role in split.roles.items() if role in (Role.PART, Role.SUM)]
    once = total([times[node] for node, role in split.roles.items() if role in (Role.WHOLE, Role.AFTER)])
    share = -(-split.size // parts) / split.size
    crowding = parts / (1 + PART_GAIN * (parts - 1))
    body = sum([sum(times[node]) for node in inside]) * share
    uncut = sum([_uncut_bytes(node, split) for node in inside]) * (1 - share) / BYTES_PER_NS
    joins = [_joined_bytes(node, split, parts) for node in split.outputs]
    copied = sum([3 * _bytes(node) for node in split.reads if _is_scattered(node, split)]) * share / BYTES_PER_NS
    return once.on(threads) + (body + uncut + copied) * crowding + sum(joins) / JOINED_PER_NS + HAND_OFF


def _joined_bytes(node: Node, split: Split, parts: int) -> int:
    """What is moved to put pieces together or to add terms, and to multiply by a number that is known then."""
    passes = 2 if node in split.axes else 3 * (parts - 1)
    return _bytes(node) * (passes + 2 * (node in split.scales))


def _is_scattered(node: Node, split: Split) -> bool:
    """Whether a piece has axes that cannot be merged without a copy."""
    axis = split.axes.get(node, 0)
    return node.ndim > 2 and prod(node.shape[:axis]) > 1


def _uncut_bytes(node: Node, split: Split) -> int:
    """What every part reads and writes in full of a node and its arguments."""
    if is_view(node):
        return 0
    return sum([_bytes(each) for each in {node, *node.children} if each not in split.axes])


def node_time(node: Node) -> Time:
    """The estimated time of one node on one thread; views and small nodes take none."""
    extents = node.sizes if isinstance(node, Einsum) else node.shape
    if not node.children or (prod(extents) < LEAST_NODE and not isinstance(node, Call)) or is_view(node):
        return NO_TIME
    moved = (_bytes(node) + sum([_bytes(child) for child in set(node.children)])) / BYTES_PER_NS
    flops = node_flops(node)
    if _is_product(node):
        product = flops * node.dtype.itemsize / PRODUCT_RATE * (2 if node.dtype.kind == "c" else 1)
        return Time(product, 0, moved) if flops >= LEAST_BLAS else Time(0, 0, product + moved)
    if isinstance(node, Call):
        return Time(0, 0, moved + flops)
    if isinstance(node, Map):
        moved += flops * node.dtype.itemsize / FUNCTION_RATE
    return Time(0, moved, 0) if node.size >= LONG_LOOP else Time(0, 0, moved)


def total(times: Iterable[Time]) -> Time:
    """The sum of estimates."""
    blas, loops, other = (sum(part) for part in zip(NO_TIME, *times, strict=True))
    return Time(blas, loops, other)


def _is_product(node: Node) -> bool:
    """Whether BLAS does the work: two operands that both have labels of their own, and a sum."""
    if isinstance(node, Call):
        return node.row in (GRAM, WEIGHTED_GRAM)
    if not isinstance(node, Einsum):
        return False
    if len(node.children) < 2 or any(isinstance(child, Structured) for child in node.children):
        return False
    a, b = set(node.spec.inputs[0]), set(node.spec.inputs[1])
    return bool(a - b and b - a and a & b and node.spec.contracted)


def _bytes(node: Node) -> int:
    return node.size * node.dtype.itemsize

"""The memory layout of a contraction's result, chosen by those who read it.

A result may be written in any order of its labels that keeps each matrix side together, at no cost: BLAS takes
strides. Which order saves copies later is seen by looking ahead, through elementwise nodes and permutations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from einad.ir.expr import Add, Call, Einsum, Map, Node, Shape, Structured
from einad.ir.spec import Labels
from einad.ir.walk import topological
from einad.lower.placed import Value
from einad.lower.view import View
from einad.ops.reductions import FUNCTIONS

DEPTH, READERS = 3, 4
ROOT_WEIGHT = 0.25
SHORT_LOOP = 64
SHORT_SUM, ROW_START = 64, 20  # a reduction takes as long to start on a row as to copy 20 elements
EXTREMES = FUNCTIONS["max"], FUNCTIONS["min"]


class Wish(NamedTuple):
    """One reader's wish: the axes in this order.

    With ``together`` any order will do that has each of these sets of axes side by side, and one of them innermost.
    """

    order: Labels
    weight: float = 1.0
    together: tuple[frozenset[int], ...] = ()

    def granted(self, order: Sequence[int]) -> bool:
        """Whether an order of (some of) the axes fulfils the wish."""
        if not self.together:
            here = set(order)
            return tuple(order) == tuple([axis for axis in self.order if axis in here])
        if order and not any(order[-1] in part for part in self.together):
            return False
        for part in self.together:
            places = [n for n, axis in enumerate(order) if axis in part]
            if places and places[-1] - places[0] + 1 != len(places):
                return False
        return True

    def mapped(self, axes: Mapping[int, int]) -> Wish:
        """The wish in terms of other axes; those without a counterpart are left out."""
        order = tuple([axes[axis] for axis in self.order if axis in axes])
        together = tuple([frozenset([axes[axis] for axis in part if axis in axes]) for part in self.together])
        return Wish(order, self.weight, together)


class Readers:
    """Who reads each node of a graph, and what layout they wish for."""

    def __init__(self, roots: Sequence[Node]) -> None:
        self.readers: dict[Node, list[tuple[Node, int]]] = {}
        self.roots = frozenset(roots)
        for node in topological(roots):
            for k, child in enumerate(node.children):
                self.readers.setdefault(child, []).append((node, k))

    def wishes(self, node: Node, values: Mapping[Node, Value], depth: int = DEPTH) -> list[Wish]:
        """The wishes for the order of a node's axes; ``values`` tells how other nodes are stored already."""
        found = [Wish(tuple(range(node.ndim)), ROOT_WEIGHT)] if node in self.roots else []
        if depth and node.ndim > 1:
            for reader, k in self.readers.get(node, ())[:READERS]:
                found.extend(self._wishes_of(reader, k, values, depth))
        return found

    def _wishes_of(self, reader: Node, k: int, values: Mapping[Node, Value], depth: int) -> list[Wish]:
        if isinstance(reader, Map | Add):
            every = tuple(range(reader.ndim))
            wish = _beside(reader, k, [every] * len(reader.children), values)
            return [wish] if wish else self.wishes(reader, values, depth - 1)
        if isinstance(reader, Call) and reader.row in EXTREMES:
            (reduced,) = reader.params
            return _few_first(reader.children[0].shape, reduced)
        if not isinstance(reader, Einsum):
            return [Wish(tuple(range(reader.children[k].ndim)))]
        labels, spec = reader.spec.inputs[k], reader.spec
        if len(set(labels)) < len(labels) or any(isinstance(child, Structured) for child in reader.children):
            return []
        if len(reader.children) == 2 and not set(labels) <= set(spec.output):
            return [_contracted(reader, k, values)]
        if len(reader.children) == 1 and spec.contracted:
            summed = [axis for axis, label in enumerate(labels) if label not in spec.output]
            return _few_first(reader.children[0].shape, summed)
        if spec.contracted or len(set(spec.output)) < len(spec.output):
            return []
        wish = _beside(reader, k, spec.inputs, values)
        axes = {place: labels.index(label) for place, label in enumerate(spec.output) if label in labels}
        return [wish] if wish else [each.mapped(axes) for each in self.wishes(reader, values, depth - 1)]


def _beside(reader: Node, k: int, inputs: Sequence[Labels], values: Mapping[Node, Value]) -> Wish | None:
    """An elementwise reader wishes for the order in which another of its operands is stored already."""
    mine = inputs[k]
    for n, child in enumerate(reader.children):
        value = values.get(child)
        if n != k and isinstance(value, View) and (order := _stored_axes(value)):
            other = [inputs[n][axis] for axis in order]
            if set(other) >= set(mine):
                return Wish(tuple([mine.index(label) for label in other if label in mine]))
    return None


def _few_first(shape: Shape, reduced: Any) -> list[Wish]:
    """A reduction over few places runs over long rows if the reduced axes come first."""
    kept = [axis for axis in range(len(shape)) if axis not in reduced]
    few = prod([shape[axis] for axis in reduced])
    return [Wish((*reduced, *kept), ROW_START / few)] if few < SHORT_SUM and kept else []


def _contracted(reader: Einsum, k: int, values: Mapping[Node, Value]) -> Wish:
    """A contraction wishes for the batch first, then each side of the matrix together."""
    mine, theirs, output = reader.spec.inputs[k], reader.spec.inputs[1 - k], reader.spec.output
    summed = [label for label in mine if label not in output]
    batch = [label for label in mine if label in output and label in theirs]
    left = [label for label in mine if label in output and label not in theirs]
    value = values.get(reader.children[1 - k])
    if isinstance(value, View) and (order := _stored_axes(value)):
        partner = [theirs[axis] for axis in order]
        if batch and set(theirs) == set(mine):
            return Wish(tuple([mine.index(label) for label in partner]))
        summed.sort(key=lambda label: partner.index(label) if label in partner else -1)
    parts = [frozenset([mine.index(label) for label in side]) for side in (left, summed)]
    return Wish(tuple([mine.index(label) for label in (*batch, *left, *summed)]), 1.0, tuple(parts))


def _stored_axes(view: View) -> Labels | None:
    """The axes of a tensor in the order in which all of them are stored (those of size 1 aside)."""
    axes = {label: axis for axis, label in enumerate(view.labels)}
    if view.register is None or len(axes) < view.ndim:
        return None
    if any(view.sizes[label] != 1 and label not in view.stored for label in view.labels):
        return None
    return tuple([axes[label] for label in view.stored])


def is_free_to_order(node: Einsum) -> bool:
    """Whether a result may be stored in any order: a contraction, or a product in which no factor has every label."""
    return bool(node.spec.contracted) or not any(set(labels) >= set(node.spec.output) for labels in node.spec.inputs)


class Layout(NamedTuple):
    """Wishes in an einsum's labels: orders worth trying, and the share of readers an order disappoints."""

    wishes: tuple[Wish, ...] = ()

    def orders(self, labels: set[int]) -> list[Labels]:
        """Orders of ``labels`` that some reader wishes for."""
        found = [tuple([label for label in wish.order if label in labels]) for wish in self.wishes]
        return [order for order in dict.fromkeys(found) if len(order) == len(labels)]

    def best(self, labels: Sequence[int], sizes: Mapping[int, int]) -> Labels:
        """An order of ``labels`` for a result that may have any: what readers wish for, with a long inner loop.

        Ties go to ``labels`` as they stand.
        """
        here = tuple(dict.fromkeys([label for label in labels if label in sizes]))
        longest = max(here, key=lambda label: sizes[label], default=None)
        last = tuple([label for label in here if label != longest]) + tuple([x for x in here if x == longest])
        choices = dict.fromkeys([here, *self.orders(set(here)), last])
        return min(choices, key=lambda order: (self.penalty(order), bool(order) and sizes[order[-1]] < SHORT_LOOP))

    def penalty(self, order: Sequence[int]) -> float:
        """How many readers would have to copy or to stride, weighted."""
        return sum([wish.weight for wish in self.wishes if not wish.granted(order)])


ANY_LAYOUT = Layout()


def layout_for(wishes: Sequence[Wish], output: Labels) -> Layout:
    """Wishes for a node's axes in terms of the labels of its output; none where the output repeats labels."""
    if not wishes or len(set(output)) < len(output):
        return ANY_LAYOUT
    axes = dict(enumerate(output))
    return Layout(tuple([wish.mapped(axes) for wish in wishes]))

"""Which axes of a graph's tensors are one and the same label, followed through contractions and pointwise functions."""

from __future__ import annotations

from collections.abc import Sequence

from einad.ir.expr import Add, Call, Einsum, Map, Node, OneHot
from einad.ir.spec import Labels, Spec
from einad.ops.reductions import FUNCTIONS
from einad.ops.selection import POSITIONS
from einad.ops.symmetric import GRAM, PACK, TRIANGLE, UNPACK, WEIGHTED_GRAM


class Axes:
    """The axes of all nodes of a graph, in classes: ``whole.axes(node)[k]`` is the class of axis ``k``.

    An axis of an operand, the label that stands on it and the axis of the result with this label are one class; so are
    the axes of a pointwise function's arguments and result.

    Examples
    --------
    >>> from einad.ir import build
    >>> from einad.ir.expr import Input
    >>> X, W = Input("X", (5, 3)), Input("W", (3, 4))
    >>> Y = build.einsum(["ni", "io"], "no", [X, W])
    >>> found = Axes([X, W, Y])
    >>> found.axes(X)[0] == found.axes(Y)[0], found.axes(X)[1] == found.axes(W)[0] != found.axes(Y)[1]
    (True, True)
    """

    def __init__(self, order: Sequence[Node]) -> None:
        self._parents: list[int] = []
        self._axes: dict[Node, Labels] = {}
        self._labels: dict[Node, Labels] = {}
        for node in order:
            self._axes[node] = self._read(node)

    def axes(self, node: Node) -> Labels:
        """The class of each axis of a node."""
        return tuple([self._find(each) for each in self._axes[node]])

    def labels(self, node: Node) -> Labels:
        """The class of each label of a node with a `notation`, of each axis of another."""
        return tuple([self._find(each) for each in self._labels.get(node, self._axes[node])])

    def _read(self, node: Node) -> Labels:
        spec = notation(node)
        if spec is not None:
            self._labels[node] = labels = self._read_notation(node, spec)
            return tuple([labels[label] for label in spec.output])
        return self._read_pointwise(node) if isinstance(node, Map | Add) else self._fresh(node.ndim)

    def _read_notation(self, node: Node, spec: Spec) -> Labels:
        classes: dict[int, int] = {}
        for labels, child in zip(spec.inputs, node.children, strict=True):
            for label, each in zip(labels, self._axes[child], strict=True):
                if classes.setdefault(label, each) != each:
                    self._unite(classes[label], each)
        return tuple([classes[n] if n in classes else self._fresh(1)[0] for n in range(spec.label_count)])

    def _read_pointwise(self, node: Map | Add) -> Labels:
        varying = [child for child in node.children if not is_constant(child)]
        if not varying:
            return self._fresh(node.ndim)
        first, *others = varying
        for other in others:
            for a, b in zip(self._axes[first], self._axes[other], strict=True):
                self._unite(a, b)
        return self._axes[first]

    def _fresh(self, count: int) -> Labels:
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return tuple(range(first, first + count))

    def _find(self, each: int) -> int:
        parents = self._parents
        while parents[each] != each:
            parents[each] = parents[parents[each]]
            each = parents[each]
        return each

    def _unite(self, a: int, b: int) -> None:
        a, b = self._find(a), self._find(b)
        if a != b:
            self._parents[max(a, b)] = min(a, b)


def is_constant(node: Node) -> bool:
    """Whether every entry of a node is one number: an einsum without operands or deltas fits any size."""
    return isinstance(node, Einsum) and not node.children and len(set(node.spec.output)) == node.ndim


def notation(node: Node) -> Spec | None:
    """Which axes of its arguments an einsum or a function of whole arrays carries to its result; None if unknown.

    A label of a function that stands in arguments only is used up, one that stands in the result only is new.
    """
    if isinstance(node, Einsum):
        return node.spec
    if isinstance(node, OneHot):
        return Spec((tuple(range(node.ndim - 1)),), tuple(range(node.ndim)))
    if not isinstance(node, Call):
        return None
    if node.row is POSITIONS:
        return Spec((tuple(range(node.ndim)),), tuple(range(node.ndim)))
    if FUNCTIONS.get(node.row.name) is node.row:
        return _reduction(node)
    if node.row is GRAM:
        return Spec(((0, 1), (0, 2)), (3, 4))
    if node.row is WEIGHTED_GRAM:
        return Spec(((0, 1), (0,)), (2, 3))
    return _replacement(node)


def sums_over(node: Node, label: int) -> bool:
    """Whether a node of known `notation` is a sum over a label."""
    if isinstance(node, Einsum):
        return label not in node.spec.output
    return isinstance(node, Call) and node.row in (GRAM, WEIGHTED_GRAM) and label == 0


def _reduction(node: Call) -> Spec:
    (given,) = node.params
    reduced = given if isinstance(given, tuple) else (given,)
    labels = tuple(range(node.children[0].ndim))
    return Spec((labels,), tuple([label for label in labels if label not in reduced]))


def _replacement(node: Call) -> Spec | None:
    """Packing and unpacking put new axes in the place of others."""
    labels = tuple(range(node.children[0].ndim)) if node.children else ()
    new = len(labels)
    if node.row is TRIANGLE:
        axis = labels.index(node.params[0])
        return Spec((labels,), (*labels[:axis], new, *labels[axis + 1 :]))
    if node.row is PACK:
        return Spec((labels,), (*[label for label in labels if label not in node.params], new))
    if node.row is UNPACK:
        axis = labels.index(node.params[0])
        return Spec((labels,), (*labels[:axis], new, new + 1, *labels[axis + 1 :]))
    return None

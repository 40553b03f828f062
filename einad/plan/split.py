"""A graph cut along one label: what is computed before, in each part, and after the parts are put together.

Take ``loss = sum over n of f(X[n], W)`` and its gradient by W. With X cut into rows, each part computes its own sum,
and the parts' results are added; whatever carries ``n`` is concatenated. What a node is to the parts is its `Role`.

Coefficients stand in the graph already (a mean is ``1/N`` times a sum), so the parts need not know N.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from einad.ir import build
from einad.ir.expr import Add, Einsum, Input, Literal, Map, Node, Shape
from einad.ir.walk import rebuild, transform
from einad.plan.axes import Axes, is_constant
from einad.plan.cost import is_view
from einad.plan.cut import Cut
from einad.plan.roles import Role, late_numbers, role_of


@dataclass(frozen=True, eq=False)
class Split:
    """A graph cut along a label of ``size`` entries that stands on axis ``axes[node]`` of the nodes that carry it.

    Attributes
    ----------
    before : tuple of Node
        Nodes that all parts read, computed once.
    reads : tuple of Node
        What a part reads: inputs, and nodes of ``before``; those in ``axes`` are cut.
    outputs : tuple of Node
        What a part gives: pieces of nodes in ``axes``, to be concatenated, and terms of the others, to be added.
    after : tuple of Node
        Roots that are computed from outputs, nodes of ``before`` and inputs.
    scales : Mapping of Node to Node
        The numbers without which the parts compute some nodes.
    """

    roots: tuple[Node, ...]
    size: int
    axes: Mapping[Node, int]
    roles: Mapping[Node, Role]
    cut_labels: Mapping[Node, int]
    before: tuple[Node, ...]
    reads: tuple[Node, ...]
    outputs: tuple[Node, ...]
    scales: Mapping[Node, Node]

    @cached_property
    def after(self) -> tuple[Node, ...]:
        """Roots that are not outputs of the parts."""
        given = {node for node in self.outputs if node not in self.scales}
        return tuple(dict.fromkeys([root for root in self.roots if root not in given]))

    @property
    def name(self) -> str:
        """Where the label stands on the largest input that carries it: ``axis 0 of X``."""
        cut = [x for x in self.reads if isinstance(x, Input) and x in self.axes]
        largest = max(cut, key=lambda x: x.size, default=None)
        return "an axis of a result" if largest is None else f"axis {self.axes[largest]} of {largest.name}"

    def part(self, extent: int) -> tuple[list[Node], list[Input]]:
        """The outputs and inputs of a part that has ``extent`` entries of the label; the inputs stand for ``reads``."""
        inputs = [
            Input(_name(node, n), self._shape(node, extent), node.dtype, Cut(n, _strides(node.shape)))
            for n, node in enumerate(self.reads)
        ]

        def rule(node: Node, children: tuple[Node, ...]) -> Node:
            return self._piece(node, children, extent)

        return transform(self.outputs, rule, self._ones() | dict(zip(self.reads, inputs, strict=True))), inputs

    def first(self) -> list[Node]:
        """``before``, without the numbers that are not known yet."""
        return transform(self.before, rebuild, self._ones())

    def rest(self) -> tuple[list[Node], list[Node], list[Input]]:
        """``after`` over inputs of its own, the nodes these inputs stand for, and the inputs."""
        stops = [*self.outputs, *[node for node in self.before if node not in self.scales]]
        inputs = [Input(_name(node, n), node.shape, node.dtype, ("rest", n)) for n, node in enumerate(stops)]
        known: dict[Node, Node] = dict(zip(stops, inputs, strict=True))
        for node, number in self.scales.items():
            if node in known:
                (factor,) = transform([number], rebuild, known)
                labels = tuple(range(node.ndim))
                known[node] = build.einsum([(), labels], labels, [factor, known[node]], dtype=node.dtype)
        return transform(self.after, rebuild, known), stops, inputs

    def _ones(self) -> dict[Node, Node]:
        return {number: build.full((), 1, number.dtype) for number in self.scales.values()}

    def _shape(self, node: Node, extent: int) -> Shape:
        axis = self.axes.get(node)
        return node.shape if axis is None else (*node.shape[:axis], extent, *node.shape[axis + 1 :])

    def _piece(self, node: Node, children: tuple[Node, ...], extent: int) -> Node:
        """A node over the pieces of its children."""
        if isinstance(node, Einsum) and node in self.cut_labels:
            cut = self.cut_labels[node]
            sizes = tuple([extent if label == cut else n for label, n in enumerate(node.sizes)])
            shapes = [tuple([sizes[label] for label in labels]) for labels in node.spec.inputs]
            return Einsum(node.spec, _fitted(children, shapes), sizes, node.coefficient, node.dtype)
        if isinstance(node, Map | Add) and node in self.axes:
            return rebuild(node, _fitted(children, [self._shape(node, extent)] * len(children)))
        return rebuild(node, children)


def _strides(shape: Shape) -> tuple[int, ...]:
    """The strides of a C-contiguous array, in elements."""
    return tuple([prod(shape[axis + 1 :]) for axis in range(len(shape))])


def _name(node: Node, n: int) -> str:
    return node.name if isinstance(node, Input) else f"p{n}"


def _fitted(children: Sequence[Node], shapes: Sequence[Shape]) -> tuple[Node, ...]:
    """Constants take the shape that their place asks for."""
    return tuple(
        [
            Einsum(child.spec, (), shape, child.coefficient, child.dtype)
            if isinstance(child, Einsum) and is_constant(child) and child.shape != shape
            else child
            for child, shape in zip(children, shapes, strict=True)
        ]
    )


def split_along(roots: Sequence[Node], order: Sequence[Node], axes: Axes, label: int) -> Split:
    """Cut a graph along a class of axes. ``order`` holds all its nodes, children first."""
    roles: dict[Node, Role] = {}
    cut_axes: dict[Node, int] = {}
    cut_labels: dict[Node, int] = {}
    scales: dict[Node, Node] = {}
    for node in order:
        own = [axis for axis, each in enumerate(axes.axes(node)) if each == label]
        cut = [n for n, each in enumerate(axes.labels(node)) if each == label]
        numbers = late_numbers(node, roles, scales)
        role = roles[node] = Role.AFTER if len(numbers) > 1 else role_of(node, len(own), cut, roles, numbers)
        if role is Role.AFTER:
            continue
        if numbers:
            scales[node] = numbers[0]
        if role is Role.PART:
            cut_axes[node] = own[0]
        if cut and role in (Role.PART, Role.SUM):
            cut_labels[node] = cut[0]
    outputs = _outputs(roots, order, roles)
    reads, before = _reads(outputs, roles)
    size = next(node.shape[axis] for node, axis in cut_axes.items()) if cut_axes else 0
    return Split(tuple(roots), size, cut_axes, roles, cut_labels, before, reads, outputs, scales)


def _outputs(roots: Sequence[Node], order: Sequence[Node], roles: Mapping[Node, Role]) -> tuple[Node, ...]:
    """Pieces and sums that are results, or that something computed afterwards reads."""
    wanted = dict.fromkeys(roots)
    for node in order:
        if roles[node] is Role.AFTER:
            wanted.update(dict.fromkeys(node.children))
    return tuple([node for node in wanted if node.children and roles[node] in (Role.PART, Role.SUM)])


def _reads(outputs: Sequence[Node], roles: Mapping[Node, Role]) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """What the parts read, and which of it is computed before; views are taken within the parts."""
    stack, seen = list(reversed(outputs)), set(outputs)
    reads: list[Node] = []
    while stack:
        node = stack.pop()
        if isinstance(node, Input | Literal) or (roles[node] is Role.WHOLE and not _is_light(node)):
            reads.append(node)
            continue
        fresh = [child for child in reversed(node.children) if child not in seen and roles[child] is not Role.AFTER]
        seen.update(fresh)
        stack.extend(fresh)
    return tuple(reads), tuple([node for node in reads if node.children])


def _is_light(node: Node) -> bool:
    return not node.children or is_view(node)

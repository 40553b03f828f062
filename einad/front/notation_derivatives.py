"""Derivatives inside a text: ``d(Y[i,k], X[a,b])`` as factors, and the variables they are taken by.

What they are contracted with decides how they are best derived, so a product hands them over together with its other
operands (`Contract`); the room that knows both notation and derivatives does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from einad.front.notation import Program
from einad.front.notation_records import derivatives_of
from einad.ir import build
from einad.ir.expr import Map, Node, Pointwise
from einad.ir.walk import rebuild, transform
from einad.ops.calculus import constant

Labels = tuple[str, ...]


class Operand(NamedTuple):
    """A node and an index for each of its axes."""

    node: Node
    labels: Labels


class Partial(NamedTuple):
    """The factor ``d(of, *by)`` of a product."""

    of: Operand
    by: tuple[Operand, ...]

    @property
    def labels(self) -> Labels:
        """Its indices: those of what is differentiated, then those of what it is differentiated by."""
        return self.of.labels + tuple([label for operand in self.by for label in operand.labels])

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes it speaks of."""
        return self.of.node, *[operand.node for operand in self.by]


class Contraction(NamedTuple):
    """A product with derivatives among its factors: ``multiply`` makes its node from operands.

    Indices that are neither in ``output`` nor anywhere else are summed.
    """

    partials: Sequence[Partial]
    operands: Sequence[Operand]
    output: Labels
    sizes: Mapping[str, int]
    multiply: Callable[[Sequence[Operand]], Node]


Contract = Callable[[Contraction], Node]


class Variables:
    """The tensors that a text differentiates by.

    Each is a node of its own while derivatives are taken, even where two targets are equal: a marked copy, which
    `unmark` takes away. Whole numbers that one differentiates by count as floats.
    """

    def __init__(self, program: Program) -> None:
        derivatives = [part for statement in program.statements for part in derivatives_of(statement.expression)]
        names = dict.fromkeys(factor.name for part in derivatives for factor in part.by)
        self._numbers = {name: n for n, name in enumerate(names)}

    def mark(self, name: str, node: Node) -> Node:
        """The node under which a tensor of this name is known."""
        if name not in self._numbers:
            return node
        return Map(_marker(self._numbers[name]), node if node.dtype.kind in "fc" else build.cast(node, float))


def unmark(roots: Sequence[Node]) -> list[Node]:
    """The nodes without marks."""

    def rule(node: Node, children: tuple[Node, ...]) -> Node:
        return children[0] if isinstance(node, Map) and node.row in _markers else rebuild(node, children)

    return transform(roots, rule)


_markers: list[Pointwise] = []


def _marker(number: int) -> Pointwise:
    while len(_markers) <= number:
        _markers.append(Pointwise(f"variable {len(_markers)}", np.positive, (lambda x, y: constant(1, x),)))
    return _markers[number]

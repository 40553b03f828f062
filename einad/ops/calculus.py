"""A thin algebra over nodes, so that a derivative rule reads like a line of calculus.

``Term`` wraps a node; ``+ - * /`` with numbers and other terms build pointwise nodes.
"""

from __future__ import annotations

import numpy as np

from einad.ir import build
from einad.ir.expr import Einsum, Map, Node, Pointwise, Scalar


class Term:
    """A node with arithmetic. Numbers take part as weak scalars, as in NumPy."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    def __add__(self, other: Term | Scalar) -> Term:
        return Term(build.add(self.node, self._lift(other)))

    def __radd__(self, other: Scalar) -> Term:
        return Term(build.add(self._lift(other), self.node))

    def __neg__(self) -> Term:
        return Term(build.scale(self.node, -1))

    def __sub__(self, other: Term | Scalar) -> Term:
        return self + (-other)

    def __rsub__(self, other: Scalar) -> Term:
        return other + (-self)

    def __mul__(self, other: Term | Scalar) -> Term:
        if isinstance(other, Term):
            return Term(build.multiply(self.node, other.node))
        return Term(build.scale(self.node, other))

    __rmul__ = __mul__

    def __truediv__(self, other: Term | Scalar) -> Term:
        return self * (1 / other)

    def __rtruediv__(self, other: Scalar) -> Term:
        inverse = Term(Map(RECIPROCAL, self.node))
        return inverse if other == 1 else inverse * other

    def _lift(self, other: Term | Scalar) -> Node:
        return other.node if isinstance(other, Term) else constant(other, self).node


RECIPROCAL = Pointwise("reciprocal", np.reciprocal, (lambda x, y: -(y * y),), (0.1, np.inf))


def constant(value: Scalar, like: Term) -> Term:
    """A number as a term shaped like another."""
    return Term(build.constant_like(value, like.node.dtype, like.node.shape))


def as_number(condition: Term, like: Term) -> Term:
    """A boolean term as 0 and 1 in the dtype of ``like``."""
    return Term(build.cast(condition.node, like.node.dtype))


def number(term: Term) -> Scalar | None:
    """The number that fills a constant term, or None."""
    node = term.node
    if isinstance(node, Einsum) and not node.children and len(set(node.spec.output)) == node.ndim:
        return node.coefficient
    return None

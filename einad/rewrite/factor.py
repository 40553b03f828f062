"""factor: pull out of an Add what all its terms share, so that less is materialised.

``X[n,i] f[n,o] δ[o,p] + X[n,i] M[n,o,p]  ->  X[n,i] (f[n,o] δ[o,p] + M[n,o,p])``: the sum has lost its label i. Deltas
and broadcasts common to all terms leave the sum in the same way. This keeps adjoints compressed: the Hessian of a
network's loss by its first layer becomes ``H[i,o,p,q] = X[n,i] X[n,p] M[n,o,q]`` with only M computed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, product
from typing import NamedTuple

from einad.ir import build
from einad.ir.expr import Add, Einsum, Node, Scalar

Axes = tuple[int, ...]


class Term(NamedTuple):
    """A term of an Add: operands over axes of the Add. ``first[axis]`` is the first axis equal to it by a delta."""

    first: Axes
    operands: list[tuple[Node, Axes]]
    coefficient: Scalar

    @property
    def delta_count(self) -> int:
        """The number of axes that a delta ties to an earlier one."""
        return sum(first != axis for axis, first in enumerate(self.first))


def factor_common(node: Add, merge: Callable[[Add], Node]) -> Node:
    """``Add(c·A.., c·B..) -> c·Add(A.., B..)`` when the inner sum has fewer labels; else the node itself.

    ``merge`` tidies the inner sum. Ends: the sum's number of axes falls. Value: exact in exact arithmetic.
    """
    if len(node.children) < 2 or not node.ndim:
        return node
    terms = [_term(child) for child in node.children]
    tied = _common_deltas(terms)
    shared, rests = _common_operands(terms)
    needed = _needed_axes(tied, terms, rests)
    if len(needed) == node.ndim:
        return node
    sizes = dict(enumerate(node.shape))
    inner = [_rebuild(term, rest, needed, sizes, node) for term, rest in zip(terms, rests, strict=True)]
    total = merge(Add(*inner))
    inputs = [tuple([tied[axis] for axis in axes]) for _, axes in shared]
    operands = [operand for operand, _ in shared]
    return build.einsum([*inputs, needed], tied, [*operands, total], sizes, 1, node.dtype)


def _term(child: Node) -> Term:
    axes = tuple(range(child.ndim))
    if not isinstance(child, Einsum) or child.spec.contracted:
        return Term(axes, [(child, axes)], 1)
    where: dict[int, int] = {}
    for axis, label in enumerate(child.spec.output):
        where.setdefault(label, axis)
    first = tuple([where[label] for label in child.spec.output])
    pairs = zip(child.children, child.spec.inputs, strict=True)
    return Term(first, [(op, tuple([where[label] for label in labels])) for op, labels in pairs], child.coefficient)


def _common_deltas(terms: list[Term]) -> Axes:
    """For each axis, the first axis that every term ties to it."""
    seen: dict[Axes, int] = {}
    return tuple([seen.setdefault(ties, axis) for axis, ties in enumerate(zip(*[t.first for t in terms], strict=True))])


def _common_operands(terms: list[Term]) -> tuple[list[tuple[Node, Axes]], list[list[tuple[Node, Axes]]]]:
    """Operands that stand in every term over the same axes, and what is left of each term."""
    rests = [list(term.operands) for term in terms]
    model = min(range(len(terms)), key=lambda t: terms[t].delta_count)
    shared = []
    for operand, axes in terms[model].operands:
        for choice in _equal_axes(terms[model], axes):
            found = [_find(term, rest, operand, choice) for term, rest in zip(terms, rests, strict=True)]
            if None not in found:
                shared.append((operand, choice))
                for rest, position in zip(rests, found, strict=True):
                    assert position is not None
                    del rest[position]
                break
    return shared, rests


def _equal_axes(term: Term, axes: Axes) -> list[Axes]:
    """The ways to name an operand's axes that mean the same under the term's deltas; at most eight."""
    choices = [[other for other, first in enumerate(term.first) if first == axis] for axis in axes]
    return list(islice(product(*choices), 8))


def _find(term: Term, rest: list[tuple[Node, Axes]], operand: Node, axes: Axes) -> int | None:
    wanted = tuple([term.first[axis] for axis in axes])
    return next((i for i, (other, labels) in enumerate(rest) if other is operand and labels == wanted), None)


def _needed_axes(tied: Axes, terms: list[Term], rests: list[list[tuple[Node, Axes]]]) -> Axes:
    """The axes that the inner sum must keep: those of remaining operands and of deltas that are not common."""
    needed: set[int] = set()
    for term, rest in zip(terms, rests, strict=True):
        carried = {axis for _, axes in rest for axis in axes}
        groups: dict[int, set[int]] = {}
        for axis, first in enumerate(term.first):
            groups.setdefault(first, set()).add(tied[axis])
        for first, group in groups.items():
            if first in carried or len(group) > 1:
                needed |= group
    return tuple(sorted(needed))


def _rebuild(term: Term, rest: list[tuple[Node, Axes]], needed: Axes, sizes: dict[int, int], node: Add) -> Node:
    output = [term.first[axis] for axis in needed]
    inputs = [axes for _, axes in rest]
    return build.einsum(inputs, output, [operand for operand, _ in rest], sizes, term.coefficient, node.dtype)

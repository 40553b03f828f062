"""distribute: a product over a sum, multiplied out where that costs fewer FLOPs. Never done unless asked for.

``einsum(A + B, C) -> einsum(A, C) + einsum(B, C)`` equals the product in exact arithmetic, but not in floating point:
near an optimum, where ``A + B`` is the small difference of two large tensors, it cancels. For a residual of 1e-8 the
value of a squared norm computed so has no correct digit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from einad.ir import build
from einad.ir.expr import Add, Einsum, Node
from einad.ir.walk import rebuild, transform

MAX_TERMS = 9
WORTH_IT = 0.9

Cost = Callable[[Node], int]


def distribute(roots: Sequence[Node], cost: Cost) -> list[Node]:
    """Multiply out contractions of sums whose estimated ``cost`` falls below 0.9 times what it was.

    Ends: each node is multiplied out at most once per operand, into at most nine terms.
    """

    def rule(node: Node, children: tuple[Node, ...]) -> Node:
        new = rebuild(node, children)
        if not isinstance(new, Einsum) or not new.spec.contracted or new.dtype.kind not in "fc":
            return new
        expanded = _expand(new)
        return expanded if expanded is not new and cost(expanded) < WORTH_IT * cost(new) else new

    return transform(roots, rule)


def _expand(node: Einsum) -> Node:
    """The sum of einsums over all choices of terms of the sums among the operands, at most nine."""
    sums = [len(child.children) for child in node.children if isinstance(child, Add)]
    if prod(sums) > MAX_TERMS:
        return node
    for k, child in enumerate(node.children):
        if isinstance(child, Add):
            terms = [_with_operand(node, k, term) for term in child.children]
            return build.add(*[_expand(term) for term in terms])
    return node


def _with_operand(node: Einsum, k: int, operand: Node) -> Einsum:
    operands = (*node.children[:k], operand, *node.children[k + 1 :])
    return Einsum(node.spec, operands, node.sizes, node.coefficient, node.dtype)

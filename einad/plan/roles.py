"""What the nodes of a graph are to the parts of a split along one label.

=====  ===============================================================================================
whole  does not depend on the label: computed once, before
part   carries the label on one axis: each part computes its piece
sum    a sum over the label, or linear in one: each part computes its term
after  anything else (a function of a sum, two axes of the label): computed from the joined pieces and sums
=====  ===============================================================================================

A number that is known only after a sum over the label, such as ``1/s`` in the gradient of a norm ``s``, would leave all
that it multiplies to the end. What is linear in one such number is computed without it and multiplied afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from einad.ir.expr import Add, Einsum, Input, Literal, Map, Node
from einad.ir.spec import Spec
from einad.plan.axes import is_constant, notation, sums_over
from einad.plan.cost import is_view


class Role(Enum):
    """How a node depends on the label."""

    WHOLE = "whole"
    PART = "part"
    SUM = "sum"
    AFTER = "after"


def late_numbers(node: Node, roles: Mapping[Node, Role], scales: Mapping[Node, Node]) -> list[Node]:
    """The numbers known afterwards that a node is linear in; more than one where it cannot be computed without them."""
    found = [scales.get(child) or (child if _is_late_number(child, roles) else None) for child in node.children]
    numbers = [each for each in found if each is not None]
    if not numbers or (isinstance(node, Einsum) and node.dtype.kind in "fc"):
        return numbers
    if isinstance(node, Add) and len(numbers) == len(found) and len(set(numbers)) == 1:
        return numbers[:1] if all(child in scales for child in node.children) else [*numbers, *numbers]
    return [*numbers, *numbers]


def _is_late_number(node: Node, roles: Mapping[Node, Role]) -> bool:
    return not node.shape and bool(node.children) and roles[node] is Role.AFTER


def role_of(node: Node, own: int, cut: Sequence[int], roles: Mapping[Node, Role], numbers: Sequence[Node]) -> Role:
    """The role of a node with ``own`` axes of the label, which is ``cut`` in its notation; ``numbers`` are left out."""
    if is_constant(node):
        return Role.WHOLE
    if not node.children:
        return _leaf_role(node, own)
    below = [Role.WHOLE if child in numbers else roles[child] for child in node.children]
    if Role.AFTER in below or len(cut) > 1:
        return Role.AFTER
    spec = notation(node)
    if spec is not None and cut:
        return _cut_role(node, spec, cut[0], below)
    if isinstance(node, Einsum):
        return _linear_role(node, below)
    if cut and isinstance(node, Map | Add):
        return Role.PART
    if isinstance(node, Add) and set(below) == {Role.SUM} and not any(map(is_constant, node.children)):
        return Role.SUM
    return Role.WHOLE if set(below) == {Role.WHOLE} and not cut else Role.AFTER


def _leaf_role(node: Node, count: int) -> Role:
    if not count:
        return Role.WHOLE
    return Role.PART if count == 1 and isinstance(node, Input | Literal) else Role.AFTER


def _cut_role(node: Node, spec: Spec, label: int, below: Sequence[Role]) -> Role:
    """A node with the label: a piece of the result, or a term of a sum."""
    diagonal = any(labels.count(label) > 1 for labels in (*spec.inputs, spec.output))
    known = any(label in labels for labels in spec.inputs) or isinstance(node, Einsum)
    if diagonal or not known or Role.SUM in below:
        return Role.AFTER
    if label in spec.output:
        return Role.PART
    return Role.SUM if sums_over(node, label) and _keeps_sums(node) else Role.AFTER


def _linear_role(node: Einsum, below: Sequence[Role]) -> Role:
    """An einsum without the label. What is linear in a sum is left for later unless the sum gets smaller or a view."""
    sums = [child for child, role in zip(node.children, below, strict=True) if role is Role.SUM]
    if not sums:
        return Role.WHOLE if set(below) <= {Role.WHOLE} else Role.AFTER
    early = len(sums) == 1 and (node.size < sums[0].size or (is_view(node) and node.size == sums[0].size))
    return Role.SUM if early and _keeps_sums(node) else Role.AFTER


def _keeps_sums(node: Node) -> bool:
    """Whether terms of the node's dtype may be added: not booleans, nor floats cast to integers."""
    kinds = {child.dtype.kind for child in node.children}
    return node.dtype.kind in "fc" or (node.dtype.kind in "iu" and kinds <= set("biu"))

"""The derivative of one node by one of its operands, as linear maps; pulling and pushing through them.

The pairing behind the swap is ``Re(sum(cotangent * tangent))``: bilinear, without conjugation, as in JAX and
HIPS autograd. A real operand takes the real part of what is pulled back to it, and a real result the real part of
what is pushed to it; under that pairing the two are each other's transposes, so ``real``, ``imag``, ``abs`` and
casts need no rule of their own.
"""

from __future__ import annotations

from einad.ir import build
from einad.ir.expr import Add, Call, DType, Einsum, Map, Node
from einad.ir.linear import Linear, apply, open_slot, pointwise, swap
from einad.ops.calculus import Term
from einad.ops.pointwise import POINTWISE


def linearise(node: Node, k: int) -> tuple[Linear, ...]:
    """``node`` as linear maps of its operand ``k``, whose sum is the derivative; none where it is zero."""
    if node.dtype.kind not in "fc" or node.children[k].dtype.kind not in "fc":
        return ()
    if isinstance(node, Einsum):
        return (open_slot(node, k),)
    if isinstance(node, Map):
        return _slope(node, k)
    if isinstance(node, Call):
        return node.row.linearise(node, k)
    raise AssertionError(f"{node!r} has no operands")


def _slope(node: Map, k: int) -> tuple[Linear, ...]:
    rule = node.row.derivatives[k]
    if rule is None:
        return ()
    factor = rule(*[Term(arg) for arg in node.children], Term(node)).node
    return (pointwise(factor, node.row.antilinear),)


def pull(node: Node, k: int, cotangent: Node) -> Node | None:
    """The cotangent of operand ``k``, from the node's; leading axes beyond the node's are carried through."""
    target = node.children[k].dtype
    if isinstance(node, Add):
        return project(cotangent, target)
    parts = [_conjugate_if(m, apply(swap(m), cotangent)) for m in linearise(node, k)]
    return build.add(*[project(part, target) for part in parts]) if parts else None


def push(node: Node, k: int, tangent: Node) -> Node | None:
    """The tangent of the node caused by a tangent of operand ``k``; extra leading axes are carried through."""
    if isinstance(node, Add):
        return project(tangent, node.dtype)
    maps = linearise(node, k)
    parts = [apply(m, _conjugate_if(m, tangent)) for m in maps]
    return build.add(*[project(part, node.dtype) for part in parts]) if parts else None


def project(x: Node, dtype: DType) -> Node:
    """``x`` in the dtype of the tensor it belongs to: the real part where that is real."""
    if x.dtype.kind == "c" and dtype.kind != "c":
        x = Map(POINTWISE["real"], x)
    return build.cast(x, dtype)


def _conjugate_if(linear: Linear, x: Node) -> Node:
    return Map(POINTWISE["conj"], x) if linear.antilinear and x.dtype.kind == "c" else x

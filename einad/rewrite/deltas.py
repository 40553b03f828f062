"""distribute: a contraction over a sum of Kronecker deltas is a sum of contractions without them.

``M[k,j] (δ[i,k] a[l] - δ[l,k] b[i])  ->  M[i,j] a[l] - M[l,j] b[i]``: nothing is multiplied by zeros. Other products
are never multiplied out, because their sums may cancel. Here the terms meet only where all their deltas hold, and
deltas common to all terms have been pulled out before (`einad.rewrite.factor`), so that equal places are added first.
"""

from __future__ import annotations

from math import prod

from einad.ir import build
from einad.ir.expr import Add, Affine, Einsum, Node
from einad.rewrite.compose import Product, compose, keeps_value


def distribute(product: Product) -> list[Product] | None:
    """``einsum(.., Add(δ.., δ..), ..) -> einsum(.., δ.., ..) + ..`` where that has fewer multiplications; else None.

    Ends: an Add leaves the operands, and the new products run over fewer assignments of labels together than the old.
    Value: exact in exact arithmetic.
    """
    contracted = product.contracted
    for k, operand in enumerate(product.operands):
        if not contracted.isdisjoint(product.inputs[k]) and _is_sum_of_deltas(operand):
            parts = [_with_term(product, k, term) for term in operand.children]
            if sum(map(_assignments, parts)) < _assignments(product):
                return parts
    return None


def _is_sum_of_deltas(operand: Node) -> bool:
    return isinstance(operand, Add) and all(_is_delta(term) for term in operand.children)


def _is_delta(term: Node) -> bool:
    """A Kronecker delta, or a band of one: zero but where a structured operand ties axes to one another."""
    if not isinstance(term, Einsum) or term.spec.contracted or not keeps_value(term):
        return False
    return len(set(term.spec.output)) < term.ndim or any(
        isinstance(child, Affine) and sum(c != 0 for c in child.coefficients) > 1 for child in term.children
    )


def _with_term(product: Product, k: int, term: Node) -> Product:
    operands = [*product.operands[:k], term, *product.operands[k + 1 :]]
    whole = build.einsum(product.inputs, product.output, operands, product.sizes, product.coefficient, product.dtype)
    return compose(whole, whole.children, lambda child: child is term)


def _assignments(product: Product) -> int:
    """How many assignments of labels give a product that may differ from zero: each structured operand fixes one."""
    free = dict(product.sizes)
    for labels, operand in zip(product.inputs, product.operands, strict=True):
        if isinstance(operand, Affine):
            fixed = [x for x, c in zip(labels, operand.coefficients, strict=True) if abs(c) == 1 and x in free]
            if fixed:
                del free[max(fixed, key=free.__getitem__)]
    return prod(free.values())

"""merge: an Add has no zero terms, no equal terms, and no Add of its own inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from einad.ir import build
from einad.ir.expr import Add, Einsum, Node, Scalar
from einad.rewrite.compose import tidy


def merge_terms(node: Add, children: Iterable[Node], single_use: Callable[[Node], bool]) -> Node:
    """``x + 2 x + 0 -> 3 x`` and ``(x + y) + z -> x + y + z`` where the inner sum is used here only.

    Ends: the number of terms falls. Unsafe only at infinities: ``x - x`` becomes 0 where x is infinite or NaN.
    """
    totals: dict[Node, Scalar] = {}
    for term in _flat_terms(children, node, single_use):
        coefficient, base = split_coefficient(term)
        totals[base] = totals[base] + coefficient if base in totals else coefficient
    terms = [with_coefficient(base, tidy(c)) for base, c in totals.items() if c != 0]
    if not terms:
        return build.zeros(node.shape, node.dtype)
    return build.cast(build.add(*terms), node.dtype)


def _flat_terms(children: Iterable[Node], node: Add, single_use: Callable[[Node], bool]) -> Iterable[Node]:
    for child in children:
        if isinstance(child, Add) and child.dtype == node.dtype and single_use(child):
            yield from child.children
        else:
            yield child


def split_coefficient(term: Node) -> tuple[Scalar, Node]:
    """``c * x`` as ``(c, x)``."""
    coefficient: Scalar = 1
    while isinstance(term, Einsum) and term.coefficient != 1:
        coefficient, term = coefficient * term.coefficient, with_coefficient(term, 1)
    return coefficient, term


def with_coefficient(term: Node, coefficient: Scalar) -> Node:
    """A term whose coefficient is 1, with another one."""
    if isinstance(term, Einsum):
        if _is_identity(term) and coefficient == 1:
            return term.children[0]
        return Einsum(term.spec, term.children, term.sizes, coefficient, term.dtype)
    return term if coefficient == 1 else build.scale(term, coefficient)


def _is_identity(term: Einsum) -> bool:
    (child, *others), output = term.children or (term,), term.spec.output
    plain = not others and term.spec.inputs == (output,) and len(set(output)) == len(output)
    return plain and term.dtype == child.dtype

"""selection: what one-hot operands are to one another and to sums, known without their indices.

::

    sum over v of x[n] * [i[n] == v]           ->  x[n]
    y[v,w] = x[n] * [i[n] == v] * [i[n] == w]  ->  y[v,w] = x[n] * [i[n] == v] * δ[v,w]

So the Hessian of a sum of functions of gathered entries is diagonal. Value: the same numbers, a one-hot row has exactly
one 1. Ends: every application removes an operand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from math import prod

from einad.ir.expr import DType, Einsum, Node, OneHot
from einad.ir.walk import rebuild, topological, transform, use_counts
from einad.rewrite.compose import Labels, Product, compose


def simplify_selections(product: Product) -> Product:
    """The product with the laws applied."""
    if not any(isinstance(operand, OneHot) for operand in product.operands):
        return product
    return _without_sums(_without_twins(product))


def _without_twins(product: Product) -> Product:
    """Of one-hot operands with the same indices, one; the labels of their last axes become one."""
    seen: dict[tuple[Node, Labels], int] = {}
    kept: list[int] = []
    names: dict[int, int] = {}
    for k, (labels, operand) in enumerate(zip(product.inputs, product.operands, strict=True)):
        key = operand, labels[:-1]
        if not isinstance(operand, OneHot) or key not in seen:
            seen[key] = labels[-1] if labels else -1
            kept.append(k)
            continue
        old, new = _name(labels[-1], names), _name(seen[key], names)
        if old != new:
            names[old] = new
    return product if len(kept) == len(product.operands) else _renamed(product, kept, names)


def _name(label: int, names: Mapping[int, int]) -> int:
    while label in names:
        label = names[label]
    return label


def _renamed(product: Product, kept: Sequence[int], names: Mapping[int, int]) -> Product:
    """Some of the operands, under other labels; a label that is left out stands on an operand that is kept."""
    inputs = [tuple([_name(label, names) for label in product.inputs[k]]) for k in kept]
    output = tuple([_name(label, names) for label in product.output])
    sizes = {label: n for label, n in product.sizes.items() if label not in names}
    return Product(inputs, [product.operands[k] for k in kept], output, sizes, product.coefficient, product.dtype)


def _without_sums(product: Product) -> Product:
    """Without one-hot operands whose last label stands nowhere else: each of their rows adds up to 1."""
    inputs, operands, coefficient = list(product.inputs), list(product.operands), product.coefficient
    while (k := _summed(inputs, operands, product.output)) is not None:
        gone = inputs.pop(k)
        operands.pop(k)
        left = set(chain(*inputs, product.output))
        coefficient = coefficient * prod([product.sizes[label] for label in set(gone[:-1]) - left])
    if len(operands) == len(product.operands):
        return product
    left = set(chain(*inputs, product.output))
    sizes = {label: n for label, n in product.sizes.items() if label in left}
    return Product(inputs, operands, product.output, sizes, coefficient, product.dtype)


def _summed(inputs: Sequence[Labels], operands: Sequence[Node], output: Labels) -> int | None:
    uses = Counter(chain(*inputs, output))
    return next((k for k, x in enumerate(operands) if isinstance(x, OneHot) and uses[inputs[k][-1]] == 1), None)


def scale_before_scatters(roots: Sequence[Node]) -> list[Node]:
    """``c * sum over n of x[n] * [i[n] == v]  ->  sum over n of (c * x[n]) * [i[n] == v]``, where v is larger than n.

    Numbers stand outside of contractions in the normal form; here one pass over a large result of few rows is saved.
    """
    order = topological(roots)
    if not any(isinstance(node, OneHot) for node in order):
        return list(roots)
    counts = use_counts(roots, order)

    def rule(node: Node, children: tuple[Node, ...]) -> Node:
        scaled = isinstance(node, Einsum) and len(children) == 1 and node.coefficient != 1
        if not scaled or not _is_scatter(children[0], node.dtype) or counts[node.children[0]] > 1:
            return rebuild(node, children)
        assert isinstance(node, Einsum)
        return compose(node, children, lambda child: True).build()

    return transform(roots, rule, None, order)


def _is_scatter(node: Node, dtype: DType) -> bool:
    if not isinstance(node, Einsum) or len(node.children) != 2 or node.dtype != dtype or dtype.kind not in "fc":
        return False
    stored = [child for child in node.children if not isinstance(child, OneHot)]
    return len(stored) == 1 and stored[0].size < node.size and stored[0].dtype == dtype

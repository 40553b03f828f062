"""Normal form of one Einsum: outer factors times connected contraction components.

``einsum(f[n,o], X[n,i], W[i,o] -> n o)`` becomes ``f[n,o] * C[n,o]`` with the core ``C = einsum(X, W)``. Cores have
distinct output labels, coefficient 1 and a canonical order of operands and labels, so that equal contractions are the
same node wherever they occur (common subexpressions); deltas, broadcasts and coefficients stay outside, where the
consumer can compose them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import numpy as np

from einad.ir import build
from einad.ir.expr import DFT, DType, Einsum, Node, OneHot, promote
from einad.ir.spec import canonical
from einad.rewrite.compose import Labels, Product
from einad.rewrite.rank import Rank

RankOf = Callable[[Node], Rank]

MAX_FACTORS = 8


def split_components(product: Product, rank: RankOf) -> Node:
    """``einsum(outer.., contracting..) -> einsum(outer.., core, core..)``.

    Ends: cores are not split again. Value: exact in exact arithmetic (a sum of products over disjoint labels is the
    product of the sums).
    """
    if product.coefficient == 0:
        return product.build()
    contracted = product.contracted
    order = _canonical_order(product, rank)
    if not contracted:
        return order.build() if len(order.operands) <= MAX_FACTORS else _few_factors(order, rank).build()
    inputs: list[Labels] = []
    operands: list[Node] = []
    for group in _connected(order.inputs, contracted):
        if contracted.isdisjoint(order.inputs[group[0]]) or _is_batched_one_hot(order, group):
            inputs.append(order.inputs[group[0]])
            operands.append(order.operands[group[0]])
        else:
            labels, core = _core(order, sorted(group))
            inputs.append(labels)
            operands.append(core)
    whole = product.over(inputs, operands)
    if len(operands) > MAX_FACTORS:
        return _few_factors(whole, rank).build()
    return _canonical_order(whole, rank).build()


def _is_batched_one_hot(product: Product, group: list[int]) -> bool:
    """Whether a core would be a batch of counts for each index of another operand, far larger than that."""
    k = group[0]
    if len(group) > 1 or not isinstance(product.operands[k], OneHot):
        return False
    others = set(chain(*product.inputs[:k], *product.inputs[k + 1 :]))
    return not others.isdisjoint(product.inputs[k][:-1])


def _canonical_order(product: Product, rank: RankOf) -> Product:
    """Operands by rank, equal ones by where their labels stand in the output; so are the axes of symmetric operands."""
    operands = product.operands
    place: dict[int, int] = {}
    for n, label in enumerate(product.output):
        place.setdefault(label, n)
    last = len(place)

    def places(labels: Labels) -> list[int]:
        return [place.get(label, last) for label in labels]

    inputs = list(product.inputs)
    for k, operand in enumerate(operands):
        axes = swapped_axes(operand)
        if axes is not None:
            inputs[k] = min(inputs[k], tuple([inputs[k][axis] for axis in axes]), key=places)
    if len(operands) < 2:
        return product.over(inputs, operands)
    ranks = [rank(operand) for operand in operands]
    if len(set(operands)) == len(operands):  # no two ranks are equal
        order = sorted(range(len(inputs)), key=ranks.__getitem__)
    else:
        order = sorted(range(len(inputs)), key=lambda i: (ranks[i], places(inputs[i])))
    return product.over([inputs[i] for i in order], [operands[i] for i in order])


def swapped_axes(node: Node) -> tuple[int, ...] | None:
    """The order of its axes in which a product of a tensor with itself, or a DFT, is the same: exchanged.

    >>> from einad.ir.expr import Input
    >>> X = Input("X", (2, 3))
    >>> swapped_axes(build.einsum(["ij", "kj"], "ik", [X, X]))
    (1, 0)
    """
    if isinstance(node, DFT) and node.shape[0] == node.shape[1]:
        return 1, 0
    if not isinstance(node, Einsum) or len(node.children) != 2 or node.children[0] is not node.children[1]:
        return None
    first, second, output = *node.spec.inputs, node.spec.output
    exchanged = dict(zip((*first, *second), (*second, *first), strict=True))
    consistent = all(exchanged[exchanged[label]] == label for label in exchanged)
    repeated = len(set(first)) < len(first) or len(set(second)) < len(second) or len(set(output)) < len(output)
    if not consistent or repeated or not all(exchanged.get(label) in output for label in output):
        return None
    return tuple([output.index(exchanged[label]) for label in output])


def _few_factors(product: Product, rank: RankOf) -> Product:
    """``a[i] b[i] c[j] .. -> (a b)[i] c[j]``: factors of equal labels as one, so that long products stay formulas."""
    groups: dict[Labels, list[Node]] = {}
    for labels, operand in zip(product.inputs, product.operands, strict=True):
        groups.setdefault(labels, []).append(operand)
    found = [_pointwise_product(labels, group, product.dtype) for labels, group in groups.items()]
    return _canonical_order(product.over([labels for labels, _ in found], [factor for _, factor in found]), rank)


def _pointwise_product(labels: Labels, group: list[Node], wanted: DType) -> tuple[Labels, Node]:
    if len(group) == 1:
        return labels, group[0]
    kept = tuple(dict.fromkeys(labels))
    return kept, build.einsum([labels] * len(group), kept, group, None, 1, core_dtype(group, wanted))


def _core(product: Product, group: list[int]) -> tuple[Labels, Node]:
    """The contraction of a group of operands, and the labels of its output."""
    inputs = [product.inputs[i] for i in group]
    operands = [product.operands[i] for i in group]
    kept = set(product.output)
    labels = tuple([label for label in dict.fromkeys(chain(*inputs)) if label in kept])
    dtype = core_dtype(operands, product.dtype)
    spec, names = canonical(inputs, labels)
    return labels, Einsum(spec, tuple(operands), tuple([product.sizes[name] for name in names]), 1, dtype)


def core_dtype(operands: list[Node], wanted: DType) -> DType:
    """The dtype a contraction is computed in: the operands' promoted with the result's."""
    found = promote(tuple(operands))
    return found if found is wanted else np.result_type(found, wanted)


def _connected(inputs: list[Labels], contracted: set[int]) -> list[list[int]]:
    """Positions of operands, grouped where they share contracted labels."""
    if len(inputs) == 1:
        return [[0]]
    group = list(range(len(inputs)))
    first: dict[int, int] = {}

    def find(position: int) -> int:
        while group[position] != position:
            group[position] = group[group[position]]
            position = group[position]
        return position

    for position, labels in enumerate(inputs):
        for label in labels:
            if label in contracted:
                a, b = find(first.setdefault(label, position)), find(position)
                group[min(a, b)] = max(a, b)
    found: dict[int, list[int]] = {}
    for position in range(len(inputs)):
        found.setdefault(find(position), []).append(position)
    return [found[last] for last in sorted(found)]

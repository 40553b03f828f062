"""Normal form of one Einsum: outer factors times connected contraction components.

``einsum(f[n,o], X[n,i], W[i,o] -> n o)`` becomes ``f[n,o] * C[n,o]`` with the core ``C = einsum(X, W)``. Cores have
distinct output labels, coefficient 1 and a canonical order of operands and labels, so that equal contractions are the
same node wherever they occur (common subexpressions); deltas, broadcasts and coefficients stay outside, where the
consumer can compose them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from einad.ir import build
from einad.ir.expr import DType, Node, promote
from einad.rewrite.compose import Labels, Product

Rank = Callable[[Node], int]

MAX_FACTORS = 8


def split_components(product: Product, rank: Rank) -> Node:
    """``einsum(outer.., contracting..) -> einsum(outer.., core, core..)``.

    Ends: cores are not split again. Value: exact in exact arithmetic (a sum of products over disjoint labels is the
    product of the sums).
    """
    if product.coefficient == 0:
        return product.build()
    contracted = product.contracted
    inputs: list[Labels] = []
    operands: list[Node] = []
    for group in _connected(product.inputs, contracted):
        if contracted.isdisjoint(product.inputs[group[0]]):
            inputs.append(product.inputs[group[0]])
            operands.append(product.operands[group[0]])
        else:
            labels, core = _core(product, group, rank)
            inputs.append(labels)
            operands.append(core)
    if len(operands) > MAX_FACTORS:
        inputs, operands = _grouped(inputs, operands, product)
    order = sorted(range(len(operands)), key=lambda i: rank(operands[i]))
    return Product(
        [inputs[i] for i in order],
        [operands[i] for i in order],
        product.output,
        product.sizes,
        product.coefficient,
        product.dtype,
    ).build()


def _grouped(inputs: list[Labels], operands: list[Node], product: Product) -> tuple[list[Labels], list[Node]]:
    """``a[i] b[i] c[j] .. -> (a b)[i] c[j]``: factors of equal labels as one, so that long products stay formulas."""
    groups: dict[Labels, list[Node]] = {}
    for labels, operand in zip(inputs, operands, strict=True):
        groups.setdefault(labels, []).append(operand)
    found = [_pointwise_product(labels, group, product.dtype) for labels, group in groups.items()]
    return [labels for labels, _ in found], [factor for _, factor in found]


def _pointwise_product(labels: Labels, group: list[Node], wanted: DType) -> tuple[Labels, Node]:
    if len(group) == 1:
        return labels, group[0]
    kept = tuple(dict.fromkeys(labels))
    return kept, build.einsum([labels] * len(group), kept, group, None, 1, core_dtype(group, wanted))


def _core(product: Product, group: list[int], rank: Rank) -> tuple[Labels, Node]:
    """The contraction of a group of operands, and the labels of its output."""
    group = sorted(group, key=lambda i: rank(product.operands[i]))
    inputs = [product.inputs[i] for i in group]
    operands = [product.operands[i] for i in group]
    kept = set(product.output)
    labels = tuple(dict.fromkeys(label for part in inputs for label in part if label in kept))
    dtype = core_dtype(operands, product.dtype)
    return labels, build.einsum(inputs, labels, operands, product.sizes, 1, dtype)


def core_dtype(operands: list[Node], wanted: DType) -> DType:
    """The dtype a contraction is computed in: the operands' promoted with the result's."""
    return np.result_type(promote(tuple(operands)), wanted)


def _connected(inputs: list[Labels], contracted: set[int]) -> list[list[int]]:
    """Positions of operands, grouped where they share contracted labels."""
    groups: list[tuple[set[int], list[int]]] = []
    for position, labels in enumerate(inputs):
        summed, members = contracted.intersection(labels), [position]
        rest = []
        for other_labels, other in groups:
            if summed.isdisjoint(other_labels):
                rest.append((other_labels, other))
            else:
                summed |= other_labels
                members = other + members
        groups = [*rest, (summed, members)]
    return [members for _, members in groups]

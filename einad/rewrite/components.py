"""Normal form of one Einsum: outer factors times connected contraction components.

``einsum(f[n,o], X[n,i], W[i,o] -> n o)`` becomes ``f[n,o] * C[n,o]`` with the core ``C = einsum(X, W)``. Cores have
distinct output labels, coefficient 1 and a canonical order of operands and labels, so that equal contractions are the
same node wherever they occur (common subexpressions); deltas, broadcasts and coefficients stay outside, where the
consumer can compose them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from einad.ir import build
from einad.ir.expr import DType, Einsum, Node, promote
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
    inputs: list[Labels] = []
    operands: list[Node] = []
    for group in _connected(order.inputs, contracted):
        if contracted.isdisjoint(order.inputs[group[0]]):
            inputs.append(order.inputs[group[0]])
            operands.append(order.operands[group[0]])
        else:
            labels, core = _core(order, sorted(group))
            inputs.append(labels)
            operands.append(core)
    if len(operands) > MAX_FACTORS:
        inputs, operands = _grouped(inputs, operands, product)
    return _canonical_order(replace(product, inputs=inputs, operands=operands), rank).build()


def _canonical_order(product: Product, rank: RankOf) -> Product:
    """Operands by rank, equal ones by where their labels stand in the output; so are the axes of symmetric operands."""
    place = {label: n for n, label in reversed(list(enumerate(product.output)))}
    last = len(place)

    def places(labels: Labels) -> list[int]:
        return [place.get(label, last) for label in labels]

    inputs = []
    for labels, operand in zip(product.inputs, product.operands, strict=True):
        axes = swapped_axes(operand)
        inputs.append(labels if axes is None else min(labels, tuple([labels[axis] for axis in axes]), key=places))
    order = sorted(range(len(inputs)), key=lambda i: (rank(product.operands[i]), places(inputs[i])))
    return replace(product, inputs=[inputs[i] for i in order], operands=[product.operands[i] for i in order])


def swapped_axes(node: Node) -> tuple[int, ...] | None:
    """The order of its axes in which a product of a tensor with itself is the same: exchange the two operands.

    >>> from einad.ir.expr import Input
    >>> X = Input("X", (2, 3))
    >>> swapped_axes(build.einsum(["ij", "kj"], "ik", [X, X]))
    (1, 0)
    """
    if not isinstance(node, Einsum) or len(node.children) != 2 or node.children[0] is not node.children[1]:
        return None
    first, second, output = *node.spec.inputs, node.spec.output
    exchanged = dict(zip((*first, *second), (*second, *first), strict=True))
    consistent = all(exchanged[exchanged[label]] == label for label in exchanged)
    repeated = len(set(first)) < len(first) or len(set(second)) < len(second) or len(set(output)) < len(output)
    if not consistent or repeated or not all(exchanged.get(label) in output for label in output):
        return None
    return tuple([output.index(exchanged[label]) for label in output])


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


def _core(product: Product, group: list[int]) -> tuple[Labels, Node]:
    """The contraction of a group of operands, and the labels of its output."""
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

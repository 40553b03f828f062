"""Short ways to write common expressions: sums, products, constants, transposes, broadcasts.

These are notation, not simplification: each builds the node it names.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from einad.ir.expr import Add, DType, Einsum, Node, Scalar, Shape, promote
from einad.ir.spec import canonical

_python_scalar = {"b": int, "i": int, "u": int, "f": float, "c": complex}


def einsum(
    inputs: Sequence[Sequence[Hashable]],
    output: Sequence[Hashable],
    operands: Sequence[Node],
    sizes: dict[Any, int] | None = None,
    coefficient: Scalar = 1,
    dtype: Any = None,
) -> Einsum:
    """An Einsum over any hashable labels; ``sizes`` is needed for labels that stand on no operand.

    >>> from einad.ir.expr import Input
    >>> A, B = Input("A", (2, 3)), Input("B", (3, 4))
    >>> einsum(["ij", "jk"], "ik", [A, B])
    <Einsum float64[2, 4]>
    """
    spec, names = canonical(inputs, output)
    known: dict[Hashable, int] = dict(sizes) if sizes else {}
    for labels, operand in zip(inputs, operands, strict=False):
        known.update(zip(labels, operand.shape, strict=False))
    return Einsum(spec, tuple(operands), tuple([known[name] for name in names]), coefficient, dtype)


def full(shape: Shape, value: Scalar, dtype: Any = float) -> Einsum:
    """The constant tensor: an einsum without operands, ``value * (->ij..)``; never stored."""
    labels = range(len(shape))
    return einsum([], labels, [], dict(enumerate(shape)), value, dtype)


def zeros(shape: Shape, dtype: Any = float) -> Einsum:
    """The zero tensor."""
    return full(shape, 0, dtype)


def is_zero(node: Node) -> bool:
    """Whether the node is an einsum with coefficient 0."""
    return isinstance(node, Einsum) and node.coefficient == 0


def delta(shape: Shape, dtype: Any = float) -> Einsum:
    """The identity over ``shape + shape``: the einsum ``->ab..ab..``; never stored.

    >>> delta((2, 3)).shape
    (2, 3, 2, 3)
    """
    labels = tuple(range(len(shape)))
    return einsum([], labels + labels, [], dict(enumerate(shape)), 1, dtype)


def multiply(*factors: Node) -> Einsum:
    """The pointwise product of tensors of one shape."""
    labels = tuple(range(factors[0].ndim))
    return einsum([labels] * len(factors), labels, factors)


def scale(node: Node, coefficient: Scalar) -> Einsum:
    """``coefficient * node``."""
    labels = tuple(range(node.ndim))
    return einsum([labels], labels, [node], None, coefficient)


def add(*terms: Node) -> Node:
    """The sum of one or more terms."""
    return terms[0] if len(terms) == 1 else Add(*terms)


def cast(node: Node, dtype: Any) -> Node:
    """The same values in another dtype (complex to real is refused)."""
    dtype = np.dtype(dtype)
    if node.dtype == dtype:
        return node
    labels = tuple(range(node.ndim))
    return einsum([labels], labels, [node], None, 1, dtype)


def permute(node: Node, axes: Sequence[int]) -> Node:
    """Reorder the axes as ``np.transpose`` does."""
    if tuple(axes) == tuple(range(node.ndim)):
        return node
    return einsum([tuple(range(node.ndim))], tuple(axes), [node])


def broadcast(node: Node, shape: Shape, axes: Sequence[int]) -> Node:
    """Put the axes of ``node`` at positions ``axes`` of ``shape``; the other axes are new.

    >>> from einad.ir.expr import Input
    >>> broadcast(Input("b", (3,)), (2, 3), [1])
    <Einsum float64[2, 3]>
    """
    if node.shape == tuple(shape):
        return node
    return einsum([tuple(axes)], range(len(shape)), [node], dict(enumerate(shape)))


def reduce_sum(node: Node, axes: Sequence[int]) -> Node:
    """The sum over ``axes``, which must not be negative; they leave the result."""
    labels = tuple(range(node.ndim))
    kept = tuple(label for label in labels if label not in axes)
    return einsum([labels], kept, [node])


def constant_like(value: Scalar, dtype: DType, shape: Shape) -> Einsum:
    """A Python scalar as a tensor beside one of ``dtype``, with NumPy's weak promotion of Python scalars."""
    target = np.result_type(dtype, value) if dtype.kind != "b" or not isinstance(value, bool) else dtype
    return full(shape, _python_scalar[target.kind](value), target)


def promoted(nodes: Sequence[Node]) -> list[Node]:
    """The nodes, all cast to their common dtype."""
    dtype = promote(tuple(nodes))
    return [cast(node, dtype) for node in nodes]

"""Symmetric tensors by halves: rows that only the planner uses, after all derivatives are taken.

``triangle`` and ``pack`` keep one of each pair of equal entries of two axes of size n, as one axis of n(n+1)/2;
``unpack`` puts them back. ``gram`` and ``weighted_gram`` compute a symmetric matrix product.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from einad.ir.expr import Array, Call, DType, Function, Node, Shape
from einad.ir.linear import Linear

BLOCKS = 4


@lru_cache(16)
def upper_triangle(n: int) -> tuple[Array, Array]:
    """Row and column numbers of the upper triangle."""
    return np.triu_indices(n)


@lru_cache(16)
def packed_places(n: int) -> Array:
    """For each entry of a square, flattened, its place in the packed triangle."""
    places = np.zeros((n, n), np.intp)
    rows, columns = upper_triangle(n)
    places[rows, columns] = places[columns, rows] = np.arange(len(rows))
    return places.ravel()


def packed_size(n: int) -> int:
    """The number of entries kept of an n by n symmetric matrix."""
    return n * (n + 1) // 2


def _infer_triangle(args: tuple[Node, ...], axis: int, side: int) -> tuple[Shape, DType]:
    (x,) = args
    return (*x.shape[:axis], packed_size(x.shape[axis]), *x.shape[axis + 1 :]), x.dtype


def _triangle(x: Array, axis: int, side: int) -> Array:
    """An axis taken at the triangle's row (side 0) or column (side 1) numbers."""
    return np.take(x, upper_triangle(x.shape[axis])[side], axis=axis)


def _infer_pack(args: tuple[Node, ...], first: int, second: int) -> tuple[Shape, DType]:
    (x,) = args
    kept = [n for axis, n in enumerate(x.shape) if axis not in (first, second)]
    return (*kept, packed_size(x.shape[first])), x.dtype


def _pack(x: Array, first: int, second: int) -> Array:
    moved = np.moveaxis(x, (first, second), (-2, -1))
    n = moved.shape[-1]
    rows, columns = upper_triangle(n)
    return np.asarray(np.take(moved.reshape(*moved.shape[:-2], n * n), rows * n + columns, axis=-1))


def _infer_unpack(args: tuple[Node, ...], axis: int, n: int) -> tuple[Shape, DType]:
    (x,) = args
    return (*x.shape[:axis], n, n, *x.shape[axis + 1 :]), x.dtype


def _unpack(x: Array, axis: int, n: int) -> Array:
    return np.take(x, packed_places(n).reshape(n, n), axis=axis)


def _infer_gram(args: tuple[Node, ...]) -> tuple[Shape, DType]:
    a, b = args
    return (a.shape[1], a.shape[1]), np.result_type(a.dtype, b.dtype)


def _gram(a: Array, b: Array) -> Array:
    """``a' b``, known to be symmetric: block rows of the upper triangle, mirrored."""
    n = a.shape[1]
    out = np.empty((n, n), np.result_type(a, b))
    edges = [n * k // BLOCKS for k in range(BLOCKS + 1)]
    for start, stop in pairwise(edges):
        np.matmul(a[:, start:stop].T, b[:, start:], out=out[start:stop, start:])
        out[stop:, start:stop] = out[start:stop, stop:].T
    return out


def _weighted_gram(a: Array, weights: Array) -> Array:
    """``a' diag(weights) a``; for weights of one sign it is ``± s' s``, s = sqrt(|weights|) a: half the work."""
    if weights.min(initial=0) >= 0:
        return _square(a, weights)
    return -_square(a, -weights) if weights.max() <= 0 else _gram(a, a * weights[:, None])


def _square(a: Array, weights: Array) -> Array:
    scaled = a * np.sqrt(weights)[:, None]
    return np.asarray(scaled.T @ scaled)


def _gram_flops(args: tuple[Node, ...]) -> int:
    rows, n = args[0].shape
    return rows * n * n * (BLOCKS + 1) // BLOCKS


def _nbytes(node: Node) -> int:
    return node.size * node.dtype.itemsize


def _pack_scratch(args: tuple[Node, ...], first: int, second: int) -> int:
    """Places, and a copy with the two axes last, unless they are."""
    (x,) = args
    copied = 0 if (first, second) == (x.ndim - 2, x.ndim - 1) else _nbytes(x)
    return copied + packed_size(x.shape[first]) * np.dtype(np.intp).itemsize


def _weighted_scratch(args: tuple[Node, ...]) -> int:
    """The weighted rows and the roots of the weights."""
    return _nbytes(args[0]) + 2 * _nbytes(args[1])


def _no_derivative(node: Call, k: int) -> tuple[Linear, ...]:
    raise AssertionError(f"{node.row.name} is made after derivatives are taken")


def _no_batch(*args: Any) -> Node:
    raise AssertionError("symmetric halves are made after batching")


TRIANGLE = Function("triangle", _infer_triangle, _triangle, _no_derivative, _no_batch)
PACK = Function("pack", _infer_pack, _pack, _no_derivative, _no_batch, None, _pack_scratch)
UNPACK = Function("unpack", _infer_unpack, _unpack, _no_derivative, _no_batch)
GRAM = Function("gram", _infer_gram, _gram, _no_derivative, _no_batch, _gram_flops)
WEIGHTED_GRAM = Function(
    "weighted gram", _infer_gram, _weighted_gram, _no_derivative, _no_batch, _gram_flops, _weighted_scratch
)

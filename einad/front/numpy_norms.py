"""Norms of vectors and matrices, whose slope is 0 at 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from einad.front.lifting import Axis, axis_index, axis_tuple
from einad.front.numpy_elementwise import cast, power, row
from einad.front.numpy_reductions import count_nonzero, inexact, keep_axes, max_, min_, root, squared_size, sum_axes
from einad.ir.expr import Node
from einad.ops import structured


def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Node:  # noqa: A002
    """Vector norms of any order; the Frobenius, 1- and infinity norms of matrices. The slope is 0 at 0."""
    node = inexact(x, None, "np.linalg.norm")
    if axis is None and (ord is None or (ord in ("f", "fro") and node.ndim == 2) or (ord == 2 and node.ndim == 1)):
        return _euclidean(node, axis_tuple(None, node.ndim), keepdims)
    if axis is None and node.ndim > 2:
        raise ValueError(f"np.linalg.norm with ord={ord!r} of shape {node.shape} needs axis=")
    axes = axis_tuple(axis, node.ndim)
    if len(axes) == 1:
        return vector_norm(node, axis=axes, keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) == 2:
        ordered = axes if axis is None else tuple([axis_index(k, node.ndim) for k in axis])  # type: ignore[union-attr]
        return _matrix_norm(node, ordered, "fro" if ord is None else ord, keepdims)
    raise ValueError(f"np.linalg.norm takes one or two axes, got axis={axis}")


def _euclidean(x: Node, axes: tuple[int, ...], keepdims: bool) -> Node:
    return root(sum_axes(squared_size(x), axes, keepdims))


def vector_norm(x: Any, /, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2) -> Node:  # noqa: A002
    """``(sum |x|^ord)^(1/ord)`` over axes."""
    node = inexact(x, None, "np.linalg.vector_norm")
    axes = axis_tuple(axis, node.ndim)
    if ord == 2:
        return _euclidean(node, axes, keepdims)
    size = row("abs", node)
    if ord == np.inf:
        return max_(size, axes, keepdims=keepdims)
    if ord == -np.inf:
        return min_(size, axes, keepdims=keepdims)
    if ord == 0:
        return cast(count_nonzero(node, axes, keepdims=keepdims), size.dtype)
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order {ord!r} for vectors")
    total = sum_axes(size if ord == 1 else power(size, ord), axes, keepdims)
    return total if ord == 1 else power(total, 1 / ord)


def _matrix_norm(x: Node, axes: tuple[int, ...], ord: Any, keepdims: bool) -> Node:  # noqa: A002
    rows, columns = axes
    if ord in ("fro", "f"):
        return _euclidean(x, axes, keepdims)
    if ord in (2, -2, "nuc"):
        raise TypeError(
            f"np.linalg.norm with ord={ord!r} of matrices needs singular values, which are not supported yet"
        )
    if ord not in (1, -1, np.inf, -np.inf):
        raise ValueError("Invalid norm order for matrices.")
    summed, compared = (rows, columns) if abs(ord) == 1 else (columns, rows)
    pick: Callable[..., Node] = max_ if ord > 0 else min_
    sums = sum_axes(row("abs", x), (summed,), True)
    return keep_axes(structured.drop_axes(pick(sums, (compared,), keepdims=True), axes), axes, keepdims)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Node:  # noqa: A002
    """The norm of matrices in the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)

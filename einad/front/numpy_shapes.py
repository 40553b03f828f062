"""NumPy's functions that only move, repeat or drop entries: einsums with structured operands."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from einad.errors import ShapeError
from einad.front.lifting import (
    Axis,
    as_node,
    axis_index,
    axis_tuple,
    broadcast_shape,
    fit,
    new_axis,
    whole,
)
from einad.ir import build
from einad.ir.expr import Node, Shape
from einad.ops import structured


def shape_tuple(shape: Any) -> Shape:
    """A shape given as an integer or a sequence of integers."""
    entries = shape if isinstance(shape, tuple | list | np.ndarray) else (shape,)
    return tuple([whole(n, "a shape") for n in entries])


def reshape(a: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Node:
    """Another shape with the same entries, in row-major (or with ``order="F"`` column-major) order."""
    node = as_node(a)
    wanted = _complete(node, shape_tuple(shape))
    if order == "F":
        return transpose(structured.reshape(transpose(node), wanted[::-1]))
    if order != "C":
        raise TypeError(f"np.reshape with order={order!r} depends on memory layout; use order='C' or order='F'")
    return structured.reshape(node, wanted)


def _complete(x: Node, shape: Shape) -> Shape:
    """Replace one -1 by the size that fits."""
    rest = prod(n for n in shape if n != -1)
    if shape.count(-1) == 1 and rest and x.size % rest == 0:
        shape = tuple([x.size // rest if n == -1 else n for n in shape])
    if min(shape, default=0) < 0 or prod(shape) != x.size:
        raise ShapeError(f"cannot reshape a tensor of shape {x.shape} ({x.size} entries) into shape {shape}")
    return shape


def ravel(a: Any, order: str = "C") -> Node:
    """One axis with all entries."""
    node = as_node(a)
    return reshape(node, (node.size,), "C" if order in ("K", "A") else order)


def transpose(a: Any, axes: Sequence[int] | None = None) -> Node:
    """Axes in reverse, or in the order given."""
    node = as_node(a)
    if axes is None:
        return build.permute(node, range(node.ndim)[::-1])
    order = [axis_index(axis, node.ndim) for axis in axes]
    if sorted(order) != list(range(node.ndim)):
        raise ShapeError(f"np.transpose of shape {node.shape} needs each of its {node.ndim} axes once, got axes={axes}")
    return build.permute(node, order)


def matrix_transpose(x: Any, /) -> Node:
    """The last two axes exchanged."""
    return swapaxes(x, -1, -2)


def swapaxes(a: Any, axis1: int, axis2: int) -> Node:
    """Two axes exchanged."""
    node = as_node(a)
    order = list(range(node.ndim))
    i, j = axis_index(axis1, node.ndim), axis_index(axis2, node.ndim)
    order[i], order[j] = j, i
    return build.permute(node, order)


def moveaxis(a: Any, source: Any, destination: Any) -> Node:
    """Axes moved to new positions; the others keep their order."""
    node = as_node(a)
    sources, targets = (
        [axis_index(axis, node.ndim) for axis in (x if isinstance(x, tuple | list) else [x])]
        for x in (source, destination)
    )
    if len(sources) != len(targets) or len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
        raise ValueError(f"np.moveaxis needs as many destinations as sources, each once; got {source}, {destination}")
    order = [axis for axis in range(node.ndim) if axis not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, axis)
    return build.permute(node, order)


def rollaxis(a: Any, axis: int, start: int = 0) -> Node:
    """An axis moved in front of position ``start``."""
    node = as_node(a)
    axis = axis_index(axis, node.ndim)
    start = axis_index(start, node.ndim + 1) if start < node.ndim else node.ndim
    order = [k for k in range(node.ndim) if k != axis]
    order.insert(start - (axis < start), axis)
    return build.permute(node, order)


def squeeze(a: Any, axis: Axis = None) -> Node:
    """Axes of size 1 dropped."""
    node = as_node(a)
    ones = tuple([k for k, n in enumerate(node.shape) if n == 1])
    axes = ones if axis is None else axis_tuple(axis, node.ndim)
    for k in axes:
        if k not in ones:
            raise ShapeError(
                f"np.squeeze drops axes of size 1 only; axis {k} of shape {node.shape} has {node.shape[k]}"
            )
    return structured.drop_axes(node, axes)


def expand_dims(a: Any, axis: Any) -> Node:
    """New axes of size 1."""
    node = as_node(a)
    count = len(axis) if isinstance(axis, tuple | list) else 1
    return new_axis(node, *axis_tuple(axis, node.ndim + count))


def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Node:
    """Stretch axes of size 1 and add leading axes."""
    node, wanted = as_node(array), shape_tuple(shape)
    if len(wanted) < node.ndim or broadcast_shape(node.shape, wanted) != wanted:
        raise ShapeError(f"a tensor of shape {node.shape} does not broadcast to {wanted}")
    return fit(node, wanted)


def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Node, ...]:
    """All operands stretched to their common shape."""
    nodes = [as_node(x) for x in args]
    shape = broadcast_shape(*[node.shape for node in nodes])
    return tuple([fit(node, shape) for node in nodes])


def _each(nodes: list[Node]) -> Any:
    return nodes[0] if len(nodes) == 1 else tuple(nodes)


def atleast_1d(*arys: Any) -> Any:
    """Scalars with one axis."""
    return _each([reshape(x, (1,)) if not x.ndim else x for x in map(as_node, arys)])


def atleast_2d(*arys: Any) -> Any:
    """Leading axes added up to two."""
    return _each([reshape(x, (1,) * (2 - x.ndim) + x.shape) for x in map(as_node, arys)])


def atleast_3d(*arys: Any) -> Any:
    """Axes added up to three: in front of and behind vectors, behind matrices."""
    return _each([_three_axes(x) for x in map(as_node, arys)])


def _three_axes(x: Node) -> Node:
    shapes = {0: (1, 1, 1), 1: (1, *x.shape, 1), 2: (*x.shape, 1)}
    return reshape(x, shapes.get(x.ndim, x.shape))


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """The entries ``a[.., i, .., i + offset, ..]`` along a new last axis."""
    node = as_node(a)
    if node.ndim < 2:
        raise ShapeError(f"a diagonal needs two axes, found shape {node.shape}; np.diag makes a matrix of a vector")
    i, j = axis_index(axis1, node.ndim), axis_index(axis2, node.ndim)
    if i == j:
        raise ValueError("axis1 and axis2 cannot be the same")
    row, column = max(-offset, 0), max(offset, 0)
    count = max(min(node.shape[i] - row, node.shape[j] - column), 0)
    cut = cut_slice(cut_slice(node, i, row, 1, count), j, column, 1, count)
    labels: list[Any] = list(range(node.ndim))
    labels[j] = labels[i]
    output = [label for k, label in enumerate(labels) if k not in (i, j)]
    return build.einsum([labels], [*output, labels[i]], [cut])


def cut_slice(x: Node, axis: int, start: int, step: int, count: int) -> Node:
    """``x[.., start + step*j, ..]`` for ``count`` values of j; nothing is read where the count is 0."""
    return structured.take_slice(x, axis, start if count else 0, step if count else 1, count)


def diag(v: Any, k: int = 0) -> Node:
    """The diagonal of a matrix, or a matrix with the vector on its diagonal."""
    node = as_node(v)
    if node.ndim == 2:
        return diagonal(node, k)
    if node.ndim != 1:
        raise ShapeError(f"np.diag needs a vector or a matrix, found shape {node.shape}")
    square, size = build.einsum([[0]], [0, 0], [node]), node.shape[0] + abs(k)
    placed = structured.place_slice(square, 0, max(-k, 0), 1, size)
    return structured.place_slice(placed, 1, max(k, 0), 1, size)


def diagflat(v: Any, k: int = 0) -> Node:
    """A matrix with all entries on its diagonal."""
    return diag(ravel(v), k)


def zeros_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: None = None
) -> Node:
    """Zeros."""
    return full_like(a, 0, dtype, order, subok, shape)


def ones_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: None = None
) -> Node:
    """Ones."""
    return full_like(a, 1, dtype, order, subok, shape)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: None = None,
) -> Node:
    """A constant tensor shaped like another."""
    node = as_node(a)
    wanted = node.shape if shape is None else shape_tuple(shape)
    return fit(as_node(fill_value), wanted, node.dtype if dtype is None else np.dtype(dtype))


def copy(a: Any, order: str = "K", subok: bool = False) -> Node:
    """The tensor itself: traced tensors are never changed in place."""
    return as_node(a)

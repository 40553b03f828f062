"""From what a user passes to a NumPy function to nodes of one shape and dtype.

An operand here is a node, an array, a NumPy scalar, a Python number or a nested list of these. Python numbers are
weak: they take the dtype of the operand beside them, as in NumPy 2.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from einad.errors import ShapeError
from einad.ir import build
from einad.ir.expr import DType, Literal, Node, Scalar, Shape, promote
from einad.ops import structured

Axis = int | Sequence[int] | None


def is_number(x: Any) -> TypeGuard[Scalar]:
    """Whether ``x`` is a Python number (a NumPy scalar is not: it has a dtype)."""
    return isinstance(x, int | float | complex) and not isinstance(x, np.generic)


def as_node(x: Any) -> Node:
    """An operand as a node: arrays and NumPy scalars become literals, nested lists are stacked."""
    if isinstance(x, Node):
        return x
    if isinstance(x, np.ndarray | np.generic):
        return Literal(_numbers(x))
    if isinstance(x, list | tuple):
        return _nested(x)
    if is_number(x):
        return build.full((), int(x) if isinstance(x, bool) else x, _numbers(np.asarray(x)).dtype)
    raise TypeError(
        f"expected a tensor, an array or a number, found {_describe(x)}; convert it first, for example with np.asarray"
    )


def _describe(x: Any) -> str:
    return "None" if x is None else f"{type(x).__name__} {x!r:.40}"


def _numbers(x: Any) -> Any:
    if isinstance(x, np.ma.MaskedArray | np.matrix):
        raise TypeError(f"{type(x).__name__} is not supported beside traced tensors; convert it to a plain array first")
    if x.dtype.kind not in "biufc" or x.dtype.char in "gG":
        raise TypeError(
            f"expected bool, integers, float16/32/64 or complex64/128, found dtype {x.dtype}; convert it first, "
            "for example with .astype(float)"
        )
    return x


def _nested(entries: Sequence[Any]) -> Node:
    """A nested list: an array where it holds plain numbers only, else its entries stacked."""
    if not holds_node(entries):
        return Literal(_numbers(np.asarray(entries)))
    parts = [as_node(entry) for entry in entries]
    shapes = [part.shape for part in parts]
    if len(set(shapes)) > 1:
        raise ShapeError(f"a list of tensors needs entries of one shape, found {list_shapes(parts)}")
    numbers = [part.dtype for part, entry in zip(parts, entries, strict=True) if not is_number(entry)]
    weak = [entry for entry in entries if is_number(entry)]
    dtype = np.result_type(*numbers, *weak)
    return structured.concatenate([new_axis(build.cast(part, dtype), 0) for part in parts], 0)


def holds_node(x: Any) -> bool:
    """Whether a nested list or tuple holds a node."""
    return isinstance(x, Node) or (isinstance(x, list | tuple) and any(holds_node(entry) for entry in x))


def list_shapes(nodes: Sequence[Node]) -> str:
    """The shapes of operands, for messages."""
    return ", ".join(str(node.shape) for node in nodes)


def broadcast_shape(*shapes: Shape) -> Shape:
    """NumPy's common shape.

    >>> broadcast_shape((2, 1), (3,))
    (2, 3)
    """
    if len(set(shapes)) == 1:
        return shapes[0]
    ndim = max((len(shape) for shape in shapes), default=0)
    result = []
    for axis in range(-ndim, 0):
        found = {shape[axis] for shape in shapes if len(shape) >= -axis}
        if len(found - {1}) > 1:
            raise ShapeError(
                f"shapes {', '.join(map(str, shapes))} do not broadcast: axis {axis} has sizes "
                f"{', '.join(map(str, sorted(found)))}; expected equal sizes or 1; try x[:, None] or a transpose"
            )
        result.append(max(found - {1}, default=1))
    return tuple(result)


def aligned_labels(shape: Shape, target: Shape) -> list[Any]:
    """Labels of an operand that is broadcast to ``target``, whose axes have the labels 0, 1, ...

    An axis of size 1 that is stretched gets a label of its own, which is summed over.
    """
    offset = len(target) - len(shape)
    return [offset + axis if n == target[offset + axis] else ("one", axis) for axis, n in enumerate(shape)]


def fit(x: Node, shape: Shape, dtype: Any = None) -> Node:
    """``x`` broadcast to ``shape`` and cast to ``dtype``, in one einsum."""
    dtype = x.dtype if dtype is None else np.dtype(dtype)
    if x.shape == shape and x.dtype == dtype:
        return x
    labels = aligned_labels(x.shape, shape)
    return build.einsum([labels], range(len(shape)), [x], dict(enumerate(shape)), 1, dtype)


def number_like(value: Scalar, dtype: DType, shape: Shape = ()) -> Node:
    """A Python number as a tensor beside one of ``dtype``."""
    weak_dtype(value, dtype)
    return build.constant_like(value, dtype, shape)


def weak_dtype(value: Scalar, dtype: DType) -> DType:
    """The dtype of a Python number beside one of ``dtype``; OverflowError where it does not fit, as in NumPy."""
    target = np.result_type(dtype, value)
    if target.kind in "iu":
        np.asarray(value, target)
    return target


def lift(*operands: Any) -> list[Node]:
    """The operands of an elementwise function, broadcast to one shape; numbers take their neighbours' dtype."""
    strong = [as_node(x) for x in operands if not is_number(x)]
    if not strong:
        return [as_node(x) for x in operands]
    shape = broadcast_shape(*[node.shape for node in strong])
    dtype = promote(tuple(strong))
    nodes = iter(strong)
    return [number_like(x, dtype, shape) if is_number(x) else fit(next(nodes), shape) for x in operands]


def common_dtype(operands: Sequence[Any]) -> DType:
    """NumPy's promoted dtype of operands, Python numbers being weak."""
    return np.result_type(*[x if is_number(x) else as_node(x).dtype for x in operands])


def ufunc_dtype(ufunc: np.ufunc, *operands: Any) -> DType:
    """The dtype that a NumPy ufunc gives for operands of these dtypes; its TypeError where it has none."""
    kinds = [_weak_kind(x) if is_number(x) else as_node(x).dtype for x in operands]
    found: DType = ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))[-1]
    return found


def _weak_kind(x: Scalar) -> Any:
    return (
        np.dtype(bool) if isinstance(x, bool) else next(kind for kind in (int, float, complex) if isinstance(x, kind))
    )


def axis_index(axis: Any, ndim: int) -> int:
    """A non-negative axis; NumPy's AxisError where there is none."""
    return normalize_axis_index(whole(axis, "axis"), ndim)


def axis_tuple(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Non-negative sorted axes; None means all."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if not isinstance(axis, tuple | list) else axis
    return tuple(sorted(normalize_axis_tuple([whole(a, "axis") for a in axes], ndim)))


def whole(x: Any, name: str) -> int:
    """An argument that must be a plain integer."""
    if isinstance(x, Node):
        raise TypeError(f"{name} must be a plain integer, found a traced tensor; write int(...) around it")
    return operator.index(x)


def new_axis(x: Node, *positions: int) -> Node:
    """Put axes of size 1 at the positions of the result given."""
    ndim = x.ndim + len(positions)
    old = [axis for axis in range(ndim) if axis not in positions]
    sizes = dict.fromkeys(positions, 1)
    return build.einsum([old], range(ndim), [x], sizes) if positions else x

"""NumPy's reductions: sums and means are einsums, products are repeated halving, norms and deviations follow."""

from __future__ import annotations

from typing import Any

import numpy as np

from einad.errors import ShapeError
from einad.front.lifting import Axis, as_node, axis_index, axis_tuple, new_axis
from einad.front.numpy_elementwise import (
    cast,
    conjugate,
    divide,
    multiply,
    real,
    refuse_out,
    row,
    square,
    subtract,
    truth,
)
from einad.front.numpy_shapes import broadcast_to, cut_slice, diagonal, moveaxis, ravel
from einad.ir import build
from einad.ir.expr import Call, DType, Map, Node, Scalar, Step
from einad.ops import structured
from einad.ops.pointwise import POINTWISE
from einad.ops.reductions import FUNCTIONS


def sum_axes(x: Node, axes: tuple[int, ...], keepdims: bool, dtype: Any = None, coefficient: Scalar = 1) -> Node:
    """``coefficient`` times the sum over axes, in one einsum; kept axes have size 1."""
    labels = list(range(x.ndim))
    output: list[Any] = [("kept", k) if k in axes else k for k in labels if keepdims or k not in axes]
    ones = {("kept", k): 1 for k in axes} if keepdims else {}
    return build.einsum([labels], output, [x], dict(ones), coefficient, dtype)


def sum_dtype(ufunc: np.ufunc, dtype: DType) -> DType:
    """The dtype of sums and products: small integers and bool count in the platform's integer."""
    found: DType = ufunc.reduce(np.ones(1, dtype)).dtype
    return found


def sum_(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None
) -> Node:
    """The sum over axes."""
    refuse_out("sum", out)
    node = as_node(a) if dtype is None else cast(a, dtype, "np.sum")
    axes = axis_tuple(axis, node.ndim)
    total = sum_axes(node, axes, keepdims, sum_dtype(np.add, node.dtype) if dtype is None else node.dtype)
    return total if initial is None else build.cast(_add_number(total, initial), total.dtype)


def _add_number(total: Node, initial: Any) -> Node:
    return build.add(*build.promoted([total, broadcast_to(initial, total.shape)]))


def mean(a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Node:
    """The mean over axes: a sum with a coefficient."""
    refuse_out("mean", out)
    node = inexact(a, dtype, "np.mean")
    axes = axis_tuple(axis, node.ndim)
    n = _count(node, axes)
    return sum_axes(node, axes, keepdims, node.dtype, 1 / n if n else np.nan)


def inexact(a: Any, dtype: Any, name: str) -> Node:
    """The tensor in floating point: integers as float64."""
    node = as_node(a) if dtype is None else cast(a, dtype, name)
    return build.cast(node, float) if dtype is None and node.dtype.kind in "biu" else node


def _count(x: Node, axes: tuple[int, ...]) -> int:
    n = 1
    for axis in axes:
        n *= x.shape[axis]
    return n


def average(a: Any, axis: Axis = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """The weighted mean; with ``returned`` also the sum of the weights."""
    node = as_node(a)
    axes = axis_tuple(axis, node.ndim)
    if weights is None:
        result = mean(node, axes, keepdims=keepdims)
        return (result, build.full(result.shape, _count(node, axes), result.dtype)) if returned else result
    w = _weights_like(node, as_node(weights), axes)
    total = sum_(w, axes, keepdims=keepdims)
    result = divide(sum_(multiply(node, w), axes, keepdims=keepdims), total)
    return (result, build.cast(total, result.dtype)) if returned else result


def _weights_like(x: Node, weights: Node, axes: tuple[int, ...]) -> Node:
    if weights.shape == x.shape:
        return weights
    if weights.shape != tuple([x.shape[axis] for axis in axes]):
        raise ShapeError(
            f"np.average of shape {x.shape} over axes {axes} needs weights of that shape or of the axes' sizes, "
            f"found {weights.shape}"
        )
    return build.broadcast(weights, x.shape, axes)


def var(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: Any = 0,
    keepdims: bool = False,
    *,
    mean: Any = None,
    correction: Any = None,
) -> Node:
    """The mean squared distance from the mean; ``n - ddof`` is the divisor."""
    refuse_out("var", out)
    node = inexact(a, dtype, "np.var")
    axes = axis_tuple(axis, node.ndim)
    n = _count(node, axes)
    centre = sum_axes(node, axes, True, node.dtype, 1 / n if n else np.nan) if mean is None else mean
    squares = squared_size(subtract(node, centre))
    return divide(
        sum_axes(squares, axes, keepdims, squares.dtype), max(n - (ddof if correction is None else correction), 0)
    )


def squared_size(x: Node) -> Node:
    """``|x|²``, which is real."""
    return real(multiply(x, conjugate(x))) if x.dtype.kind == "c" else square(x)


def root(x: Node) -> Node:
    """The square root, with slope 0 at 0."""
    return Map(POINTWISE["sqrt_or_zero"], x)


def std(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: Any = 0,
    keepdims: bool = False,
    *,
    mean: Any = None,
    correction: Any = None,
) -> Node:
    """The square root of the variance; its slope is 0 where the variance is 0."""
    return root(var(a, axis, dtype, out, ddof, keepdims, mean=mean, correction=correction))


def prod(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None
) -> Node:
    """The product over axes by repeated halving: right at zeros, differentiable to any order."""
    refuse_out("prod", out)
    node = as_node(a)
    node = cast(node, sum_dtype(np.multiply, node.dtype) if dtype is None else dtype, "np.prod")
    axes = axis_tuple(axis, node.ndim)
    product = keep_axes(_halve(_merge_last(node, axes)), axes, keepdims)
    return product if initial is None else build.cast(multiply(product, initial), product.dtype)


def _merge_last(x: Node, axes: tuple[int, ...]) -> Node:
    """The axes reduced over merged into one last axis."""
    moved = moveaxis(x, axes, tuple(range(x.ndim - len(axes), x.ndim)))
    kept = moved.shape[: x.ndim - len(axes)]
    return structured.reshape(moved, (*kept, _count(x, axes)))


def _halve(x: Node) -> Node:
    """The product over the last axis: one half times the other, log2(n) times."""
    axis, odd = x.ndim - 1, []
    if not x.shape[axis]:
        return build.full(x.shape[:-1], 1, x.dtype)
    while x.shape[axis] > 1:
        half, left = divmod(x.shape[axis], 2)
        if left:
            odd.append(cut_slice(x, axis, 2 * half, 1, 1))
        x = build.multiply(cut_slice(x, axis, 0, 1, half), cut_slice(x, axis, half, 1, half))
    for factor in odd:
        x = build.multiply(x, factor)
    return structured.drop_axes(x, (axis,))


def keep_axes(reduced: Node, axes: tuple[int, ...], keepdims: bool) -> Node:
    """The reduced tensor, with axes of size 1 where it lost some if they are to be kept."""
    return new_axis(reduced, *axes) if keepdims else reduced


def _over_axes(name: str, x: Node, axis: Axis, keepdims: bool) -> Node:
    axes = axis_tuple(axis, x.ndim)
    return keep_axes(Call(FUNCTIONS[name], (x,), (axes,)) if axes else x, axes, keepdims)


def max_(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, initial: Any = None) -> Node:
    """The largest entry; ties share the derivative equally."""
    return _extreme("max", "maximum", a, axis, out, keepdims, initial)


def min_(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, initial: Any = None) -> Node:
    """The smallest entry; ties share the derivative equally."""
    return _extreme("min", "minimum", a, axis, out, keepdims, initial)


def _extreme(name: str, pairwise: str, a: Any, axis: Axis, out: None, keepdims: bool, initial: Any) -> Node:
    refuse_out(name, out)
    node = as_node(a)
    empty = initial is not None and _count(node, axis_tuple(axis, node.ndim)) == 0
    if empty:
        shape = sum_(node, axis, keepdims=keepdims).shape
        return build.cast(broadcast_to(initial, shape), node.dtype)
    found = _over_axes(name, node, axis, keepdims)
    return found if initial is None else row(pairwise, found, initial)


def ptp(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False) -> Node:
    """The largest minus the smallest entry."""
    refuse_out("ptp", out)
    return subtract(max_(a, axis, keepdims=keepdims), min_(a, axis, keepdims=keepdims))


def any_(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False) -> Node:
    """Whether some entry is not zero."""
    refuse_out("any", out)
    return _over_axes("any", truth(a), axis, keepdims)


def all_(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False) -> Node:
    """Whether all entries are not zero."""
    refuse_out("all", out)
    return _over_axes("all", truth(a), axis, keepdims)


def argmax(a: Any, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Node:
    """The position of the largest entry."""
    return _position("argmax", a, axis, out, keepdims)


def argmin(a: Any, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Node:
    """The position of the smallest entry."""
    return _position("argmin", a, axis, out, keepdims)


def _position(name: str, a: Any, axis: int | None, out: None, keepdims: bool) -> Node:
    refuse_out(name, out)
    node = as_node(a)
    if axis is None:
        found = Call(FUNCTIONS[name], (ravel(node),), (0,))
        return keep_axes(found, tuple(range(node.ndim)), keepdims)
    k = axis_index(axis, node.ndim)
    return keep_axes(Call(FUNCTIONS[name], (node,), (k,)), (k,), keepdims)


def count_nonzero(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Node:
    """The number of entries that are not zero."""
    return sum_(truth(a), axis, keepdims=keepdims)


def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Node:
    """Running sums: an einsum with the step ``[i >= j]``."""
    refuse_out("cumsum", out)
    node = as_node(a) if dtype is None else cast(a, dtype, "np.cumsum")
    if axis is None:
        node, axis = ravel(node), 0
    k = axis_index(axis, node.ndim)
    n, labels = node.shape[k], list(range(node.ndim))
    output = [node.ndim if label == k else label for label in labels]
    wanted = sum_dtype(np.add, node.dtype) if dtype is None else node.dtype
    return build.einsum([[node.ndim, k], labels], output, [Step((n, n)), node], None, 1, wanted)


def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Node:
    """Running sums along an axis; with ``include_initial`` a zero stands in front."""
    node = as_node(x)
    if axis is None and node.ndim > 1:
        raise ValueError("np.cumulative_sum of a tensor with several axes needs axis=")
    k = axis_index(0 if axis is None else axis, node.ndim)
    sums = cumsum(node, k, dtype)
    return structured.place_slice(sums, k, 1, 1, node.shape[k] + 1) if include_initial else sums


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None) -> Node:
    """The sum of a diagonal."""
    refuse_out("trace", out)
    return sum_(diagonal(a, offset, axis1, axis2), -1, dtype)

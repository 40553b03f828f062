"""NumPy's functions over windows and neighbours: convolutions, sliding windows, differences, running products."""

from __future__ import annotations

from typing import Any

import numpy as np

from einad.errors import ShapeError
from einad.front.lifting import as_node, axis_index, axis_tuple, is_number
from einad.front.numpy_elementwise import cast, conjugate_ufunc, divide, multiply, refuse_out, subtract
from einad.front.numpy_joining import concatenate, diff
from einad.front.numpy_reductions import sum_dtype
from einad.front.numpy_shapes import atleast_1d, cut_slice, ravel, shape_tuple
from einad.ir import build
from einad.ir.expr import Affine, Node
from einad.ops import structured


def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Node:
    """``y[.., p, .., r] = x[.., p + r, ..]``: all windows, their places along new last axes."""
    node, window = as_node(x), shape_tuple(window_shape)
    if any(n < 0 for n in window):
        raise ValueError("`window_shape` cannot contain negative values")
    given = range(node.ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    axes = [axis_index(k, node.ndim) for k in given]
    if len(axes) != len(window):
        raise ShapeError(f"window_shape {window} has {len(window)} entries for {len(axes)} axes; give one for each")
    for k, n in zip(axes, window, strict=True):
        node = _windows(node, k, n)
    return node


def _windows(x: Node, axis: int, n: int) -> Node:
    count = x.shape[axis] - n + 1
    if count < 1:
        raise ValueError(f"window shape cannot be larger than input array shape: {n} along axis {axis} of {x.shape}")
    labels: list[Any] = list(range(x.ndim))
    output = ["start" if label == axis else label for label in labels]
    tied = Affine((x.shape[axis], count, n), (-1, 1, 1))
    return build.einsum([labels, [axis, "start", "place"]], [*output, "place"], [x, tied])


def convolve(a: Any, v: Any, mode: str = "full") -> Node:
    """``y[k] = a[i] v[k - i]``, of two vectors."""
    left, right = _vectors("convolve", a, v)
    first, count = _range("convolve", left, right, mode, min(left.size, right.size) - 1)
    return _convolved(left, right, first, count)


def correlate(a: Any, v: Any, mode: str = "valid") -> Node:
    """``y[k] = a[i + k] conj(v[i])``, of two vectors."""
    left, right = _vectors("correlate", a, v)
    shorter = min(left.size, right.size)
    first, count = _range("correlate", left, right, mode, shorter - 1 if right.size <= left.size else shorter)
    conjugate = conjugate_ufunc(right) if right.dtype.kind == "c" else right
    turned = cut_slice(conjugate, 0, right.size - 1, -1, right.size)
    return _convolved(left, turned, first, count)


def _vectors(name: str, a: Any, v: Any) -> list[Node]:
    nodes = [atleast_1d(x) for x in build.promoted([as_node(a), as_node(v)])]
    for node in nodes:
        if node.ndim != 1 or not node.size:
            raise ValueError(f"np.{name} takes two vectors that are not empty, found shapes {[n.shape for n in nodes]}")
    return nodes


def _range(name: str, left: Node, right: Node, mode: str, twice_middle: int) -> tuple[int, int]:
    """Which part of the full result a mode asks for: its start and length."""
    shorter, longer = sorted([left.size, right.size])
    ranges = {
        "full": (0, shorter + longer - 1),
        "same": (twice_middle // 2, longer),
        "valid": (shorter - 1, longer - shorter + 1),
    }
    if mode not in ranges:
        raise ValueError(f"np.{name} has the modes 'full', 'same' and 'valid', got {mode!r}")
    return ranges[mode]


def _convolved(left: Node, right: Node, first: int, count: int) -> Node:
    tied = Affine((count, left.size, right.size), (-1, 1, 1), -first)
    return build.einsum([["i"], ["j"], ["k", "i", "j"]], ["k"], [left, right, tied])


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Node:
    """Differences of neighbours of all entries, with what stands before and behind them."""
    parts = [ravel(x) for x in (to_begin, diff(ravel(ary)), to_end) if x is not None]
    return concatenate(parts) if len(parts) > 1 else parts[0]


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Central differences, one-sided at the ends; the spacing is even."""
    node = as_node(f)
    node = node if node.dtype.kind in "fc" else build.cast(node, float)
    axes = axis_tuple(axis, node.ndim)
    spacings = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    if len(spacings) != len(axes):
        raise TypeError(f"np.gradient takes one spacing, or one for each of the {len(axes)} axes, got {len(varargs)}")
    if edge_order not in (1, 2):
        raise ValueError(f"'edge_order' is 1 or 2, got {edge_order}")
    found = tuple([_slope(node, k, h, edge_order) for k, h in zip(axes, spacings, strict=True)])
    return found[0] if len(found) == 1 else found


def _slope(x: Node, axis: int, h: Any, edge_order: int) -> Node:
    n = x.shape[axis]
    if not is_number(h) and as_node(h).ndim:
        raise TypeError("np.gradient of traced tensors takes even spacings, numbers; for others write the differences")
    if n < edge_order + 1:
        raise ValueError(f"np.gradient needs {edge_order + 1} entries or more along axis {axis}, found shape {x.shape}")
    late, early = cut_slice(x, axis, 2, 1, n - 2), cut_slice(x, axis, 0, 1, n - 2)
    ends = [_end(x, axis, 0, 1, edge_order), build.scale(_end(x, axis, n - 1, -1, edge_order), -1)]
    middle = build.scale(subtract(late, early), 0.5)
    return divide(structured.concatenate([ends[0], middle, ends[1]], axis), h)


def _end(x: Node, axis: int, at: int, step: int, order: int) -> Node:
    """The one-sided difference at an end, ``step`` the way into the tensor."""
    weights = (-1, 1) if order == 1 else (-1.5, 2, -0.5)
    return build.add(*[build.scale(cut_slice(x, axis, at + step * k, 1, 1), w) for k, w in enumerate(weights)])


def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Node:
    """Running products, by doubling: each of ``log2 n`` steps multiplies by the products of as many entries before."""
    refuse_out("cumprod", out)
    node = as_node(a)
    node = cast(node, sum_dtype(np.multiply, node.dtype) if dtype is None else dtype, "np.cumprod")
    if axis is None:
        node, axis = ravel(node), 0
    k = axis_index(axis, node.ndim)
    n, reach = node.shape[k], 1
    while reach < n:
        ones = build.full((*node.shape[:k], reach, *node.shape[k + 1 :]), 1, node.dtype)
        node = multiply(node, structured.concatenate([ones, cut_slice(node, k, 0, 1, n - reach)], k))
        reach *= 2
    return node


def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Node:
    """Running products along an axis; with ``include_initial`` a one stands in front."""
    node = as_node(x)
    if axis is None and node.ndim > 1:
        raise ValueError("np.cumulative_prod of a tensor with several axes needs axis=")
    k = axis_index(0 if axis is None else axis, node.ndim)
    products = cumprod(node, k, dtype)
    if not include_initial:
        return products
    one = build.full((*node.shape[:k], 1, *node.shape[k + 1 :]), 1, products.dtype)
    return structured.concatenate([one, products], k)

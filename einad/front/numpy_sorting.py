"""Sorting and selection: the order is found by a whole-number function, the entries are gathered."""

from __future__ import annotations

from typing import Any

import numpy as np

from einad.front.indexing import index, take, take_along_axis
from einad.front.lifting import Axis, as_node, axis_index, axis_tuple, broadcast_shape, fit
from einad.front.numpy_elementwise import row
from einad.front.numpy_joining import stack
from einad.front.numpy_reductions import keep_axes
from einad.front.numpy_shapes import ravel
from einad.ir import build
from einad.ir.expr import Call, Node
from einad.ops import structured
from einad.ops.selection import ARGPARTITION, ARGSORT

LAST = -1


def argsort(
    a: Any, axis: int | None = LAST, kind: str | None = None, order: None = None, *, stable: bool | None = None
) -> Node:
    """The positions of the entries in ascending order, along an axis."""
    node, k = _along("argsort", a, axis, order)
    return Call(ARGSORT, (node,), (k, "stable" if stable else kind))


def sort(
    a: Any, axis: int | None = LAST, kind: str | None = None, order: None = None, *, stable: bool | None = None
) -> Node:
    """The entries in ascending order: ``y[i] = x[p[i]]``."""
    node, k = _along("sort", a, axis, order)
    return take_along_axis(node, Call(ARGSORT, (node,), (k, "stable" if stable else kind)), k)


def argpartition(a: Any, kth: Any, axis: int | None = LAST, kind: str = "introselect", order: None = None) -> Node:
    """Positions of the entries such that those at the places ``kth`` are where sorting puts them."""
    node, k = _along("argpartition", a, axis, order)
    return Call(ARGPARTITION, (node,), (k, _places(kth, node.shape[k])))


def partition(a: Any, kth: Any, axis: int | None = LAST, kind: str = "introselect", order: None = None) -> Node:
    """The entries such that those at the places ``kth`` are where sorting puts them, smaller ones before them."""
    node, k = _along("partition", a, axis, order)
    return take_along_axis(node, Call(ARGPARTITION, (node,), (k, _places(kth, node.shape[k]))), k)


def median(a: Any, axis: Axis = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Node:
    """The middle entry, or the mean of the two middle ones; nan where there is one."""
    if out is not None or overwrite_input:
        raise TypeError("np.median with out= or overwrite_input= is not supported on traced tensors; use its result")
    node = as_node(a)
    node = node if node.dtype.kind in "fc" else build.cast(node, float)
    axes = axis_tuple(axis, node.ndim)
    return keep_axes(_middle(_merged_last(node, axes)), axes, keepdims)


def _middle(node: Node) -> Node:
    n = node.shape[-1]
    if not n:
        raise ValueError("np.median of no entries is not a number; found an axis of size 0")
    order = argpartition(node, sorted({(n - 1) // 2, n // 2, n - 1}))
    last = take_along_axis(node, structured.take_slice(order, node.ndim - 1, n - 1, 1, 1))
    middle = take_along_axis(node, structured.take_slice(order, node.ndim - 1, (n - 1) // 2, 1, 2 - n % 2))
    last, middle = [build.reduce_sum(each, (node.ndim - 1,)) for each in (last, middle)]
    middle = middle if n % 2 else build.scale(middle, 0.5)
    return row("where", row("not_equal", last, last), last, middle)


def _merged_last(node: Node, axes: tuple[int, ...]) -> Node:
    """The axes merged into one, which comes last."""
    kept = [axis for axis in range(node.ndim) if axis not in axes]
    shape = (*[node.shape[axis] for axis in kept], int(np.prod([node.shape[axis] for axis in axes], dtype=int)))
    return structured.reshape(build.permute(node, (*kept, *axes)), shape)


def compress(condition: Any, a: Any, axis: int | None = None, out: None = None) -> Node:
    """The slices of ``a`` where a condition known now holds."""
    known = _known("compress", condition, out)
    if known.ndim != 1:
        raise ValueError(f"np.compress needs a condition with one axis, found shape {known.shape}")
    return take(a, np.nonzero(known)[0], axis)


def extract(condition: Any, arr: Any) -> Node:
    """The entries of ``arr`` where a condition known now holds."""
    return take(ravel(arr), np.nonzero(_known("extract", condition, None).ravel())[0])


def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Node:
    """``choices[a[i]][i]``."""
    if out is not None or mode != "raise":
        raise TypeError("np.choose with out= or mode= is not supported on traced tensors")
    chosen = a if isinstance(a, Node) else np.asarray(a)
    nodes = [as_node(choice) for choice in choices]
    shape = broadcast_shape(chosen.shape, *[node.shape for node in nodes])
    whole = stack([fit(node, shape) for node in build.promoted(nodes)], 0)
    places = fit(chosen, shape) if isinstance(chosen, Node) else np.broadcast_to(chosen, shape)
    return index(whole, (places, *np.indices(shape, sparse=True)))


def _known(name: str, condition: Any, out: Any) -> Any:
    if isinstance(condition, Node) or out is not None:
        raise TypeError(
            f"np.{name} of a traced condition has a result whose size depends on values; write np.where instead"
            if out is None
            else f"np.{name} with out= is not supported on traced tensors; use its result"
        )
    return np.asarray(condition)


def _along(name: str, a: Any, axis: int | None, order: Any) -> tuple[Node, int]:
    if order is not None:
        raise TypeError(f"np.{name} with order= needs a structured array; traced tensors have plain numbers")
    node = ravel(a) if axis is None else as_node(a)
    return node, axis_index(LAST if axis is None else axis, node.ndim)


def _places(kth: Any, n: int) -> tuple[int, ...]:
    places = tuple(int(place) for place in np.atleast_1d(kth))
    wrong = [place for place in places if not -n <= place < n]
    if wrong:
        raise ValueError(f"kth={wrong[0]} is out of bounds for an axis of size {n}")
    return places

"""``x[...]``: integers, slices, new axes, and integer or boolean arrays.

Basic indices are einsums with an Affine operand, index arrays einsums with a OneHot operand: a gather, whose
derivative is a scatter-add. Several index arrays are one, of places in their axes merged.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any, TypeGuard

import numpy as np

from einad.errors import ShapeError
from einad.front.lifting import as_node, axis_index, broadcast_shape, fit, new_axis
from einad.front.numpy_shapes import cut_slice, ravel
from einad.ir import build
from einad.ir.expr import Call, Literal, Node, OneHot, Shape
from einad.ops import structured
from einad.ops.reductions import FUNCTIONS
from einad.ops.selection import ARGPARTITION, ARGSORT, POSITIONS, positions

Positions = np.ndarray[Any, Any] | Node

ORDERS = (ARGSORT, ARGPARTITION, FUNCTIONS["argmax"], FUNCTIONS["argmin"])


def index(x: Node, key: Any) -> Node:
    """``x[key]`` with NumPy's meaning; the result never aliases anything."""
    entries = _expand(x, list(key) if isinstance(key, tuple) else [key])
    arrays = any(_is_array(entry) for entry in entries)
    axis, places = 0, []
    advanced: list[tuple[int, Any]] = []
    for place, entry in enumerate(entries):
        if entry is None:
            x = new_axis(x, axis)
        elif isinstance(entry, slice):
            x = _cut(x, axis, entry)
        elif arrays:
            advanced.append((axis, entry))
            places.append(place)
        else:
            x = _pick(x, axis, entry)
            continue
        axis += 1
    if not arrays:
        return x
    adjacent = places[-1] - places[0] == len(places) - 1
    return _gather(x, advanced, advanced[0][0] if adjacent else 0)


def _is_array(entry: Any) -> TypeGuard[Positions]:
    return isinstance(entry, np.ndarray | Node)


def _expand(x: Node, entries: list[Any]) -> list[Any]:
    """Boolean masks become positions, lists become arrays, the ellipsis and missing axes become full slices."""
    plain: list[Any] = []
    for entry in entries:
        plain += _mask_positions(entry) if _is_mask(entry) else [_checked(entry)]
    _check_masks(x, entries)
    used = sum(entry is not None and entry is not Ellipsis for entry in plain)
    if used > x.ndim:
        raise IndexError(f"too many indices: the tensor has {x.ndim} axes (shape {x.shape}), but {used} were indexed")
    if sum(entry is Ellipsis for entry in plain) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    rest = [slice(None)] * (x.ndim - used)
    at = next((k for k, entry in enumerate(plain) if entry is Ellipsis), None)
    return [*plain, *rest] if at is None else [*plain[:at], *rest, *plain[at + 1 :]]


def _is_mask(entry: Any) -> bool:
    if isinstance(entry, list):
        entry = np.asarray(entry)
    return isinstance(entry, bool | np.bool) or (isinstance(entry, np.ndarray) and entry.dtype.kind == "b")


def _mask_positions(mask: Any) -> list[Any]:
    mask = np.asarray(mask)
    if not mask.ndim:
        raise TypeError("indexing by a single bool is not supported on traced tensors; write np.where or an if")
    return list(np.nonzero(mask))


def _check_masks(x: Node, entries: list[Any]) -> None:
    axis = 0
    for position, entry in enumerate(entries):
        if entry is Ellipsis:
            later = [e for e in entries[position + 1 :] if e is not None]
            axis = x.ndim - sum(np.ndim(e) if _is_mask(e) else 1 for e in later)
        elif _is_mask(entry):
            shape = np.shape(entry)
            if shape != x.shape[axis : axis + len(shape)]:
                raise IndexError(f"a boolean index of shape {shape} does not match the tensor's shape {x.shape}")
            axis += len(shape)
        elif entry is not None:
            axis += 1


def _checked(entry: Any) -> Any:
    if entry is None or entry is Ellipsis or isinstance(entry, slice):
        return entry
    if isinstance(entry, list):
        entry = np.asarray(entry, None if entry else np.intp)
    if _is_array(entry):
        if entry.dtype.kind == "b":
            raise TypeError("a traced boolean index has a result whose size depends on values; write np.where instead")
        if entry.dtype.kind not in "iu":
            raise IndexError(f"arrays used as indices must be of integer (or boolean) type, found {entry.dtype}")
        return entry
    try:
        return operator.index(entry)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and integer or boolean arrays are valid indices, "
            f"found {type(entry).__name__} {entry!r:.40}"
        ) from None


def _cut(x: Node, axis: int, entry: slice) -> Node:
    taken = range(*entry.indices(x.shape[axis]))
    return cut_slice(x, axis, taken.start, taken.step, len(taken))


def _pick(x: Node, axis: int, position: int) -> Node:
    n = x.shape[axis]
    if not -n <= position < n:
        raise IndexError(f"index {position} is out of bounds for axis {axis} with size {n}")
    return structured.pick(x, axis, position % n)


def one_hot(indices: Positions, n: int, axis: int, mode: str = "raise") -> Node:
    """``δ[indices[..], v]`` for v below n; negative indices count from the end.

    Indices that are known now are checked now, traced ones when the plan runs.
    """
    if isinstance(indices, Node):
        return OneHot(indices if _is_order(indices, n) else Call(POSITIONS, (indices,), (n, axis, mode)), n)
    return OneHot(Literal(positions(indices, n, axis, mode)), n)


def _is_order(indices: Node, n: int) -> bool:
    """Whether indices are positions that a sort or search found in an axis of at most ``n`` entries."""
    if not isinstance(indices, Call) or indices.row not in ORDERS or indices.dtype != np.intp:
        return False
    (x,), axis = indices.children, indices.params[0]
    assert isinstance(axis, int)
    return x.shape[axis] <= n


def _gather(x: Node, advanced: list[tuple[int, Any]], place: int, mode: str = "raise") -> Node:
    """The entries of ``x`` at index arrays for some of its axes; the axes of the index stand at ``place``."""
    indices = [entry if _is_array(entry) else np.asarray(entry) for _, entry in advanced]
    shape, axes = broadcast_shape(*[each.shape for each in indices]), [axis for axis, _ in advanced]
    if len(axes) == 1:
        hot, merged, labels = one_hot(indices[0], x.shape[axes[0]], axes[0], mode), x, list(range(x.ndim))
    else:
        hot = _merged_one_hot(indices, [x.shape[axis] for axis in axes], axes, shape)
        merged = _merge_axes(x, axes)
        labels = [axes[0], *[axis for axis in range(x.ndim) if axis not in axes]]
    new = list(range(x.ndim, x.ndim + len(shape)))
    output = [label for label in range(x.ndim) if label not in axes]
    output[place:place] = new
    return build.einsum([labels, [*new, axes[0]]], output, [merged, hot], None, 1, x.dtype)


def _merge_axes(x: Node, axes: Sequence[int]) -> Node:
    """``x`` with some of its axes merged into one, in front, in row-major order."""
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    ordered = build.permute(x, (*axes, *rest))
    return structured.reshape(ordered, (prod([x.shape[axis] for axis in axes]), *[x.shape[axis] for axis in rest]))


def _merged_one_hot(indices: Sequence[Positions], sizes: Sequence[int], axes: Sequence[int], shape: Shape) -> Node:
    """``δ`` of the places in row-major order that several index arrays give together."""
    whole = prod(sizes)
    terms: list[Node] = []
    known: Any = np.zeros(shape, np.intp)
    stride = whole
    for entry, n, axis in zip(indices, sizes, axes, strict=True):
        stride = stride // n if n else 0
        if isinstance(entry, Node):
            terms.append(fit(build.scale(Call(POSITIONS, (entry,), (n, axis, "raise")), stride), shape))
        else:
            known = known + positions(entry, n, axis, "raise") * stride
    if not terms:
        return OneHot(Literal(known), whole)
    if known.any():
        terms.append(Literal(known))
    return OneHot(build.add(*terms), whole)


def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Node:
    """``a[.., indices, ..]`` along an axis; ``mode`` "wrap" or "clip" brings indices into range."""
    if out is not None:
        raise TypeError("np.take with out= is not supported on traced tensors; use its result")
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"mode of np.take must be 'raise', 'wrap' or 'clip', found {mode!r}")
    node = ravel(a) if axis is None else as_node(a)
    k = axis_index(0 if axis is None else axis, node.ndim)
    return _gather(node, [(k, _checked(_positions(indices)))], k, mode)


def _positions(indices: Any) -> Positions:
    return indices if isinstance(indices, Node) else np.asarray(indices, None if np.size(indices) else np.intp)


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Node:
    """``a[i, indices[i, j]]`` for each position of the other axes."""
    node = ravel(arr) if axis is None else as_node(arr)
    entries = _checked(_positions(indices))
    k = axis_index(0 if axis is None else axis, node.ndim)
    if entries.ndim != node.ndim:
        raise ShapeError(f"np.take_along_axis needs indices with {node.ndim} axes, found shape {entries.shape}")
    target = list(entries.shape)
    target[k] = 1
    others = broadcast_shape((*node.shape[:k], 1, *node.shape[k + 1 :]), tuple(target))
    labels: list[Any] = [("a", j) if j != k and n != others[j] else j for j, n in enumerate(node.shape)]
    rows: list[Any] = [("b", j) if j != k and n != others[j] else j for j, n in enumerate(entries.shape)]
    rows[k], output = "new", [*range(k), "new", *range(k + 1, node.ndim)]
    sizes: dict[Any, int] = {"new": entries.shape[k], **{j: others[j] for j in range(node.ndim) if j != k}}
    wide = [j for j, n in enumerate(entries.shape) if n != 1]
    hot = one_hot(_without_axes(entries, wide), node.shape[k], k)
    return build.einsum([labels, [*[rows[j] for j in wide], k]], output, [node, hot], sizes, 1, node.dtype)


def _without_axes(entries: Positions, kept: Sequence[int]) -> Positions:
    """Index arrays without their axes of size 1."""
    if isinstance(entries, Node):
        return structured.drop_axes(entries, tuple([axis for axis in range(entries.ndim) if axis not in kept]))
    return entries.reshape([entries.shape[axis] for axis in kept])

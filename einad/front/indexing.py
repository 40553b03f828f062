"""``x[...]``: integers, slices, new axes, and integer or boolean arrays.

Basic indices are einsums with an Affine operand. An index array is an einsum with a one-hot matrix, which costs time
and memory in proportion to (entries of the index) times (size of the axis).
"""

from __future__ import annotations

import operator
from typing import Any, TypeGuard

import numpy as np

from einad.errors import ShapeError
from einad.front.lifting import as_node, axis_index, broadcast_shape, fit, new_axis, number_like
from einad.front.numpy_elementwise import row
from einad.front.numpy_shapes import cut_slice, ravel
from einad.ir import build
from einad.ir.expr import Literal, Node
from einad.ops import structured

Positions = np.ndarray[Any, Any] | Node


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


def one_hot(positions: Positions, n: int, axis: int) -> Node:
    """``δ[positions[..], v]`` for v below n; negative positions count from the end.

    Positions known now are checked; traced ones that are out of range give rows of zeros.
    """
    if isinstance(positions, Node):
        whole = build.cast(positions, np.int64)
        zeros = number_like(0, whole.dtype, whole.shape)
        wrapped = row(
            "where", row("less", whole, zeros), build.add(whole, number_like(n, whole.dtype, whole.shape)), whole
        )
        every = fit(Literal(np.arange(n)), (*whole.shape, n))
        return row("equal", fit(new_axis(wrapped, whole.ndim), every.shape), every)
    outside = positions[(positions < -n) | (positions >= n)]
    if outside.size:
        raise IndexError(f"index {outside.flat[0]} is out of bounds for axis {axis} with size {n}")
    return Literal(np.equal(np.arange(n), np.where(positions < 0, positions + n, positions)[..., np.newaxis]))


def _gather(x: Node, advanced: list[tuple[int, Any]], place: int) -> Node:
    """Contract the indexed axes with one-hot matrices; the axes of the index stand at ``place``."""
    positions = [entry if _is_array(entry) else np.asarray(entry) for _, entry in advanced]
    shape = broadcast_shape(*[p.shape for p in positions])
    labels: list[Any] = list(range(x.ndim))
    new: list[Any] = [("index", k) for k in range(len(shape))]
    inputs, operands = [labels], [x]
    for (axis, _), entry in zip(advanced, positions, strict=True):
        own = new[len(shape) - entry.ndim :]
        inputs.append(
            [("one", axis, k) if n == 1 else label for k, (label, n) in enumerate(zip(own, entry.shape, strict=True))]
        )
        inputs[-1].append(axis)
        operands.append(one_hot(entry, x.shape[axis], axis))
    taken = {axis for axis, _ in advanced}
    output: list[Any] = [label for label in labels if label not in taken]
    output[place:place] = new
    sizes = dict(zip(new, shape, strict=True))
    return build.einsum(inputs, output, operands, dict(sizes), 1, x.dtype)


def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Node:
    """``a[.., indices, ..]`` along an axis."""
    if out is not None or mode != "raise":
        raise TypeError("np.take with out= or mode= is not supported on traced tensors; write x[indices]")
    node = ravel(a) if axis is None else as_node(a)
    k = axis_index(0 if axis is None else axis, node.ndim)
    positions = indices if isinstance(indices, Node) else np.asarray(indices)
    return _gather(node, [(k, _checked(positions))], k)


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Node:
    """``a[i, indices[i, j]]`` for each position of the other axes."""
    node = ravel(arr) if axis is None else as_node(arr)
    positions = _checked(indices if isinstance(indices, Node) else np.asarray(indices))
    k = axis_index(0 if axis is None else axis, node.ndim)
    if positions.ndim != node.ndim:
        raise ShapeError(f"np.take_along_axis needs indices with {node.ndim} axes, found shape {positions.shape}")
    target = list(positions.shape)
    target[k] = 1
    hot = one_hot(positions, node.shape[k], k)
    others = broadcast_shape((*node.shape[:k], 1, *node.shape[k + 1 :]), tuple(target))
    labels: list[Any] = [("a", j) if j != k and n != others[j] else j for j, n in enumerate(node.shape)]
    rows: list[Any] = [("b", j) if j != k and n != others[j] else j for j, n in enumerate(positions.shape)]
    rows[k], output = "new", [*range(k), "new", *range(k + 1, node.ndim)]
    sizes = {j: others[j] for j in range(node.ndim) if j != k}
    return build.einsum([labels, [*rows, k]], output, [node, hot], dict(sizes), 1, node.dtype)

"""NumPy's functions that reverse, rotate, repeat, frame or mask: einsums with structured operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from einad.errors import ShapeError
from einad.front.indexing import take
from einad.front.lifting import Axis, as_node, axis_index, axis_tuple, fit, whole
from einad.front.numpy_shapes import cut_slice, ravel, reshape, shape_tuple, swapaxes
from einad.ir import build
from einad.ir.expr import Node, Step
from einad.ops import structured


def flip(m: Any, axis: Axis = None) -> Node:
    """The order reversed along axes."""
    node = as_node(m)
    for k in axis_tuple(axis, node.ndim):
        n = node.shape[k]
        node = cut_slice(node, k, n - 1, -1, n)
    return node


def fliplr(m: Any) -> Node:
    """The order reversed along axis 1."""
    return flip(m, 1)


def flipud(m: Any) -> Node:
    """The order reversed along axis 0."""
    return flip(m, 0)


def rot90(m: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Node:
    """A rotation by ``k`` quarter turns from the first axis to the second."""
    node = as_node(m)
    i, j = (axis_index(axis, node.ndim) for axis in axes)
    if k % 4 == 2:
        return flip(node, (i, j))
    if k % 4 == 1:
        return swapaxes(flip(node, j), i, j)
    return flip(swapaxes(node, i, j), j) if k % 4 else node


def roll(a: Any, shift: Any, axis: Any = None) -> Node:
    """Entries moved cyclically."""
    node = as_node(a)
    if axis is None:
        return reshape(roll(ravel(node), shift, 0), node.shape)
    shifts, axes = (x if isinstance(x, tuple | list) else [x] for x in (shift, axis))
    for by, k in np.broadcast(shifts, axes):
        node = _roll_axis(node, whole(by, "shift"), axis_index(k, node.ndim))
    return node


def _roll_axis(x: Node, shift: int, axis: int) -> Node:
    n = x.shape[axis]
    shift = shift % n if n else 0
    if not shift:
        return x
    last, first = cut_slice(x, axis, n - shift, 1, shift), cut_slice(x, axis, 0, 1, n - shift)
    return structured.concatenate([last, first], axis)


def tile(A: Any, reps: Any) -> Node:
    """The tensor repeated as a block."""
    node, times = as_node(A), shape_tuple(reps)
    ndim = max(node.ndim, len(times))
    times = (1,) * (ndim - len(times)) + times
    node = reshape(node, (1,) * (ndim - node.ndim) + node.shape)
    sizes = {("times", k): n for k, n in enumerate(times)}
    output = [label for k in range(ndim) for label in (("times", k), k)]
    tiled = build.einsum([range(ndim)], output, [node], dict(sizes))
    return structured.reshape(tiled, tuple([m * n for m, n in zip(times, node.shape, strict=True)]))


def repeat(a: Any, repeats: Any, axis: int | None = None) -> Node:
    """Every entry repeated: all the same number of times, or each its own."""
    if axis is None:
        return repeat(ravel(a), repeats, 0)
    node = as_node(a)
    k = axis_index(axis, node.ndim)
    counts = np.asarray(repeats) if isinstance(repeats, list | tuple | np.ndarray) else None
    if counts is not None and counts.size != 1:
        return take(node, np.repeat(np.arange(node.shape[k]), counts), k)
    count = whole(repeats if counts is None else counts.item(), "repeats")
    labels: list[Any] = list(range(node.ndim))
    output = [*labels[: k + 1], "times", *labels[k + 1 :]]
    repeated = build.einsum([labels], output, [node], {"times": count})
    return structured.reshape(repeated, (*node.shape[:k], node.shape[k] * count, *node.shape[k + 1 :]))


def pad(
    array: Any,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = 0,
    reflect_type: str = "even",
) -> Node:
    """A frame around the tensor: constants, or entries of the tensor itself (edge, reflect, symmetric, wrap)."""
    node = as_node(array)
    widths = _per_side(pad_width, node.ndim)
    if any(width < 0 for pair in widths for width in pair):
        raise ValueError(f"np.pad cannot pad by negative widths, got {pad_width}")
    if mode in _FRAMES and reflect_type == "even":
        for axis, pair in enumerate(widths):
            if any(pair):
                node = moved(node, axis, np.pad(np.arange(node.shape[axis]), pair, _FRAMES[mode]))
        return node
    if mode != "constant":
        raise TypeError(
            f"np.pad with mode={mode!r} and reflect_type={reflect_type!r} is not supported on traced tensors; known "
            f"are constant, {', '.join(_FRAMES)}; for others write np.concatenate of slices"
        )
    values = _per_side(constant_values, node.ndim, node.dtype)
    for axis, ((before, after), filling) in enumerate(zip(widths, values, strict=True)):
        size = before + node.shape[axis] + after
        padded = structured.place_slice(node, axis, before, 1, size)
        frames = [_frame(padded, axis, *side) for side in ((0, before, filling[0]), (size - after, after, filling[1]))]
        node = build.add(padded, *[frame for frame in frames if frame is not None])
    return node


_FRAMES: dict[str, Any] = {mode: mode for mode in ("edge", "reflect", "symmetric", "wrap")}


def moved(x: Node, axis: int, positions: Any) -> Node:
    """``y[.., j, ..] = x[.., positions[j], ..]`` for positions in few runs of steps 1, -1 or 0: slices, joined."""
    entries = [int(p) for p in np.asarray(positions)]
    pieces, start = [], 0
    while start < len(entries):
        stop, step = start + 1, 0
        if stop < len(entries) and abs(entries[stop] - entries[start]) <= 1:
            step = entries[stop] - entries[start]
            while stop < len(entries) and entries[stop] - entries[stop - 1] == step:
                stop += 1
        pieces.append(_run(x, axis, entries[start], step, stop - start))
        start = stop
    return structured.concatenate(pieces, axis) if pieces else cut_slice(x, axis, 0, 1, 0)


def _run(x: Node, axis: int, start: int, step: int, count: int) -> Node:
    if step or count == 1:
        return cut_slice(x, axis, start, step or 1, count)
    picked = structured.pick(x, axis, start)
    labels: list[Any] = list(range(picked.ndim))
    return build.einsum([labels], [*labels[:axis], "times", *labels[axis:]], [picked], {"times": count})


def _per_side(widths: Any, ndim: int, dtype: Any = int) -> list[tuple[Any, Any]]:
    if isinstance(widths, dict):
        given = {axis_index(axis, ndim): w for axis, w in widths.items()}
        widths = [given.get(axis, 0) for axis in range(ndim)]
        widths = [tuple(w) if isinstance(w, tuple | list) else (w, w) for w in widths]
    pairs = np.broadcast_to(np.asarray(widths, dtype), (ndim, 2)).tolist()
    return [tuple(pair) for pair in pairs]


def _frame(like: Node, axis: int, start: int, count: int, value: Any) -> Node | None:
    """``value`` on a slab of ``count`` entries of an axis, zero elsewhere."""
    if not value or not count:
        return None
    slab = build.full((*like.shape[:axis], count, *like.shape[axis + 1 :]), value, like.dtype)
    return structured.place_slice(slab, axis, start, 1, like.shape[axis])


def tril(m: Any, k: int = 0) -> Node:
    """The entries with ``j <= i + k``, zero elsewhere."""
    node = _matrices(m)
    step = Step((node.shape[-2], node.shape[-1]), -k)
    labels = list(range(node.ndim))
    return build.einsum([labels, labels[-2:]], labels, [node, step])


def triu(m: Any, k: int = 0) -> Node:
    """The entries with ``j >= i + k``, zero elsewhere."""
    node = _matrices(m)
    step = Step((node.shape[-1], node.shape[-2]), k)
    labels = list(range(node.ndim))
    return build.einsum([labels, [labels[-1], labels[-2]]], labels, [node, step])


def _matrices(m: Any) -> Node:
    node = as_node(m)
    if not node.ndim:
        raise ShapeError("np.tril and np.triu need at least one axis, found a scalar")
    return fit(node, (node.shape[0], node.shape[0])) if node.ndim == 1 else node

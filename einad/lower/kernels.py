"""What NumPy has no single call for: strided boxes, boxes written one by one, running sums with an offset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from einad.ir.expr import Array, DType
from einad.lower.placed import Piece
from einad.lower.program import Dense, Ones
from einad.ops.structured import dense


def box(array: Array, piece: Piece) -> Array:
    """The strided view of ``array`` that a piece describes.

    >>> box(np.zeros((3, 3)), Piece((3,), (0, 0), ((1, 1),))).strides
    (32,)
    """
    strides = [sum(m * s for m, s in zip(step, array.strides, strict=True)) for step in piece.steps]
    corner = array[tuple([slice(start, None) for start in piece.start])]
    return as_strided(corner, piece.shape, strides)


def write_boxes(buffer: Array, values: Array, mode: str, pieces: Sequence[Piece]) -> None:
    """Write, add or subtract each piece's part of ``values`` in its box of ``buffer``."""
    values = np.asarray(values)
    for piece in pieces:
        part = values if piece.source is None else values[piece.source]
        view = box(buffer, piece)
        if mode == "=":
            view[...] = part
        elif mode == "+=":
            np.add(view, part, out=view)
        else:
            np.subtract(view, part, out=view)


def running_sum(x: Array, axis: int, count: int, offset: int, reverse: bool, dtype: DType) -> Array:
    """``out[i] = sum of x[j] with i >= j + offset``; reversed: ``out[j] = sum of x[i] with i >= j + offset``.

    >>> running_sum(np.arange(1, 5), 0, 4, 1, False, np.dtype(int)).tolist()
    [0, 1, 3, 6]
    >>> running_sum(np.arange(1, 5), 0, 4, 0, True, np.dtype(int)).tolist()
    [10, 9, 7, 4]
    """
    n = x.shape[axis]
    out = np.zeros((*x.shape[:axis], count, *x.shape[axis + 1 :]), dtype)
    source, target = np.moveaxis(x, axis, -1), np.moveaxis(out, axis, -1)
    if reverse:
        source, target, offset = source[..., ::-1], target[..., ::-1], offset + count - n
    first, skipped = max(offset, 0), max(-offset, 0)
    if not n or first >= count:
        return out
    if skipped:
        sums = np.cumsum(source, axis=-1, dtype=dtype)[..., skipped:]
        if not sums.shape[-1]:
            target[...] = source.sum(axis=-1, dtype=dtype)[..., np.newaxis]
            return out
        covered = min(count, n - skipped)
        target[..., :covered] = sums[..., :covered]
        target[..., covered:] = sums[..., -1:]
        return out
    covered = min(count - first, n)
    np.cumsum(source[..., :covered], axis=-1, dtype=dtype, out=target[..., first : first + covered])
    target[..., first + covered :] = target[..., first + covered - 1, np.newaxis]
    return out


def fresh(result: Array, *sources: Array) -> Array:
    """``result`` itself where it surely owns its memory, else a copy."""
    alone = type(result) is np.ndarray and result.base is None and not any(result is source for source in sources)
    return result if alone else np.array(result)


def constant(operand: Dense | Ones) -> Array:
    """A structured operand as an array, or the sum of one over an axis, by a formula; a vector of ones."""
    array = np.ones(operand.size, operand.dtype) if isinstance(operand, Ones) else _dense(operand)
    array.flags.writeable = False
    return array


def _dense(operand: Dense) -> Array:
    node = operand.node
    if operand.summed is None:
        return dense(node).astype(operand.dtype)
    rows, columns = node.shape
    offset = node.offset
    if operand.summed == 0:
        counts = np.clip(rows - offset - np.arange(columns), 0, rows)
    else:
        counts = np.clip(np.arange(rows) - offset + 1, 0, columns)
    return counts.astype(operand.dtype)

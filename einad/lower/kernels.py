"""What NumPy has no single call for: strided boxes, boxes written one by one, running sums with an offset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from einad.ir.expr import DFT, Array, DType, Scalar, Step
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


def fourier(x: Array, axis: int, period: int, count: int, sign: int, norm: str) -> Array:
    """``out[k] = sum over j of x[j] exp(sign · 2πi · j·k / period)`` for k < count, along an axis.

    ``norm`` "all" divides by the period, "root" by its square root. Real tensors take half the time: only half the
    frequencies of a period are computed, the others are their conjugates.

    >>> fourier(np.array([1.0, 2.0, 0.0, 0.0]), 0, 4, 4, -1, "none")
    array([ 3.+0.j,  1.-2.j, -1.+0.j,  1.+2.j])
    """
    known = {"none": "backward", "all": "forward", "root": "ortho"}[norm]
    if x.dtype.kind != "c":
        return _fourier_of_real(x, axis, period, count, sign, known)
    if sign > 0:
        known = {"backward": "forward", "forward": "backward", "ortho": "ortho"}[known]
    out = np.empty((*x.shape[:axis], period, *x.shape[axis + 1 :]), x.dtype)
    (np.fft.fft if sign < 0 else np.fft.ifft)(x, period, axis, known, out=out)  # type: ignore[arg-type]
    return out if count == period else np.ascontiguousarray(np.moveaxis(np.moveaxis(out, axis, 0)[:count], 0, axis))


def _fourier_of_real(x: Array, axis: int, period: int, count: int, sign: int, norm: str) -> Array:
    half = period // 2 + 1
    dtype = np.result_type(x.dtype, np.complex64)
    out = np.empty((*x.shape[:axis], max(count, half), *x.shape[axis + 1 :]), dtype)
    along = np.moveaxis(out, axis, 0)
    np.fft.rfft(x, period, axis, norm, out=np.moveaxis(along[:half], 0, axis))  # type: ignore[arg-type]
    np.conjugate(along[period - half : period - count : -1], out=along[half:])
    if sign > 0:
        np.conjugate(out, out=out)
    return out if count >= half else np.ascontiguousarray(np.moveaxis(along[:count], 0, axis))


def real_fourier(x: Array, axis: int, period: int, count: int, sign: int, coefficient: Scalar) -> Array:
    """``out[k] = Re(coefficient * sum over j of x[j] exp(sign · 2πi · j·k / period))`` for k < count, along an axis.

    The real part of a transform of x is the transform of ``(x[j] + conj(x[-j])) / 2``, of which half is enough.

    >>> real_fourier(np.array([1j, 2.0]), 0, 4, 4, 1, 1)
    array([ 2.,  0., -2.,  0.])
    """
    source, half = np.moveaxis(x, axis, -1), period // 2 + 1
    spectrum = source[..., :half] * x.dtype.type(coefficient / 2)
    spectrum[..., 0] *= 2
    if 2 * (spectrum.shape[-1] - 1) == period:
        spectrum[..., -1] *= 2
    if source.shape[-1] > half:
        mirrored = spectrum[..., period - source.shape[-1] + 1 : period - half + 1]
        mirrored += np.conjugate(source[..., : half - 1 : -1] * x.dtype.type(coefficient / 2))
    if sign < 0:
        np.conjugate(spectrum, out=spectrum)
    found = np.fft.irfft(spectrum, period, -1, "forward")
    return np.ascontiguousarray(np.moveaxis(found[..., :count], -1, axis))


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
    if isinstance(node, DFT):
        return _summed_roots(node, operand.summed).astype(operand.dtype)
    assert isinstance(node, Step)
    rows, columns = node.shape
    offset = node.offset
    if operand.summed == 0:
        counts = np.clip(rows - offset - np.arange(columns), 0, rows)
    else:
        counts = np.clip(np.arange(rows) - offset + 1, 0, columns)
    return counts.astype(operand.dtype)


def _summed_roots(node: DFT, axis: int) -> Array:
    """The sums of a DFT over an axis: a transform of ones. Over a whole period they are zero but for the first."""
    many, count = node.shape[axis], node.shape[1 - axis]
    if many == node.period:
        return np.where(np.arange(count) == 0, many, 0)
    return fourier(np.ones(many), 0, node.period, count, node.sign, "none")

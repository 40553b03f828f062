"""Structured operands: their dense meaning, and the einsums that are slices, reshapes, paddings and scans.

None of these has a derivative rule: the swap is enough.
"""

from __future__ import annotations

import numpy as np

from einad.ir import build
from einad.ir.expr import DFT, Affine, Array, DType, Node, Scalar, Shape, Step, Structured


def dense(node: Structured) -> Array:
    """The array that a structured operand stands for: ones and zeros (bool), or roots of unity for a DFT.

    >>> dense(Affine((4, 2), (-1, 2), 1)).astype(int).tolist()
    [[0, 0], [1, 0], [0, 0], [0, 1]]
    """
    if isinstance(node, DFT):
        return _roots_of_unity(node)
    grids = np.indices(node.shape, sparse=True)
    if isinstance(node, Step):
        return np.asarray(grids[0] >= grids[1] + node.offset)
    assert isinstance(node, Affine)
    total = sum((c * g for c, g in zip(node.coefficients, grids, strict=True)), start=np.int64(node.offset))
    return np.broadcast_to(np.asarray(total == 0), node.shape)


def _roots_of_unity(node: DFT) -> Array:
    """``exp(sign · 2πi · j·k / n)``: the n-th roots of unity, taken at ``j·k`` modulo n."""
    roots = np.exp(node.sign * 2j * np.pi * np.arange(node.period) / node.period).astype(node.dtype)
    j, k = np.indices(node.shape, sparse=True)
    return np.asarray(roots[j * k % node.period])


def fourier(x: Node, axis: int, period: int, count: int, sign: int = -1, coefficient: Scalar = 1) -> Node:
    """``y[.., k, ..] = coefficient * x[.., j, ..] exp(sign · 2πi · j·k / period)``, summed over j, for ``count`` k."""
    labels = list(range(x.ndim))
    output = [x.ndim if label == axis else label for label in labels]
    operand = DFT((x.shape[axis], count), period, sign, fourier_dtype(x.dtype))
    return build.einsum([labels, [axis, x.ndim]], output, [x, operand], None, coefficient, operand.dtype)


def fourier_dtype(dtype: DType) -> DType:
    """The complex dtype that NumPy's transforms give for tensors of a dtype.

    >>> fourier_dtype(np.dtype(np.float32)), fourier_dtype(np.dtype(int))
    (dtype('complex64'), dtype('complex128'))
    """
    return np.dtype(np.complex64 if dtype.char in "efF" else np.complex128)


def one_hot(indices: Array, length: int) -> Array:
    """The array that ``OneHot`` stands for (bool); every index must lie in ``range(length)``.

    >>> one_hot(np.array([2, 0]), 3).astype(int).tolist()
    [[0, 0, 1], [1, 0, 0]]
    """
    if indices.size and not 0 <= indices.min() <= indices.max() < length:
        raise IndexError(f"the indices of a OneHot of length {length} lie between 0 and {length - 1}")
    return np.asarray(indices[..., np.newaxis] == np.arange(length))


def take_slice(x: Node, axis: int, start: int, step: int, count: int) -> Node:
    """``y[.., j, ..] = x[.., start + step*j, ..]`` for ``count`` values of j."""
    n = x.shape[axis]
    if (start, step, count) == (0, 1, n):
        return x
    labels = list(range(x.ndim))
    output = [x.ndim if label == axis else label for label in labels]
    window = Affine((n, count), (-1, step), start)
    return build.einsum([labels, [axis, x.ndim]], output, [x, window])


def place_slice(x: Node, axis: int, start: int, step: int, size: int) -> Node:
    """``y[.., start + step*j, ..] = x[.., j, ..]``, zero elsewhere, along an axis of ``size``: padding."""
    n = x.shape[axis]
    if (start, step, n) == (0, 1, size):
        return x
    labels = list(range(x.ndim))
    output = [x.ndim if label == axis else label for label in labels]
    window = Affine((size, n), (-1, step), start)
    return build.einsum([labels, [x.ndim, axis]], output, [x, window])


def pick(x: Node, axis: int, position: int) -> Node:
    """``y[..] = x[.., position, ..]``; the axis leaves."""
    if x.shape[axis] == 1:
        return drop_axes(x, (axis,))
    labels = list(range(x.ndim))
    window = Affine((x.shape[axis],), (1,), -position)
    return build.einsum([labels, [axis]], [*labels[:axis], *labels[axis + 1 :]], [x, window])


def put(x: Node, axis: int, position: int, size: int) -> Node:
    """``y[.., position, ..] = x[..]``, zero elsewhere, along a new axis of ``size``: the reverse of `pick`."""
    labels = list(range(x.ndim))
    output = [*labels[:axis], x.ndim, *labels[axis:]]
    return build.einsum([labels, [x.ndim]], output, [x, Affine((size,), (1,), -position)], {x.ndim: size})


def drop_axes(x: Node, axes: tuple[int, ...]) -> Node:
    """Remove axes of size 1 (a sum over one element)."""
    return build.reduce_sum(x, axes) if axes else x


def concatenate(parts: list[Node], axis: int) -> Node:
    """Parts one behind the other along ``axis``: the sum of the parts, each padded with zeros."""
    size = sum(part.shape[axis] for part in parts)
    start, placed = 0, []
    for part in parts:
        placed.append(place_slice(part, axis, start, 1, size))
        start += part.shape[axis]
    return build.add(*placed)


def stack(parts: list[Node], axis: int) -> Node:
    """Tensors of one shape along a new axis."""
    return build.add(*[put(part, axis, n, len(parts)) for n, part in enumerate(parts)])


def reshape(x: Node, shape: Shape) -> Node:
    """Row-major reshape: each smallest run of axes of equal size is merged into one label and split again.

    Axes of size 1 take no part: an old one is summed away, a new one is a broadcast.
    """
    if x.shape == shape:
        return x
    if x.size == 0:
        return build.zeros(shape, x.dtype)
    inputs: list[list[int]] = [list(range(x.ndim))]
    output = [x.ndim + axis for axis in range(len(shape))]
    sizes = {x.ndim + axis: n for axis, n in enumerate(shape)}
    factors: list[Node] = []
    middle = x.ndim + len(shape)
    for old, new in _runs(x.shape, shape):
        if len(old) == len(new) == 1:
            output[new[0]] = old[0]
            continue
        merged, middle = middle, middle + 1
        for axes, extents, first in ((old, x.shape, 0), (new, shape, x.ndim)):
            labels = [first + axis for axis in axes]
            if len(labels) > 1:
                factors.append(_row_major([extents[axis] for axis in axes]))
                inputs.append([merged, *labels])
        if len(old) == 1:
            inputs[-1][0] = old[0]
        elif len(new) == 1:
            output[new[0]] = merged
    return build.einsum(inputs, output, [x, *factors], sizes)


def _row_major(extents: list[int]) -> Affine:
    """``δ[k - (position of an index in row-major order)]``, of shape (product, *extents)."""
    strides, stride = [], 1
    for n in reversed(extents):
        strides.append(stride)
        stride *= n
    return Affine((stride, *extents), (-1, *reversed(strides)))


def _runs(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """Cut two shapes of equal size into the smallest runs of equal size, leaving out axes of size 1."""
    left = [axis for axis, n in enumerate(old) if n != 1]
    right = [axis for axis, n in enumerate(new) if n != 1]
    runs: list[tuple[list[int], list[int]]] = []
    while left:
        a, b = [left.pop(0)], [right.pop(0)]
        size_a, size_b = old[a[0]], new[b[0]]
        while size_a != size_b:
            if size_a < size_b:
                a.append(left.pop(0))
                size_a *= old[a[-1]]
            else:
                b.append(right.pop(0))
                size_b *= new[b[-1]]
        runs.append((a, b))
    return runs

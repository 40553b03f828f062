"""``np.fft``: einsums with the DFT operand ``exp(±2πi · j·k / n)``.

With F[j,k] = exp(-2πi jk/n) and its conjugate G, along one axis:

=====  ===================================================================
fft    ``Y[k] = X[j] F[j,k]``
ifft   ``X[j] = 1/n Y[k] G[k,j]``
rfft   ``fft`` of a real tensor, for k <= n/2 only: a DFT of fewer columns
irfft  ``X[j] = 1/n Re(w[k] Y[k] G[k,j])`` over k <= n/2, where w[k] counts how often a frequency stands in the whole
       spectrum: once for 0 and n/2, else twice
=====  ===================================================================

A signal shorter than n is padded with zeros: a DFT of fewer rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np

from einad.front.lifting import Axis, as_node, axis_index, whole
from einad.front.numpy_elementwise import conjugate, real, refuse_out
from einad.front.numpy_moves import roll
from einad.ir import build
from einad.ir.expr import Literal, Node
from einad.ops import structured

Norm = str | None
_OTHER = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def fft(a: Any, n: int | None = None, axis: int = -1, norm: Norm = None, out: None = None) -> Node:
    """The Fourier transform along an axis."""
    refuse_out("fft.fft", out)
    return _transform("fft", a, n, axis, norm, -1)


def ifft(a: Any, n: int | None = None, axis: int = -1, norm: Norm = None, out: None = None) -> Node:
    """The inverse of `fft`."""
    refuse_out("fft.ifft", out)
    return _transform("ifft", a, n, axis, _swapped(norm), 1)


def rfft(a: Any, n: int | None = None, axis: int = -1, norm: Norm = None, out: None = None) -> Node:
    """The frequencies up to n/2 of a real tensor."""
    refuse_out("fft.rfft", out)
    return _half("rfft", a, n, axis, norm, -1)


def irfft(a: Any, n: int | None = None, axis: int = -1, norm: Norm = None, out: None = None) -> Node:
    """The real tensor of which ``a`` has the frequencies up to n/2."""
    refuse_out("fft.irfft", out)
    node = as_node(a)
    k = axis_index(axis, node.ndim)
    period = _length("irfft", 2 * (node.shape[k] - 1) if n is None else n)
    node = structured.take_slice(node, k, 0, 1, min(node.shape[k], period // 2 + 1))
    weights = _how_often(node.shape[k], period, structured.fourier_dtype(node.dtype))
    labels = list(range(node.ndim))
    weighted = build.einsum([labels, [k]], labels, [node, weights])
    return real(structured.fourier(weighted, k, period, period, 1, _factor(_swapped(norm), period)))


def hfft(a: Any, n: int | None = None, axis: int = -1, norm: Norm = None, out: None = None) -> Node:
    """The real spectrum of a Hermitian signal, of which ``a`` is the first half."""
    return irfft(conjugate(a), n, axis, _swapped(norm), out)


def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: Norm = None, out: None = None) -> Node:
    """The inverse of `hfft`."""
    refuse_out("fft.ihfft", out)
    return _half("ihfft", a, n, axis, _swapped(norm), 1)


def fftn(a: Any, s: Any = None, axes: Axis = None, norm: Norm = None, out: None = None) -> Node:
    """`fft` along several axes, all of them by default."""
    node = as_node(a)
    for n, axis in reversed(_lengths(node, s, axes)):
        node = fft(node, n, axis, norm, out)
    return node


def ifftn(a: Any, s: Any = None, axes: Axis = None, norm: Norm = None, out: None = None) -> Node:
    """The inverse of `fftn`."""
    node = as_node(a)
    for n, axis in reversed(_lengths(node, s, axes)):
        node = ifft(node, n, axis, norm, out)
    return node


def rfftn(a: Any, s: Any = None, axes: Axis = None, norm: Norm = None, out: None = None) -> Node:
    """`rfft` along the last of several axes, `fft` along the others."""
    node = as_node(a)
    *others, (n, axis) = _lengths(node, s, axes)
    node = rfft(node, n, axis, norm, out)
    for n, axis in reversed(others):
        node = fft(node, n, axis, norm)
    return node


def irfftn(a: Any, s: Any = None, axes: Axis = None, norm: Norm = None, out: None = None) -> Node:
    """The inverse of `rfftn`."""
    node = as_node(a)
    *others, (n, axis) = _lengths(node, s, axes)
    for m, other in others:
        node = ifft(node, m, other, norm)
    return irfft(node, None if s is None else n, axis, norm, out)


def fft2(a: Any, s: Any = None, axes: Axis = (-2, -1), norm: Norm = None, out: None = None) -> Node:
    """`fft` along two axes."""
    return fftn(a, s, axes, norm, out)


def ifft2(a: Any, s: Any = None, axes: Axis = (-2, -1), norm: Norm = None, out: None = None) -> Node:
    """The inverse of `fft2`."""
    return ifftn(a, s, axes, norm, out)


def rfft2(a: Any, s: Any = None, axes: Axis = (-2, -1), norm: Norm = None, out: None = None) -> Node:
    """`rfftn` along two axes."""
    return rfftn(a, s, axes, norm, out)


def irfft2(a: Any, s: Any = None, axes: Axis = (-2, -1), norm: Norm = None, out: None = None) -> Node:
    """The inverse of `rfft2`."""
    return irfftn(a, s, axes, norm, out)


def fftshift(x: Any, axes: Axis = None) -> Node:
    """Frequency 0 in the middle."""
    node = as_node(x)
    along = _shifted_axes(node, axes)
    return roll(node, tuple([node.shape[axis] // 2 for axis in along]), along)


def ifftshift(x: Any, axes: Axis = None) -> Node:
    """The inverse of `fftshift`."""
    node = as_node(x)
    along = _shifted_axes(node, axes)
    return roll(node, tuple([-(node.shape[axis] // 2) for axis in along]), along)


def _shifted_axes(node: Node, axes: Axis) -> tuple[int, ...]:
    if axes is None:
        return tuple(range(node.ndim))
    given = axes if isinstance(axes, Sequence) else (axes,)
    return tuple([axis_index(axis, node.ndim) for axis in given])


def _transform(name: str, a: Any, n: int | None, axis: int, norm: Norm, sign: int) -> Node:
    node = as_node(a)
    k = axis_index(axis, node.ndim)
    period = _length(name, node.shape[k] if n is None else n)
    node = structured.take_slice(node, k, 0, 1, min(node.shape[k], period))
    return structured.fourier(node, k, period, period, sign, _factor(norm, period))


def _half(name: str, a: Any, n: int | None, axis: int, norm: Norm, sign: int) -> Node:
    node = as_node(a)
    if node.dtype.kind == "c":
        raise TypeError(f"np.fft.{name} takes real tensors, found dtype {node.dtype}; write np.fft.fft, or take x.real")
    k = axis_index(axis, node.ndim)
    period = _length(name, node.shape[k] if n is None else n)
    node = structured.take_slice(node, k, 0, 1, min(node.shape[k], period))
    return structured.fourier(node, k, period, period // 2 + 1, sign, _factor(norm, period))


def _length(name: str, n: Any) -> int:
    length = whole(n, "n")
    if length < 1:
        raise ValueError(f"np.fft.{name} needs at least one point, found n = {length}")
    return length


def _lengths(node: Node, s: Any, axes: Axis) -> list[tuple[int | None, int]]:
    """For each transformed axis its length (None: as it is) and its number."""
    if axes is None:
        axes = tuple(range(node.ndim)) if s is None else tuple(range(-len(s), 0))
    along = [axis_index(axis, node.ndim) for axis in (axes if isinstance(axes, Sequence) else (axes,))]
    if s is None:
        return [(None, axis) for axis in along]
    if len(s) != len(along):
        raise ValueError(f"np.fft needs as many lengths as axes, found s = {tuple(s)} and axes = {tuple(along)}")
    return [(node.shape[axis] if n in (None, -1) else n, axis) for n, axis in zip(s, along, strict=True)]


def _swapped(norm: Norm) -> str:
    """The norm of the transform in the other direction that has the same factor."""
    return _OTHER[_known(norm)]


def _known(norm: Norm) -> str:
    if norm is not None and norm not in _OTHER:
        raise ValueError(f"norm must be 'backward', 'ortho' or 'forward', found {norm!r}")
    return norm or "backward"


def _factor(norm: Norm, n: int) -> float:
    return {"backward": 1, "ortho": 1 / sqrt(n), "forward": 1 / n}[_known(norm)]


@lru_cache(64)
def _how_often(count: int, period: int, dtype: Any) -> Literal:
    """How often each of the first frequencies stands in a whole spectrum: once for 0 and ``period / 2``, else twice."""
    weights = np.full(count, 2, dtype)
    weights[0] = 1
    if 2 * (count - 1) == period:
        weights[-1] = 1
    weights.flags.writeable = False
    return Literal(weights)

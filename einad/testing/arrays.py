"""Hypothesis strategies for arrays: small exact numbers in any memory layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from einad.ir.expr import Array, DType, Shape

DTYPES = ("float64", "float32", "complex128", "complex64", "int64", "int32", "bool")
FLOATING = ("float64", "float32", "complex128", "complex64")


def _plain(x: Array) -> Array:
    return x


def _column_major(x: Array) -> Array:
    return x.copy(order="F")


def _reversed(x: Array) -> Array:
    return np.flip(np.flip(x).copy())


def _every_other(x: Array) -> Array:
    if not x.ndim:
        return x
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


def _read_only(x: Array) -> Array:
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS: tuple[Callable[[Array], Array], ...] = (_plain, _column_major, _reversed, _every_other, _read_only)


def shapes(max_dims: int = 3, max_side: int = 3, min_side: int = 0) -> st.SearchStrategy[Shape]:
    """Shapes of few small axes."""
    return st.lists(st.integers(min_side, max_side), max_size=max_dims).map(tuple)


def arrays(shape: Shape, dtype: Any = "float64", step: float = 1.0, bound: int = 3) -> st.SearchStrategy[Array]:
    """Arrays of multiples of ``step`` up to ``bound * step``, contiguous or not, writeable or not.

    With a step that is a power of 2, sums and products of a few entries are exact.
    """
    dtype = np.dtype(dtype)
    values = hnp.arrays(np.float64, shape, elements=_numbers(dtype, bound), fill=st.nothing())
    if dtype.kind == "c":
        values = st.builds(lambda re, im: re + 1j * im, values, values)
    return st.builds(lambda x, layout: layout(_scaled(x, step, dtype)), values, st.sampled_from(LAYOUTS))


def _scaled(x: Any, step: float, dtype: DType) -> Array:
    return np.asarray(x * step).astype(dtype)


def _numbers(dtype: DType, bound: int) -> st.SearchStrategy[float]:
    low = 0 if dtype.kind in "bu" else -bound
    high = 1 if dtype.kind == "b" else bound
    return st.integers(low, high).map(float)

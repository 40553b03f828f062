"""Gathers and scatter-adds of rows: cost and memory grow with the rows that are read, never with a one-hot matrix."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from einad.ir.expr import Array, DType

INDEX = np.dtype(np.intp)
LEAST_SPARSE, LEAST_WIDTH = 4096, 2


def take(x: Array, index: Array) -> Array:
    """``out[b,p,n,q] = x[b,p,index[b,n],q]``; the axis b is 1 where no label stands on both.

    >>> take(np.arange(12).reshape(1, 1, 4, 3), np.array([[2, 0]]))[0, 0].tolist()
    [[6, 7, 8], [0, 1, 2]]
    """
    if len(x) == 1 and len(index) == 1:
        if x.flags.c_contiguous:
            return np.asarray(x.take(index[0], 2))
        return np.ascontiguousarray(x[:, :, index[0]])
    if x.shape[1] == 1 and len(x) == len(index) and x.flags.c_contiguous:
        rows = x.reshape(-1, x.shape[3])
        return rows.take(_flat(index, x.shape[2]), 0)[:, np.newaxis]
    batch, outer = np.arange(max(len(x), len(index)))[:, np.newaxis, np.newaxis], np.arange(x.shape[1])
    return np.ascontiguousarray(x[batch % len(x), outer[:, np.newaxis], index[:, np.newaxis]])


def scatter_add(index: Array, x: Array | None, length: int, dtype: DType) -> Array:
    """``out[b,v,q] = sum over n of x[b,n,q] where index[b,n] == v``; without ``x`` the numbers of such n.

    >>> scatter_add(np.array([[2, 0, 2]]), np.array([[[1.0], [2.0], [3.0]]]), 3, np.dtype(float)).ravel().tolist()
    [2.0, 0.0, 4.0]
    """
    _check(index, length)
    batch = len(index)
    rows = (index if batch == 1 else _flat(index, length)).reshape(-1)
    if index.shape[1] == 1:  # no two rows meet
        out = np.zeros((batch * length, 1 if x is None else x.shape[2]), dtype)
        out[rows] = 1 if x is None else x[:, 0]
        return out.reshape(batch, length, -1)
    if x is None:
        counts = np.bincount(rows, minlength=batch * length).astype(dtype)
        return counts.reshape(batch, length, 1)
    width = x.shape[2]
    values = x.reshape(-1, width)
    return _add_rows(rows, values, batch * length, dtype).reshape(batch, length, width)


def _add_rows(rows: Array, values: Array, count: int, dtype: DType) -> Array:
    """``out[rows[n]] += values[n]``.

    4096 rows of 64 numbers added into 50,000: 0.9 ms as a product with a sparse matrix, 1.5 ms by `np.add.at` on single
    numbers, 3.3 ms by `np.add.at` on rows, 3.1 ms by sorting and `np.add.reduceat`. Without SciPy the second is used.
    """
    width = values.shape[1]
    if width == 1 and values.dtype == np.float64:
        return np.bincount(rows, values[:, 0], count)
    if _is_sparse(len(rows), width, dtype):
        ones, starts = np.ones(len(rows), values.real.dtype), np.arange(len(rows) + 1)
        found: Array = _sparse().csc_array((ones, rows, starts), shape=(count, len(rows))) @ values
        return found
    out = np.zeros(count * width, dtype)
    places = rows if width == 1 else (rows[:, np.newaxis] * width + np.arange(width)).reshape(-1)
    np.add.at(out, places, np.ascontiguousarray(values, dtype).reshape(-1))
    return out


def scratch(batch: int, many: int, width: int, length: int, dtype: DType, counts: bool) -> int:
    """The bytes that `scatter_add` takes for itself, beside its result, for ``index[batch, many]``."""
    rows = batch * many
    places = INDEX.itemsize * (rows if batch > 1 else 0)
    if many == 1:
        return places
    if counts:
        return places + INDEX.itemsize * batch * length
    if width == 1:
        return places
    sparse = _is_sparse(rows, width, dtype)
    return places + (rows * (dtype.itemsize + 3 * INDEX.itemsize) if sparse else INDEX.itemsize * rows * width)


def _is_sparse(rows: int, width: int, dtype: DType) -> bool:
    worth = width >= LEAST_WIDTH and rows * width >= LEAST_SPARSE
    return worth and dtype.kind in "fc" and dtype.itemsize >= 4 and _has_scipy()


@cache
def _has_scipy() -> bool:
    return find_spec("scipy") is not None


@cache
def _sparse() -> Any:
    """SciPy's sparse arrays, loaded when they are first of use."""
    return import_module("scipy.sparse")


def _flat(index: Array, length: int) -> Array:
    """Row numbers in an array whose first axis holds one block of ``length`` rows for each row of ``index``."""
    found: Array = index + np.arange(0, len(index) * length, length)[:, np.newaxis]
    return found


def _check(index: Array, length: int) -> None:
    if index.size and not (index.min() >= 0 and index.max() < length):
        raise IndexError(f"indices from {index.min()} to {index.max()} do not fit an axis of size {length}")
